"""All codecs by the names that profiles call them, and a gateway's way to find the right one by itself."""

from collections.abc import Mapping
from typing import Final

from fleet.codecs import opendtu, shelly, victron, zlinky
from fleet.codecs.decoded import Codec, Decoded, fresh
from fleet.codecs.memory import Memory
from fleet.errors import BadInput
from fleet.limits import RAW_PAYLOAD_BYTES_MAX
from fleet.serials import is_serial
from fleet.telemetry import RawMessage

_BY_TOPIC: Final = (opendtu.decode, victron.decode, shelly.decode)


def _any(message: RawMessage) -> list[Decoded]:
    """A gateway for whatever the house has: the topic says which format it is."""
    if message.topic.startswith("zigbee2mqtt/"):
        return zlinky.decode(message)
    for codec in _BY_TOPIC:
        found = codec(message)
        if found:
            return found
    return []


CODECS: Final[Mapping[str, Codec]] = {
    "any": fresh(_any),
    "opendtu": fresh(opendtu.decode),
    "shelly": fresh(shelly.decode),
    "victron": fresh(victron.decode),
    "zlinky": fresh(zlinky.decode),
}


def decode_raw(codec: str, message: RawMessage, memory: Memory | None = None) -> list[Decoded]:
    """The samples in one message; none when it is about something else, or about a device without a usable name.

    memory: of the sender; what the message teaches is in it afterwards, also when something of the message is refused.
    Raises BadInput (unknown_codec, too_large, bad_payload, and what the codecs with a memory raise).
    """
    decode = CODECS.get(codec)
    if decode is None:
        raise BadInput("unknown_codec", f"no codec is called {codec[:40]!r}")
    if len(message.payload) > RAW_PAYLOAD_BYTES_MAX:
        raise BadInput(
            "too_large", f"{len(message.payload)} bytes at {message.topic[:80]}; {RAW_PAYLOAD_BYTES_MAX} are taken"
        )
    return [
        found
        for found in decode(message, memory if memory is not None else Memory())
        if found.serial is None or is_serial(found.serial)
    ]
