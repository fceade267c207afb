"""What a codec makes of a third party's message, and the numbers in it."""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from fleet.codecs.memory import Memory
from fleet.errors import BadInput
from fleet.limits import RAW_CLOCKS_SINCE_MS, RAW_GRID_S, RAW_NAME_CHARS_MAX, SERIAL_CHARS_MIN
from fleet.serials import serial_of_path
from fleet.telemetry import RawMessage, Sample, UnixMs

_GRID_MS: Final = round(RAW_GRID_S * 1000)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?")
TOO_LARGE: Final = 1e100  # below it a number stays one in any unit, and the twin judges it
_MISSING: Final = frozenset(("", "nan", "null", "none", "-", "n/a", "unavailable", "unknown"))


class Decoded(NamedTuple):
    """serial: of the device behind the sender; None when the format does not tell, so that it is the sender itself.

    local: it is a name that only this sender's house knows, such as "linky": another house has one too.
    """

    serial: str | None
    sample: Sample
    local: bool = False


class Further(Decoded):
    """Of a device with several lines, such as a meter with two clamps, one that is not its first."""

    __slots__ = ()


Codec = Callable[[RawMessage, Memory], list[Decoded]]
# None: of another format. Of its own it may have nothing to tell all the same: then nobody else should guess what it means.
Plain = Callable[[RawMessage], list[Decoded] | None]


def fresh(alone: Plain) -> Codec:
    """For messages that explain nothing but themselves: a copy that a broker had kept, from last week maybe, is none."""

    def decode(message: RawMessage, _: Memory) -> list[Decoded]:
        return [] if message.retained else alone(message) or []

    return decode


def sample(message: RawMessage, values: dict[str, float | None], t: float | None = None) -> Sample:
    """What came within the same few seconds shares one instant: formats that send each value by itself make one row then.

    The instant is that of the arrival at the gateway: most of these messages carry no time, or none to be trusted.
    t: what the message says itself, in Unix ms, where its format has a true time.
    """
    return Sample(grid(told_time(message, t)), values)


def told_time(message: RawMessage, t: float | None) -> UnixMs:
    """The arrival, if this is no time: of a clock that was never set, or of one that is ahead of the gateway's."""
    return int(t) if t is not None and RAW_CLOCKS_SINCE_MS <= t < message.t else message.t


def grid(t: UnixMs) -> UnixMs:
    return t - t % _GRID_MS


def plain_number(message: RawMessage) -> float | None:
    """A payload that is one number as text; None where it says that there is none. Raises BadInput (bad_payload)."""
    text = message.payload[:64].decode("utf-8", "replace").strip()
    if text.lower() in _MISSING:
        return None
    if _NUMBER.fullmatch(text) is None or len(message.payload) > 64:
        raise BadInput("bad_payload", f"{message.topic[:80]}: {text[:40]!r} is not a number")
    return float(text)


def json_object(message: RawMessage) -> dict[str, Any]:
    """Raises BadInput (bad_payload)."""
    try:
        return msgspec.json.decode(message.payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("bad_payload", f"{message.topic[:80]}: not a JSON object: {error}") from None


def number(message: RawMessage, values: dict[str, Any], name: str) -> float | None:
    """A field; None when it is absent or null. Raises BadInput (bad_payload)."""
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput("bad_payload", f"{message.topic[:80]}: {name[:40]} is not a number")
    if not -TOO_LARGE < value < TOO_LARGE:
        raise BadInput("bad_payload", f"{message.topic[:80]}: {name[:40]} is too large for a number")
    return float(value)


def numeric(value: object) -> float | None:
    """A number, or a text that is one; anything else is none: for formats in which words stand between the numbers."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -TOO_LARGE < value < TOO_LARGE:
        return None
    return float(value)


def known(values: dict[str, float | None]) -> dict[str, float | None]:
    """Without what is missing."""
    return {measure: value for measure, value in values.items() if value is not None}


def line(number: str) -> type[Decoded]:
    return Decoded if number == "0" else Further


def named(name: str, number: str = "0") -> str:
    """The serial of a device that goes by a name: its first channel has the name itself, the others "<name>/<number>".

    A name may be shorter than a serial: "pv" is mqtt-pv. '' when nothing is left of it.
    """
    serial = serial_of_path(name, RAW_NAME_CHARS_MAX)
    if 0 < len(serial) < SERIAL_CHARS_MIN:
        serial = f"mqtt-{serial}"
    return serial if number == "0" or not serial else f"{serial}/{number}"


def wh(kwh: float | None) -> float | None:
    """Without the digits that a multiplication invents."""
    return None if kwh is None else round(kwh * 1000.0, 3)
