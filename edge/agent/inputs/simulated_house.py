"""A house with panels, a load and perhaps a battery, as a function of time: for a device that nobody has to own.

Power depends on the instant alone, so that several simulated devices of one site agree, also across processes.
"""

from datetime import UTC, datetime
from math import asin, cos, degrees, exp, pi, radians, sin, tau
from typing import Literal

import msgspec

from fleet.telemetry import UnixMs

_NOON_ELEVATION_DEG = 62.0
_SYSTEM_SHARE = 0.85  # of what the panels would give in a laboratory: heat, wires, inverter
_BATTERY_WH = 10_000.0
_BATTERY_W_MAX = 3_000.0
_STEP_MS = 60_000  # of the integration over a time without the process
_CATCH_UP_MS = 7 * 86_400_000  # a simulation that rested longer takes up where it is


class Powers(msgspec.Struct, frozen=True):
    """In W. grid + import / − export; battery + charge / − discharge; pv and load never negative."""

    pv: float
    load: float
    battery: float
    irradiance_w_m2: float

    @property
    def grid(self) -> float:
        return self.load + self.battery - self.pv


class Registers(msgspec.Struct):
    """Counters in Wh, which only grow, and the battery's charge, as they were at `at` (0: never)."""

    at: UnixMs = 0
    pv_energy_wh: float = 1_204_300.0
    import_energy_wh: float = 3_518_200.0
    export_energy_wh: float = 640_700.0
    charge_energy_wh: float = 310_400.0
    discharge_energy_wh: float = 287_900.0
    soc_pct: float = 55.0


class Told(msgspec.Struct, frozen=True):
    """What the house was told to be; shares are of peak power, and of the battery's own greatest power. None: no limit."""

    limit_pct: float | None = None
    export_max_w: float | None = None
    reserve_pct: float = 5.0
    full_pct: float = 100.0
    charge_pct: float = 100.0
    discharge_pct: float = 100.0


FREE = Told()


class House(msgspec.Struct, frozen=True):
    peak_power_w: float
    load_power_w: float
    latitude: float
    longitude: float
    sun: Literal["now", "noon"]
    battery: bool

    def powers(self, at: UnixMs, soc_pct: float, told: Told = FREE) -> Powers:
        irradiance = clear_sky_w_m2(self._elevation_deg(at)) * _passing_clouds(at)
        limit_share = 1.0 if told.limit_pct is None else told.limit_pct / 100.0
        pv = self.peak_power_w * min(_SYSTEM_SHARE * irradiance / 1000.0, limit_share)
        load = self.load_power_w * _habits(at)
        battery = _battery_w(load - pv, soc_pct, told) if self.battery else 0.0
        if told.export_max_w is not None:
            pv = min(pv, load + battery + told.export_max_w)
        return Powers(pv, load, battery, irradiance)

    def advance(self, registers: Registers, now: UnixMs, told: Told = FREE) -> Powers:
        """Lets the counters grow up to now; returns the powers then. A clock that went back adds nothing."""
        start = registers.at if registers.at > 0 and now - registers.at <= _CATCH_UP_MS else now
        while start < now:
            step_ms = min(_STEP_MS, now - start)
            _count(registers, self.powers(start + step_ms // 2, registers.soc_pct, told), step_ms / 3_600_000)
            start += step_ms
        registers.at = max(registers.at, now)
        return self.powers(now, registers.soc_pct, told)

    def _elevation_deg(self, at: UnixMs) -> float:
        return _NOON_ELEVATION_DEG if self.sun == "noon" else elevation_deg(self.latitude, self.longitude, at)


def elevation_deg(latitude: float, longitude: float, at: UnixMs) -> float:
    """Height of the sun, to within five degrees: Cooper's declination (Solar Energy 12, 1969) and the mean sun's hour."""
    time = datetime.fromtimestamp(at / 1000, UTC)
    declination = radians(23.45) * sin(tau * (284 + time.timetuple().tm_yday) / 365)
    hour = time.hour + time.minute / 60 + time.second / 3600 + longitude / 15
    hour_angle = pi * (hour - 12) / 12
    place = radians(latitude)
    return degrees(asin(sin(place) * sin(declination) + cos(place) * cos(declination) * cos(hour_angle)))


def clear_sky_w_m2(elevation: float) -> float:
    """Haurwitz (Journal of Meteorology 2, 1945): 1098 · sin(h) · exp(−0.057 / sin(h))."""
    height = sin(radians(elevation))
    return 0.0 if height <= 0 else 1098.0 * height * exp(-0.057 / height)


def _passing_clouds(at: UnixMs) -> float:
    """Share of the clear sky, 0.85 to 1: two slow waves that do not repeat together."""
    return 0.925 + 0.05 * sin(tau * at / 1_380_000) + 0.025 * sin(tau * at / 317_000)


def _habits(at: UnixMs) -> float:
    """Times the mean load, 0.6 to 1.4: the fridge, and more in the evening than at night."""
    day_share = at % 86_400_000 / 86_400_000
    return 1.0 + 0.25 * sin(tau * (day_share - 0.5)) + 0.15 * sin(tau * at / 1_740_000)


def _battery_w(demand_w: float, soc_pct: float, told: Told) -> float:
    """Takes half of a surplus, gives half of a want."""
    if demand_w < 0 and soc_pct < told.full_pct:
        return min(-demand_w / 2, _BATTERY_W_MAX * told.charge_pct / 100.0)
    if demand_w > 0 and soc_pct > told.reserve_pct:
        return -min(demand_w / 2, _BATTERY_W_MAX * told.discharge_pct / 100.0)
    return 0.0


def _count(registers: Registers, powers: Powers, hours: float) -> None:
    registers.pv_energy_wh += powers.pv * hours
    registers.import_energy_wh += max(powers.grid, 0.0) * hours
    registers.export_energy_wh += max(-powers.grid, 0.0) * hours
    registers.charge_energy_wh += max(powers.battery, 0.0) * hours
    registers.discharge_energy_wh += max(-powers.battery, 0.0) * hours
    registers.soc_pct += powers.battery * hours / _BATTERY_WH * 100
