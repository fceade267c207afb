"""SMA's channel names, which stand above the columns of newer files (and of SBFspot's), and what they measure.

Source: recorded CSV3 files and a line of a WebBox's; SBFspot's CSVexport.cpp for the names of its web-box heading; for the
older names, without dots, the WebBox's RPC answers as third parties recorded them. Strings share one name and are
told apart by their place, or by a letter in brackets: `DcMs.Watt`, `DcMs.Watt[B]`. Energies of the grid's meter are kept
apart from the yield; powers of one direction only are no grid power and are left out.
"""

import re
from typing import Final, NamedTuple

from fleet.codecs.files.units import unit_named, units_known


class Channel(NamedTuple):
    """unit: of the measure's kind, against which a column's own is held. numbered: one per string."""

    measure: str
    unit: str
    numbered: bool = False


_MEAN: Final = re.compile(r"\((?:Avg|Mean|avg|mean)\)$")
_LETTER: Final = re.compile(r"\[([A-Z])\]$")
_CHANNELS: Final = {
    "metering.totwhout": Channel("pv_energy_wh", "Wh"),
    "metering.dykwh": Channel("pv_day_energy_wh", "Wh"),
    "metering.gridms.totwhout": Channel("export_energy_wh", "Wh"),
    "metering.gridms.totwhin": Channel("import_energy_wh", "Wh"),
    "gridms.totw": Channel("pv_power_w", "W"),
    "gridms.totvar": Channel("reactive_power_var", "var"),
    "gridms.totpf": Channel("power_factor", ""),
    "gridms.hz": Channel("ac_frequency_hz", "Hz"),
    **{f"gridms.phv.phs{phase}": Channel(f"ac_voltage_v_l{line}", "V") for line, phase in enumerate("abc", 1)},
    **{f"gridms.a.phs{phase}": Channel(f"ac_current_a_l{line}", "A") for line, phase in enumerate("abc", 1)},
    "dcms.watt": Channel("dc_power_w_{n}", "W", numbered=True),
    "dcms.vol": Channel("dc_voltage_v_{n}", "V", numbered=True),
    "dcms.amp": Channel("dc_current_a_{n}", "A", numbered=True),
    "coolsys.tmpnom": Channel("inverter_temp_c", "°C"),
    "coolsys.cab.tmpval": Channel("inverter_temp_c", "°C"),
    "bat.chastt": Channel("battery_soc_pct", "%"),
    "env.totinsol": Channel("irradiance_w_m2", "W/m²"),
    "env.tmpval": Channel("ambient_temp_c", "°C"),
    "mdul.tmpval": Channel("module_temp_c", "°C"),
    # as inverters and sensors on the older WebBox's RS485 have them
    "e-total": Channel("pv_energy_wh", "Wh"),
    "pac": Channel("pv_power_w", "W"),
    "fac": Channel("ac_frequency_hz", "Hz"),
    "uac": Channel("ac_voltage_v", "V"),
    "upv-ist": Channel("dc_voltage_v_1", "V"),
    **{
        f"{string}.ms.{what}": Channel(f"dc_{measure}_{number}", unit)
        for number, string in enumerate("abc", 1)
        for what, measure, unit in (("watt", "power_w", "W"), ("vol", "voltage_v", "V"), ("amp", "current_a", "A"))
    },
    "intsolirr": Channel("irradiance_w_m2", "W/m²"),
    "tmpamb c": Channel("ambient_temp_c", "°C"),
    "tmpmdul c": Channel("module_temp_c", "°C"),
}


def is_channel(name: str) -> bool:
    """Whether it looks like one, known or not: localised labels have no dots between words."""
    return re.fullmatch(r"[A-Z][A-Za-z]+(?:\.[A-Z][A-Za-z]*)+(?:\[[A-Z]\])?(?: ?\(\w+\))?", name.strip()) is not None


def channel(name: str) -> tuple[Channel, int | None] | None:
    """The channel, and its string's number where the name tells it."""
    name = _MEAN.sub("", name.strip()).rstrip()
    letter = _LETTER.search(name)
    known = _CHANNELS.get(_LETTER.sub("", name).lower())
    if known is None:
        return None
    return known, ord(letter[1]) - ord("A") + 1 if letter is not None else None


def scale(known: Channel, unit: str) -> float | None:
    """None: the column's unit does not fit the channel."""
    named = unit_named(unit)
    if named is None:
        return 1.0
    base, factor = units_known()[named]
    return factor if base == known.unit else None
