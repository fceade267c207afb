from collections.abc import Collection

import msgspec
import pytest

from fleet.detectors import DETECTORS, NOTHING_HOLDS, RULES, Finding, Holding, Key, SiteFacts, detect
from fleet.device import DeviceTwin, Snapshot
from fleet.ids import DeviceId, SiteId
from fleet.limits import NEGATIVE_LOAD_AFTER_S, TOTAL_OUTAGE_AFTER_S
from fleet.profiles import DeviceProfile, shipped
from fleet.views import Health, HealthStatus, PowerFlow

PROFILES = {profile.id: profile for profile in shipped()}
NOW = 1_790_000_000_000
NOON_DEG, EVENING_DEG, NIGHT_DEG = 40.0, 9.0, -20.0


class Device(msgspec.Struct):
    id: DeviceId
    profile: DeviceProfile
    health: Health


def devices(**statuses: HealthStatus) -> list[Device]:
    """Named after their profile: inverter="ok"."""
    return [Device(DeviceId(name), PROFILES[name], Health(status, 7, "silent")) for name, status in statuses.items()]


def facts(
    at: list[Device],
    flow: PowerFlow,
    *,
    sun: float = NOON_DEG,
    now: int = NOW,
    open_keys: Collection[Key] = (),
    peak_w: float = 6000.0,
) -> SiteFacts:
    return SiteFacts(SiteId("site-1"), now, peak_w, sun, at, flow, open_keys)


def seen(site: SiteFacts) -> list[Finding]:
    return [finding for detector in DETECTORS for finding in detector(site)]


def rules(site: SiteFacts) -> list[str]:
    return [finding.rule for finding in seen(site) if finding.raises]


WELL = devices(inverter="ok", meter="ok")
RUNNING = PowerFlow(pv_power_w=3000.0, grid_power_w=-2500.0)
DEAD = PowerFlow(pv_power_w=0.0, grid_power_w=500.0)


def test_a_device_twin_is_what_detectors_ask_about() -> None:
    twin = DeviceTwin(DeviceId("inv-1"), "", None, PROFILES["inverter"], Snapshot(), Health("offline", 1, "silent"), NOW)
    site = SiteFacts(SiteId("site-1"), NOW, 6000.0, NIGHT_DEG, [twin], PowerFlow(), ())
    assert rules(site) == ["device_offline"]


def test_a_running_site_has_no_findings() -> None:
    assert seen(facts(WELL, RUNNING)) == []


def test_a_quiet_night_has_no_findings() -> None:
    night = PowerFlow(grid_power_w=300.0)
    assert seen(facts(devices(inverter="asleep", meter="ok"), night, sun=NIGHT_DEG)) == []


def test_every_offline_device_is_found_with_a_severity_of_its_kind() -> None:
    found = seen(facts(devices(inverter="ok", meter="offline", battery="offline"), RUNNING))
    assert [(finding.rule, finding.device, finding.severity) for finding in found if finding.rule == "device_offline"] == [
        ("device_offline", "meter", "warning"),
        ("device_offline", "battery", "warning"),
    ]
    assert found[0].evidence == {"kind": "meter", "reason": "silent", "since": 7}


def test_no_production_at_noon_is_an_outage() -> None:
    (finding,) = seen(facts(WELL, DEAD))
    assert (finding.rule, finding.severity, finding.evidence["cause"]) == ("total_outage", "critical", "no_power")
    assert finding.evidence["expected_power_w"] == pytest.approx(6000 * 0.25 * 0.6459, rel=0.01)


def test_a_dark_day_is_no_outage() -> None:
    assert seen(facts(WELL, PowerFlow(pv_power_w=100.0, grid_power_w=500.0))) == []


def test_an_inverter_that_falls_silent_by_day_is_an_outage_if_the_site_still_speaks() -> None:
    broken = devices(inverter="offline", meter="ok")
    outage = next(
        finding for finding in seen(facts(broken, PowerFlow(grid_power_w=500.0))) if finding.rule == "total_outage"
    )
    assert (outage.severity, outage.evidence["cause"]) == ("critical", "inverter_silent")


def test_a_site_that_is_silent_as_a_whole_may_only_have_lost_its_link() -> None:
    gone = devices(inverter="offline", meter="offline")
    outage = next(finding for finding in seen(facts(gone, PowerFlow())) if finding.rule == "total_outage")
    assert (outage.severity, outage.evidence["cause"]) == ("warning", "site_silent")


