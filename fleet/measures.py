"""What can be measured: names that carry their unit, and how each of them behaves.

Signs: grid + import / − export; battery + charge / − discharge; production and load never negative.
"""

import re
from typing import Final

# Counters of a site, in the order in which a day stores them. All of them only ever grow, in Wh.
REGISTERS: Final = ("pv_energy_wh", "import_energy_wh", "export_energy_wh", "charge_energy_wh", "discharge_energy_wh")

# What a source tells instead of a counter that only grows, by register: energy of the interval that ends at the sample's
# time, and how long that is; or a counter that starts anew at each local midnight. INTERVAL_LENGTH is the length of all the
# intervals that one row of a file tells of; stored is each register's own, since import and export may come in two files.
INTERVAL_OF: Final = {register: register.replace("_energy_wh", "_interval_wh") for register in REGISTERS}
DAY_COUNTER_OF: Final = {register: register.replace("_energy_wh", "_day_energy_wh") for register in REGISTERS}
INTERVAL_LENGTH: Final = "interval_s"
LENGTH_OF: Final = {register: register.replace("_energy_wh", "_interval_s") for register in REGISTERS}

_PLAIN: Final = frozenset(
    (
        *REGISTERS,
        *INTERVAL_OF.values(),
        *DAY_COUNTER_OF.values(),
        INTERVAL_LENGTH,
        *LENGTH_OF.values(),
        "apparent_power_va",  # drawn from the grid; never a W
        "export_apparent_power_va",
        "reactive_power_var",
        "power_factor",
        "pv_power_w",
        "grid_power_w",
        "battery_power_w",
        "load_power_w",
        "battery_soc_pct",
        "ac_frequency_hz",
        "irradiance_w_m2",
        "module_temp_c",
        "ambient_temp_c",
        "inverter_temp_c",
        "state",
    )
)
_INDEXED: Final = re.compile(
    r"(?:ac_voltage_v|ac_current_a)(?:_l[123])?|dc_(?:voltage_v|current_a|power_w)_(?:[1-9]|[1-5][0-9])"
)


def is_measure(name: str) -> bool:
    """Whether the contract knows this measure; device profiles may list no other."""
    return name in _PLAIN or _INDEXED.fullmatch(name) is not None
