"""Home Assistant's MQTT discovery: whatever announces its values as sensors, in hundreds of projects and devices.

Source: Home Assistant's pages on MQTT discovery and MQTT sensors. `<prefix>/sensor/[<node>/]<object>/config` announces one
value, `<prefix>/device/[<node>/]<id>/config` several (`components`); keys may be short, `~` stands for a base topic at
either end of a topic. What is announced is remembered, also from retained copies; an empty payload takes it back. Values
then come at their state topics, and of those a retained copy is none: nobody knows its age.

What counts, and what stays nobody's:
- the unit must fit the device class: a "power" in VA is none, and apparent power is never W;
- energy counts with state_class total_increasing. A "total" may fall, so it is no counter of ours;
- whose it is must be said by the value's name, or by its ids and its device where that says nothing (fleet.codecs.naming);
- of two values that would be the same measure of a device the total counts, else none; what goes into it counts last;
- voltages, temperatures and the like count only of a device that tells a power or a counter too: houses are full of sensors;
- templates: see value_template. One that is not understood is refused by name when it is announced, once.

The serial is the device's first identifier, else what stands before the value's own name in its unique_id.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from fleet.codecs.decoded import Decoded, json_object, sample
from fleet.codecs.memory import Memory
from fleet.codecs.naming import meaning, name_words
from fleet.codecs.units import Quantity, unit_of
from fleet.codecs.value_template import Template, template
from fleet.errors import BadInput
from fleet.limits import DISCOVERY_COMPONENTS_MAX, RAW_NAME_CHARS_MAX, RAW_TOPIC_CHARS_MAX, SERIAL_CHARS_MIN
from fleet.serials import serial_of_path, tells_apart
from fleet.telemetry import RawMessage, UnixMs

_CONFIG: Final = re.compile(r"(?:.*?/)?(?P<component>sensor|device)/(?:[A-Za-z0-9_-]+/)?(?P<object>[A-Za-z0-9_-]+)/config")
_PREFIX: Final = "homeassistant/"
_PLAIN_BYTES_MAX: Final = 64  # of a number as text
_LONG: Final = {
    "stat_t": "state_topic", "val_tpl": "value_template", "unit_of_meas": "unit_of_measurement", "dev_cla": "device_class",
    "stat_cla": "state_class", "uniq_id": "unique_id", "obj_id": "object_id", "dev": "device", "cmps": "components",
    "p": "platform", "ids": "identifiers", "mf": "manufacturer", "mdl": "model", "cns": "connections",
}  # fmt: skip
_QUANTITY_OF: Final[Mapping[str, Quantity]] = {
    "power": "power", "energy": "energy", "apparent_power": "apparent", "reactive_power": "reactive", "voltage": "voltage",
    "current": "current", "frequency": "frequency", "temperature": "temperature", "irradiance": "irradiance",
    "power_factor": "ratio", "battery": "ratio",
}  # fmt: skip
# Their meters count what goes out as positive, and not every bridge turns it around.
_OUTWARD: Final = re.compile("huawei|solaredge", re.IGNORECASE)
_INTO: Final = frozenset(("input", "entree"))
_ASIDE: Final = re.compile(r"(?:ac|dc)_(?:voltage|current|frequency).*|.*_temp_c|power_factor|reactive_power_var")


class _Value(msgspec.Struct, array_like=True, frozen=True):
    """One announced value. template(payload) × factor is the measure. rank: of several that would be the same one."""

    topic: str
    template: str
    measure: str
    factor: float
    serial: str
    local: bool
    rank: int


class _Config(msgspec.Struct, array_like=True, frozen=True):
    """What is remembered of a config topic. since: when this was announced first; refused: templates not understood."""

    since: UnixMs
    values: tuple[_Value, ...]
    refused: tuple[str, ...]


class _Reader(NamedTuple):
    template: Template
    value: _Value
    since: UnixMs


_Index = Mapping[str, tuple[_Reader, ...]]  # by state topic
_configs: Final = msgspec.msgpack.Decoder(_Config)
_encode: Final = msgspec.msgpack.Encoder().encode


def decode(message: RawMessage, memory: Memory) -> list[Decoded]:
    """Raises BadInput (bad_payload, template_unsupported, too_many_components, and those of Memory.put)."""
    announced = _CONFIG.fullmatch(message.topic) if message.topic.endswith("/config") else None
    if announced is not None:
        _learn(message, memory, announced["component"], announced["object"])
        return []
    if message.retained:
        return []
    readers = memory.view(_PREFIX, _index).get(message.topic)
    return [] if readers is None else _read(message, readers)


# announcements --------------------------------------------------------------------------------------------------------


def _learn(message: RawMessage, memory: Memory, component: str, name: str) -> None:
    key = _PREFIX + message.topic
    if not message.payload:
        memory.forget(key)
        return
    said = _long(json_object(message))
    values: list[_Value] = []
    refused: list[str] = []
    for each, entity in _several(said) if component == "device" else [(name, said)]:
        try:
            value = _value(message.topic, each, entity)
        except BadInput as error:
            refused.append(f"{each[:40]}: {error.detail}")
            continue
        if value is not None:
            values.append(value)
    known = _remembered(memory.get(key))
    if known is not None and (known.values, known.refused) == (tuple(values), tuple(refused)):
        return  # the same again: told with each connection, and with each start of whoever announces it
    if not values and not refused:
        memory.forget(key)
        return
    memory.put(key, _encode(_Config(message.t, tuple(values), tuple(refused))))
    if refused:
        raise BadInput("template_unsupported", f"{message.topic[:80]}: {refused[0]}")


def _several(said: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A device's sensors by their names. Raises BadInput (too_many_components)."""
    components = said.get("components")
    if not isinstance(components, dict):
        return []
    if len(components) > DISCOVERY_COMPONENTS_MAX:
        raise BadInput("too_many_components", f"{len(components)} in one; at most {DISCOVERY_COMPONENTS_MAX} are taken")
    shared = {key: value for key, value in said.items() if key in {"~", "state_topic", "device"}}
    sensors = ((name, _long(entity)) for name, entity in components.items() if isinstance(entity, dict))
    return [(name, shared | entity) for name, entity in sensors if entity.get("platform") == "sensor"]


