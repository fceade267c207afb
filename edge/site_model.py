"""One simulated site: powers, counters and battery as functions of time alone.

Powers are known at grid points every five minutes and run straight in between; every counter is the exact integral of its
power since the plan's history_from. The battery has a memory, so the site is computed forward in blocks: what it was at the
start of each block is kept, the blocks themselves are made again when asked for. History and live values are one function.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pvlib import inverter, pvsystem, temperature

from edge import battery
from edge.household import load_power_w
from edge.noise import Floats
from edge.plan import GRID_MS
from edge.weather import Place, weather
from fleet.fleet_plan import PlannedSite
from fleet.telemetry import UnixMs

BLOCK_STEPS: Final = 1152  # four days: large enough for numpy, small enough to keep for a thousand sites (~100 KB)
BLOCKS_KEPT: Final = 2
INVERTER_SHARE: Final = 0.92  # the inverters' AC rating over the panels' peak power: bright cool noons are clipped
DC_LOSSES: Final = 0.06  # soiling, cables, mismatch
LOW_LIGHT: Final = 0.005  # Marion's k: at 200 W/m² panels give 2.5 % less than in proportion to the light
TEMPERATURE_PER_C: Final = -0.0036

Interval = tuple[UnixMs, UnixMs]
MilliWattHours = npt.NDArray[np.int64]


class SiteReadings(NamedTuple):
    """Arrays of one length. Powers in W with the platform's signs, counters in mWh since history_from: whole ones, but where
    something was withheld.
    """

    pv_power_w: Floats
    load_power_w: Floats
    battery_power_w: Floats
    grid_power_w: Floats
    pv_mwh: MilliWattHours | Floats
    import_mwh: MilliWattHours | Floats
    export_mwh: MilliWattHours | Floats
    charge_mwh: MilliWattHours | Floats
    discharge_mwh: MilliWattHours | Floats
    irradiance_w_m2: Floats
    ambient_temp_c: Floats


class _Checkpoint(NamedTuple):
    """A site at the start of a block: the battery's power, and the five counters in mWh."""

    battery_power_w: float
    counters_mwh: tuple[int, int, int, int, int]


class _Block(NamedTuple):
    """Values at BLOCK_STEPS + 1 grid points, the last of which is the first of the next block."""

    powers_w: Floats  # rows: pv, load, battery, grid
    counters_mwh: MilliWattHours  # rows: pv, import, export, charge, discharge
    weather: Floats  # rows: irradiance, ambient temperature


