"""WebdynSunPM over MQTT: JSON with values that are scaled already.

Source: the maker's manual of the WebdynSunPM (2.05), chapter on MQTT: `{"<device>": [{"<variable>": value, …, "date",
"timestamp"}, …], …}`, names as in the logger's configuration. Each record has `date` (YY/MM/DD-hh:mm:ss, the logger's local
time) and `timestamp` (Unix ms, UTC), which is the time; where the two are apart by what no time zone is, neither is believed
and the message is refused. What has its unit beside it, as `{"name", "value", "unit"}` in any depth, is read as well, with
the device's serial number, or else its name, further out.

Names are those of the definition. With a unit fleet/codecs/webdyn_names.py says what they mean, and so it does of SunSpec's
automatic names, which have theirs; any other plain value is in W, Wh, V, A unless its name tells a unit. Alarms are none.

The same logger may send its files by FTP as well: its devices have the same serials there, and a time is cut to the second
as in files, so that a value that comes both ways is one.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from fleet.codecs import naming
from fleet.codecs.decoded import Decoded, numeric, told_time
from fleet.codecs.webdyn_names import DeviceRole, meaning, role_of
from fleet.errors import BadInput
from fleet.serials import is_serial, serial_from
from fleet.telemetry import RawMessage, Sample, UnixMs

_DATED: Final = re.compile(rb'"date"\s*:\s*"\d\d/\d\d/\d\d-\d\d:\d\d:\d\d"')
_DATE: Final = "%y/%m/%d-%H:%M:%S"
_SERIALS: Final = ("serialNumber", "serial", "sn")
_DEVICES: Final = ("device", "deviceName", "equipment")
_NAMES: Final = ("name", "variable", "label")
_CATEGORIES: Final = ("category", "type", "model")
_VALUES: Final = ("value", "avg", "average")
_ALARMS: Final = frozenset(("alarms", "alarmsDevice"))
_NOBODY: Final = frozenset(("data", "devices", "history", "measures", "records", "values", "variables"))  # names no device
_DEPTH_MAX: Final = 8  # of a record; deeper than anything that a logger would write
_ZONE_STEP_MS: Final = 15 * 60_000
_ZONE_MAX_MS: Final = 14 * 3_600_000
_APART_MAX_MS: Final = 60_000  # of two readings of one clock


class _Place(msgspec.Struct):
    """What stands further out than where we are."""

    serial: str | None = None
    role: DeviceRole | None = None
    t: UnixMs | None = None
    name: str | None = None
    tag: str = ""
    unit: str = ""


Samples = dict[tuple[str | None, UnixMs], dict[str, float | None]]


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload, times_disagree)."""
    if b'"timestamp"' not in message.payload or _DATED.search(message.payload) is None:
        return None
    try:
        told = msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("bad_payload", f"{message.topic[:80]}: not JSON: {error}") from None
    samples: Samples = {}
    _visit(message, told, _Place(), samples, 0)
    return [Decoded(serial, Sample(t, values)) for (serial, t), values in samples.items()]


