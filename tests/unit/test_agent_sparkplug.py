"""Whom the site agent asks for another birth, and how."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.agent.inputs.sparkplug import Births, rebirth, sequence_number
from edge.limits import SPARKPLUG_ASK_AGAIN_S, SPARKPLUG_NODES_MAX
from fleet.codecs.sparkplug_wire import payload as read
from tests.samples.sparkplug_node import INT32, Metric, payload

T = 1_782_036_000_000
MINUTE = round(SPARKPLUG_ASK_AGAIN_S * 1000)
NCMD = "spBv1.0/plant/NCMD/roof"


def heard(births: Births, kind: str, seq: int | None, *, t: int = T, edge: str = "roof", device: str = "inv1") -> str | None:
    topic = f"spBv1.0/plant/{kind}/{edge}" + (f"/{device}" if kind.startswith("D") else "")
    return births.heard(topic, payload(Metric(1, alias=1), t=t, seq=seq), t)


def born() -> Births:
    births = Births()
    assert heard(births, "NBIRTH", 0) is None
    assert heard(births, "DBIRTH", 1) is None
    return births


def test_data_of_a_node_whose_birth_was_missed_asks_for_one() -> None:
    assert heard(Births(), "DDATA", 5) == NCMD
    assert heard(Births(), "NDATA", 5) == NCMD
    births = born()
    assert heard(births, "DDATA", 2) is None
    assert heard(births, "NDATA", 3) is None
    assert heard(births, "DDATA", 4, device="inv2") == NCMD
    assert births.heard("house/spBv1.0/plant/DDATA/roof/inv1", b"", T) == "house/spBv1.0/plant/NCMD/roof"


def test_a_gap_in_the_numbers_asks_and_their_wrap_does_not() -> None:
    births = born()
    assert [heard(births, "DDATA", number % 256) for number in range(2, 600)] == [None] * 598
    assert heard(births, "DDATA", 90) == NCMD


def test_a_node_is_asked_once_a_minute_and_ever_less_often_while_it_is_silent() -> None:
    births = Births()
    asked = [t for t in range(T, T + 20 * MINUTE, 10_000) if heard(births, "DDATA", None, t=t) is not None]
    assert [(t - T) // MINUTE for t in asked] == [0, 1, 3, 7, 15]
    later = asked[-1] + 1_000
    assert heard(births, "NBIRTH", 0, t=later) is None
    assert heard(births, "DBIRTH", 1, t=later) is None
    assert heard(births, "DDATA", 2, t=later) is None
    assert heard(births, "DDATA", 9, t=later + MINUTE) == NCMD  # patience begins anew


def test_a_death_and_a_new_connection_make_births_unknown() -> None:
    births = born()
    heard(births, "NDEATH", None)
    assert heard(births, "DDATA", 2) == NCMD
    births = born()
    heard(births, "DDEATH", 2)
    assert heard(births, "DDATA", 3) == NCMD
    births = born()
    assert births.connected(T) == [NCMD]
    assert heard(births, "DDATA", 2, t=T + 1) is None  # it was asked just now
    assert Births().connected(T) == []


def test_others_are_not_asked_and_not_remembered_without_end() -> None:
    births = Births()
    for topic in ("spBv1.0/plant/NCMD/roof", "spBv1.0/STATE/host", "solar/1/0/power", "spBv1.0/plant/DDATA"):
        assert births.heard(topic, b"", T) is None
    asked = [births.heard(f"spBv1.0/plant/NDATA/n{n}", b"", T) for n in range(SPARKPLUG_NODES_MAX + 5)]
    assert sum(each is not None for each in asked) == SPARKPLUG_NODES_MAX


def test_the_request_is_what_a_node_reads() -> None:
    said = read(rebirth(T))
    (metric,) = said.metrics
    assert (said.timestamp, said.HasField("seq"), metric.name, metric.datatype) == (T, False, b"Node Control/Rebirth", 11)
    assert rebirth(T).endswith(b"\x70\x01")  # boolean_value, which the codec does not read


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (payload(Metric(1.5, "AC/Power", 1), t=T, seq=200), 200),
        (payload(Metric(1, alias=1, datatype=INT32)), None),
        (b"\x18\x00\x12\x00", 0),
        (b"", None),
        (b"\x0b\x18\x05", None),  # a group
        (b"\x12\xff\xff", None),
        (b"\xff" * 30, None),
    ],
)
def test_a_payloads_number_is_found_without_its_description(raw: bytes, number: int | None) -> None:
    assert sequence_number(raw) == number


@given(st.binary(max_size=300))
def test_no_payload_is_too_strange(raw: bytes) -> None:
    found = sequence_number(raw)
    assert found is None or 0 <= found <= 255
