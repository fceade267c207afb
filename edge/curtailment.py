"""What the inverters of one site do not produce because they were told so, and what the meter sees of that.

Between the model's grid points power runs straight, and a limit holds from one instant to another: the energy withheld is a
sum of triangles and trapezia, whenever it is asked for. Counters with it never run backwards.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from edge.noise import Floats
from edge.obeying import FULL_PCT
from edge.plan import GRID_MS
from edge.site_model import INVERTER_SHARE, MilliWattHours, SiteModel, SiteReadings
from fleet.ids import DeviceId
from fleet.telemetry import UnixMs

_MS_PER_H: Final = 3_600_000


class Limits(msgspec.Struct, frozen=True):
    """Of one inverter, in % of its rated power: what its configuration says, and a command until its end.

    export_max_w: what the site may give to the grid; None: whatever is left.
    """

    own_pct: float = FULL_PCT
    held_pct: float = FULL_PCT
    held_until: UnixMs = 0
    export_max_w: float | None = None

    def bind(self, at: UnixMs) -> bool:
        return self.at(at) < FULL_PCT or self.export_max_w is not None

    def at(self, at: UnixMs) -> float:
        return min(self.own_pct, self.held_pct) if at < self.held_until else self.own_pct


class Withheld(msgspec.Struct):
    """Up to `at`, since the first limit at `begun` (0: there never was one). Energies in mWh: not produced by each inverter,
    drawn from the grid on top, and not given to it.
    """

    begun: UnixMs = 0
    at: UnixMs = 0
    limits: dict[DeviceId, Limits] = {}
    produced_mwh: dict[DeviceId, float] = {}
    import_mwh: float = 0.0
    export_mwh: float = 0.0


class Curtailment:
    """inverters: those of the site; they share its roof equally. held: from the time before this process."""

    def __init__(self, model: SiteModel, inverters: Iterable[DeviceId], held: Withheld | None = None) -> None:
        self.held = held or Withheld()
        self._model = model
        self._inverters = tuple(inverters)
        self._share = 1 / max(len(self._inverters), 1)
        self._rated_w = INVERTER_SHARE * model.site.peak_power_w * self._share

    @property
    def began(self) -> bool:
        """Before that, nothing is changed, and nothing has to be kept."""
        return self.held.begun > 0

    def limits(self, device: DeviceId) -> Limits:
        return self.held.limits.get(device, Limits())

    def limit(self, device: DeviceId, limits: Limits, now: UnixMs) -> None:
        """From now on. For a device that is no inverter of this site: nothing."""
        if device not in self._inverters or limits == self.limits(device):
            return
        if not self.began:
            self.held.begun = self.held.at = now
        self.advance(now)
        self.held.limits[device] = limits

    def advance(self, now: UnixMs) -> None:
        """Counts what was withheld up to now. A clock that went back changes nothing."""
        held = self.held
        if not self.began or now <= held.at:
            return
        ends = [each.held_until for each in held.limits.values() if held.at < each.held_until < now]
        first = held.at // GRID_MS + 1
        times = sorted({held.at, now, *ends, *range(first * GRID_MS, now, GRID_MS)})
        if any(limits.bind(held.at) for limits in held.limits.values()):
            readings = self._model.read(times)
            for step in range(len(times) - 1):
                self._count(times[step], times[step + 1], readings, step)
        held.at = now

    def shown(self, device: DeviceId, at: UnixMs, readings: SiteReadings) -> SiteReadings:
        """The site at `at`, as this device sees it. What lies before the first limit is as it was."""
        held = self.held
        if not self.began or at < held.begun:
            return readings
        self.advance(at)
        withheld_w = {
            each: float(self._withheld_w(each, at, readings.pv_power_w, readings.grid_power_w)[0])
            for each in self._inverters
        }
        if device in withheld_w:
            pv_w = readings.pv_power_w - withheld_w[device] / self._share
            pv_mwh = _added(readings.pv_mwh, -held.produced_mwh.get(device, 0.0) / self._share)
        else:
            pv_w = readings.pv_power_w - sum(withheld_w.values())
            pv_mwh = _added(readings.pv_mwh, -sum(held.produced_mwh.values()))
        return readings._replace(
            pv_power_w=pv_w,
            pv_mwh=pv_mwh,
            grid_power_w=readings.grid_power_w + sum(withheld_w.values()),
            import_mwh=_added(readings.import_mwh, held.import_mwh),
            export_mwh=_added(readings.export_mwh, -held.export_mwh),
        )

    def _cap_w(self, device: DeviceId, at: UnixMs) -> float:
        return self._rated_w * self.limits(device).at(at) / FULL_PCT

    def _withheld_w(self, device: DeviceId, at: UnixMs, pv_w: Floats, grid_w: Floats) -> Floats:
        """Of its share of the site's production. Of what would be exported too much, each takes its share back."""
        most_w = self.limits(device).export_max_w
        too_much_w = np.zeros_like(pv_w) if most_w is None else np.minimum(-grid_w - most_w, pv_w)
        return np.maximum(np.maximum(self._share * pv_w - self._cap_w(device, at), self._share * too_much_w), 0.0)

    def _bends(self, at: UnixMs, pv_w: Floats, grid_w: Floats) -> list[float]:
        """Where on the way something begins to be withheld, or another limit takes over; as shares of the way."""
        places = []
        for device in self._inverters:
            cap_w, most_w = self._cap_w(device, at) / self._share, self.limits(device).export_max_w
            places.append(_crossing(pv_w, cap_w))
            if most_w is not None:
                places += [_crossing(grid_w, -most_w), _crossing(grid_w + pv_w, cap_w - most_w)]
                places.append(_crossing(grid_w + pv_w, -most_w))
        return places

    def _count(self, begin: UnixMs, end: UnixMs, readings: SiteReadings, step: int) -> None:
        """One stretch in which every power runs straight and every limit stands still.

        Nobody withholds more than the model's own counters, which are rounded, have grown by meanwhile.
        """
        pv_w = readings.pv_power_w[step : step + 2]
        grid_w = readings.grid_power_w[step : step + 2]
        places = np.unique(np.clip([0.0, 1.0, *self._bends(begin, pv_w, grid_w)], 0.0, 1.0))
        hours = np.diff(places) * (end - begin) / _MS_PER_H
        pv = pv_w[0] + (pv_w[1] - pv_w[0]) * places
        grid = grid_w[0] + (grid_w[1] - grid_w[0]) * places
        grown_mwh = float(readings.pv_mwh[step + 1] - readings.pv_mwh[step]) * self._share
        withheld_w = np.zeros_like(pv)
        for device in self._inverters:
            own_w = self._withheld_w(device, begin, pv, grid)
            withheld_w += own_w
            added_mwh = min(_above_zero_mwh(own_w, hours), grown_mwh)
            self.held.produced_mwh[device] = self.held.produced_mwh.get(device, 0.0) + added_mwh
        less_mwh = _above_zero_mwh(-grid, hours) - _above_zero_mwh(-grid - withheld_w, hours)
        exported_mwh = float(readings.export_mwh[step + 1] - readings.export_mwh[step])
        self.held.export_mwh += min(max(less_mwh, 0.0), exported_mwh)
        self.held.import_mwh += max(_above_zero_mwh(grid + withheld_w, hours) - _above_zero_mwh(grid, hours), 0.0)


def _added(counter_mwh: MilliWattHours | Floats, more_mwh: float) -> Floats:
    return np.asarray(counter_mwh + more_mwh, dtype=np.float64)


def _crossing(power_w: Floats, cap_w: float) -> float:
    """Where on its straight way it meets the cap, as a share of the way; outside of 0 to 1 when it does not."""
    rise_w = float(power_w[1] - power_w[0])
    return (cap_w - float(power_w[0])) / rise_w if rise_w else 0.0


def _above_zero_mwh(power_w: Floats, hours: Floats) -> float:
    """Of a power that runs straight between its points, hours apart."""
    start, end = power_w[:-1], power_w[1:]
    high, low = np.maximum(start, end), np.minimum(start, end)
    crossing = np.where((high > 0) & (low < 0), high - low, 1.0)
    mean_w = np.where(low >= 0, (high + low) / 2, np.where(high > 0, high * high / (2 * crossing), 0.0))
    return float(np.sum(mean_w * hours) * 1000)
