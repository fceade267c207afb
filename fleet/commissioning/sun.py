"""Does the power match what the sun allows at that moment?"""

from typing import Final, NamedTuple

from fleet.commissioning.facts import Check, CheckCode, CommissioningFacts, Evidence
from fleet.commissioning.plane import clear_plane_w_m2, clear_tracking_w_m2
from fleet.limits import SUN_WAKES_MIN_DEG
from fleet.sun import azimuth_deg, elevation_deg
from fleet.telemetry import UnixMs

PV_POWER: Final = "pv_power_w"
_ENHANCED: Final = 1.35  # cold panels, and for seconds clouds that mirror the sun beside it
_BOUND_SHARE_MIN: Final = 0.03  # of the peak power: what twilight may give on any plane
_BRIGHT_SHARE: Final = 0.1  # of the peak power: enough sun to judge by
_DEAD_SHARE: Final = 0.005  # of a clear sky's power; the thickest cloud leaves several per cent
_STALE_MIN_MS: Final = 300_000
_STEP_MS: Final = 300_000


class Sunlight(NamedTuple):
    """clear_w: of all arrays under a cloudless sky. bound_w: more is impossible."""

    elevation_deg: float
    azimuth_deg: float
    clear_w: float
    bound_w: float


def sunlight(facts: CommissioningFacts, at: UnixMs) -> Sunlight:
    height = elevation_deg(facts.latitude, facts.longitude, at)
    direction = azimuth_deg(facts.latitude, facts.longitude, at)
    peak_w = peak_power_w(facts)
    if facts.arrays:
        clear_w = sum(
            array.peak_power_w
            * clear_plane_w_m2(height, direction, at, tilt_deg=array.tilt_deg, facing_deg=array.azimuth_deg)
            / 1000
            for array in facts.arrays
        )
    else:
        clear_w = peak_w * clear_tracking_w_m2(height, at) / 1000
    return Sunlight(height, direction, clear_w, max(_ENHANCED * clear_w, _BOUND_SHARE_MIN * peak_w))


def peak_power_w(facts: CommissioningFacts) -> float:
    return sum(array.peak_power_w for array in facts.arrays) or facts.peak_power_w


def is_stale(facts: CommissioningFacts) -> bool:
    device = facts.device
    allowed_ms = max(_STALE_MIN_MS, 6_000 * device.profile.interval_s)
    return device.sample_at is None or facts.now - device.sample_at > allowed_ms


def sun_check(facts: CommissioningFacts) -> Check:
    """Clouds are allowed: only what is too much, and nothing at all in bright sun, is wrong."""
    device = facts.device
    if PV_POWER not in device.profile.index or peak_power_w(facts) <= 0:
        return Check("sun", "not_applicable")
    power_w = device.readings.get(PV_POWER)
    if power_w is None or device.sample_at is None or is_stale(facts):
        now = sunlight(facts, facts.now)
        if now.elevation_deg < SUN_WAKES_MIN_DEG and device.profile.sleeps_at_night:
            return dark("sun", facts, {"sun_elevation_deg": now.elevation_deg})
        return Check("sun", "waiting", {"reason": "not_heard_yet"})
    return _judged(facts, power_w, sunlight(facts, device.sample_at))


def _judged(facts: CommissioningFacts, power_w: float, light: Sunlight) -> Check:
    evidence: Evidence = {
        "pv_power_w": power_w,
        "clear_sky_power_w": light.clear_w,
        "bound_w": light.bound_w,
        "sun_elevation_deg": light.elevation_deg,
        "sun_azimuth_deg": light.azimuth_deg,
    }
    if abs(power_w) > light.bound_w:
        return Check("sun", "failed", {"reason": "too_much", **evidence})
    inverters = sum(PV_POWER in other.profile.index for other in facts.devices) or 1
    if light.elevation_deg < SUN_WAKES_MIN_DEG or light.clear_w < _BRIGHT_SHARE * peak_power_w(facts):
        return dark("sun", facts, evidence)
    if abs(power_w) < _DEAD_SHARE * light.clear_w / inverters:
        return Check("sun", "failed", {"reason": "no_power", **evidence})
    return Check("sun", "ok", evidence)


def dark(code: CheckCode, facts: CommissioningFacts, evidence: Evidence) -> Check:
    """It has to wait for the sun; says until when."""
    return Check(code, "later", {"reason": "dark", **evidence, "again_at_ms": _bright_at(facts)})


def _bright_at(facts: CommissioningFacts) -> UnixMs | None:
    """When there is sun enough to judge by; None when there is none within three days (a northern winter)."""
    enough_w = _BRIGHT_SHARE * peak_power_w(facts)
    for at in range(facts.now, facts.now + 3 * 86_400_000, _STEP_MS):
        if elevation_deg(facts.latitude, facts.longitude, at) >= SUN_WAKES_MIN_DEG:
            light = sunlight(facts, at)
            if light.clear_w >= enough_w:
                return at
    return None
