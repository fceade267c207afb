"""How much sun a clear sky would give: the shape that an outage's solar energy is assumed to have, and when it is night."""

from datetime import UTC, datetime
from functools import lru_cache, partial
from math import exp, radians, sin
from typing import Final

from astral import Observer
from astral.sun import elevation

from fleet.calendar import QUARTER_MS
from fleet.quarters import Weight

_DARK_BELOW_DEG: Final = 2.0  # inverters sleep before the sun has set


def clear_sky(latitude: float, longitude: float) -> Weight:
    """Quarter number → global horizontal irradiance at its middle, in whole W/m²; 0 at night.

    Haurwitz (1945): GHI = 1098 · sin(h) · exp(-0.057 / sin(h)). Positions count to a tenth of a degree, so that neighbours
    share what was computed.
    """
    return partial(_irradiance_w_m2, round(latitude, 1), round(longitude, 1))


@lru_cache(maxsize=32_768)
def _irradiance_w_m2(latitude: float, longitude: float, quarter: int) -> int:
    middle = datetime.fromtimestamp((quarter + 0.5) * QUARTER_MS / 1000, UTC)
    height_deg = elevation(Observer(latitude, longitude), middle, with_refraction=False)
    if height_deg < _DARK_BELOW_DEG:
        return 0
    height = sin(radians(height_deg))
    return round(1098 * height * exp(-0.057 / height))
