"""Formats that tell each value under a topic of its own, or a few of them in one JSON object: declared, not programmed.

    Template("{base}/{serial}/0/{field}", "{serial}", {"power": Field("pv_power_w", "W")})

A template says how the topic is made, of whom it speaks, and what its fields are. `{base}` is any number of levels, or none,
or an empty one; any other name in braces is a part of one level, and `shapes` says what it can look like. Values of one
device that arrive within the same few seconds become one sample (decoded.sample): messages carry no time here, so that it
is their arrival. Copies that a broker had retained are nobody's business here (decoded.fresh); an empty payload tells that
there is no value.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from fleet.codecs.decoded import Decoded, Plain, json_object, line, named, number, plain_number, sample
from fleet.telemetry import RawMessage

Unit = Literal["W", "kW", "Wh", "kWh", "V", "A", "Hz", "%", "°C", "1"]

_SCALE: Final[Mapping[str, float]] = {"kW": 1_000.0, "kWh": 1_000.0}
_DIGITS: Final = 3  # kept of a scaled value: those behind them are invented by the multiplication
_BASE: Final = "{base}/"
_CAPTURED: Final = re.compile(r"\{([a-z]+)\}")


class Field(msgspec.Struct, frozen=True):
    """One value. Whether it counts or tells the power of now follows from its measure.

    measure         ours; may hold captured names: "dc_voltage_v_{input}"
    unit            the value's, which makes the scale
    sign            -1: the source counts the other way around (a battery that discharges is positive)
    at_least        what is less is this: an inverter that draws a little by night
    zero_is_missing 0 is what the source says when it does not know: after a lost link, before the first reading
    magnitude       the sign tells nothing: a plug around an inverter, whichever way it is turned
    """

    measure: str
    unit: Unit
    sign: Literal[1, -1] = 1
    at_least: float | None = None
    zero_is_missing: bool = False
    magnitude: bool = False

    def value(self, told: float) -> float | None:
        scale = _SCALE.get(self.unit)
        value = (told if scale is None else round(told * scale, _DIGITS)) * self.sign or 0.0  # never -0.0
        if value == 0.0 and self.zero_is_missing:
            return None
        if self.magnitude:
            return abs(value)
        return value if self.at_least is None else max(value, self.at_least)


Fields = Mapping[str, Field | tuple[Field, ...]]


class Template(msgspec.Struct, frozen=True):
    """One kind of topic.

    topic    "{base}/{serial}/0/{field}"
    device   its serial, made of captured names: "{portal}/{service}/{instance}"
    fields   by {field}; of an object by its keys. One value can be several measures: its device's profile takes one
    shapes   name → regular expression of what it can look like
    payload  number: it is one, as text · object: JSON with the fields as keys · a path: where in JSON the one number stands
    channel  the captured name that tells the channels of one device apart: channel 0 has the device's own serial
    own_ids  what the ids look like that makers give; anything else is a name that only its house knows
             None: all of them are such names · "": all of them are ids, and serials as they stand
    """

    topic: str
    device: str
    fields: Fields
    shapes: Mapping[str, str] = {}
    payload: Literal["number", "object"] | tuple[str, ...] = "number"
    channel: str | None = None
    own_ids: str | None = None


def codec(*templates: Template) -> Plain:
    """The first template whose topic is the message's and which finds a value in it. None: no template has such a topic."""
    compiled: Final = [_compile(template) for template in templates]

    def decode(message: RawMessage) -> list[Decoded] | None:
        """Raises BadInput (bad_payload)."""
        ours = False
        topic = message.topic
        for each in compiled:
            if each.literal in topic and (found := each.topic.fullmatch(topic)) is not None:
                ours = True
                captured = found.groupdict()
                values = each.read(message, captured) if message.payload else {}
                if values:
                    return _one(each, message, captured, values)
        return [] if ours else None

    return decode


class _Compiled(NamedTuple):
    """literal: a part of each such topic, the longest; looking for it is quicker than matching."""

    literal: str
    topic: re.Pattern[str]
    template: Template
    fields: Mapping[str, tuple[Field, ...]]
    made: bool  # some measures are made of captured names
    own_ids: re.Pattern[str] | None

    def read(self, message: RawMessage, captured: dict[str, str]) -> dict[str, float | None]:
        """Raises BadInput (bad_payload)."""
        values: dict[str, float | None] = {}
        payload = self.template.payload
        if payload == "object":
            if message.payload[:1] != b"{":
                return values
            told = json_object(message)
            for name in told:
                fields = self.fields.get(name)
                if fields is not None:
                    self._take(values, fields, number(message, told, name), captured)
            return values
        fields = self.fields.get(captured["field"])
        if fields is None:
            return values
        value = plain_number(message) if payload == "number" else _at(message, payload)
        self._take(values, fields, value, captured)
        return values

    def _take(
        self,
        values: dict[str, float | None],
        fields: tuple[Field, ...],
        told: float | None,
        captured: dict[str, str],
    ) -> None:
        if told is None:
            return
        for field in fields:
            value = field.value(told)
            if value is not None:
                values[field.measure.format_map(captured) if self.made else field.measure] = value


def _one(each: _Compiled, message: RawMessage, captured: dict[str, str], values: dict[str, float | None]) -> list[Decoded]:
    template = each.template
    name = template.device.format_map(captured)
    if template.own_ids == "":
        return [Decoded(name, sample(message, values))]
    number = captured[template.channel] if template.channel is not None else "0"
    local = each.own_ids is None or each.own_ids.fullmatch(name) is None
    return [line(number)(named(name, number), sample(message, values), local)]


def _at(message: RawMessage, path: tuple[str, ...]) -> float | None:
    """Raises BadInput (bad_payload)."""
    told: Any = json_object(message)
    for name in path[:-1]:
        told = told.get(name)
        if not isinstance(told, dict):
            return None
    return None if told.get(path[-1]) == [] else number(message, told, path[-1])  # [] is how D-Bus says that there is none


def _compile(template: Template) -> _Compiled:
    pattern = template.topic
    base = pattern.startswith(_BASE)
    if base:
        pattern = pattern[len(_BASE) :]
    parts = _CAPTURED.split(pattern)  # literal, name, literal, name …
    built = "".join(
        f"(?P<{part}>{template.shapes.get(part, '[^/]+')})" if place % 2 else re.escape(part)
        for place, part in enumerate(parts)
    )
    prefix = "(?:(?P<base>.*)/)?" if base else ""
    fields = {name: field if isinstance(field, tuple) else (field,) for name, field in template.fields.items()}
    made = any("{" in field.measure for several in fields.values() for field in several)
    own_ids = None if template.own_ids is None else re.compile(template.own_ids)
    return _Compiled(max(parts[::2], key=len), re.compile(prefix + built), template, fields, made, own_ids)
