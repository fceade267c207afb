"""A sender that sends again from any point on, as often as it likes, leaves the same rows, also where names have changed."""

from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.memory import Memory
from fleet.codecs.registry import decode_raw
from fleet.errors import BadInput
from fleet.telemetry import RawMessage, UnixMs
from tests.samples.sparkplug_node import DOUBLE, INT64, Metric, payload

T: Final = 1_782_036_000_000
Rows = dict[tuple[str | None, UnixMs], dict[str, float | None]]


def sparkplug() -> list[tuple[str, bytes, bool]]:
    def birth(*names: str) -> tuple[str, bytes, bool]:
        metrics = [Metric(float(n), name, n, DOUBLE) for n, name in enumerate(names, 1)]
        return "spBv1.0/p/DBIRTH/e/d", payload(*metrics), False

    def data(power: float) -> tuple[str, bytes, bool]:
        return "spBv1.0/p/DDATA/e/d", payload(Metric(power, alias=1), Metric(power * 1000, alias=2)), False

    node = "spBv1.0/p/NBIRTH/e", payload(Metric(1, "bdSeq", datatype=INT64)), False
    again = "spBv1.0/p/NBIRTH/e", payload(Metric(2, "bdSeq", datatype=INT64)), False
    death = "spBv1.0/p/NDEATH/e", payload(Metric(1, "bdSeq", datatype=INT64)), False
    one, other = birth("AC/Power", "AC/Energy"), birth("AC/Energy", "AC/Power")
    return [
        node,
        one,
        data(1),
        data(2),
        other,
        data(3),
        death,
        again,
        one,
        data(4),
        data(5),
        ("spBv1.0/p/DDEATH/e/d", b"", False),
    ]


def discovery() -> list[tuple[str, bytes, bool]]:
    def config(name: str, key: str) -> tuple[str, bytes, bool]:
        template, device = f"{{{{ value_json.{key} }}}}", {"ids": "SN77001122"}
        said = {"name": name, "stat_t": "x/s", "val_tpl": template, "unit_of_meas": "W", "dev": device}
        return f"homeassistant/sensor/{key}/config", msgspec.json.encode(said), True

    def value(number: int) -> tuple[str, bytes, bool]:
        return "x/s", msgspec.json.encode({"a": number, "b": -number}), False

    gone = "homeassistant/sensor/b/config", b"", False
    return [
        value(0), config("Solar power", "a"), value(1), config("Grid power", "b"), value(2), config("Grid power", "a"), gone,
        value(3), config("Solar power", "b"), value(4),
    ]  # fmt: skip


def play(messages: list[tuple[str, bytes, bool]], order: list[int], *, reloaded: bool) -> Rows:
    """The rows that are left: what is there stands, what is missing is filled in. reloaded: the memory is a database's."""
    rows: Rows = {}
    stored: dict[str, bytes] = {}
    memory = Memory()
    for number in order:
        topic, body, retained = messages[number]
        if reloaded:
            memory = Memory(stored)
        try:
            found = decode_raw("any", RawMessage(T + number * 10_000, topic, body, retained), memory)
        except BadInput:
            found = []
        for key, value in memory.learned().items():
            stored.pop(key, None)
            stored |= {} if value is None else {key: value}
        for serial, sample, _ in found:
            row = rows.setdefault((serial, sample.t), {})
            row.update({measure: told for measure, told in sample.v.items() if measure not in row})
    return rows


@pytest.mark.parametrize("messages", [sparkplug(), discovery()], ids=["sparkplug", "homeassistant"])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=5), st.booleans())
def test_repetitions_change_nothing(
    messages: list[tuple[str, bytes, bool]], restarts: list[tuple[int, int]], reloaded: bool
) -> None:
    order: list[int] = []
    reached = 0
    for upto, back in [*restarts, (len(messages), 0 if not restarts else restarts[0][1])]:
        start, reached = min(back, reached), max(reached, min(upto, len(messages)))
        order += range(start, reached)
    once = play(messages, list(range(len(messages))), reloaded=False)
    assert len(once) >= 4
    assert play(messages, order, reloaded=reloaded) == once
