"""Each wrongness that an installer can bring to a roof, and the tap that puts it right."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.commissioning import (
    Check,
    CheckCode,
    CommissioningFacts,
    DeviceFacts,
    Fix,
    PvArray,
    Recent,
    Refusal,
    checks,
)
from fleet.commissioning.plane import clear_plane_w_m2, clear_tracking_w_m2
from fleet.corrections import Correction, Corrector
from fleet.ids import DeviceId
from fleet.profiles import DeviceProfile
from fleet.sun import azimuth_deg, clear_sky_ghi_w_m2, elevation_deg
from fleet.telemetry import UnixMs
from tests.factories import NOON, profile

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MIDNIGHT = NOON + 12 * HOUR_MS
SINCE = NOON - HOUR_MS
SOUTH = PvArray(6_000, 180, 30)
Values = dict[str, float]


def device(kind: str, readings: Values | None = None, *, at: UnixMs = NOON, **more: object) -> DeviceFacts:
    known = profile(kind)
    heard = {} if readings is None else {"readings": readings, "sample_at": at, "seen_at": at}
    recent = [] if readings is None else [Recent(at, at, readings)]
    facts = DeviceFacts(DeviceId(kind), known, SINCE, recent=recent, **heard)  # type: ignore[arg-type]
    return msgspec.structs.replace(facts, **more)


def facts(
    judged: DeviceFacts, *others: DeviceFacts, now: UnixMs = NOON, arrays: list[PvArray] | None = None
) -> CommissioningFacts:
    made = [SOUTH] if arrays is None else arrays
    return CommissioningFacts(now, 44.73, 5.02, 6_000, made, judged, [judged, *others])


def check(code: CheckCode, known: CommissioningFacts) -> Check:
    (found,) = [one for one in checks(known) if one.code == code]
    return found


def minutes(made: Callable[[int], Values], *, count: int = 10, step_ms: int = 30_000) -> list[Recent]:
    return [Recent(at, at, made(n)) for n in range(count) for at in [NOON - (count - 1 - n) * step_ms]]


GOOD_INVERTER = device("inverter", {"pv_power_w": 4_100.0, "ac_voltage_v": 234.0})


# all is well ------------------------------------------------------------------------------------------------------


def test_a_site_that_is_right_fails_nothing() -> None:
    meter = device("meter", {"grid_power_w": 5_000.0, "ac_voltage_v": 231.0})
    for known in (facts(GOOD_INVERTER, meter), facts(meter, GOOD_INVERTER)):
        assert {one.state for one in checks(known)} <= {"ok", "not_applicable"}


def test_every_device_gets_every_check_once() -> None:
    for kind in ("inverter", "meter", "battery", "gateway"):
        assert [one.code for one in checks(facts(device(kind)))] == ["sign", "unit", "clock", "sun", "consumption"]


def test_nothing_is_judged_before_anything_was_heard() -> None:
    assert {one.state for one in checks(facts(device("inverter")))} == {"waiting", "not_applicable"}


def test_a_gateway_measures_nothing() -> None:
    assert {one.state for one in checks(facts(device("gateway")))} == {"not_applicable"}


# sign -------------------------------------------------------------------------------------------------------------


def test_negative_production_is_turned_around() -> None:
    found = check("sign", facts(device("inverter", {"pv_power_w": -4_100.0})))
    assert (found.state, found.fix) == ("failed", Fix("sign", "pv_power_w", -1.0, SINCE))


def test_what_an_inverter_draws_at_night_is_no_wrong_sign() -> None:
    found = check("sign", facts(device("inverter", {"pv_power_w": -8.0}, at=MIDNIGHT), now=MIDNIGHT))
    assert found.state == "later"
    again = found.evidence["again_at_ms"]
    assert isinstance(again, int)
    assert MIDNIGHT + 4 * HOUR_MS < again < MIDNIGHT + 9 * HOUR_MS


@pytest.mark.parametrize(("grid_w", "state"), [(-900.0, "failed"), (900.0, "ok")])
def test_nobody_feeds_in_at_night(grid_w: float, state: str) -> None:
    meter = device("meter", {"grid_power_w": grid_w}, at=MIDNIGHT)
    found = check("sign", facts(meter, device("inverter"), now=MIDNIGHT))
    assert found.state == state
    assert found.fix == (Fix("sign", "grid_power_w", -1.0, SINCE) if state == "failed" else None)


@pytest.mark.parametrize(("turn", "state"), [(1, "ok"), (-1, "failed")])
def test_by_day_the_clouds_tell_how_the_clamp_sits(turn: int, state: str) -> None:
    """Both ways are possible: the house takes 800 W while clouds pass."""
    pv = [4_000.0, 1_500.0, 3_800.0, 1_200.0, 4_100.0, 2_000.0, 3_900.0, 1_100.0, 4_000.0, 1_300.0]
    inverter = device("inverter", {"pv_power_w": pv[-1]}, recent=minutes(lambda n: {"pv_power_w": pv[n]}))
    grid = [turn * (800 - power) for power in pv]
    meter = device("meter", {"grid_power_w": grid[-1]}, recent=minutes(lambda n: {"grid_power_w": grid[n]}))
    assert check("sign", facts(meter, inverter)).state == state


def test_under_an_even_sky_the_meter_has_to_wait() -> None:
    found = check("sign", facts(device("meter", {"grid_power_w": -3_000.0}), GOOD_INVERTER))
    assert (found.state, found.evidence["reason"]) == ("later", "both_possible")


@pytest.mark.parametrize(("power_w", "state"), [(1_500.0, "ok"), (-1_500.0, "failed")])
def test_a_battery_fills_while_it_charges(power_w: float, state: str) -> None:
    recent = minutes(lambda n: {"battery_power_w": power_w, "charge_energy_wh": 100 + 12.5 * n, "discharge_energy_wh": 7.0})
    found = check("sign", facts(device("battery", {"battery_power_w": power_w}, recent=recent)))
    assert found.state == state
    assert found.fix == (Fix("sign", "battery_power_w", -1.0, SINCE) if state == "failed" else None)


def test_a_battery_that_only_knows_its_charge_is_judged_by_it() -> None:
    recent = minutes(lambda n: {"battery_power_w": -2_000.0, "battery_soc_pct": 50 + 0.2 * n})
    assert check("sign", facts(device("battery", {"battery_power_w": -2_000.0}, recent=recent))).state == "failed"


# consumption ------------------------------------------------------------------------------------------------------


def test_negative_consumption_is_a_reversed_clamp() -> None:
    meter = device("meter", {"grid_power_w": -5_200.0})
    found = check("consumption", facts(meter, GOOD_INVERTER))
    assert (found.state, found.fix) == ("failed", Fix("sign", "grid_power_w", -1.0, SINCE))
    assert found.evidence["consumption_w"] == pytest.approx(-1_100.0)


def test_what_feeds_in_from_a_battery_is_no_reversed_clamp() -> None:
    battery = device("battery", {"battery_power_w": -2_000.0})
    meter = device("meter", {"grid_power_w": -5_200.0})
    assert check("consumption", facts(meter, GOOD_INVERTER, battery)).state == "ok"


def test_consumption_waits_for_the_inverter() -> None:
    found = check("consumption", facts(device("meter", {"grid_power_w": -100.0}), device("inverter")))
    assert (found.state, found.evidence["reason"]) == ("waiting", "production_not_heard")


# unit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("told", "factor"), [(4.1, 1000.0), (4_100_000.0, 0.001)])
def test_kilowatts_and_milliwatts_for_watts(told: float, factor: float) -> None:
    found = check("unit", facts(device("inverter", {"pv_power_w": told})))
    assert (found.state, found.fix) == ("failed", Fix("factor", "pv_power_w", factor, SINCE))


def test_few_watts_at_dawn_are_few_watts() -> None:
    dawn = NOON - 8 * HOUR_MS + 900_000
    found = check("unit", facts(device("inverter", {"pv_power_w": 4.1}, at=dawn), now=dawn))
    assert found.state == "later"


def test_a_house_that_takes_half_a_watt_minute_after_minute_takes_half_a_kilowatt() -> None:
    recent = minutes(lambda n: {"grid_power_w": 0.4 + 0.01 * n}, count=15)
    found = check("unit", facts(device("meter", {"grid_power_w": 0.5}, recent=recent)))
    assert (found.state, found.fix) == ("failed", Fix("factor", "grid_power_w", 1000.0, SINCE))
    held_at_zero = facts(device("meter", {"grid_power_w": 0.5}, recent=recent), device("battery"))
    assert check("unit", held_at_zero).state == "ok"


def test_a_counter_in_kwh_is_seen_by_what_flows() -> None:
    recent = minutes(lambda n: {"pv_power_w": 4_000.0, "pv_energy_wh": 700 + 4_000 * n / 120 / 1000})
    found = check("unit", facts(device("inverter", {"pv_power_w": 4_000.0}, recent=recent)))
    assert (found.state, found.fix) == ("failed", Fix("factor", "pv_energy_wh", 1000.0, SINCE))


def test_a_counter_in_joules_is_seen_as_well() -> None:
    recent = minutes(lambda n: {"grid_power_w": 2_000.0, "import_energy_wh": 9e6 + 2_000 * n * 30})
    found = check("unit", facts(device("meter", {"grid_power_w": 2_000.0}, recent=recent)))
    assert found.fix == Fix("factor", "import_energy_wh", 1 / 3600, SINCE)


def test_a_counter_that_agrees_is_right() -> None:
    recent = minutes(lambda n: {"pv_power_w": 4_000.0, "pv_energy_wh": round(700 + 4_000 * n / 120)})
    assert check("unit", facts(device("inverter", {"pv_power_w": 4_000.0}, recent=recent))).state == "ok"


def test_unusual_voltages_are_said_and_not_judged() -> None:
    found = check("unit", facts(device("meter", {"grid_power_w": 500.0, "ac_voltage_v": 127.0})))
    assert (found.state, found.evidence["unusual_ac_voltage_v"]) == ("ok", 127.0)


def test_measures_that_the_profile_does_not_know_are_told() -> None:
    refused = [Refusal("unknown_measure", "profile meter has no measure 'grid_power_kw'", NOON)]
    found = check("unit", facts(device("meter", refusals=refused)))
    assert (found.state, found.evidence["reason"], found.fix) == ("failed", "unknown_measure", None)


# clock ------------------------------------------------------------------------------------------------------------


def clock(ahead_s: float) -> Check:
    recent = [Recent(at + round(ahead_s * 1000), at, {}) for at in range(NOON - 300_000, NOON, 30_000)]
    return check("clock", facts(device("meter", {"grid_power_w": 1.0}, recent=recent)))


@pytest.mark.parametrize(
    ("ahead_s", "reason", "value_s"),
    [
        (7_203, "time_zone", -7_200),
        (-3_590, "time_zone", 3_600),
        (95, "drift", -95),
        (-2_500, "drift", 2_500),
        (-20 * 365 * 86_400, "years", 20 * 365 * 86_400),
    ],
)
def test_a_wrong_clock_is_put_right_by_what_it_is_off(ahead_s: float, reason: str, value_s: float) -> None:
    found = clock(ahead_s)
    assert (found.state, found.evidence["reason"]) == ("failed", reason)
    assert found.fix == Fix("clock", "", value_s, SINCE - 60_000)


@given(st.floats(-60, 60))
def test_a_minute_is_near_enough(ahead_s: float) -> None:
    assert clock(ahead_s).state == "ok"


def test_what_is_refused_for_lying_in_the_future_is_a_clock_to_correct() -> None:
    refused = [Refusal("future_time", "…", NOON - 30_000, 7_201.0), Refusal("bad_value", "…", NOON)]
    found = check("clock", facts(device("meter", refusals=refused)))
    assert found.fix == Fix("clock", "", -7_200.0, SINCE - 60_000)
    cured = device("meter", {"grid_power_w": 1.0}, refusals=refused)
    assert check("clock", facts(cured)).state == "ok"


def test_a_gateway_that_passes_on_times_of_the_future_is_told_and_not_corrected() -> None:
    found = check("clock", facts(device("gateway", refusals=[Refusal("future_time", "…", NOON, 7_201.0)])))
    assert (found.state, found.fix) == ("failed", None)


def test_a_backlog_after_an_outage_is_no_wrong_clock() -> None:
    recent = [Recent(NOON - 9_000_000 + n * 900_000, NOON - 5_000 + n, {}) for n in range(9)]
    assert check("clock", facts(device("meter", {"grid_power_w": 1.0}, recent=recent))).state == "later"


# sun --------------------------------------------------------------------------------------------------------------


def test_no_power_in_bright_sun_is_a_breaker_or_a_shadow() -> None:
    found = check("sun", facts(device("inverter", {"pv_power_w": 0.0})))
    assert (found.state, found.evidence["reason"], found.fix) == ("failed", "no_power", None)


def test_more_than_the_sun_can_give_is_refused() -> None:
    found = check("sun", facts(device("inverter", {"pv_power_w": 11_000.0})))
    assert (found.state, found.evidence["reason"]) == ("failed", "too_much")


@given(st.floats(0.01, 1.0))
def test_clouds_are_allowed(share: float) -> None:
    light = check("sun", facts(GOOD_INVERTER)).evidence["clear_sky_power_w"]
    assert isinstance(light, float)
    assert check("sun", facts(device("inverter", {"pv_power_w": share * light}))).state == "ok"


def test_a_roof_to_the_north_gives_less_in_winter_and_is_judged_by_it() -> None:
    winter = NOON + 183 * DAY_MS
    north = [PvArray(6_000, 0, 45)]
    at = {"pv_power_w": 2_800.0}
    assert check("sun", facts(device("inverter", at, at=winter), now=winter)).state == "ok"
    turned = check("sun", facts(device("inverter", at, at=winter), now=winter, arrays=north))
    assert (turned.state, turned.evidence["reason"]) == ("failed", "too_much")


def test_at_night_the_sun_is_judged_later_and_it_says_when() -> None:
    found = check("sun", facts(device("inverter"), now=MIDNIGHT))
    again = found.evidence["again_at_ms"]
    assert found.state == "later"
    assert isinstance(again, int)
    assert elevation_deg(44.73, 5.02, again) >= 8


# the formulas -----------------------------------------------------------------------------------------------------


def test_a_flat_plane_gets_what_the_ground_gets() -> None:
    for height in (5.0, 20.0, 45.0, 67.0):
        flat = clear_plane_w_m2(height, 123.0, NOON, tilt_deg=0, facing_deg=180)
        assert flat == pytest.approx(clear_sky_ghi_w_m2(height))


def test_a_worked_example() -> None:
    """Solar noon at midsummer, 30° to the south.

    By hand: sin 68.7° = 0.9317, so 962 W/m² on the ground; clearness 962 / (1317 x 0.9317) = 0.784, so 16.5 % are diffuse;
    the sun stands 8.7° off the normal: 804 x 0.9885 / 0.9317 + 159 x 0.933 + 962 x 0.2 x 0.067 = 853 + 148 + 13 = 1,014.
    """
    height, direction = elevation_deg(44.73, 5.02, NOON + 100 * 60_000), azimuth_deg(44.73, 5.02, NOON + 100 * 60_000)
    assert height == pytest.approx(68.7, abs=0.3)
    assert direction == pytest.approx(180, abs=5)
    found = clear_plane_w_m2(height, direction, NOON, tilt_deg=30, facing_deg=180)
    assert found == pytest.approx(1_014, abs=3)


@given(st.floats(2, 90), st.floats(0, 360), st.floats(0, 90), st.floats(0, 360))
def test_no_plane_gets_more_beam_than_one_that_looks_at_the_sun(
    height: float, direction: float, tilt: float, facing: float
) -> None:
    found = clear_plane_w_m2(height, direction, NOON, tilt_deg=tilt, facing_deg=facing)
    assert 0 <= found <= clear_tracking_w_m2(height, NOON) + 0.2 * clear_sky_ghi_w_m2(height) + 300


# the tap ----------------------------------------------------------------------------------------------------------


def fixed(known: CommissioningFacts, fix: Fix) -> CommissioningFacts:
    """As after the tap: readings and times corrected."""
    judged = known.device
    correct = Corrector(judged.profile, [Correction("c", judged.device, fix.kind, fix.measure, fix.value, fix.from_at, 1)])

    def shown(at: UnixMs, values: Values, profile: DeviceProfile = judged.profile) -> Values:
        told = [values.get(channel) for channel in profile.channels]
        pairs = zip(profile.channels, correct.readings(at, told), strict=True)
        return {channel: value for channel, value in pairs if value is not None}

    recent = [
        Recent(one.at + correct.shift_ms(one.at, one.received_at), one.received_at, shown(one.at, one.values))
        for one in judged.recent
    ]
    assert judged.sample_at is not None
    sample_at = judged.sample_at + correct.shift_ms(judged.sample_at, judged.recent[-1].received_at)
    after = msgspec.structs.replace(
        judged, readings=shown(sample_at, judged.readings), sample_at=sample_at, recent=recent
    )  # fmt: skip
    return facts(after, *[other for other in known.devices if other.device != judged.device], now=known.now)


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("sign", facts(device("inverter", {"pv_power_w": -4_100.0}))),
        ("sign", facts(device("meter", {"grid_power_w": -900.0}, at=MIDNIGHT), device("inverter"), now=MIDNIGHT)),
        ("unit", facts(device("inverter", {"pv_power_w": 4.1}))),
        ("unit", facts(device("inverter", {"pv_power_w": 4_100_000.0}))),
        ("consumption", facts(device("meter", {"grid_power_w": -5_200.0}), GOOD_INVERTER)),
        ("clock", facts(device("meter", {"grid_power_w": 1.0}, recent=[Recent(NOON + 2 * HOUR_MS, NOON, {})]))),
    ],
)
def test_after_the_tap_the_check_is_passed(code: CheckCode, known: CommissioningFacts) -> None:
    failed = check(code, known)
    assert failed.fix is not None
    assert check(code, fixed(known, failed.fix)).state == "ok"


@given(
    st.sampled_from(["inverter", "meter", "battery"]),
    st.floats(-1e13, 1e13) | st.floats(-10, 10),
    st.floats(-1e13, 1e13),
    st.integers(0, 365 * 24),
)
def test_no_reading_breaks_a_check(kind: str, power: float, energy: float, hour: int) -> None:
    now = NOON + hour * HOUR_MS
    measures = profile(kind).channels
    values = {measure: power if "power" in measure else energy for measure in measures}
    recent = [
        Recent(now - n * 30_000, now - n * 30_000, {m: v * (1 + n / 10) for m, v in values.items()})
        for n in range(9, -1, -1)
    ]
    judged = device(kind, values, at=now, recent=recent)
    other = device("inverter" if kind != "inverter" else "meter", {"pv_power_w": 10.0, "grid_power_w": 5.0}, at=now)
    for found in checks(facts(judged, other, now=now)):
        assert found.fix is None or found.state == "failed"
