"""How much sun a clear sky would give: the shape that an outage's solar energy is assumed to have, and when it is night."""

from functools import lru_cache, partial
from typing import Final

from fleet.calendar import QUARTER_MS
from fleet.energy.quarters import Weight
from fleet.sun import clear_sky_ghi_w_m2, elevation_deg

_DARK_BELOW_DEG: Final = 2.0  # inverters sleep before the sun has set


def clear_sky(latitude: float, longitude: float) -> Weight:
    """Quarter number → global horizontal irradiance at its middle, in whole W/m²; 0 at night.

    Positions count to a tenth of a degree, so that neighbours share what was computed.
    """
    return partial(_irradiance_w_m2, round(latitude, 1), round(longitude, 1))


@lru_cache(maxsize=32_768)
def _irradiance_w_m2(latitude: float, longitude: float, quarter: int) -> int:
    height_deg = elevation_deg(latitude, longitude, quarter * QUARTER_MS + QUARTER_MS // 2)
    return 0 if height_deg < _DARK_BELOW_DEG else round(clear_sky_ghi_w_m2(height_deg))