def _long(said: dict[str, Any]) -> dict[str, Any]:
    return {_LONG.get(key, key): value for key, value in said.items()}


def _value(config: str, name: str, said: dict[str, Any]) -> _Value | None:
    """None: nothing of ours. Raises BadInput (template_unsupported) for what would be."""
    topic, unit = _text(said, "state_topic"), _text(said, "unit_of_measurement")
    known = unit_of(unit)
    device_class, state_class = _text(said, "device_class"), _text(said, "state_class")
    if not topic or known is None or (device_class and _QUANTITY_OF.get(device_class) != known.quantity):
        return None
    counts = state_class == "total_increasing"
    if counts != (known.quantity == "energy") or state_class == "total":
        return None
    unique_id, object_id = _text(said, "unique_id"), _text(said, "object_id")
    device = _long(said["device"]) if isinstance(said.get("device"), dict) else {}
    own = _text(said, "name") or object_id or unique_id or name
    described = [_text(device, key)[-60:] for key in ("name", "model", "manufacturer")]
    about = [*described, *_ids(device), unique_id, object_id, name, topic, config.removesuffix("/config")]
    meant = meaning(own, unit, " ".join(each[-60:] for each in about), device=" ".join(described))
    if meant is None or (meant.measure == "grid_power_w" and _OUTWARD.search(" ".join(described))):
        return None
    serial = next(iter(_ids(device)), "") or _prefix(unique_id or object_id or name)
    local = not tells_apart(serial)
    written = _text(said, "value_template")
    template(written)
    return _Value(
        topic=_based(topic, _text(said, "~")),
        template=written,
        measure=meant.measure,
        factor=meant.factor,
        serial=serial_of_path(serial, RAW_NAME_CHARS_MAX) if local else serial_of_path(serial),
        local=local,
        rank=_rank(own),
    )


def _rank(name: str) -> int:
    """A total sums up others; what goes into an inverter is not yet what comes out of it."""
    words = name_words(name)
    return 2 if "total" in name.casefold() else 0 if not _INTO.isdisjoint(words) else 1


def _prefix(own: str) -> str:
    """'inv1_pac' → inv1"""
    before = re.split(r"[_\-.][^_\-.]*$", own)[0]
    return before if len(before) >= SERIAL_CHARS_MIN else own


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""


def _ids(device: dict[str, Any]) -> list[str]:
    """One, or a list; else its addresses."""
    said = device.get("identifiers")
    listed = said if isinstance(said, list) else [said]
    if not any(listed) and isinstance(device.get("connections"), list):
        listed = [pair[1] for pair in device["connections"] if isinstance(pair, list) and len(pair) == 2]
    return [str(each) for each in listed[:4] if isinstance(each, str | int) and each]


def _based(topic: str, base: str) -> str:
    if topic.startswith("~"):
        topic = base + topic[1:]
    elif topic.endswith("~"):
        topic = topic[:-1] + base
    return topic[:RAW_TOPIC_CHARS_MAX]


# values ---------------------------------------------------------------------------------------------------------------


def _remembered(written: bytes | None) -> _Config | None:
    """What an earlier version wrote otherwise is as if it had never been heard."""
    try:
        return None if written is None else _configs.decode(written)
    except msgspec.DecodeError:
        return None


def _index(entries: Mapping[str, bytes]) -> _Index:
    claims: dict[tuple[str, str], dict[tuple[str, str], _Reader]] = {}
    for written in entries.values():
        config = _remembered(written)
        if config is None:
            continue
        for value in config.values:
            reader = _Reader(template(value.template), value, config.since)
            claims.setdefault((value.serial, value.measure), {}).setdefault((value.topic, value.template), reader)
    chosen: list[_Reader] = []
    for claimed in claims.values():
        readers = list(claimed.values())
        if len(readers) > 1:
            most = max(reader.value.rank for reader in readers)
            readers = [reader for reader in readers if reader.value.rank == most]
        chosen += readers if len(readers) == 1 else []
    telling = {reader.value.serial for reader in chosen if _ASIDE.fullmatch(reader.value.measure) is None}
    index: dict[str, tuple[_Reader, ...]] = {}
    for reader in chosen:
        if reader.value.serial in telling:
            index[reader.value.topic] = (*index.get(reader.value.topic, ()), reader)
    return index


def _read(message: RawMessage, readers: tuple[_Reader, ...]) -> list[Decoded]:
    text = message.payload.decode("utf-8", "replace") if len(message.payload) <= _PLAIN_BYTES_MAX else ""
    decoded = _json(message) if any(reader.template.path is not None for reader in readers) else None
    said: dict[tuple[str, bool], dict[str, float | None]] = {}
    for reader in readers:
        if message.t < reader.since:
            continue  # a repetition, from when the topic may have meant something else
        number = reader.template.number(text if reader.template.path is None else decoded)
        if number is not None:
            value = reader.value
            said.setdefault((value.serial, value.local), {})[value.measure] = round(number * value.factor, 6)
    return [Decoded(serial, sample(message, values), local) for (serial, local), values in said.items()]


def _json(message: RawMessage) -> object:
    """Raises BadInput (bad_payload)."""
    try:
        return msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("bad_payload", f"{message.topic[:80]}: not JSON: {error}") from None
