"""Sun, clouds and temperature over a site: pvlib's clear sky under made-up clouds that drift over the country.

Every value is a function of (seed, place, time). Neighbours see the same clouds, a little earlier or later.
"""

from typing import Final, NamedTuple

import numpy as np
from pvlib import atmosphere, clearsky, iam, irradiance, spa

from edge.noise import Floats, field_seed, noise

KM_PER_DEGREE: Final = 111.2
WIND_KM_H: Final = 30.0  # eastwards; carries the clouds
# Cloud fields: cell size in km, lifetime in hours, weight
FRONTS: Final = (350.0, 20.0)
BANKS: Final = (60.0, 4.0)
PUFFS: Final = (6.0, 0.6)
ALTITUDE_M: Final = 150.0
PRESSURE_PA: Final = 99_500.0  # at that altitude
YEAR_S: Final = 365.2425 * 86_400


class Place(NamedTuple):
    latitude: float
    longitude: float
    tilt_deg: float
    azimuth_deg: float


class Weather(NamedTuple):
    """Arrays of one length. irradiance_w_m2: what gets through the panels' glass, as a reference cell beside them tells."""

    irradiance_w_m2: Floats
    ambient_temp_c: Floats


class Sun(NamedTuple):
    """Arrays of one length. zenith_deg: as seen through the air that bends the light; extra_w_m2: above the atmosphere."""

    zenith_deg: Floats
    azimuth_deg: Floats
    extra_w_m2: Floats


def weather(seed: int, place: Place, at_s: Floats) -> Weather:
    """at_s: Unix seconds."""
    season = np.cos(2 * np.pi * (at_s / YEAR_S - 0.04))  # 1970 began in winter; coldest and cloudiest around 15 January
    cover = _cover(seed, place, at_s, season)
    return Weather(_plane_irradiance(seed, place, at_s, season, cover), _ambient(seed, place, at_s, season, cover))


def _cover(seed: int, place: Place, at_s: Floats, season: Floats) -> Floats:
    """Cloud cover 0..1: fronts, with banks within them; winter and the north have more."""
    mixed = 0.62 * _drifting(seed, "fronts", FRONTS, place, at_s) + 0.38 * _drifting(seed, "banks", BANKS, place, at_s)
    clear_below = 0.33 - 0.013 * (place.latitude - 43.0) - 0.06 * season
    return np.clip((mixed - clear_below) / 0.42, 0.0, 1.0)


def _drifting(seed: int, name: str, scale: tuple[float, float], place: Place, at_s: Floats) -> Floats:
    size_km, life_h = scale
    hours = at_s / 3600
    east_km = place.longitude * KM_PER_DEGREE * np.cos(np.radians(46.5)) - WIND_KM_H * hours
    north_km = np.full_like(at_s, place.latitude * KM_PER_DEGREE)
    return noise(field_seed(seed, name), east_km / size_km, north_km / size_km, hours / life_h)


def _plane_irradiance(seed: int, place: Place, at_s: Floats, season: Floats, cover: Floats) -> Floats:
    zenith_deg, azimuth_deg, extra = sun(place, at_s)
    up = zenith_deg < 89.5
    zenith = np.where(up, zenith_deg, 89.5)
    mass = atmosphere.get_absolute_airmass(atmosphere.get_relative_airmass(zenith), PRESSURE_PA)
    turbidity = 3.1 - 0.6 * season  # Linke: clear winter air, hazy summers
    sky = clearsky.ineichen(zenith, mass, turbidity, altitude=ALTITUDE_M, dni_extra=extra)
    # Under broken cloud the light flutters; its edges even add some. Under a closed cover a fifth to a third is left.
    flutter = 4 * cover * (1 - cover) * (_drifting(seed, "puffs", PUFFS, place, at_s) - 0.5)
    clearness = np.clip(1.0 - 0.74 * cover**1.5 + 0.8 * flutter, 0.08, 1.05)
    ghi = sky["ghi"] * clearness
    dni = sky["dni"] * np.clip((clearness - 0.25) / 0.75, 0.0, 1.0) ** 1.3
    dhi = np.maximum(ghi - dni * np.cos(np.radians(zenith)), 0.0)
    plane = irradiance.get_total_irradiance(place.tilt_deg, place.azimuth_deg, zenith, azimuth_deg, dni, ghi, dhi)
    incidence_deg = irradiance.aoi(place.tilt_deg, place.azimuth_deg, zenith, azimuth_deg)
    total = plane["poa_direct"] * iam.physical(incidence_deg) + plane["poa_diffuse"]  # glass mirrors grazing beams
    fade = np.clip((89.5 - zenith_deg) / 3.0, 0.0, 1.0)  # no step when the sun crosses the horizon
    return np.where(up, np.maximum(total, 0.0) * fade, 0.0)


def sun(place: Place, at_s: Floats) -> Sun:
    pressure_hpa = PRESSURE_PA / 100  # unlike pvlib's other functions, spa bends the light by hectopascals
    zenith, _, _, _, azimuth, _ = spa.solar_position(
        at_s, place.latitude, place.longitude, ALTITUDE_M, pressure_hpa, 12.0, 70.0, 0.5667
    )
    day = 2 * np.pi * (at_s / YEAR_S - 3 / 365)  # nearest to the sun about 3 January
    return Sun(zenith, azimuth, 1361.0 * (1 + 0.0334 * np.cos(day)))


def _ambient(seed: int, place: Place, at_s: Floats, season: Floats, cover: Floats) -> Floats:
    """°C: climate by latitude and season, warmest about 15 h solar time, clouds damp the day, air masses last for days."""
    hour = (at_s / 3600 + place.longitude / 15) % 24
    daily = (6.5 - 3.5 * cover) * np.cos(2 * np.pi * (hour - 15) / 24)
    mass = 9.0 * (noise(field_seed(seed, "air"), at_s / (4 * 86_400)) - 0.5)
    return 12.5 - 0.7 * (place.latitude - 46.5) - 7.5 * season + daily + mass
