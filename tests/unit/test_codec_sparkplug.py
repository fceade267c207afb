"""Sparkplug B: births that are remembered, data that carry nothing but aliases, and what goes wrong between them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.decoded import Decoded
from fleet.codecs.memory import Memory
from fleet.codecs.registry import decode_raw
from fleet.errors import BadInput
from fleet.telemetry import RawMessage
from tests.samples.sparkplug_node import BOOLEAN, DOUBLE, FLOAT, INT32, INT64, UINT64, Metric, payload

T = 1_700_000_000_000
NOW = T + 300_000  # when all of it arrives, where nothing else is said
DBIRTH = bytes.fromhex(
    "0880d095ffbc31121e0a0841432f506f77657210011880d095ffbc31200a69000000000065a940121d0a0a477269642f506f77657210021880d095ff"
    "bc31200350d0f6ffff0f121b0a0941432f456e6572677910031880d095ffbc31200858e4f4d9081800"
)
DDATA = bytes.fromhex(
    "08e0a499ffbc311212100118e0a499ffbc31690000000000caa940120f100218e0a499ffbc3150e4f6ffff0f1801"
)  # a minute later


def take(
    memory: Memory, kind: str, raw: bytes, *, device: str | None = "inv1", edge: str = "roof", t: int = NOW
) -> list[Decoded]:
    topic = f"spBv1.0/plant/{kind}/{edge}" + ("" if device is None else f"/{device}")
    return decode_raw("sparkplug", RawMessage(t, topic, raw), memory)


def said(found: list[Decoded]) -> list[tuple[str | None, int, dict[str, float | None]]]:
    return [(serial, sample.t, sample.v) for serial, sample, _ in found]


def refusal(memory: Memory, kind: str, raw: bytes, **more: str | int | None) -> str:
    with pytest.raises(BadInput) as refused:
        take(memory, kind, raw, **more)  # type: ignore[arg-type]
    return refused.value.code


def test_the_published_samples_are_read_to_the_digit() -> None:
    memory = Memory()
    born = {"pv_power_w": 3250.5, "grid_power_w": -1200.0, "pv_energy_wh": 18_250_340.0}
    assert said(take(memory, "DBIRTH", DBIRTH)) == [("plant/roof/inv1", T, born)]
    assert said(take(memory, "DDATA", DDATA)) == [
        ("plant/roof/inv1", T + 60_000, {"pv_power_w": 3301.0, "grid_power_w": -1180.0})
    ]


def test_what_was_learned_outlives_the_process() -> None:
    memory = Memory()
    take(memory, "DBIRTH", DBIRTH)
    learned = {key: value for key, value in memory.learned().items() if value is not None}
    assert said(take(Memory(learned), "DDATA", DDATA))[0][2]["pv_power_w"] == 3301.0


def test_aliases_are_those_of_their_edge_node_and_device() -> None:
    memory = Memory()
    take(memory, "DBIRTH", DBIRTH)
    assert refusal(memory, "DDATA", DDATA, device="inv2") == "birth_unknown"
    assert refusal(memory, "DDATA", DDATA, edge="barn") == "birth_unknown"
    assert refusal(memory, "NDATA", DDATA, device=None) == "birth_unknown"
    take(memory, "DBIRTH", payload(Metric(5, "Grid/Power", 1, INT32), t=T), device="meter")
    assert said(take(memory, "DDATA", payload(Metric(7, alias=1), t=T), device="meter")) == [
        ("plant/roof/meter", T, {"grid_power_w": 7.0})
    ]


@pytest.mark.parametrize(
    ("datatype", "raw", "value"),
    [
        (1, 0xFE, -2.0),
        (1, 0xFFFF_FFFE, -2.0),  # as wide as the field
        (2, 0xFFFF_8000, -32_768.0),
        (INT32, 0xFFFF_FFFF, -1.0),
        (INT32, 0x7FFF_FFFF, 2_147_483_647.0),
        (INT64, 2**64 - 1200, -1200.0),
        (5, 0xFE, 254.0),
        (7, 0xFFFF_FFFF, 4_294_967_295.0),
        (UINT64, 2**63, 2.0**63),
        (FLOAT, 3250.7, 3250.7),
        (DOUBLE, 0.1, 0.1),
    ],
)
def test_numbers_of_every_datatype(datatype: int, raw: float, value: float) -> None:
    assert take(Memory(), "DBIRTH", payload(Metric(raw, "Grid/Power", 1, datatype), t=T))[0].sample.v == {
        "grid_power_w": value
    }


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_null_and_no_number_are_missing_and_not_zero(value: float | None) -> None:
    memory = Memory()
    take(memory, "DBIRTH", DBIRTH)
    assert take(memory, "DDATA", payload(Metric(value, alias=1, datatype=None if value is None else DOUBLE), t=T)) == []


def test_units_come_from_the_properties() -> None:
    birth = payload(
        Metric(3.25, "AC/Power", 1, DOUBLE, unit="kW"),
        Metric(18_250.34, "AC/Energy", 2, DOUBLE, unit="kWh"),
        Metric(4.1, "AC/Apparent", 3, DOUBLE, unit="kVA"),  # never W
        Metric(1, "Relay/Power", 4, BOOLEAN),
        t=T,
    )
    memory = Memory()
    assert take(memory, "DBIRTH", birth)[0].sample.v == {"pv_power_w": 3_250.0, "pv_energy_wh": 18_250_340.0}
    assert take(memory, "DDATA", payload(Metric(3.5, alias=1), t=T))[0].sample.v == {"pv_power_w": 3_500.0}
    assert take(memory, "DDATA", payload(Metric(4.2, alias=3), t=T)) == []


def test_metrics_without_aliases_come_by_name() -> None:
    memory = Memory()
    take(memory, "DBIRTH", payload(Metric(0xFFFF_FFFF, "Grid/Power", datatype=INT32), t=T))
    assert take(memory, "DDATA", payload(Metric(0xFFFF_FFFE, "Grid/Power"), t=T))[0].sample.v == {"grid_power_w": -2.0}
    assert take(memory, "DDATA", payload(Metric(1, "Fan/Speed"), t=T)) == []


def test_each_metric_has_its_own_time() -> None:
    memory = Memory()
    take(memory, "DBIRTH", DBIRTH)
    backlog = [Metric(float(n), alias=1, t=T - n * 60_000, historical=True) for n in range(1, 4)]
    found = take(memory, "DDATA", payload(*backlog, Metric(5.0, alias=2, datatype=DOUBLE), t=T))
    assert [(t, v) for _, t, v in said(found)] == [
        (T - 60_000, {"pv_power_w": 1.0}),
        (T - 120_000, {"pv_power_w": 2.0}),
        (T - 180_000, {"pv_power_w": 3.0}),
        (T, {"grid_power_w": 5.0}),
    ]
    assert take(memory, "DDATA", payload(Metric(1.0, alias=1)))[0].sample.t == NOW  # none said: its arrival
    ahead = payload(Metric(1.0, alias=1, t=NOW + 1), t=NOW + 1)
    assert take(memory, "DDATA", ahead)[0].sample.t == NOW
    never_set = payload(Metric(1.0, alias=1, t=86_400_000))
    assert take(memory, "DDATA", never_set)[0].sample.t == NOW


def test_two_metrics_that_would_be_one_measure_are_none_unless_one_is_the_total() -> None:
    birth = payload(Metric(1.0, "Meter1/Grid/Power", 1, DOUBLE), Metric(2.0, "Meter2/Grid/Power", 2, DOUBLE), t=T)
    assert take(Memory(), "DBIRTH", birth) == []
    birth = payload(Metric(1.0, "Grid/Power", 1, DOUBLE), Metric(2.0, "Grid/TotalPower", 2, DOUBLE), t=T)
    assert take(Memory(), "DBIRTH", birth)[0].sample.v == {"grid_power_w": 2.0}


def test_a_death_ends_what_a_birth_began() -> None:
    memory = Memory()
    take(memory, "NBIRTH", payload(Metric(4, "bdSeq", datatype=INT64), t=T, seq=0), device=None)
    take(memory, "DBIRTH", DBIRTH)
    take(memory, "NDEATH", payload(Metric(3, "bdSeq", datatype=INT64)), device=None)  # the will of an earlier session
    assert take(memory, "DDATA", DDATA)
    take(memory, "DDEATH", payload(t=T))
    assert refusal(memory, "DDATA", DDATA) == "birth_unknown"
    take(memory, "DBIRTH", DBIRTH)
    take(memory, "NDEATH", payload(Metric(4, "bdSeq", datatype=INT64)), device=None)
    assert refusal(memory, "DDATA", DDATA) == "birth_unknown"
    assert len(memory) == 0


def test_a_new_birth_of_the_node_ends_its_devices_births() -> None:
    memory = Memory()
    node = payload(Metric(4, "bdSeq", datatype=INT64), t=T, seq=0)
    take(memory, "NBIRTH", node, device=None)
    take(memory, "DBIRTH", DBIRTH, t=NOW + 1)
    take(memory, "DBIRTH", DBIRTH, device="a", edge="roof2", t=NOW + 1)
    take(memory, "NBIRTH", node, device=None, t=NOW + 2)
    assert refusal(memory, "DDATA", DDATA, t=NOW + 3) == "birth_unknown"
    assert take(memory, "DDATA", DDATA, device="a", edge="roof2", t=NOW + 3)


def test_what_arrived_before_the_birth_that_we_know_is_a_repetition() -> None:
    memory = Memory()
    take(memory, "DBIRTH", DBIRTH, t=NOW)
    anew = payload(Metric(1.0, "Grid/Power", 1, DOUBLE), t=T + 1_000)
    take(memory, "DBIRTH", anew, t=NOW + 1_000)
    for kind, raw in (("DBIRTH", DBIRTH), ("DDATA", DDATA), ("DDEATH", payload())):
        assert take(memory, kind, raw, t=NOW + 500) == []  # sent once more, since its ack was lost
    assert take(memory, "DDATA", payload(Metric(9.0, alias=1), t=T), t=NOW + 2_000)[0].sample.v == {"grid_power_w": 9.0}


def test_the_same_birth_again_is_nothing_new_to_store() -> None:
    memory = Memory()
    node = payload(Metric(4, "bdSeq", datatype=INT64), t=T, seq=0)
    for _ in range(2):
        take(memory, "NBIRTH", node, device=None)
        take(memory, "DBIRTH", DBIRTH)
    assert len(memory.learned()) == 2
    take(memory, "NBIRTH", node, device=None)
    assert memory.learned() == {}
    assert take(memory, "DDATA", DDATA)


def test_an_alias_that_the_birth_did_not_have_is_refused_and_the_rest_counts() -> None:
    memory = Memory()
    take(memory, "DBIRTH", DBIRTH)
    assert refusal(memory, "DDATA", payload(Metric(1.0, alias=77), t=T)) == "unknown_alias"
    assert take(memory, "DDATA", payload(Metric(1.0, alias=77), Metric(2.0, alias=1), t=T))[0].sample.v == {
        "pv_power_w": 2.0
    }


def test_other_topics_copies_and_commands_are_left_alone() -> None:
    memory = Memory()
    for topic in ("spBv1.0/plant/DCMD/roof/inv1", "spBv1.0/STATE/host", "spBv1.0/plant/DBIRTH/roof", "spBv1.0/p/NBIRTH/e/d"):
        assert decode_raw("sparkplug", RawMessage(T, topic, DBIRTH), memory) == []
    copy = RawMessage(T, "spBv1.0/plant/DBIRTH/roof/inv1", DBIRTH, retained=True)
    assert decode_raw("sparkplug", copy, memory) == []
    assert len(memory) == 0
    assert decode_raw("any", RawMessage(T, "spBv1.0/plant/DBIRTH/roof/inv1", DBIRTH), memory)
    assert decode_raw("any", RawMessage(T, "bridge/spBv1.0/plant/DDATA/roof/inv1", DDATA), memory)


def test_long_names_make_serials_that_stay_apart() -> None:
    serials = {
        take(Memory(), "DBIRTH", DBIRTH, edge="a-very-long-name-of-an-edge-node", device=f"inverter-number-{n}")[0].serial
        for n in range(20)
    }
    assert len(serials) == 20
    assert all(serial is not None and len(serial) <= 40 for serial in serials)


def test_a_memory_of_an_earlier_version_is_as_good_as_none() -> None:
    memory = Memory({"sparkplug/device/plant/roof/inv1/": b"\x91\xa1x"})
    assert refusal(memory, "DDATA", DDATA) == "birth_unknown"


def test_too_much_is_refused_by_name() -> None:
    assert refusal(Memory(), "DBIRTH", b"\x12\x00" * 1_001) == "too_many_metrics"
    assert refusal(Memory(), "DBIRTH", b"\xff") == "bad_payload"
    assert refusal(Memory(), "DBIRTH", b"\x00" * 20_000) == "too_large"


KINDS = st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"])
METRICS = st.builds(
    Metric,
    st.none() | st.floats() | st.integers(0, 2**64 - 1),
    st.none() | st.sampled_from(["AC/Power", "Grid/Power", "bdSeq", "Grid/Total Power"]) | st.text(max_size=8),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 20).filter(lambda kind: kind != FLOAT),
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | st.sampled_from(["W", "kW", "kWh"]) | st.text(max_size=5),
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(METRICS, max_size=6).map(lambda metrics: payload(*metrics, t=T)),
    st.tuples(st.sampled_from([DBIRTH, DDATA]), st.integers(0, 90), st.integers(0, 255)).map(
        lambda cut: cut[0][: cut[1]] + bytes([cut[2]]) + cut[0][cut[1] + 1 :]
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(KINDS, BODIES, st.integers(0, 2**42)), max_size=8))
def test_whatever_comes_is_samples_or_a_coded_refusal(messages: list[tuple[str, bytes, int]]) -> None:
    memory = Memory()
    for kind, raw, t in messages:
        try:
            found = take(memory, kind, raw, device="inv1" if kind.startswith("D") else None, t=t)
        except BadInput:
            continue
        assert all(sample.v and all(abs(value or 0) < float("inf") for value in sample.v.values()) for _, sample, _ in found)