class SiteModel:
    """Raises ValueError when asked about a time before history_from."""

    def __init__(self, site: PlannedSite, *, seed: int, history_from: UnixMs, outages: Iterable[Interval] = ()) -> None:
        self.site = site
        self._seed = seed
        self._from = history_from
        self._outages = tuple(outages)  # the inverters produce nothing in these intervals
        self._place = Place(site.latitude, site.longitude, site.tilt_deg, site.azimuth_deg)
        self._checkpoints = [_Checkpoint(0.0, (0, 0, 0, 0, 0))]
        self._blocks: dict[int, _Block] = {}

    def read(self, at_ms: Sequence[UnixMs]) -> SiteReadings:
        """The site at these times (ascending)."""
        times = np.asarray(at_ms, dtype=np.int64) - self._from
        if times.size and times[0] < 0:
            raise ValueError("the site was not in service yet")
        numbers = times // (BLOCK_STEPS * GRID_MS)
        parts = [
            self._inside(self._block(int(number)), times[numbers == number] - number * BLOCK_STEPS * GRID_MS)
            for number in np.unique(numbers)
        ]
        return SiteReadings(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def catch_up(self, at: UnixMs) -> Iterator[int]:
        """Computes the blocks up to this time one by one, so that the caller can do something else in between."""
        for number in range(len(self._checkpoints) - 1, max(at - self._from, 0) // (BLOCK_STEPS * GRID_MS) + 1):
            self._block(number)
            yield number

    def soc_pct(self, readings: SiteReadings) -> Floats:
        """State of charge that goes with the battery's counters."""
        capacity_wh = self.site.battery_wh or 1.0
        moved_mwh = battery.CHARGE_EFFICIENCY * readings.charge_mwh - readings.discharge_mwh / battery.DISCHARGE_EFFICIENCY
        return 100 * np.clip(battery.START_SHARE + moved_mwh / 1000 / capacity_wh, 0.0, 1.0)

    def _inside(self, block: _Block, elapsed_ms: npt.NDArray[np.int64]) -> SiteReadings:
        step, into_ms = np.divmod(elapsed_ms, GRID_MS)
        share = into_ms / GRID_MS
        start, end = block.powers_w[:, step], block.powers_w[:, step + 1]
        now = start + (end - start) * share
        pv, load, stored, grid = now
        since_mwh = np.rint(_register_wh(start, now) * share * 1000).astype(np.int64)
        counters = np.minimum(block.counters_mwh[:, step] + since_mwh, block.counters_mwh[:, step + 1])
        sky = block.weather[:, step] + (block.weather[:, step + 1] - block.weather[:, step]) * share
        return SiteReadings(pv, load, stored, grid, *counters, *sky)

    def _block(self, number: int) -> _Block:
        while len(self._checkpoints) <= number:
            self._make(len(self._checkpoints) - 1)
        return self._blocks.get(number) or self._make(number)

    def _make(self, number: int) -> _Block:
        start = self._checkpoints[number]
        at_s = (self._from + (number * BLOCK_STEPS + np.arange(BLOCK_STEPS + 1)) * GRID_MS) / 1000
        sky = weather(self._seed, self._place, at_s)
        pv = self._production(at_s, sky.irradiance_w_m2, sky.ambient_temp_c)
        load = load_power_w(self._seed, self.site, at_s)
        stored = self._store(pv - load, start)
        powers = np.vstack((pv, load, stored, load + stored - pv))
        steps_mwh = np.rint(_register_wh(powers[:, :-1], powers[:, 1:]) * 1000).astype(np.int64)
        counters = np.zeros((5, BLOCK_STEPS + 1), dtype=np.int64)
        np.cumsum(steps_mwh, axis=1, out=counters[:, 1:])
        counters += np.array(start.counters_mwh, dtype=np.int64)[:, None]
        block = _Block(powers, counters, np.vstack(sky))
        if len(self._checkpoints) == number + 1:
            after = [int(counter) for counter in counters[:, -1]]
            self._checkpoints.append(_Checkpoint(float(stored[-1]), (after[0], after[1], after[2], after[3], after[4])))
        if len(self._blocks) >= BLOCKS_KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block
        return block

    def _production(self, at_s: Floats, irradiance_w_m2: Floats, ambient_temp_c: Floats) -> Floats:
        """AC power, PVWatts' formulas: panel temperature, inverter efficiency, clipping."""
        peak_w = self.site.peak_power_w
        panel_c = temperature.faiman(irradiance_w_m2, ambient_temp_c, 2.0)
        panels_w = pvsystem.pvwatts_dc(irradiance_w_m2, panel_c, peak_w, TEMPERATURE_PER_C, k=LOW_LIGHT, cap_adjustment=True)
        direct_w = panels_w * (1 - DC_LOSSES)
        with np.errstate(divide="ignore", invalid="ignore"):  # PVWatts divides by the power, also at night
            power_w = inverter.pvwatts(direct_w, INVERTER_SHARE * peak_w / 0.96, 0.96)
        power_w = np.where(direct_w > 0.002 * peak_w, np.nan_to_num(np.maximum(power_w, 0.0)), 0.0)
        for begin, end in self._outages:
            power_w = np.where((at_s * 1000 >= begin) & (at_s * 1000 < end), 0.0, power_w)
        return np.asarray(power_w)

    def _store(self, surplus_w: Floats, start: _Checkpoint) -> Floats:
        if self.site.battery_wh is None:
            return np.zeros_like(surplus_w)
        charged, discharged = start.counters_mwh[3:]
        return np.array(battery.run(self.site.battery_wh, surplus_w.tolist(), start.battery_power_w, charged, discharged))


def _register_wh(start_w: Floats, end_w: Floats) -> Floats:
    """Rows pv, load, battery, grid → the five registers' energies of a whole grid step that runs straight between them."""
    pv, _, stored, grid = zip(start_w, end_w, strict=True)
    return np.vstack((_above_zero(*pv), _above_zero(*grid), _below_zero(*grid), _above_zero(*stored), _below_zero(*stored)))


def _above_zero(start_w: Floats, end_w: Floats) -> Floats:
    high, low = np.maximum(start_w, end_w), np.minimum(start_w, end_w)
    crossing = np.where((high > 0) & (low < 0), high - low, 1.0)
    mean_w = np.where(low >= 0, (high + low) / 2, np.where(high > 0, high * high / (2 * crossing), 0.0))
    return mean_w * battery.STEP_H


def _below_zero(start_w: Floats, end_w: Floats) -> Floats:
    return _above_zero(-start_w, -end_w)
