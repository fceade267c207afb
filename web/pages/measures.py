"""Measures and their values as people read them: "Production 4,31 kW" for pv_power_w."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.codecs.files.units import measured_in
from web.i18n import N_, say
from web.language import Language
from web.pages.figures import Figure, decimal, energy, power

_PLAIN: Final[Mapping[str, str]] = {
    "pv_power_w": N_("Production"),
    "pv_energy_wh": N_("Production, counter"),
    "grid_power_w": N_("Grid"),
    "import_energy_wh": N_("Import, counter"),
    "export_energy_wh": N_("Export, counter"),
    "battery_power_w": N_("Battery"),
    "charge_energy_wh": N_("Battery charge, counter"),
    "discharge_energy_wh": N_("Battery discharge, counter"),
    "load_power_w": N_("Consumption"),
    "pv_interval_wh": N_("Production of the interval"),
    "import_interval_wh": N_("Import of the interval"),
    "export_interval_wh": N_("Export of the interval"),
    "charge_interval_wh": N_("Battery charge of the interval"),
    "discharge_interval_wh": N_("Battery discharge of the interval"),
    "pv_day_energy_wh": N_("Production, counter of the day"),
    "import_day_energy_wh": N_("Import, counter of the day"),
    "export_day_energy_wh": N_("Export, counter of the day"),
    "charge_day_energy_wh": N_("Battery charge, counter of the day"),
    "discharge_day_energy_wh": N_("Battery discharge, counter of the day"),
    "interval_s": N_("Length of the interval"),
    "pv_interval_s": N_("Production, length of the interval"),
    "import_interval_s": N_("Import, length of the interval"),
    "export_interval_s": N_("Export, length of the interval"),
    "charge_interval_s": N_("Battery charge, length of the interval"),
    "discharge_interval_s": N_("Battery discharge, length of the interval"),
    "apparent_power_va": N_("Apparent power"),
    "export_apparent_power_va": N_("Apparent power, exported"),
    "reactive_power_var": N_("Reactive power"),
    "power_factor": N_("Power factor"),
    "battery_soc_pct": N_("State of charge"),
    "ac_voltage_v": N_("Voltage"),
    "ac_current_a": N_("Current"),
    "ac_frequency_hz": N_("Frequency"),
    "irradiance_w_m2": N_("Irradiance"),
    "module_temp_c": N_("Panel temperature"),
    "ambient_temp_c": N_("Air temperature"),
    "inverter_temp_c": N_("Inverter temperature"),
    "state": N_("State code"),
}
_INDEXED: Final[Mapping[str, str]] = {
    "ac_voltage_v": N_("Voltage"),
    "ac_current_a": N_("Current"),
    "dc_voltage_v": N_("String voltage"),
    "dc_current_a": N_("String current"),
    "dc_power_w": N_("String power"),
}
_WITH_INDEX: Final = re.compile(r"(?P<base>[a-z_]+?)_(?P<index>l?[0-9]+)")
_UNITS: Final = (
    ("_w_m2", "W/m²", 0),
    ("_power_va", "VA", 0),
    ("_power_var", "var", 0),
    ("power_factor", "", 2),
    ("interval_s", "s", 0),
    ("_hz", "Hz", 2),
    ("_soc_pct", "%", 0),
    ("_temp_c", "°C", 1),
    ("_voltage_v", "V", 1),
    ("_current_a", "A", 1),
)


class Reading(NamedTuple):
    measure: str
    label: str
    figure: Figure


def label(measure: str, language: Language) -> str:
    if measure in _PLAIN:
        return say(language, _PLAIN[measure])
    found = _WITH_INDEX.fullmatch(measure)
    if found is None or found["base"] not in _INDEXED:
        return measure
    base, index = _INDEXED[found["base"]], found["index"].upper()
    return f"{say(language, base)} {index}"


def figure(measure: str, value: float | None, language: Language) -> Figure:
    if value is None:
        return Figure("—", "")
    found = _WITH_INDEX.fullmatch(measure)
    base = found["base"] if found and measure not in _PLAIN else measure
    if base.endswith("_power_w"):
        return power(value, language)
    if base.endswith(("_energy_wh", "_interval_wh")):
        return energy(value, language)
    for ending, unit, digits in _UNITS:
        if base.endswith(ending):
            return Figure(decimal(value, digits, language), unit)
    return Figure(decimal(value, 0, language), "")


def unit_of(measure: str) -> str:
    """Of the numbers as they are stored; '' for one without."""
    return measured_in(measure)


def readings(values: Mapping[str, float], language: Language) -> list[Reading]:
    """Powers first, then what the interface knows by name in its order, then the rest by name."""
    order = {measure: place for place, measure in enumerate(sorted(_PLAIN, key=lambda name: not name.endswith("power_w")))}
    names = sorted(values, key=lambda name: (order.get(name, len(order)), name))
    return [Reading(name, label(name, language), figure(name, values[name], language)) for name in names]
