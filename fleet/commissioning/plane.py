"""What a cloudless sky gives on a tilted plane, from where the sun stands. No tables and no clock."""

from datetime import UTC, datetime
from math import cos, pi, radians, sin
from typing import Final

from fleet.sun import clear_sky_ghi_w_m2
from fleet.telemetry import UnixMs

_SOLAR_CONSTANT_W_M2: Final = 1361.0  # Kopp and Lean, Geophysical Research Letters 38 (2011)
_GROUND_ALBEDO: Final = 0.2  # grass, tiles, soil: the value that Liu and Jordan take


def clear_plane_w_m2(elevation_deg: float, azimuth_deg: float, at: UnixMs, *, tilt_deg: float, facing_deg: float) -> float:
    """Irradiance on a plane that faces facing_deg (180 south) and leans by tilt_deg (0 flat), in W/m².

    Global horizontal irradiance by Haurwitz (see fleet.sun), split into beam and diffuse by Erbs, Klein and Duffie (Solar
    Energy 28, 1982), and brought onto the plane under an isotropic sky by Liu and Jordan (Solar Energy 7, 1963):
    beam · cos θ / sin h + diffuse · (1 + cos β) / 2 + global · albedo · (1 - cos β) / 2.
    """
    if elevation_deg <= 0:
        return 0.0
    height, tilt = radians(elevation_deg), radians(tilt_deg)
    global_w_m2 = clear_sky_ghi_w_m2(elevation_deg)
    diffuse_w_m2 = global_w_m2 * _diffuse_share(global_w_m2 / (_extraterrestrial_w_m2(at) * sin(height)))
    incidence = sin(height) * cos(tilt) + cos(height) * sin(tilt) * cos(radians(azimuth_deg - facing_deg))
    beam_w_m2 = (global_w_m2 - diffuse_w_m2) * max(incidence, 0.0) / sin(height)
    reflected_w_m2 = global_w_m2 * _GROUND_ALBEDO * (1 - cos(tilt)) / 2
    return beam_w_m2 + diffuse_w_m2 * (1 + cos(tilt)) / 2 + reflected_w_m2


def clear_tracking_w_m2(elevation_deg: float, at: UnixMs) -> float:
    """The same on a plane that looks straight at the sun: no other one gets more of its beam."""
    return clear_plane_w_m2(elevation_deg, 180.0, at, tilt_deg=90.0 - elevation_deg, facing_deg=180.0)


def _extraterrestrial_w_m2(at: UnixMs) -> float:
    """On a plane across the sun's rays; the earth's orbit makes ± 3.3 % (Duffie and Beckman, equation 1.4.1a)."""
    day = datetime.fromtimestamp(at / 1000, UTC).timetuple().tm_yday
    return _SOLAR_CONSTANT_W_M2 * (1 + 0.033 * cos(2 * pi * day / 365))


def _diffuse_share(clearness: float) -> float:
    """Of the global irradiance, by the sky's clearness index (Erbs, Klein and Duffie 1982)."""
    k = clearness
    if k <= 0.22:
        return 1 - 0.09 * k
    if k <= 0.8:
        return 0.9511 - 0.1604 * k + 4.388 * k**2 - 16.638 * k**3 + 12.336 * k**4
    return 0.165