@pytest.mark.parametrize("sun", [EVENING_DEG, NIGHT_DEG])
def test_a_low_sun_raises_no_outage_but_ends_none_either(sun: float) -> None:
    assert seen(facts(WELL, DEAD, sun=sun)) == []
    (kept,) = seen(facts(WELL, DEAD, sun=sun, open_keys={("total_outage", "")}))
    assert not kept.raises


def test_a_reading_that_went_stale_ends_no_outage() -> None:
    (kept,) = [f for f in seen(facts(WELL, PowerFlow(), open_keys={("total_outage", "")})) if f.rule == "total_outage"]
    assert not kept.raises


def test_a_site_without_inverter_has_no_outage() -> None:
    assert seen(facts(devices(meter="ok"), PowerFlow(grid_power_w=100.0))) == []


def test_consumption_below_zero_is_impossible() -> None:
    (finding,) = seen(facts(WELL, PowerFlow(pv_power_w=2000.0, grid_power_w=-2600.0)))
    assert (finding.rule, finding.evidence["load_power_w"]) == ("impossible_consumption", -600.0)


def test_a_reversed_clamp_shows_at_night_as_well() -> None:
    night = PowerFlow(grid_power_w=-800.0)
    assert rules(facts(devices(inverter="asleep", meter="ok"), night, sun=NIGHT_DEG)) == ["impossible_consumption"]


def test_a_discharging_battery_may_export() -> None:
    battery = devices(inverter="ok", meter="ok", battery="ok")
    assert seen(facts(battery, PowerFlow(pv_power_w=2000.0, grid_power_w=-2600.0, battery_power_w=-1000.0))) == []


def test_consumption_is_not_judged_while_a_part_is_unknown() -> None:
    battery = devices(inverter="ok", meter="ok", battery="ok")
    unknown = PowerFlow(pv_power_w=2000.0, grid_power_w=-2600.0)
    assert seen(facts(battery, unknown)) == []
    (kept,) = seen(facts(battery, unknown, open_keys={("impossible_consumption", "")}))
    assert not kept.raises


def test_a_site_of_unknown_size_raises_nothing_by_share() -> None:
    assert seen(facts(WELL, PowerFlow(pv_power_w=0.0, grid_power_w=-1.0), peak_w=0.0)) == []


def test_every_detector_has_a_rule() -> None:
    assert {detector.__name__ for detector in DETECTORS} == set(RULES)


def rounds(*flows: PowerFlow, step_s: float = 60.0, holding: Holding = NOTHING_HOLDS) -> list[list[str]]:
    """What counts in each of several rounds, `step_s` apart."""
    counted = []
    for number, flow in enumerate(flows):
        found, holding = detect(facts(WELL, flow, now=NOW + int(number * step_s * 1000)), holding)
        counted.append([finding.rule for finding in found])
    return counted


def test_a_condition_counts_once_it_has_lasted() -> None:
    minutes = int(TOTAL_OUTAGE_AFTER_S // 60)
    counted = rounds(*[DEAD] * (minutes + 2))
    assert counted[:minutes] == [[]] * minutes
    assert counted[minutes:] == [["total_outage"], ["total_outage"]]


def test_a_condition_that_breaks_off_starts_again() -> None:
    minutes = int(TOTAL_OUTAGE_AFTER_S // 60)
    assert rounds(*[DEAD] * minutes, RUNNING, *[DEAD] * minutes) == [[]] * (2 * minutes + 1)


def test_a_cloud_edge_between_two_readings_is_no_reversed_clamp() -> None:
    odd = PowerFlow(pv_power_w=1000.0, grid_power_w=-2600.0)
    assert rounds(*[odd, RUNNING] * int(NEGATIVE_LOAD_AFTER_S)) == [[]] * int(2 * NEGATIVE_LOAD_AFTER_S)


def test_what_is_alerted_already_counts_at_once_so_that_a_restart_does_not_resolve_it() -> None:
    found, holding = detect(facts(WELL, DEAD, open_keys={("total_outage", "")}), NOTHING_HOLDS)
    assert [finding.rule for finding in found] == ["total_outage"]
    assert holding is NOTHING_HOLDS
