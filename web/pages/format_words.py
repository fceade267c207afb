"""What the columns of a file can be, what is wrong with a described format and what is doubtful about a guess: in words."""

from collections.abc import Mapping
from typing import Final

from web.i18n import N_, say
from web.language import Language
from web.pages import measures

# In the order in which people look for them. ':mean_power': power told over an interval whose energy is stored.
_GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        N_("Production"),
        ("pv_power_w", "pv_energy_wh", "pv_day_energy_wh", "pv_interval_wh", "pv_interval_wh:mean_power"),
    ),
    (
        N_("Grid"),
        (
            "grid_power_w",
            "import_energy_wh",
            "import_day_energy_wh",
            "import_interval_wh",
            "import_interval_wh:mean_power",
            "export_energy_wh",
            "export_day_energy_wh",
            "export_interval_wh",
            "export_interval_wh:mean_power",
        ),
    ),
    (N_("Consumption"), ("load_power_w",)),
    (
        N_("Battery"),
        (
            "battery_power_w",
            "battery_soc_pct",
            "charge_energy_wh",
            "charge_day_energy_wh",
            "charge_interval_wh",
            "discharge_energy_wh",
            "discharge_day_energy_wh",
            "discharge_interval_wh",
        ),
    ),
    (N_("Weather"), ("irradiance_w_m2", "module_temp_c", "ambient_temp_c", "inverter_temp_c")),
    (
        N_("Electricity"),
        (
            "ac_voltage_v",
            "ac_voltage_v_l1",
            "ac_voltage_v_l2",
            "ac_voltage_v_l3",
            "ac_current_a",
            "ac_current_a_l1",
            "ac_current_a_l2",
            "ac_current_a_l3",
            "ac_frequency_hz",
            "apparent_power_va",
            "export_apparent_power_va",
            "reactive_power_var",
            "power_factor",
        ),
    ),
    (
        N_("Strings"),
        tuple(f"dc_{what}_{index}" for index in range(1, 13) for what in ("voltage_v", "current_a", "power_w")),
    ),
    (N_("Other"), ("state", "interval_s")),
)
_PRECISE: Final[Mapping[str, str]] = {
    "pv_power_w": N_("Production: power"),
    "pv_energy_wh": N_("Production: counter that only grows"),
    "pv_day_energy_wh": N_("Production: counter that restarts each day"),
    "pv_interval_wh": N_("Production: energy of each interval"),
    "pv_interval_wh:mean_power": N_("Production: mean power of each interval"),
    "grid_power_w": N_("Grid: power, + drawn, − fed in"),
    "import_energy_wh": N_("Drawn: counter that only grows"),
    "import_day_energy_wh": N_("Drawn: counter that restarts each day"),
    "import_interval_wh": N_("Drawn: energy of each interval"),
    "import_interval_wh:mean_power": N_("Drawn: mean power of each interval"),
    "export_energy_wh": N_("Fed in: counter that only grows"),
    "export_day_energy_wh": N_("Fed in: counter that restarts each day"),
    "export_interval_wh": N_("Fed in: energy of each interval"),
    "export_interval_wh:mean_power": N_("Fed in: mean power of each interval"),
    "load_power_w": N_("Consumption: power"),
    "battery_power_w": N_("Battery: power, + charge, − discharge"),
    "charge_energy_wh": N_("Charge: counter that only grows"),
    "charge_day_energy_wh": N_("Charge: counter that restarts each day"),
    "charge_interval_wh": N_("Charge: energy of each interval"),
    "discharge_energy_wh": N_("Discharge: counter that only grows"),
    "discharge_day_energy_wh": N_("Discharge: counter that restarts each day"),
    "discharge_interval_wh": N_("Discharge: energy of each interval"),
}
_FAULTS: Final[Mapping[str, str]] = {
    "no_time": N_("Say which column holds the date."),
    "no_measures": N_("Say of one column at least what it measures."),
    "unknown_measure": N_("This is nothing that can be measured here."),
    "wrong_kind": N_("This kind of figure does not go with what is measured."),
    "wrong_unit": N_("This unit does not go with what is measured: a VA is no W, and a W no Wh."),
    "bad_factor": N_("The factor is a number, and not 0."),
    "bad_pattern": N_("The date's pattern is not understood: write it like dd/MM/yyyy HH:mm."),
    "unknown_zone": N_("This time zone is not known."),
    "needs_position": N_("Without a line of headings, columns are counted: choose them again."),
    "bad_delimiter": N_("This sign cannot stand between cells."),
    "bad_format": N_("These choices do not make a format: check each of them."),
}
_DOUBTS: Final[Mapping[str, str]] = {
    "no_time_column": N_("Nothing looks like a date: choose the column that holds it."),
    "no_measures": N_("No column was understood: say what each one measures."),
    "unknown_columns": N_("Some columns were not understood: they are left out unless you say what they measure."),
    "no_unit": N_("A power or an energy comes without a unit: W or Wh was assumed. Compare with what you know of the site."),
    "ambiguous_date": N_("Day and month cannot be told apart: choose their order."),
    "unknown_stamp": N_("Does a time name the beginning or the end of its interval? The end was assumed."),
    "mean_power": N_("A power of one direction was taken for the mean of each interval."),
    "same_measure": N_("Several columns measure the same: they are added up, as of tariffs or phases."),
    "ambiguous_decimal": N_("In numbers such as 1.234 the point may be a decimal mark or part thousands: check one."),
    "reads_nothing": N_("Read so, the lines shown give no reading yet."),
}


def measure_groups(language: Language) -> list[tuple[str, list[tuple[str, str]]]]:
    """(group, [(choice, its words)]) for a list to choose from."""
    return [(say(language, name), [(each, choice(each, language)) for each in its]) for name, its in _GROUPS]


def choice(code: str, language: Language) -> str:
    return say(language, _PRECISE[code]) if code in _PRECISE else measures.label(code, language)


def fault(code: str, language: Language) -> str:
    return say(language, _FAULTS[code]) if code in _FAULTS else code


def doubt(code: str, language: Language) -> str:
    return say(language, _DOUBTS[code]) if code in _DOUBTS else code
