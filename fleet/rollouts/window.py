"""Whether a device may be told now, as far as the sun is concerned."""

from datetime import datetime

import msgspec

from fleet.calendar import zone
from fleet.limits import ROLLOUT_POWER_AGE_S_MAX
from fleet.rollouts.plan import SolarWindow
from fleet.sun import clear_sky_ghi_w_m2, elevation_deg
from fleet.telemetry import UnixMs


class SiteNow(msgspec.Struct, frozen=True):
    """pv_power_w: what the site's devices last said that they produce, together; power_at: the oldest of these."""

    latitude: float
    longitude: float
    timezone: str
    peak_power_w: float
    pv_power_w: float | None = None
    power_at: UnixMs | None = None


def share_of_peak_pct(site: SiteNow, now: UnixMs) -> float:
    """Of production now. Where nobody has said so lately: what a cloudless sky would give, which is rarely less."""
    known = site.pv_power_w is not None and site.power_at is not None
    if known and now - (site.power_at or 0) <= ROLLOUT_POWER_AGE_S_MAX * 1000 and site.peak_power_w > 0:
        return (site.pv_power_w or 0.0) / site.peak_power_w * 100.0
    return clear_sky_ghi_w_m2(elevation_deg(site.latitude, site.longitude, now)) / 10.0  # peak power is at 1000 W/m²


def is_open(window: SolarWindow | None, site: SiteNow, now: UnixMs) -> bool:
    if window is None:
        return True
    if window.from_hour is not None and window.until_hour is not None:
        local = datetime.fromtimestamp(now / 1000, zone(site.timezone))
        hour = local.hour + local.minute / 60 + local.second / 3600
        start, end = window.from_hour, window.until_hour
        if not (start <= hour < end if start < end else hour >= start or hour < end):
            return False
    limit = window.max_share_of_peak_pct
    return limit is None or share_of_peak_pct(site, now) < limit
