"""SenML: packs of readings in JSON or CBOR, whoever sends them.

Source: RFC 8428 (records, base fields, CBOR labels), RFC 8798 (secondary units), RFC 9039 (names `urn:dev:…`). Base fields
hold until they are changed; a time below 2^28 seconds is relative to now; a strict sender tells energy in J. A sum is what a
value comes to over time, so that of W is J. A field whose name ends in `_` must be understood, and a version above 10 is
another format: both are refused as a whole.

What a record measures is told by its unit and the words of its name (fleet.codecs.naming), where "p" in W is power and the
device's name may say whose. The device is the base name, without `urn:dev:mac:` and the like, and the part of the name that
is numbered ("inv1/p"); a record without a base name has the device in its own, before the last `:` or `/`. Of two names that
would be the same measure of one device the total counts, else none.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from fleet.codecs import cbor_records
from fleet.codecs.decoded import Decoded, told_time
from fleet.codecs.naming import Role, meaning
from fleet.errors import BadInput
from fleet.limits import RAW_NAME_CHARS_MAX, SENML_NAME_CHARS_MAX
from fleet.serials import serial_of_path, tells_apart
from fleet.telemetry import RawMessage, Sample, UnixMs

_VERSION: Final = 10
_RELATIVE_BELOW_S: Final = 2**28
_TIME_MAX_S: Final = 2**36  # the year 4147
_LABELS: Final = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t",
    7: "ut", 8: "vd",
}  # fmt: skip
_FIELDS: Final = frozenset(_LABELS.values())
_VALUES: Final = frozenset(("v", "vs", "vb", "vd", "s"))
_SUM_OF: Final = {"W": "J", "mW": "mJ", "kW": "kJ", "MW": "MJ"}
_URN: Final = re.compile(r"urn:dev:(?:mac|ow|org|os|ops|other):")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
_SUB_DEVICE: Final = re.compile(
    r"(?!(?:dc|pv|mppt|mpp|string|input|l|ph|phase)[_-]?[0-9])(?P<name>[A-Za-z]+[_-]?[0-9]+)[/:]"
)


class Resolved(NamedTuple):
    """A record by itself. base: how much of the name came from the base name. value, sum: None where the record has none."""

    name: str
    base: int
    unit: str | None
    value: float | None
    sum: float | None
    t: UnixMs


class Place(NamedTuple):
    """Where a record belongs. serial: '' when its name names no device. local: see Decoded. metric: its own name."""

    serial: str
    local: bool
    metric: str


class Resolver:
    """Takes a pack's records in their order. now: what relative times are relative to."""

    def __init__(self, now: UnixMs) -> None:
        self._now = now
        self._name = ""
        self._unit: str | None = None
        self._time_s = self._value = self._sum = 0.0

    def take(self, record: Mapping[str, Any]) -> Resolved | None:
        """None: it only changes the base. Raises BadInput (senml_version, senml_field, senml_base): the pack cannot be read;
        (senml_record): this record cannot.
        """
        if not record.keys() <= _FIELDS:
            unknown = next((name for name in record if name.endswith("_")), None)
            if unknown is not None:
                raise BadInput("senml_field", f"field {unknown[:40]!r} must be understood, and is not")
        if record.get("bver", _VERSION) != _VERSION and not _number(record, "bver", "senml_version") < _VERSION:
            raise BadInput("senml_version", f"version {record['bver']}; {_VERSION} is read")
        self._take_base(record)
        told = record.keys() & _VALUES
        if not told:
            return None
        if len(told - {"s"}) > 1:
            raise BadInput("senml_record", "it has more than one value")
        name, unit = record.get("n", ""), record.get("u", self._unit)
        if not isinstance(name, str) or not isinstance(unit, str | None):
            raise BadInput("senml_record", "name and unit must be texts")
        name = self._name + name
        if _NAME.fullmatch(name) is None or len(name) > SENML_NAME_CHARS_MAX:
            raise BadInput("senml_record", f"{name[:60]!r} is no name")
        value = _number(record, "v") + self._value if "v" in record else None
        total = _number(record, "s") + self._sum if "s" in record else None
        return Resolved(name, len(self._name), unit, value, total, self._time(record))

    def _take_base(self, record: Mapping[str, Any]) -> None:
        if "bn" in record:
            self._name = _base_text(record, "bn")
        if "bu" in record:
            self._unit = _base_text(record, "bu")
        if "bt" in record:
            self._time_s = _number(record, "bt", "senml_base")
        if "bv" in record:
            self._value = _number(record, "bv", "senml_base")
        if "bs" in record:
            self._sum = _number(record, "bs", "senml_base")

    def _time(self, record: Mapping[str, Any]) -> UnixMs:
        time_s = self._time_s + (_number(record, "t") if "t" in record else 0.0)
        if abs(time_s) > _TIME_MAX_S:
            raise BadInput("senml_record", f"time {time_s:g} is none of ours")
        return round(time_s * 1000) + (self._now if time_s < _RELATIVE_BELOW_S else 0)


