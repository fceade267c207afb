"""What each device of a site would show of the site's truth: one array per channel of its profile."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from edge.curtailment import Curtailment
from edge.noise import Floats, bell, field_seed
from edge.site_model import SiteModel, SiteReadings
from fleet.fleet_plan import PlannedDevice, PlannedSite
from fleet.profiles import DeviceProfile
from fleet.telemetry import Sample, UnixMs

STATE_STANDBY, STATE_PRODUCING = 0.0, 1.0
PRODUCING_W_MIN: Final = 1.0
STRING_VOLTAGE_V: Final = {"home": 380.0, "farm": 720.0, "school": 680.0, "public": 680.0}
DC_TO_AC_EFFICIENCY: Final = 0.96

# How many decimals a device of that unit shows
_DECIMALS: Final = {"_w": 1, "_wh": 0, "_v": 1, "_a": 2, "_c": 1, "_pct": 1, "_hz": 3, "_m2": 0}


class View(NamedTuple):
    """One device's view: `share` of the site's production when several inverters share the roof."""

    site: PlannedSite
    share: float
    seed: int
    at_s: Floats
    readings: SiteReadings
    soc_pct: Floats


class DeviceModel:
    """Makes samples of one device, for any times. Raises ValueError for times before the plan's history_from."""

    def __init__(self, model: SiteModel, device: PlannedDevice, profile: DeviceProfile, *, seed: int) -> None:
        siblings = [other.id for other in model.site.devices if other.profile_id == device.profile_id]
        self.site = model.site
        self.device = device
        self.profile = profile
        self._model = model
        self._share = 1 / max(len(siblings), 1)
        self._seed = field_seed(seed, device.id)

    def samples(self, at_ms: Sequence[UnixMs]) -> list[Sample]:
        """One sample with every channel of the profile for each time (ascending)."""
        return self.shown(at_ms, self._model.read(at_ms)) if at_ms else []

    def shown(self, at_ms: Sequence[UnixMs], readings: SiteReadings) -> list[Sample]:
        """The same from the site's readings at these times, for those who ask several devices."""
        at_s = np.asarray(at_ms, dtype=np.float64) / 1000
        view = View(self.site, self._share, self._seed, at_s, readings, self._model.soc_pct(readings))
        columns = [_shown(channel, _value(channel, view)).tolist() for channel in self.profile.channels]
        channels = self.profile.channels
        rows = zip(at_ms, zip(*columns, strict=True), strict=True)
        return [Sample(at, dict(zip(channels, row, strict=True))) for at, row in rows]

    def sample(self, at: UnixMs, curtailment: Curtailment | None = None) -> Sample:
        """curtailment: what the site's inverters were told not to produce."""
        readings = self._model.read([at])
        return self.shown([at], curtailment.shown(self.device.id, at, readings) if curtailment else readings)[0]


def _shown(channel: str, values: Floats) -> Floats:
    unit = channel.rstrip("0123456789").removesuffix("_").rpartition("_")[2]
    return np.round(values, _DECIMALS.get(f"_{unit}", 0))


def _value(channel: str, view: View) -> Floats:
    """Raises KeyError for a channel that no simulated device has."""
    base = channel.rstrip("0123456789").removesuffix("_") if channel.startswith("dc_") else channel
    return _CHANNELS[base](view)


def _ac_voltage(view: View) -> Floats:
    """Feeding in lifts the voltage at the end of the line."""
    lift = 4.0 * -view.readings.grid_power_w / max(view.site.peak_power_w, 1.0)
    return 232.0 + lift + 1.5 * bell(view.seed, view.at_s / 240)


def _dc_voltage(view: View) -> Floats:
    """Falls with the panels' temperature; a little daylight is enough to raise it, the night takes it away."""
    light = np.clip(view.readings.irradiance_w_m2 / 40, 0.0, 1.0)
    return STRING_VOLTAGE_V[view.site.use] * light * (1 - 0.0028 * (_module_temp(view) - 25))


def _dc_power(view: View) -> Floats:
    return view.share * view.readings.pv_power_w / DC_TO_AC_EFFICIENCY


def _dc_current(view: View) -> Floats:
    return _dc_power(view) / np.maximum(_dc_voltage(view), 50.0)


def _module_temp(view: View) -> Floats:
    return view.readings.ambient_temp_c + view.readings.irradiance_w_m2 * 0.028


def _inverter_temp(view: View) -> Floats:
    return view.readings.ambient_temp_c + 4 + 26 * view.readings.pv_power_w / max(view.site.peak_power_w, 1.0)


def _state(view: View) -> Floats:
    return np.where(view.readings.pv_power_w > PRODUCING_W_MIN, STATE_PRODUCING, STATE_STANDBY)


# A shared counter is cut down, not rounded: it must never run ahead of itself.
_CHANNELS: Final[dict[str, Callable[[View], Floats]]] = {
    "pv_power_w": lambda view: view.share * view.readings.pv_power_w,
    "pv_energy_wh": lambda view: np.floor(view.share * view.readings.pv_mwh / 1000),
    "grid_power_w": lambda view: view.readings.grid_power_w,
    "import_energy_wh": lambda view: np.floor(view.readings.import_mwh / 1000),
    "export_energy_wh": lambda view: np.floor(view.readings.export_mwh / 1000),
    "battery_power_w": lambda view: view.readings.battery_power_w,
    "battery_soc_pct": lambda view: view.soc_pct,
    "charge_energy_wh": lambda view: np.floor(view.readings.charge_mwh / 1000),
    "discharge_energy_wh": lambda view: np.floor(view.readings.discharge_mwh / 1000),
    "load_power_w": lambda view: view.readings.load_power_w,
    "ac_voltage_v": _ac_voltage,
    "ac_frequency_hz": lambda view: 50.0 + 0.015 * bell(7, view.at_s / 20),  # one grid: the same everywhere
    "dc_voltage_v": _dc_voltage,
    "dc_current_a": _dc_current,
    "dc_power_w": _dc_power,
    "irradiance_w_m2": lambda view: view.readings.irradiance_w_m2,
    "module_temp_c": _module_temp,
    "ambient_temp_c": lambda view: view.readings.ambient_temp_c,
    "inverter_temp_c": _inverter_temp,
    "state": _state,
}
