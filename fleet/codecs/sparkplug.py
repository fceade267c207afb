"""Eclipse Sparkplug B: `spBv1.0/<group>/<type>/<edge node>[/<device>]` with protobuf payloads.

Source: the Sparkplug 3.0 specification; sparkplug_b.proto of Eclipse Tahu. A birth certificate (NBIRTH, DBIRTH) tells
names, datatypes, units (property engUnit) and values; data (NDATA, DDATA) may carry nothing but aliases of that birth, so
births are remembered per edge node and device, until the next birth or a death. A new NBIRTH ends the births of the node's
devices too; an NDEATH counts only with the bdSeq of that NBIRTH, since wills arrive late. Signed integers are two's
complement in unsigned fields, of whatever width the sender chose. is_null is a missing value.

Times are the metrics' own, unless their clock is ahead of the gateway's or was never set. is_historical needs no care of
its own: late samples are stored and never shown in place of newer ones. The order of messages is watched by the site agent,
which sees them all and can ask a node to be born again (edge.agent.inputs.sparkplug); data of an unknown birth is refused
meanwhile. What arrived at the gateway before the birth that we know is a repetition: its aliases may mean something else by
now, and it was taken in the first time.

Names are free (fleet.codecs.naming); a value without engUnit is in W, Wh, V, A. Templates and data sets are not read. The
serial is "<group>/<edge node>[/<device>]".
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fleet.codecs.decoded import TOO_LARGE, Decoded, told_time
from fleet.codecs.memory import Memory
from fleet.codecs.naming import meaning
from fleet.codecs.sparkplug_wire import payload as read
from fleet.errors import BadInput
from fleet.limits import SPARKPLUG_METRICS_MAX
from fleet.serials import serial_of_path
from fleet.telemetry import RawMessage, Sample, UnixMs

_TOPIC: Final = re.compile(
    r"(?:.*/)?spBv1\.0/(?P<group>[^/]+)/(?P<who>[ND])(?P<what>BIRTH|DATA|DEATH)/(?P<edge>[^/]+)(?:/(?P<device>[^/]+))?"
)
_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}  # of Int8 … Int64
_FLOAT: Final = 9
_NUMBERS: Final = frozenset(range(1, 11))  # Int8 … UInt64, Float, Double
_UNIT_KEYS: Final = frozenset(("engunit", "engineering unit", "engineering units", "units", "unit"))


class _Metric(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an alias, or a name, stands for. The value × factor is the measure."""

    measure: str
    factor: float
    datatype: int


class _Birth(msgspec.Struct, array_like=True, frozen=True):
    """What is remembered of a birth. since: when it arrived; others: aliases of what is no measure of ours."""

    since: UnixMs
    bd_seq: int | None
    aliases: dict[int, _Metric]
    names: dict[str, _Metric]
    others: frozenset[int]


_encode: Final = msgspec.msgpack.Encoder().encode
_births: Final = msgspec.msgpack.Decoder(_Birth)


def is_ours(message: RawMessage) -> bool:
    return "spBv1.0/" in message.topic


def decode(message: RawMessage, memory: Memory) -> list[Decoded]:
    """Raises BadInput (bad_payload, too_many_metrics, birth_unknown, unknown_alias, and those of Memory.put)."""
    found = _TOPIC.fullmatch(message.topic) if is_ours(message) else None
    if found is None or message.retained or (found["who"] == "D") != (found["device"] is not None):
        return []
    node, device = f"{found['group']}/{found['edge']}", found["device"]
    kind = "node" if device is None else "device"
    path = node if device is None else f"{node}/{device}"
    key = f"sparkplug/{kind}/{path}/"
    payload = read(message.payload)
    if len(payload.metrics) > SPARKPLUG_METRICS_MAX:
        raise BadInput("too_many_metrics", f"{len(payload.metrics)} metrics; at most {SPARKPLUG_METRICS_MAX} are taken")
    known = memory.view(key, _remembered)
    if known is not None and message.t < known.since:
        return []
    if found["what"] == "DEATH":
        _forget(memory, key, node, payload, known, is_node=device is None)
        return []
    if found["what"] == "BIRTH":
        known = _birth(message.t, payload, device or found["edge"])
        if device is None and memory.get(key) != _encode(known):
            _forget_devices(memory, node)
        memory.put(key, _encode(known))
    if known is None:
        raise BadInput("birth_unknown", f"{path[:80]} sends data, but the birth that gives it names has not been heard")
    return _samples(message, payload, known, serial_of_path(path))


