"""What a codec remembers of a sender: bounded, taken away with the message that taught it, and stored once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.batch import Entry, collect
from actors.catalog import Route
from actors.sources import Sources
from fleet.codecs.memory import Memory
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import MEMORY_BYTES_PER_SENDER_MAX, MEMORY_ENTRIES_PER_SENDER_MAX
from fleet.storage.codec_memory import Lesson
from fleet.telemetry import RawMessage, Telemetry
from tests.factories import NOON, device_twin, site_twin
from tests.samples.sparkplug_node import DOUBLE, Metric, payload


def test_what_was_learned_is_told_once() -> None:
    memory = Memory({"old": b"1", "kept": b"2"})
    memory.put("new", b"3")
    memory.put("kept", b"2")  # nothing new
    memory.forget("old")
    memory.forget("never heard of")
    assert memory.learned() == {"new": b"3", "old": None}
    assert memory.learned() == {}
    assert (memory.get("new"), memory.get("old"), memory.keys("ke")) == (b"3", None, ["kept"])


def test_views_are_made_once_and_anew_when_something_below_them_changes() -> None:
    memory, made = Memory({"a/1": b"x", "b/1": b"y"}), []

    def view(prefix: str) -> list[str]:
        return memory.view(prefix, lambda entries: made.append(prefix) or sorted(entries))  # type: ignore[func-returns-value]

    assert [view("a/"), view("a/"), view("b/")] == [["a/1"], ["a/1"], ["b/1"]]
    memory.put("a/2", b"z")
    assert [view("a/"), view("b/")] == [["a/1", "a/2"], ["b/1"]]
    memory.forget("a/1")
    assert view("a/") == ["a/2"]
    assert made == ["a/", "b/", "a/", "a/"]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("nul\x00", b"", "bad_memory_key"),
        ("k" * 400, b"", "bad_memory_key"),
        ("big", b"x" * MEMORY_BYTES_PER_SENDER_MAX, "memory_full"),
    ],
)
def test_what_cannot_be_remembered_changes_nothing(key: str, value: bytes, code: str) -> None:
    memory = Memory({"big": b"small"})
    with pytest.raises(BadInput) as refused:
        memory.put(key, value)
    assert refused.value.code == code
    assert (memory.get("big"), memory.learned()) == (b"small", {})


@given(st.lists(st.tuples(st.text("ab", max_size=2), st.none() | st.integers(0, 40_000)), max_size=40))
def test_memory_is_bounded_and_knows_its_size(steps: list[tuple[str, int | None]]) -> None:
    memory, expected = Memory(), dict[str, bytes]()
    for key, size in steps:
        if size is None:
            memory.forget(key)
            expected.pop(key, None)
            continue
        value = b"x" * size
        total = sum(len(k) + len(v) for k, v in (expected | {key: value}).items())
        try:
            memory.put(key, value)
        except BadInput:
            assert total > MEMORY_BYTES_PER_SENDER_MAX
        else:
            assert total <= MEMORY_BYTES_PER_SENDER_MAX
            expected[key] = value
    assert {key: memory.get(key) for key in memory.keys("")} == expected


def test_entries_are_bounded_too() -> None:
    memory = Memory({str(number): b"" for number in range(MEMORY_ENTRIES_PER_SENDER_MAX)})
    memory.put("7", b"changed")
    with pytest.raises(BadInput):
        memory.put("one more", b"")


def test_each_sender_has_a_memory_of_its_own() -> None:
    one, two = device_twin("g-1", "gateway"), device_twin("g-2", "gateway")
    site, sources = site_twin(one, two), Sources()
    birth = RawMessage(NOON, "spBv1.0/p/DBIRTH/e/d", payload(Metric(1.0, "AC/Power", 1, DOUBLE), t=NOON))
    data = RawMessage(NOON, "spBv1.0/p/DDATA/e/d", payload(Metric(2.0, alias=1), t=NOON))
    sources.take(Route(site, one, "up/telemetry"), Telemetry([], raw=[birth]), NOON)
    assert list(one.learned()) == ["sparkplug/device/p/e/d/"]
    assert (two.learned(), one.learned()) == ({}, {})
    kept = sources.take(Route(site, one, "up/telemetry"), Telemetry([], raw=[data]), NOON).kept
    assert [sample.v for sample in kept[0].samples] == [{"pv_power_w": 2.0}]
    refused = sources.take(Route(site, two, "up/telemetry"), Telemetry([], raw=[data]), NOON).refused
    assert refused is not None
    assert refused.code == "birth_unknown"


def test_a_batch_stores_the_newest_lesson_of_each_key() -> None:
    site = site_twin(device_twin("g-1", "gateway"))

    def entry(key: str, value: bytes | None) -> Entry:
        return Entry("t", site, None, [], [], learned=(Lesson(SiteId("s-1"), DeviceId("g-1"), key, value),))

    lessons = collect([entry("a", b"1"), entry("b", b"2"), entry("a", None), entry("b", b"3")], NOON).lessons
    assert [(lesson.key, lesson.value) for lesson in lessons] == [("a", None), ("b", b"3")]
