"""A device's twin: what is stored, what is shown, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.limits import DEVICE_MESSAGES_BURST, DEVICE_MESSAGES_PER_S, FUTURE_SKEW_MAX_S, RETENTION_DAYS
from fleet.telemetry import State
from tests.factories import NOON, device_twin, telemetry

DAY_MS = 86_400_000


def test_a_sample_becomes_a_row_in_channel_order_and_the_live_value() -> None:
    twin = device_twin(kind="meter")
    rows, refused = twin.take_samples(telemetry((NOON, {"export_energy_wh": 7.0, "grid_power_w": -120.0})), NOON)
    assert refused is None
    assert [(row.device, row.t, row.readings) for row in rows] == [("d-1", NOON, [-120.0, None, 7.0, None])]
    assert twin.reading("grid_power_w") == -120.0


def test_a_late_sample_is_stored_and_does_not_replace_a_newer_live_value() -> None:
    twin = device_twin()
    twin.take_samples(telemetry((NOON, {"grid_power_w": 2.0})), NOON)
    rows, _ = twin.take_samples(telemetry((NOON - 5_000, {"grid_power_w": 1.0})), NOON)
    assert len(rows) == 1
    assert twin.reading("grid_power_w") == 2.0


def test_samples_from_the_future_and_from_before_retention_are_refused_and_the_others_taken() -> None:
    twin = device_twin()
    ahead, old = NOON + FUTURE_SKEW_MAX_S * 1000 + 1, NOON - RETENTION_DAYS * DAY_MS - 1
    good = (NOON, {"grid_power_w": 1.0})
    rows, refused = twin.take_samples(telemetry((ahead, {"grid_power_w": 9.0}), good), NOON)
    assert (len(rows), refused and refused.code) == (1, "future_time")
    rows, refused = twin.take_samples(telemetry((old, {"grid_power_w": 9.0}), good), NOON)
    assert (len(rows), refused and refused.code) == (1, "too_old")
    assert twin.reading("grid_power_w") == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e14])
def test_what_is_no_number_of_this_world_is_refused_beside_what_is(value: float) -> None:
    rows, refused = device_twin().take_samples(telemetry((NOON, {"grid_power_w": value, "ac_voltage_v": 230.0})), NOON)
    assert refused is not None
    assert refused.code == "bad_value"
    assert [row.readings for row in rows] == [[None, None, None, 230.0]]


def test_an_unknown_measure_is_refused_beside_known_ones() -> None:
    rows, refused = device_twin().take_samples(telemetry((NOON, {"flux_capacity": 1.0, "ac_voltage_v": 230.0})), NOON)
    assert refused is not None
    assert refused.code == "unknown_measure"
    assert len(rows) == 1


def test_too_many_samples_are_refused_whole() -> None:
    twin = device_twin()
    with pytest.raises(BadInput, match="too_many_samples"):
        twin.take_samples(telemetry(*((NOON - n, {"grid_power_w": 1.0}) for n in range(501))), NOON)


def test_a_device_over_its_rate_is_held_back_and_comes_again() -> None:
    twin = device_twin()
    assert all(twin.admit(NOON) for _ in range(DEVICE_MESSAGES_BURST))
    assert not twin.admit(NOON)
    assert twin.notice_due(NOON)
    assert not twin.notice_due(NOON + 1_000)
    assert twin.admit(NOON + round(1000 / DEVICE_MESSAGES_PER_S) + 1)


def test_a_last_will_keeps_what_is_known_of_the_device() -> None:
    twin = device_twin()
    twin.take_state(State(online=True, model="SP-3", firmware="1.2"))
    twin.take_state(State(online=False))
    assert not twin.online
    assert twin.info == State(online=True, model="SP-3", firmware="1.2")


def test_a_good_bye_holds_until_something_comes_by_another_way() -> None:
    twin = device_twin()
    assert twin.admit(NOON)
    twin.take_samples(telemetry((NOON - 1_000, {"grid_power_w": 1.0})), NOON)
    assert not twin.gone
    twin.take_state(State(online=False))
    assert twin.gone
    twin.take_samples(telemetry((NOON + 60_000, {"grid_power_w": 2.0})), NOON + 60_000)
    twin.online = False  # that was a file
    twin.lived(NOON + 60_000, NOON + 90_000)
    assert not twin.gone


@given(st.lists(st.tuples(st.integers(NOON - 10_000, NOON), st.floats(-1e6, 1e6)), min_size=1, unique_by=lambda p: p[0]))
def test_the_live_value_is_the_newest_by_its_own_time_in_whatever_order_it_comes(points: list[tuple[int, float]]) -> None:
    twin = device_twin()
    for t, value in points:
        twin.take_samples(telemetry((t, {"grid_power_w": value})), NOON)
    assert twin.reading("grid_power_w") == max(points)[1]


def test_a_snapshot_rebuilds_the_twin() -> None:
    twin = device_twin()
    twin.take_samples(telemetry((NOON, {"grid_power_w": 5.0})), NOON)
    twin.sequence.take("a", 1, 1)
    twin.note_stored()
    again = device_twin(snapshot=twin.snapshot())
    assert again.snapshot() == twin.snapshot()


def test_a_snapshot_never_knows_more_of_the_sequence_than_is_committed() -> None:
    twin = device_twin()
    twin.sequence.take("a", 1, 1)
    twin.note_stored()
    twin.sequence.take("a", 2, 1)
    assert (twin.snapshot().stream, twin.snapshot().seq) == ("a", 1)
    twin.sequence.take("b", 1, 1)
    assert (twin.snapshot().stream, twin.snapshot().seq) == ("a", 1)
    twin.note_stored()
    assert (twin.snapshot().stream, twin.snapshot().seq) == ("b", 1)
