"""Other hardware in a place: what was corrected of the one before ends there, and nothing it told is shown any more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.batch import Entry, at, collect
from fleet.corrections import Correction, Corrector, Replacement, with_ends
from fleet.device import DeviceTwin, Snapshot
from tests.factories import NOON, device_twin, profile, site_twin, telemetry
from tests.unit.test_corrections import END, HOUR_MS, METER, START, TOLD, corrections, made, replacements

SWAP = Replacement(METER, NOON)


def test_a_correction_ends_with_the_hardware_that_it_was_made_for() -> None:
    corrects = Corrector(profile(), [made("sign", -1, "grid_power_w", number=NOON - 1)], [SWAP])
    assert corrects.readings(NOON - 1, TOLD) == [-250.0, 20.0, 10.0, 231.0]
    assert corrects.readings(NOON, TOLD) == TOLD


def test_one_that_is_made_after_the_replacement_counts_from_its_own_time_on() -> None:
    corrects = Corrector(profile(), [made("sign", -1, "grid_power_w", NOON - 9, number=NOON)], [SWAP])
    assert corrects.readings(NOON - 10, TOLD) == TOLD
    assert corrects.readings(NOON - 9, TOLD)[0] == corrects.readings(NOON + 9, TOLD)[0] == -250.0


def test_it_is_said_when_a_correction_has_ended() -> None:
    first, second = made("sign", -1, "grid_power_w", number=NOON - 1), made("clock", 60, number=NOON)
    later = Replacement(METER, NOON + 5)
    ended = with_ends([first, second], [later, SWAP])
    assert [each.ended_at for each in ended] == [NOON, NOON + 5]
    assert [each.in_force for each in with_ends([first, second], [SWAP])] == [False, True]


@given(st.lists(corrections, max_size=6), replacements, st.integers(START - 2 * HOUR_MS, END + HOUR_MS))
def test_at_every_instant_those_count_that_have_begun_and_not_ended(
    known: list[Correction], swaps: list[Replacement], instant: int
) -> None:
    def has_ended(each: Correction) -> bool:
        return any(each.created_at < swap.at <= instant for swap in swaps)

    counting = [each for each in known if each.from_at <= instant and not has_ended(each)]
    expected = Corrector(profile(), counting).readings(2**61, TOLD)
    assert Corrector(profile(), known, swaps).readings(instant, TOLD) == expected


def test_a_clock_is_moved_in_what_arrived_from_it() -> None:
    """Made before the replacement, it leaves the new hardware alone; made after it, from there on, the old one."""
    old, new = made("clock", 3600, number=NOON - 1), made("clock", -60, from_at=NOON, number=NOON + 1)
    corrects = Corrector(profile(), [old, new], [SWAP])
    assert [corrects.shift_ms(NOON - HOUR_MS, arrived) for arrived in (NOON - 1, NOON)] == [HOUR_MS, 0]
    assert [corrects.shift_ms(NOON + HOUR_MS, arrived) for arrived in (NOON - 1, NOON)] == [HOUR_MS, -60_000]
    wanted = made("clock", -60, from_at=NOON - 1, number=NOON + 1)  # somebody said so explicitly
    assert Corrector(profile(), [wanted], [SWAP]).shift_ms(NOON + HOUR_MS, NOON - 1) == -60_000


def test_a_twin_forgets_what_other_hardware_told() -> None:
    twin = device_twin()
    twin.take_samples(telemetry((NOON + 60_000, {"grid_power_w": 1.0, "ac_voltage_v": 231.0})), NOON)
    other = device_twin()
    other.replaced_at = NOON + 1
    twin.relearn(other)
    assert (twin.readings, twin.sample_at) == ([None] * 4, None)
    twin.take_samples(telemetry((NOON + 1, {"grid_power_w": 2.0})), NOON + 1)
    assert (twin.readings, twin.sample_at) == ([2.0, None, None, None], NOON + 1)
    twin.relearn(other)
    assert twin.readings[0] == 2.0
    twin.take_samples(telemetry((NOON + 9, {"grid_power_w": 3.0})), NOON + 9, arrived_at=NOON)  # kept since before
    assert twin.readings[0] == 2.0


def test_a_twin_that_learns_late_keeps_what_the_new_hardware_told() -> None:
    twin = device_twin()
    twin.take_samples(telemetry((NOON, {"grid_power_w": 1.0, "ac_voltage_v": 231.0})), NOON)
    twin.take_samples(telemetry((NOON + 5, {"grid_power_w": 2.0})), NOON + 5)
    other = device_twin()
    other.replaced_at = NOON + 5
    twin.relearn(other)
    assert (twin.readings, twin.sample_at) == ([2.0, None, None, None], NOON + 5)


@pytest.mark.parametrize(("seen_at", "shown"), [(NOON, None), (NOON + 1, 5.0)])
def test_a_snapshot_of_other_hardware_is_not_shown(seen_at: int, shown: float | None) -> None:
    snapshot = Snapshot("s", 1, seen_at, NOON, [5.0, None, None, None], True)
    twin = DeviceTwin(METER, "m", None, profile(), snapshot, None, NOON, replaced_at=NOON + 1)
    assert twin.reading("grid_power_w") == shown


def test_rows_that_were_kept_are_placed_by_their_own_arrival() -> None:
    twin = device_twin()
    twin.corrector = Corrector(profile(), [made("clock", 3600)], [SWAP])
    site = site_twin(twin)
    site.relearned = True
    told = telemetry((NOON - 2 * HOUR_MS, {"grid_power_w": 1.0}))
    rows, _ = twin.take_samples(told, NOON, arrived_at=NOON - 1)
    ((_, _, stored_at, received_at, _, shift_ms),) = collect([Entry("", site, None, rows, [], NOON - 1)], NOON).samples
    assert (stored_at, received_at, shift_ms) == (at(NOON - HOUR_MS), at(NOON - 1), HOUR_MS)
    rows, _ = twin.take_samples(told, NOON)
    assert collect([Entry("", site, None, rows, [])], NOON).samples[0][5] is None
