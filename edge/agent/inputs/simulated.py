"""Devices that nobody has to own: plausible by their profile, with faults for those who want to see the checks work."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from math import sin, tau
from pathlib import Path

import msgspec
import structlog

from edge.agent.inputs import Limit, Sink
from edge.agent.inputs.settings import SimulatedDevice, SimulatedSettings
from edge.agent.inputs.simulated_house import FREE, House, Powers, Registers, Told
from edge.obeying import EXPORT_LIMITED, EXPORT_MAX
from fleet.errors import BadInput, Unavailable
from fleet.measures import REGISTERS
from fleet.order_messages import ConfigValue
from fleet.profiles import DeviceProfile, shipped
from fleet.telemetry import Sample, UnixMs

log = structlog.get_logger()

_DEFAULT_CHILDREN = (SimulatedDevice("SIM-INVERTER-1", "inverter"), SimulatedDevice("SIM-METER-1", "meter"))
_MPPT, _SLEEPING = 4.0, 2.0  # SunSpec's operating states
_WAKES_AT_W = 5.0
# What its house obeys besides a limit of its power. Its voltage stays below any at which an inverter may leave the grid.
OBEYED = frozenset(
    (
        EXPORT_LIMITED,
        EXPORT_MAX,
        "overvoltage_trip_v",
        "battery_reserve_pct",
        "battery_full_pct",
        "charge_limit_pct",
        "discharge_limit_pct",
    )
)
Values = Mapping[str, ConfigValue]


class SimulatedInput:
    """The counters are on disk before anything is said of them: whatever is killed when, they never go back."""

    limit_problem = ""

    def __init__(
        self,
        settings: SimulatedSettings,
        profile: str,
        state_folder: Path,
        limit: Limit,
        configured: Callable[[], Values] = dict,
    ) -> None:
        """configured: what it shall be now. Raises BadInput (unknown_profile)."""
        self.name = settings.name
        self._limit = limit
        self._configured = configured
        self._settings = settings
        profiles = {each.id: each for each in shipped()}
        own = _profile(profiles, settings.profile or profile)
        children = settings.devices or (_DEFAULT_CHILDREN if own.kind == "gateway" else ())
        self._devices: list[tuple[str | None, DeviceProfile]] = [
            (child.serial, _profile(profiles, child.profile)) for child in children
        ] or [(None, own)]
        self._house = House(
            settings.peak_power_w,
            settings.load_power_w,
            settings.latitude,
            settings.longitude,
            settings.sun,
            any(device.kind == "battery" for _, device in self._devices),
        )
        self._file = state_folder / f"{settings.name}.registers.json"

    async def run(self, sink: Sink) -> None:
        """Raises Unavailable (state_folder) when its counters cannot be written."""
        registers = self._load()
        while True:
            began = time.monotonic()
            now = time.time_ns() // 1_000_000
            for source, sample in self.samples(registers, now):
                sink.samples([sample], source)
            await asyncio.sleep(max(self._settings.period_s - (time.monotonic() - began), 0.1))

    async def can_limit(self) -> bool:
        return True

    async def obey_limit(self) -> bool:
        """Its next reading does."""
        return True

    def samples(self, registers: Registers, now: UnixMs) -> list[tuple[str | None, Sample]]:
        """What each device says now: (source, sample). Moves the registers on and writes them down."""
        powers = self._house.advance(registers, now, told(self._limit.pct, self._configured()))
        self._save(registers)
        said = self._faulty(readings(powers, registers, now))
        t = now + round(self._settings.clock_offset_s * 1000)
        return [
            (source, Sample(t, {channel: said[channel] for channel in profile.channels if channel in said}))
            for source, profile in self._devices
        ]

    def _faulty(self, said: dict[str, float]) -> dict[str, float | None]:
        """As the installer's mistakes have it."""
        settings = self._settings
        if settings.reversed:
            said["grid_power_w"] = -said["grid_power_w"]
            said["import_energy_wh"], said["export_energy_wh"] = said["export_energy_wh"], said["import_energy_wh"]
        return {measure: round(value * self._scale(measure), 4) for measure, value in said.items()}

    def _scale(self, measure: str) -> float:
        if "_power_w" in measure:
            return self._settings.power_scale
        return self._settings.energy_scale if measure in REGISTERS else 1.0

    def _load(self) -> Registers:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Registers)
        except FileNotFoundError:
            return Registers()
        except (OSError, msgspec.DecodeError) as error:
            log.warning("registers_lost", input=self.name, file=str(self._file), error=str(error))
            return Registers()

    def _save(self, registers: Registers) -> None:
        """Whole or not at all: written aside, then renamed."""
        aside = self._file.with_suffix(".new")
        try:
            with aside.open("wb") as file:
                file.write(msgspec.json.encode(registers))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._file)
        except OSError as error:
            raise Unavailable("state_folder", f"{self._file} cannot be written: {error}") from None


def told(limit_pct: float | None, values: Values) -> Told:
    def number(key: str, otherwise: float) -> float:
        value = values.get(key)
        return float(value) if isinstance(value, int | float) else otherwise

    return Told(
        limit_pct,
        number(EXPORT_MAX, 0.0) if values.get(EXPORT_LIMITED) is True else None,
        number("battery_reserve_pct", FREE.reserve_pct),
        number("battery_full_pct", FREE.full_pct),
        number("charge_limit_pct", FREE.charge_pct),
        number("discharge_limit_pct", FREE.discharge_pct),
    )


def readings(powers: Powers, registers: Registers, now: UnixMs) -> dict[str, float]:
    """Everything that a device of this house might measure."""
    voltage_v = 232.0 + 2.0 * sin(tau * now / 540_000)
    awake = powers.pv > _WAKES_AT_W
    said = {
        "pv_power_w": powers.pv,
        "pv_energy_wh": float(int(registers.pv_energy_wh)),
        "grid_power_w": powers.grid,
        "import_energy_wh": float(int(registers.import_energy_wh)),
        "export_energy_wh": float(int(registers.export_energy_wh)),
        "battery_power_w": powers.battery,
        "battery_soc_pct": registers.soc_pct,
        "charge_energy_wh": float(int(registers.charge_energy_wh)),
        "discharge_energy_wh": float(int(registers.discharge_energy_wh)),
        "ac_voltage_v": voltage_v,
        "ac_current_a": powers.pv / voltage_v,
        "ac_frequency_hz": 50.0,
        "inverter_temp_c": 18.0 + powers.irradiance_w_m2 / 30.0,
        "irradiance_w_m2": powers.irradiance_w_m2,
        "ambient_temp_c": 18.0 + powers.irradiance_w_m2 / 200.0,
        "module_temp_c": 18.0 + powers.irradiance_w_m2 / 28.0,
        "state": _MPPT if awake else _SLEEPING,
    }
    for phase in (1, 2, 3):
        said[f"ac_voltage_v_l{phase}"] = voltage_v + phase / 2
        said[f"ac_current_a_l{phase}"] = powers.pv / voltage_v / 3
    for string in (1, 2):
        said[f"dc_voltage_v_{string}"] = 380.0 if awake else 0.0
        said[f"dc_current_a_{string}"] = powers.pv / 2 / 380.0
        said[f"dc_power_w_{string}"] = powers.pv / 2
    return said


def _profile(profiles: dict[str, DeviceProfile], wanted: str) -> DeviceProfile:
    profile = profiles.get(wanted)
    if profile is None:
        known = ", ".join(sorted(profiles))
        raise BadInput("unknown_profile", f"no shipped profile is called {wanted[:60]!r}; there are {known}")
    return profile