def _remembered(entries: Mapping[str, bytes]) -> _Birth | None:
    """Of the one entry with this key. What an earlier version wrote otherwise is as if it had never been heard."""
    try:
        return next((_births.decode(value) for value in entries.values()), None)
    except msgspec.DecodeError:
        return None


def _forget(memory: Memory, key: str, node: str, payload: Any, known: _Birth | None, *, is_node: bool) -> None:
    if is_node:
        ended = _bd_seq(payload)
        if known is not None and None not in {ended, known.bd_seq} and ended != known.bd_seq:
            return  # the will of a session before this one
        _forget_devices(memory, node)
    memory.forget(key)


def _forget_devices(memory: Memory, node: str) -> None:
    for key in memory.keys(f"sparkplug/device/{node}/"):
        memory.forget(key)


def _bd_seq(payload: Any) -> int | None:
    return next((each.long_value or each.int_value for each in payload.metrics if each.name == b"bdSeq"), None)


def _birth(since: UnixMs, payload: Any, about: str) -> _Birth:
    metrics: dict[bytes, _Metric] = {}
    for each in payload.metrics:
        if each.datatype in _NUMBERS and each.name:
            meant = meaning(_text(each.name), _unit(each.properties), about, ac_is_pv=True)
            if meant is not None:
                metrics[each.name] = _Metric(*meant, each.datatype)
    metrics = _unambiguous(metrics)
    aliases: dict[int, _Metric] = {}
    names: dict[str, _Metric] = {}
    others: set[int] = set()
    for each in payload.metrics:
        metric = metrics.get(each.name)
        if metric is None:
            if each.HasField("alias"):
                others.add(each.alias)
        elif each.HasField("alias"):
            aliases[each.alias] = metric
        else:
            names[_text(each.name)] = metric
    return _Birth(since, _bd_seq(payload), aliases, names, frozenset(others))


def _unambiguous(metrics: dict[bytes, _Metric]) -> dict[bytes, _Metric]:
    """Of several that would be the same measure of one device, the total counts, else none."""
    claims: dict[str, list[bytes]] = {}
    for name, metric in metrics.items():
        claims.setdefault(metric.measure, []).append(name)
    kept = {}
    for names in claims.values():
        chosen = names if len(names) == 1 else [name for name in names if b"total" in name.lower()]
        if len(chosen) == 1:
            kept[chosen[0]] = metrics[chosen[0]]
    return kept


def _unit(properties: Any) -> str | None:
    for key, value in zip(properties.keys, properties.values, strict=False):
        if _text(key).casefold() in _UNIT_KEYS and not value.is_null:
            return _text(value.string_value)
    return None


def _samples(message: RawMessage, payload: Any, birth: _Birth, serial: str) -> list[Decoded]:
    instants: dict[UnixMs, Sample] = {}
    strangers: list[int] = []
    for each in payload.metrics:
        metric = birth.aliases.get(each.alias) if each.HasField("alias") else birth.names.get(_text(each.name))
        if metric is None:
            if each.HasField("alias") and each.alias not in birth.others:
                strangers.append(each.alias)
            continue
        value = None if each.is_null else _number(each, each.datatype or metric.datatype)
        if value is not None:
            t = told_time(message, each.timestamp or payload.timestamp)
            told = value if metric.factor == 1.0 else round(value * metric.factor, 6)
            instants.setdefault(t, Sample(t, {})).v.setdefault(metric.measure, told)
    if strangers and not instants:
        raise BadInput("unknown_alias", f"alias {strangers[0]} of {message.topic[:80]} is not in the birth that was heard")
    return [Decoded(serial, sample) for sample in instants.values()]


def _number(metric: Any, datatype: int) -> float | None:
    field = metric.WhichOneof("value")
    if field is None or datatype not in _NUMBERS:
        return None
    value: float = getattr(metric, field)
    if field in {"int_value", "long_value"}:
        bits = _BITS.get(datatype)
        if bits is not None:
            value = int(value) & (1 << bits) - 1
            value -= (value >> bits - 1) << bits
        return float(value)
    if not -TOO_LARGE < value < TOO_LARGE:
        return None
    return float(f"{value:.7g}") if datatype == _FLOAT else value  # a Float's further digits are noise


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
