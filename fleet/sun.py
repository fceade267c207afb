"""Where the sun stands, and what a cloudless sky then gives. The one module that knows `astral`."""

from datetime import UTC, datetime
from math import exp, radians, sin

from astral import Observer
from astral.sun import azimuth, elevation

from fleet.telemetry import UnixMs


def elevation_deg(latitude: float, longitude: float, at: UnixMs) -> float:
    """Angle of the sun above the horizon, without refraction; negative at night. About 0.2° of change a minute."""
    return elevation(Observer(latitude, longitude), datetime.fromtimestamp(at / 1000, UTC), with_refraction=False)


def azimuth_deg(latitude: float, longitude: float, at: UnixMs) -> float:
    """Direction of the sun: 0 north, 90 east, 180 south."""
    return azimuth(Observer(latitude, longitude), datetime.fromtimestamp(at / 1000, UTC))


def clear_sky_ghi_w_m2(elevation_deg: float) -> float:
    """Global horizontal irradiance under a cloudless sky.

    Haurwitz, "Insolation in relation to cloudiness and cloud density", Journal of Meteorology 2 (1945):
    1098 · cos z · exp(−0.057 / cos z), where cos z = sin(elevation).
    """
    cos_zenith = sin(radians(elevation_deg))
    if cos_zenith <= 0.0:
        return 0.0
    return 1098.0 * cos_zenith * exp(-0.057 / cos_zenith)
