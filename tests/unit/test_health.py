from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.health import device_health, revoked_health, silence_limit_ms, site_health
from fleet.ids import DeviceId
from fleet.limits import FIRST_CONTACT_S, RESTART_GRACE_S
from fleet.profiles import DeviceProfile, shipped
from fleet.views import HEALTH_ORDER, Health, HealthStatus

PROFILES = {profile.id: profile for profile in shipped()}
INVERTER, METER = PROFILES["inverter"], PROFILES["meter"]
QUARTERLY = DeviceProfile("logger", "inverter", "", "", ("pv_power_w",), (), 900.0, True)
NOW = 1_790_000_000_000
DAY_DEG, NIGHT_DEG = 30.0, -20.0
MINUTE = 60_000


def judged(
    previous: Health | None = None,
    *,
    profile: DeviceProfile = METER,
    interval_s: float | None = None,
    created_at: int | None = None,
    seen_at: int | None = NOW,
    online: bool = True,
    sun: float = DAY_DEG,
    grace_until: int = 0,
    now: int = NOW,
) -> Health:
    return device_health(
        previous,
        profile=profile,
        interval_s=profile.interval_s if interval_s is None else interval_s,
        created_at=created_at,
        seen_at=seen_at,
        online=online,
        sun_elevation_deg=sun,
        grace_until=grace_until,
        now=now,
    )


def was(status: HealthStatus, reason: str = "before") -> Health:
    return Health(status, NOW - 10 * MINUTE, reason)


def test_what_speaks_is_ok() -> None:
    assert judged() == Health("ok", NOW, "reporting")


def test_silence_counts_after_three_intervals_and_at_least_a_minute() -> None:
    assert silence_limit_ms(METER.interval_s) == 60_000
    assert silence_limit_ms(QUARTERLY.interval_s) == 2_700_000
    assert judged(was("ok"), seen_at=NOW - 60_000).status == "ok"
    assert judged(was("ok"), seen_at=NOW - 60_001) == Health("offline", NOW, "silent")
    assert judged(was("ok"), profile=QUARTERLY, seen_at=NOW - 44 * MINUTE).status == "ok"
    assert judged(was("ok"), interval_s=3_600.0, seen_at=NOW - 179 * MINUTE).status == "ok"  # it was told to be so rare
    assert judged(was("ok"), interval_s=3_600.0, seen_at=NOW - 181 * MINUTE).status == "offline"


def test_a_good_bye_is_silence_once_the_limit_is_over() -> None:
    before = was("ok")
    assert judged(before, online=False, seen_at=NOW - 30_000) is before
    assert judged(before, online=False, seen_at=NOW - 61_000) == Health("offline", NOW, "disconnected")


@given(seen_ago_ms=st.integers(0, 86_400_000), online=st.booleans(), sun=st.floats(-90, 7.9))
def test_an_inverter_is_never_called_offline_while_the_sun_is_low(seen_ago_ms: int, online: bool, sun: float) -> None:
    for previous in (None, was("ok"), was("asleep"), was("unknown")):
        assert judged(previous, profile=INVERTER, seen_at=NOW - seen_ago_ms, online=online, sun=sun).status in (
            "ok",
            "asleep",
        )


def test_a_meter_does_not_sleep() -> None:
    assert judged(was("ok"), seen_at=NOW - 5 * MINUTE, sun=NIGHT_DEG).status == "offline"


def test_an_inverter_that_says_good_night_sleeps_at_once() -> None:
    assert judged(was("ok"), profile=INVERTER, online=False, sun=NIGHT_DEG) == Health("asleep", NOW, "night")


def test_an_inverter_has_time_after_sunrise() -> None:
    asleep = was("asleep")
    assert judged(asleep, profile=INVERTER, seen_at=NOW - 600 * MINUTE, sun=4.0) is asleep
    assert judged(asleep, profile=INVERTER, seen_at=NOW - 600 * MINUTE, sun=9.0).status == "offline"
    assert judged(asleep, profile=INVERTER, sun=4.0).status == "ok"


def test_what_broke_by_day_stays_offline_through_the_night() -> None:
    broken = was("offline", "silent")
    assert judged(broken, profile=INVERTER, seen_at=NOW - 600 * MINUTE, sun=NIGHT_DEG) is broken
    assert judged(broken, profile=INVERTER).status == "ok"


def test_a_device_that_never_spoke_is_unknown_for_the_installers_day() -> None:
    assert judged(seen_at=None, online=False) == Health("unknown", NOW, "never_seen")
    assert judged(seen_at=None, online=False, created_at=NOW - MINUTE).status == "unknown"
    long_ago = int(NOW - FIRST_CONTACT_S * 1000 - 1)
    assert judged(was("unknown"), seen_at=None, online=False, created_at=long_ago) == Health("offline", NOW, "never_seen")


devices = st.tuples(
    st.sampled_from([INVERTER, METER, QUARTERLY]),
    st.sampled_from([None, *(was(status) for status in HEALTH_ORDER)]),
    st.one_of(st.none(), st.integers(0, NOW)),
    st.booleans(),
    st.floats(-90, 90),
)


