"""All codecs by the names that profiles call them, and a gateway's way to find the right one by itself."""

from collections.abc import Mapping
from typing import Final

from fleet.codecs import (
    ahoy,
    evcc,
    grott,
    homeassistant,
    opendtu,
    sbfspot,
    senml,
    shelly,
    sparkplug,
    tasmota,
    teleinfo2mqtt,
    tic_topics,
    victron,
    webdyn_mqtt,
    zlinky,
)
from fleet.codecs.decoded import Codec, Decoded, Plain, fresh
from fleet.codecs.memory import Memory
from fleet.errors import BadInput
from fleet.limits import RAW_PAYLOAD_BYTES_MAX
from fleet.serials import is_serial
from fleet.telemetry import RawMessage

# Of which each message explains itself. None of them has anything to say of another's messages, by topic or by what is in
# them, so that their order does not matter; those that are told apart by the topic alone come first, they are quickest.
PLAIN: Final[Mapping[str, Plain]] = {
    "opendtu": opendtu.decode,
    "victron": victron.decode,
    "shelly": shelly.decode,
    "evcc": evcc.decode,
    "ahoy": ahoy.decode,
    "tic": tic_topics.decode,
    "tasmota": tasmota.decode,
    "zlinky": zlinky.decode,
    "teleinfo2mqtt": teleinfo2mqtt.decode,
    "sbfspot": sbfspot.decode,
    "grott": grott.decode,
    "webdyn": webdyn_mqtt.decode,
    "senml": senml.decode,
}


# Whose messages explain others that come later.
REMEMBERING: Final[Mapping[str, Codec]] = {
    "homeassistant": homeassistant.decode,
    "sparkplug": sparkplug.decode,
}


def _any(message: RawMessage, memory: Memory) -> tuple[str, list[Decoded]]:
    """A gateway for whatever the house has: the message says which format it is."""
    if sparkplug.is_ours(message):
        return "sparkplug", sparkplug.decode(message, memory)
    for name, codec in () if message.retained else PLAIN.items():
        found = codec(message)
        if found is not None:
            return name, found
    # what announces itself is taken where no format of its own is known
    return "homeassistant", homeassistant.decode(message, memory)


ANY: Final = "any"
CODECS: Final[Mapping[str, Codec]] = {
    ANY: lambda message, memory: _any(message, memory)[1],
    **{name: fresh(codec) for name, codec in PLAIN.items()},
    **REMEMBERING,
}


def decode_raw(codec: str, message: RawMessage, memory: Memory | None = None) -> list[Decoded]:
    """The samples in one message; none when it is about something else, or about a device without a usable name.

    memory: of the sender; what the message teaches is in it afterwards, also when something of the message is refused.
    Raises BadInput (unknown_codec, too_large, bad_payload, and what the codecs with a memory raise).
    """
    return decode_named(codec, message, memory)[1]


def decode_named(codec: str, message: RawMessage, memory: Memory | None = None) -> tuple[str, list[Decoded]]:
    """As decode_raw, and which format it was where any may come."""
    decode = CODECS.get(codec)
    if decode is None:
        raise BadInput("unknown_codec", f"no codec is called {codec[:40]!r}")
    if len(message.payload) > RAW_PAYLOAD_BYTES_MAX:
        raise BadInput(
            "too_large", f"{len(message.payload)} bytes at {message.topic[:80]}; {RAW_PAYLOAD_BYTES_MAX} are taken"
        )
    memory = memory if memory is not None else Memory()
    name, told = _any(message, memory) if codec == ANY else (codec, decode(message, memory))
    return name, [found for found in told if found.serial is None or is_serial(found.serial)]
