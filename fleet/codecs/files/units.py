"""Units as files write them, and what one of them is in the unit of our measures: fleet.codecs.units in files' words."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fleet.codecs.units import Quantity, unit_of

_OURS: Final[Mapping[Quantity, tuple[str, float]]] = {
    "power": ("W", 1.0), "energy": ("Wh", 1.0), "apparent": ("VA", 1.0), "reactive": ("var", 1.0), "voltage": ("V", 1.0),
    "current": ("A", 1.0), "frequency": ("Hz", 1.0), "temperature": ("°C", 1.0), "irradiance": ("W/m²", 1.0),
    "ratio": ("%", 100.0),
}  # fmt: skip
_SHOWN: Final = (
    "Wh", "kWh", "MWh", "GWh", "J", "kJ", "MJ", "W", "kW", "MW", "mW", "VA", "kVA", "var", "kvar", "V", "kV", "mV", "A",
    "mA", "Hz", "%", "°C", "W/m²",
)  # fmt: skip
_UNITS: Final = {
    **{name: (_OURS[unit.quantity][0], unit.factor * _OURS[unit.quantity][1]) for name in _SHOWN if (unit := unit_of(name))},
    "MVA": ("VA", 1e6),
    "Mvar": ("var", 1e6),
    "kA": ("A", 1e3),
    "mHz": ("Hz", 1e-3),
    "kW/m²": ("W/m²", 1e3),
    "s": ("s", 1.0),
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
}
_OTHER_WORDS: Final = {
    "watt": "W", "watts": "W", "kilowatt": "kW", "watt-hour": "Wh", "watthours": "Wh", "wattstunden": "Wh",
    "volt": "V", "volts": "V", "amp": "A", "amps": "A", "ampere": "A", "hertz": "Hz", "degc": "°C", "c": "°C", "cel": "°C",
    "℃": "°C", "ºc": "°C", "deg c": "°C", "w/m2": "W/m²", "w/m^2": "W/m²", "wm-2": "W/m²", "w/qm": "W/m²", "kw/m2": "kW/m²",
    "pct": "%", "percent": "%", "sec": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min", "mn": "min",
    "hour": "h", "hours": "h", "std": "h", "vac": "V", "vdc": "V", "aac": "A", "adc": "A", "kw.h": "kWh", "kw/h": "kWh",
    "kw h": "kWh", "kilowattstunden": "kWh", "w.h": "Wh",
    "mw": "MW", "mj": "MJ", "mvar": "Mvar",  # nothing of a plant is told in mW
}  # fmt: skip
_BY_LOWER: Final = {
    **{name.lower(): name for name in reversed(_SHOWN)},
    **{name.lower(): name for name in _UNITS},
    **_OTHER_WORDS,
}
_AROUND: Final = " \t[](){}\"'"
_SUFFIXES: Final = (
    ("_w_m2", "W/m²"), ("_wh", "Wh"), ("_w", "W"), ("_va", "VA"), ("_var", "var"), ("_v", "V"), ("_a", "A"), ("_hz", "Hz"),
    ("_pct", "%"), ("_c", "°C"), ("_s", "s"),
)  # fmt: skip
_PHASE: Final = re.compile(r"_(?:l[123]|[0-9]{1,2})$")


def units_known() -> Mapping[str, tuple[str, float]]:
    """Unit → (unit of our measures, how many of it)."""
    return MappingProxyType(_UNITS)


def unit_named(text: str) -> str | None:
    """'[kWh]', 'Watt', 'KWH', 'kVAr' → as in units_known. None: no unit that is known."""
    text = text.strip(_AROUND)
    return text if text in _UNITS else _BY_LOWER.get(text.lower())


def measured_in(measure: str) -> str:
    """The unit that a measure's name ends in; '' for one without (state, power_factor)."""
    name = _PHASE.sub("", measure)
    return next((unit for suffix, unit in _SUFFIXES if name.endswith(suffix)), "")


def scale_to(measure: str, unit: str, *, mean_power: bool = False) -> float | None:
    """How many of the measure's unit one such unit is; 1 where the file has none. None: it is no unit of it (VA is no W).

    mean_power: power is told of an interval whose energy is measured.
    """
    if not unit.strip(_AROUND):
        return 1.0
    known = unit_named(unit)
    if known is None:
        return None
    base, scale = _UNITS[known]
    if measure == "power_factor" and base == "%":
        return 0.01
    return scale if base == ("W" if mean_power else measured_in(measure)) else None
