"""evcc: what its meters say, one plain number per topic below `<root>/site/`.

Source: evcc's MQTT documentation and publisher. Names moved with the versions (`gridPower` → `grid/power`, `batteryPower` →
`battery/power`, `battery/1/…` → `battery/devices/1/…`); all are read. Powers in W: grid + is import, a battery + discharges,
so that it is turned around. Energies in kWh: `energy` of a grid meter is import, `returnEnergy` export; which way a
battery's counts is not said anywhere, so it is left out. An empty payload is null. Everything is retained.

Serials: "evcc/grid", "evcc/pv" and "evcc/battery" for the sums, "evcc/pv/1" … for one meter each. A site attaches the sum or
its parts, never both. The house's load and the chargers are no meters of ours.
"""

from typing import Final

from fleet.codecs.topic_template import Field, Fields, Template, codec

_SHAPES: Final = {"root": "[^/]{1,16}", "number": "[1-9][0-9]?", "field": "[A-Za-z]+(?:/l?[123])?"}
_ALONE: Final = "(?:grid|pv|battery)[A-Z][A-Za-z]+(?:/l[123])?"  # directly below `site/`
_PV_POWER: Final = Field("pv_power_w", "W", at_least=0.0)
_PV_ENERGY: Final = Field("pv_energy_wh", "kWh", zero_is_missing=True)
_GRID_POWER: Final = Field("grid_power_w", "W")
_BATTERY_POWER: Final = Field("battery_power_w", "W", sign=-1)
_SOC: Final = Field("battery_soc_pct", "%")
_PV: Final = {"power": _PV_POWER, "energy": _PV_ENERGY}
_BATTERY: Final = {"power": _BATTERY_POWER, "soc": _SOC}
_GRID: Final = {
    "power": _GRID_POWER,
    "energy": Field("import_energy_wh", "kWh", zero_is_missing=True),
    "returnEnergy": Field("export_energy_wh", "kWh", zero_is_missing=True),
    **{f"currents/{phase}": Field(f"ac_current_a_l{phase}", "A") for phase in (1, 2, 3)},
    **{f"currents/l{phase}": Field(f"ac_current_a_l{phase}", "A") for phase in (1, 2, 3)},
}
_OLD_CURRENTS: Final = {f"gridCurrents/l{phase}": Field(f"ac_current_a_l{phase}", "A") for phase in (1, 2, 3)}

# where below `site/` → device → its fields
_PLACES: Final[tuple[tuple[str, str, Fields], ...]] = (
    ("grid/{field}", "grid", _GRID),
    ("{field}", "grid", {"gridPower": _GRID_POWER, "gridEnergy": _GRID["energy"], **_OLD_CURRENTS}),
    ("{field}", "pv", {"pvPower": _PV_POWER, "pvEnergy": _PV_ENERGY}),
    ("pv/{number}/{field}", "pv/{number}", _PV),
    ("{field}", "battery", {"batteryPower": _BATTERY_POWER, "batterySoc": _SOC}),
    ("battery/{field}", "battery", _BATTERY),
    ("battery/{number}/{field}", "battery/{number}", _BATTERY),
    ("battery/devices/{number}/{field}", "battery/{number}", _BATTERY),
)


def _templates(places: tuple[tuple[str, str, Fields], ...]) -> list[Template]:
    return [
        Template(
            f"{{base}}/{{root}}/site/{place}",
            f"{{root}}/{device}",
            fields,
            _SHAPES | ({"field": _ALONE} if place == "{field}" else {}),
        )
        for place, device, fields in places
    ]


decode = codec(*_templates(_PLACES))