@given(devices)
def test_nobody_newly_becomes_offline_after_a_restart(
    device: tuple[DeviceProfile, Health | None, int | None, bool, float],
) -> None:
    profile, previous, seen_at, online, sun = device
    health = judged(
        previous, profile=profile, created_at=0, seen_at=seen_at, online=online, sun=sun, grace_until=NOW + 1, now=NOW
    )
    assert health.status != "offline" or previous is health


def test_after_the_grace_a_rare_reporter_still_has_its_own_time() -> None:
    started = NOW - int(RESTART_GRACE_S * 1000)
    away = {"seen_at": NOW - 600 * MINUTE, "grace_until": NOW}
    assert judged(was("ok"), **away).status == "offline"  # type: ignore[arg-type]
    assert judged(was("ok"), profile=QUARTERLY, **away).status == "ok"  # type: ignore[arg-type]
    assert judged(was("ok"), profile=QUARTERLY, now=started + 46 * MINUTE, **away).status == "offline"  # type: ignore[arg-type]


def test_without_memory_a_restart_says_that_it_does_not_know_yet() -> None:
    assert judged(None, seen_at=NOW - 600 * MINUTE, grace_until=NOW + 1) == Health("unknown", NOW, "not_heard_yet")


@given(devices, st.integers(0, NOW))
def test_judging_twice_changes_nothing(
    device: tuple[DeviceProfile, Health | None, int | None, bool, float], grace: int
) -> None:
    profile, previous, seen_at, online, sun = device
    once = judged(previous, profile=profile, seen_at=seen_at, online=online, sun=sun, grace_until=grace)
    assert judged(once, profile=profile, seen_at=seen_at, online=online, sun=sun, grace_until=grace) is once


@given(devices)
def test_since_moves_only_with_the_status(device: tuple[DeviceProfile, Health | None, int | None, bool, float]) -> None:
    profile, previous, seen_at, online, sun = device
    health = judged(previous, profile=profile, seen_at=seen_at, online=online, sun=sun)
    if previous is not None and health.status == previous.status:
        assert health.since == previous.since
    else:
        assert health.since == NOW


def test_a_night_and_a_morning_of_an_inverter() -> None:
    """Sun from 20° in the afternoon down and up again, one round a minute; it speaks while the sun is above 5°."""
    health, seen_at, statuses = None, NOW, []
    for minute in range(1200):
        now = NOW + minute * MINUTE
        sun = 20.0 * (abs(minute - 600) / 300 - 1)
        if sun > 5.0:
            seen_at = now
        health = judged(health, profile=INVERTER, seen_at=seen_at, sun=sun, now=now)
        statuses.append(health.status)
    changes = [after for before, after in pairwise(statuses) if before != after]
    assert (statuses[0], changes) == ("ok", ["asleep", "ok"])


def site(previous: Health | None, **devices: Health) -> Health:
    return site_health(previous, [(DeviceId(name), health) for name, health in devices.items()], NOW)


def test_a_site_is_as_well_as_its_worst_device() -> None:
    assert site(None, a=was("ok", "reporting"), b=was("ok", "reporting")) == Health("ok", NOW, "reporting")
    assert site(None, a=was("ok"), b=was("offline", "silent"), c=was("asleep")) == Health("offline", NOW, "silent:b")
    assert site(None) == Health("unknown", NOW, "no_devices")


def test_of_several_bad_devices_the_first_to_become_so_is_named() -> None:
    early, late = Health("offline", 1, "silent"), Health("offline", 2, "disconnected")
    assert site(None, a=late, b=early, c=late).reason == "silent:b"


def test_a_site_changes_its_reason_without_starting_anew() -> None:
    before = Health("offline", 5, "silent:a")
    assert site(before, a=was("ok"), b=was("offline", "silent")) == Health("offline", 5, "silent:b")
    assert site(before, a=was("offline", "silent"), b=was("ok")) is before


@pytest.mark.parametrize("status", HEALTH_ORDER)
def test_a_site_of_one_device_has_its_status(status: HealthStatus) -> None:
    assert site(None, only=was(status)).status == status


def test_the_silence_of_a_revoked_device_is_no_fault() -> None:
    for before in (None, was("ok"), was("offline"), was("unknown")):
        found = revoked_health(before, NOW)
        assert found == Health("unknown", NOW, "revoked")
        assert revoked_health(found, NOW + MINUTE) is found


def test_the_hardware_after_it_has_a_day_for_its_first_word() -> None:
    found = judged(was("unknown", "revoked"), seen_at=NOW - 60 * MINUTE)
    assert found == Health("unknown", NOW, "never_seen")
    day = round(FIRST_CONTACT_S * 1000)
    assert judged(found, seen_at=NOW - 60 * MINUTE, now=NOW + day) is found
    assert judged(found, seen_at=NOW - 60 * MINUTE, now=NOW + day + 1).status == "offline"
    assert judged(found, seen_at=NOW + MINUTE, now=NOW + MINUTE).status == "ok"