def _visit(message: RawMessage, node: Any, outer: _Place, samples: Samples, depth: int) -> None:
    """Raises BadInput (times_disagree)."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(node, list):
        for each in node:
            _visit(message, each, outer, samples, depth + 1)
        return
    if not isinstance(node, dict):
        return
    here = _place(message, node, outer)
    if _is_record(node):
        for name, told in node.items():
            _take_plain(name, told, here, samples)
        return
    value = next((node[name] for name in _VALUES if name in node), None)
    if value is not None and not isinstance(value, dict | list):
        _take(message, numeric(value), here, samples)
        return
    for name, inner in node.items():
        inside = here
        if name in _ALARMS:
            continue
        if _is_variable(inner):
            inside = msgspec.structs.replace(here, name=name)
        elif here.serial is None and name not in _NOBODY and _is_device(inner):
            inside = _device(here, name)
        _visit(message, inner, inside, samples, depth + 1)


def _is_device(inner: Any) -> bool:
    """What stands under the name of a device: its variables, or its records."""
    if isinstance(inner, list):
        return any(_is_record(each) for each in inner)
    return isinstance(inner, dict) and (_is_record(inner) or any(_is_variable(each) for each in inner.values()))


def _is_record(node: Any) -> bool:
    """A time and plain values by the names of their variables."""
    return (
        isinstance(node, dict)
        and "timestamp" in node
        and "date" in node
        and not any(isinstance(each, dict | list) for each in node.values())
        and not _is_variable(node)
        and not any(name in node for name in (*_NAMES, *_DEVICES))
    )


def _is_variable(node: Any) -> bool:
    return isinstance(node, dict) and ("unit" in node or any(name in node for name in _VALUES))


def _place(message: RawMessage, node: dict[str, Any], outer: _Place) -> _Place:
    """A `name` beside a value or a unit is a variable's, any other one a device's."""
    here = msgspec.structs.replace(outer)
    name = _text(node, _NAMES)
    if _is_variable(node):
        here.name = name or here.name
        here.tag = _text(node, ("tag",)) or here.tag
        here.unit = _text(node, ("unit",)) or here.unit
        name = None
    device = _text(node, _SERIALS) or _text(node, _DEVICES) or name
    if device is not None:
        here = _device(here, device)
    category = _text(node, _CATEGORIES)
    if category is not None:
        here.role = role_of(category) or here.role
    t = numeric(node.get("timestamp"))
    if t is not None:
        _check(message, t, node.get("date"))
        here.t = told_time(message, t) // 1000 * 1000
    return here


def _device(here: _Place, name: str) -> _Place:
    serial = name if is_serial(name) else serial_from(name)
    return msgspec.structs.replace(
        here, serial=serial if is_serial(serial) else here.serial, role=role_of(name) or here.role
    )


def _text(node: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        told = node.get(name)
        if isinstance(told, int) and not isinstance(told, bool):
            return str(told)
        if isinstance(told, str) and told:
            return told[:100]
    return None


def _check(message: RawMessage, t: float, date: Any) -> None:
    """Raises BadInput (times_disagree)."""
    local = _wall_clock_ms(date) if isinstance(date, str) else None
    if local is None:
        return
    ahead = local - t
    apart = abs(ahead - round(ahead / _ZONE_STEP_MS) * _ZONE_STEP_MS)
    if abs(ahead) > _ZONE_MAX_MS + _APART_MAX_MS or apart > _APART_MAX_MS:
        raise BadInput("times_disagree", f"{message.topic[:80]}: date {date} and timestamp {t:.0f} are no time zone apart")


@lru_cache(maxsize=64)
def _wall_clock_ms(date: str) -> float | None:
    """As if it were UTC."""
    try:
        return datetime.strptime(date, _DATE).replace(tzinfo=UTC).timestamp() * 1000.0
    except ValueError:
        return None


def _take_plain(name: str, told: Any, here: _Place, samples: Samples) -> None:
    value = None if name in {"date", "timestamp"} else numeric(told)
    if value is None:
        return
    # SunSpec's names
    found = meaning(name, "", role=here.role) or naming.meaning(name, None, here.serial or "", role=here.role, ac_is_pv=True)
    if found is not None and here.t is not None:
        samples.setdefault((here.serial, here.t), {}).setdefault(found.measure, round(value * found.factor, 6))


def _take(message: RawMessage, value: float | None, here: _Place, samples: Samples) -> None:
    if value is None or here.name is None:
        return
    found = meaning(here.name, here.unit, tag=here.tag, role=here.role)
    if found is not None:
        t = here.t if here.t is not None else told_time(message, None)
        values = samples.setdefault((here.serial, t), {})
        values.setdefault(found.measure, value if found.factor == 1.0 else round(value * found.factor, 6))
