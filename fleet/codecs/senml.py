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

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from fleet.codecs import cbor_records
from fleet.codecs.decoded import TOO_LARGE, Decoded, told_time
from fleet.codecs.naming import Meaning, Role, meaning
from fleet.errors import BadInput
from fleet.limits import RAW_NAME_CHARS_MAX, SENML_NAME_CHARS_MAX
from fleet.serials import serial_of_path, tells_apart
from fleet.telemetry import RawMessage, Sample, UnixMs

_VERSION: Final = 10
_RELATIVE_BELOW_S: Final = 2**28
_TIME_MAX_S: Final = 2**36  # the year 4147
_INTEGER_MAX: Final = 2**64  # what CBOR has without tags; no counter of ours goes further
_LABELS: Final = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t",
    7: "ut", 8: "vd",
}  # fmt: skip
_FIELDS: Final = frozenset(_LABELS.values())
_OWN: Final = frozenset(("n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"))
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
        if not record.keys() <= _OWN:
            self._take_base(record)
        told = record.keys() & _VALUES
        if not told:
            return None
        if len(told) > 1 and len(told - {"s"}) > 1:
            raise BadInput("senml_record", "it has more than one value")
        name, unit = record.get("n", ""), record.get("u", self._unit)
        if not isinstance(name, str) or not isinstance(unit, str | None):
            raise BadInput("senml_record", "name and unit must be texts")
        value = _number(record, "v") + self._value if "v" in told else None
        total = _number(record, "s") + self._sum if "s" in told else None
        time_s = self._time_s + (_number(record, "t") if "t" in record else 0.0)
        if not -_TIME_MAX_S < time_s < _TIME_MAX_S:
            raise BadInput("senml_record", f"time {time_s:g} is none of ours")
        t = round(time_s * 1000) + (self._now if time_s < _RELATIVE_BELOW_S else 0)
        return Resolved(_name(self._name + name), len(self._name), unit, value, total, t)

    def _take_base(self, record: Mapping[str, Any]) -> None:
        unknown = next((name for name in record if name not in _FIELDS and name.endswith("_")), None)
        if unknown is not None:
            raise BadInput("senml_field", f"field {unknown[:40]!r} must be understood, and is not")
        if "bver" in record and _number(record, "bver", "senml_version") > _VERSION:
            raise BadInput("senml_version", f"version {record['bver']}; {_VERSION} is read")
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


@lru_cache(maxsize=4_096)
def _name(name: str) -> str:
    """Raises BadInput (senml_record)."""
    if len(name) > SENML_NAME_CHARS_MAX or _NAME.fullmatch(name) is None:
        raise BadInput("senml_record", f"{name[:60]!r} is no name")
    return name


def _number(record: Mapping[str, Any], field: str, code: str = "senml_record") -> float:
    value = record[field]
    if type(value) is float and -TOO_LARGE < value < TOO_LARGE:
        return value
    if type(value) is int and -_INTEGER_MAX <= value <= _INTEGER_MAX:
        return float(value)
    raise BadInput(code, f"{field} must be a number")


def _base_text(record: Mapping[str, Any], field: str) -> str:
    value = record[field]
    if not isinstance(value, str):
        raise BadInput("senml_base", f"{field} must be a text")
    return value


def from_cbor(raw: bytes) -> Iterator[dict[str, Any]]:
    """Its records, with the names that JSON uses. Raises NotCbor, also after some records."""
    return cbor_records.records(raw, _LABELS)


def is_record(record: object) -> bool:
    """Whether a pack can begin with it: nothing but fields of SenML, and a name or a base name among them."""
    if not isinstance(record, dict) or not all(isinstance(key, str) for key in record):
        return False
    known = all(key in _FIELDS or key.endswith("_") for key in record)
    return known and any(isinstance(record.get(name), str) and record[name] for name in ("n", "bn"))


@lru_cache(maxsize=4_096)
def place(name: str, base: int) -> Place:
    base_name, metric = name[:base], name[base:]
    if not metric or not base_name:
        cut = re.fullmatch(r"(?:(?P<device>.*)[:/])?(?P<metric>[^:/]*)", name)
        base_name, metric = (cut["device"] or "", cut["metric"]) if cut is not None else ("", name)
    device = _URN.sub("", base_name, count=1).strip(":/._-")
    numbered = _SUB_DEVICE.match(metric)
    if numbered is not None and device:
        device = f"{device}/{numbered['name']}"
    local = device != "" and not tells_apart(device)
    return Place(serial_of_path(device, RAW_NAME_CHARS_MAX) if local else serial_of_path(device), local, metric)


@lru_cache(maxsize=4_096)
def meant(name: str, base: int, unit: str | None, role: Role | None) -> tuple[Meaning | None, Meaning | None]:
    """What a value of this name and unit measures, and what its sum; None where that is not certain."""
    metric = place(name, base).metric
    device = name.removesuffix(metric)
    of_sum = None if unit not in _SUM_OF else meaning(metric, _SUM_OF[unit], device, role=role, ac_is_pv=True)
    return meaning(metric, unit, device, role=role, ac_is_pv=True), of_sum


def measures(record: Resolved, role: Role | None = None) -> list[tuple[str, float]]:
    """Of one record. role: of the sender, where no name says one."""
    found = []
    of_value, of_sum = meant(record.name, record.base, record.unit, role)
    if of_value is not None and record.value is not None:
        found.append((of_value.measure, told(of_value, record.value)))
    if of_sum is not None and record.sum is not None:
        found.append((of_sum.measure, told(of_sum, record.sum)))
    return found


def told(meant: Meaning, number: float) -> float:
    return number if meant.factor == 1.0 else round(number * meant.factor, 6)


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
        device = place(resolved.name, resolved.base)._replace(metric="")
        for measure, value in measures(resolved):
            names = claims.setdefault((device, measure), {})
            names.setdefault(resolved.name, []).append((told_time(message, resolved.t), value))
    instants: dict[tuple[Place, UnixMs], Sample] = {}
    for (device, measure), names in claims.items():
        for t, value in _one_of(names):
            instants.setdefault((device, t), Sample(t, {})).v.setdefault(measure, value)
    return [Decoded(device.serial or None, sample, device.local) for (device, _), sample in instants.items()]


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
        first = next(from_cbor(message.payload), None)
    except cbor_records.NotCbor:
        return None
    if first is None or not is_record(first):
        return None
    try:
        return iter(list(from_cbor(message.payload)))
    except cbor_records.NotCbor as error:
        raise BadInput("bad_payload", f"{message.topic[:80]}: CBOR that is no pack of SenML: {error}") from None