def _number(record: Mapping[str, Any], field: str, code: str = "senml_record") -> float:
    value = record[field]
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise BadInput(code, f"{field} must be a number")


def _base_text(record: Mapping[str, Any], field: str) -> str:
    value = record[field]
    if not isinstance(value, str):
        raise BadInput("senml_base", f"{field} must be a text")
    return value


def labelled(record: cbor_records.Record) -> dict[str, Any]:
    """A CBOR record with the names that JSON uses. A number that is no label of ours is an extension that may be ignored."""
    return {_LABELS.get(key, "?") if isinstance(key, int) else key: value for key, value in record.items()}


def is_record(record: object) -> bool:
    """Whether a pack can begin with it: nothing but fields of SenML, and a name or a base name among them."""
    if not isinstance(record, dict) or not all(isinstance(key, str) for key in record):
        return False
    known = all(key in _FIELDS or key.endswith("_") for key in record)
    return known and any(isinstance(record.get(name), str) and record[name] for name in ("n", "bn"))


@lru_cache(maxsize=4_096)
def placed(name: str, base: int) -> Place:
    base_name, metric = name[:base], name[base:]
    if not metric or not base_name:
        cut = re.fullmatch(r"(?:(?P<device>.*)[:/])?(?P<metric>[^:/]*)", name)
        base_name, metric = (cut["device"] or "", cut["metric"]) if cut is not None else ("", name)
    device = _URN.sub("", base_name, count=1).strip(":/._-")
    numbered = _SUB_DEVICE.match(metric)
    if numbered is not None and device:
        device = f"{device}/{numbered['name']}"
    local = not tells_apart(device)
    return Place(serial_of_path(device, RAW_NAME_CHARS_MAX) if local else serial_of_path(device), local, metric)


def measures(record: Resolved, place: Place, role: Role | None = None) -> dict[str, float]:
    """What its value and its sum measure; nothing where that is not certain. role: of the sender, where no name says one."""
    found: dict[str, float] = {}
    device = record.name.removesuffix(place.metric)
    sum_unit = _SUM_OF.get(record.unit or "")
    for number, unit in ((record.value, record.unit), (None if sum_unit is None else record.sum, sum_unit)):
        meant = None if number is None else meaning(place.metric, unit, device, role=role, ac_is_pv=True)
        if meant is not None and number is not None:
            found[meant.measure] = number if meant.factor == 1.0 else round(number * meant.factor, 6)
    return found


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload, and those of Resolver.take)."""
    records = _pack(message)
    if records is None:
        return None
    resolver = Resolver(message.t)
    claims: dict[tuple[Place, str], dict[str, list[tuple[UnixMs, float]]]] = {}
    for record in records:
        resolved = resolver.take(record)
        if resolved is None:
            continue
        place = placed(resolved.name, resolved.base)
        for measure, value in measures(resolved, place).items():
            names = claims.setdefault((place._replace(metric=""), measure), {})
            names.setdefault(resolved.name, []).append((told_time(message, resolved.t), value))
    instants: dict[tuple[Place, UnixMs], Sample] = {}
    for (device, measure), names in claims.items():
        for t, value in _one_of(names):
            instants.setdefault((device, t), Sample(t, {})).v.setdefault(measure, value)
    return [
        Decoded(device.serial or None, sample, device.local and device.serial != "")
        for (device, _), sample in instants.items()
    ]


def _one_of(names: dict[str, list[tuple[UnixMs, float]]]) -> list[tuple[UnixMs, float]]:
    chosen = list(names) if len(names) == 1 else [name for name in names if "total" in name.casefold()]
    return names[chosen[0]] if len(chosen) == 1 else []


def _pack(message: RawMessage) -> Iterable[dict[str, Any]] | None:
    """Its records; None when it is something else. Raises BadInput (bad_payload)."""
    raw = message.payload
    if cbor_records.is_array(raw):
        return _from_cbor(message)
    if raw.lstrip(b" \t\r\n")[:1] != b"[":
        return None
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # an array that is cut off may be anybody's
    if not said or not is_record(said[0]):
        return None
    if not all(isinstance(record, dict) for record in said):
        raise BadInput("bad_payload", f"{message.topic[:80]}: a pack of SenML with something else among its records")
    return said  # type: ignore[no-any-return]


def _from_cbor(message: RawMessage) -> Iterator[dict[str, Any]] | None:
    try:
        first = next(cbor_records.records(message.payload), None)
    except cbor_records.NotCbor:
        return None
    if first is None or not is_record(labelled(first)):
        return None
    try:
        return iter([labelled(record) for record in cbor_records.records(message.payload)])
    except cbor_records.NotCbor as error:
        raise BadInput("bad_payload", f"{message.topic[:80]}: CBOR that is no pack of SenML: {error}") from None
