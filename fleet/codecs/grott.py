"""grott: what a Growatt datalogger sends, taken off its way, as `{"device", "time", "buffered", "values": {…}}`.

Source: grott's record layouts (grottconf.py and the layout examples) and grottdata.py. Values are raw integers; the divisors
stand in the layouts, and keys that are not in this table stay raw, so they are left out. Energies in kWh once divided. Keys
may carry typos (`pv2watt:`) and `%`. The topic is free.

A hybrid's `pvpowerout` is all that leaves it, the battery's share included: its production is that of its PV inputs. An
off-grid inverter's is its load. `BatWatt` is positive while the battery discharges.

`time` is local time without a zone, of the logger or of grott's own machine: nobody can say which instant it names. A
message is passed on at once, so its arrival is its time; one that is `buffered` tells the past, and is refused: its counters
would stand at a wrong time, and the next one's lifetime counter holds that energy all the same.
"""

import re
from collections.abc import Mapping
from typing import Final

from fleet.codecs.decoded import Decoded, json_object, known, numeric, sample
from fleet.codecs.iso_time import unix_ms
from fleet.errors import BadInput
from fleet.telemetry import RawMessage

Values = Mapping[str, float]

_ODD: Final = " :%"
_SERIAL: Final = re.compile("[A-Za-z0-9]{6,20}")
_INPUT: Final = re.compile("pv(?P<input>[1-9])(?P<what>watt|voltage|current)")
_INPUTS: Final = {"watt": "dc_power_w_", "voltage": "dc_voltage_v_", "current": "dc_current_a_"}
_PERCENT_MAX: Final = 100.0

# raw value ÷ divisor = W, V, A, Hz, °C, %; kWh for energies
_TENTHS: Final = frozenset(
    (
        *(f"pv{place}{what}" for place in range(1, 10) for what in _INPUTS),
        "pvpowerin", "pvpowerout", "pvenergytotal", "epvtotal", "epvTotal", "eactotal", "pvtemperature", "invtemp",
        *(f"pvgridvoltage{phase}" for phase in ("", "2", "3")), *(f"pvgridcurrent{phase}" for phase in ("", "2", "3")),
        "ppv1", "ppv2", "vpv1", "vpv2", "BatWatt", "op_watt",
        "pdischarge1", "p1charge1", "edischarge1_tot", "eharge1_tot", "pactousertot", "pactogridtot", "etouser_tot",
        "etogrid_tot",
        "voltage_l1", "voltage_l2", "voltage_l3", "Current_l1", "Current_l2", "Current_l3", "pos_rev_act_power",
        "pos_act_energy", "rev_act_energy", "frequency",
    )
)  # fmt: skip
_DIVISORS: Final[Mapping[str, float]] = {
    **dict.fromkeys(_TENTHS, 10.0),
    **dict.fromkeys(("pvfrequentie", "line_freq"), 100.0),
    **dict.fromkeys(("SOC", "batterySoc"), 1.0),  # SOC: see _soc
}


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload, unknown_time)."""
    payload = message.payload
    if payload[:1] != b"{" or b'"buffered"' not in payload or b'"values"' not in payload:
        return None
    told = json_object(message)
    device, raw = told.get("device"), told.get("values")
    if not isinstance(device, str) or _SERIAL.fullmatch(device) is None or not isinstance(raw, dict):
        return None
    values: dict[str, float] = {}
    for name, integer in raw.items():
        key = name if name in _DIVISORS else name.strip(_ODD)
        divisor = _DIVISORS.get(key)
        value = None if divisor is None else numeric(integer)
        if divisor is not None and value is not None:
            values[key] = round(value / divisor, 3)
    read = known(_meter(values) if "pos_rev_act_power" in values else _inverter(values))
    if not read:
        return []
    time = told.get("time")
    t = unix_ms(time) if isinstance(time, str) else None
    if t is None and told.get("buffered") == "yes":
        raise BadInput(
            "unknown_time", f"{message.topic[:80]}: buffered data of {str(time)[:40]}, in nobody knows which time zone"
        )
    return [Decoded(device, sample(message, read, t))]


def _inverter(values: Values) -> dict[str, float | None]:
    off_grid, hybrid = "op_watt" in values, "pdischarge1" in values or "p1charge1" in values
    inputs = [values[name] for name in ("ppv1", "ppv2") if name in values]
    power = values.get("pvpowerin" if hybrid else "pvpowerout")
    total = _first(values, "epvtotal", "epvTotal") if hybrid or off_grid else _first(values, "pvenergytotal", "eactotal")
    read: dict[str, float | None] = {
        "pv_power_w": (sum(inputs) if inputs else None) if off_grid else power,
        "pv_energy_wh": _wh(total),
        "ac_frequency_hz": _first(values, "pvfrequentie", "line_freq"),
        "inverter_temp_c": _first(values, "pvtemperature", "invtemp"),
        **_phases(values, "pvgridvoltage", ("", "2", "3"), "ac_voltage_v"),
        **_phases(values, "pvgridcurrent", ("", "2", "3"), "ac_current_a"),
    }
    for name, value in values.items():
        dc = _INPUT.fullmatch(name)
        if dc is not None:
            read[_INPUTS[dc["what"]] + dc["input"]] = value
    if off_grid:
        read |= {"dc_power_w_1": values.get("ppv1"), "dc_power_w_2": values.get("ppv2")}
        read |= {"dc_voltage_v_1": values.get("vpv1"), "dc_voltage_v_2": values.get("vpv2")}
    return read | _battery(values) | _grid(values)


def _battery(values: Values) -> dict[str, float | None]:
    charging, discharging, both = (values.get(name) for name in ("p1charge1", "pdischarge1", "BatWatt"))
    power = None if both is None else -both or 0.0
    if charging is not None or discharging is not None:
        power = (charging or 0.0) - (discharging or 0.0)
    return {
        "battery_power_w": power,
        "battery_soc_pct": _soc(values),
        "charge_energy_wh": _wh(values.get("eharge1_tot")),
        "discharge_energy_wh": _wh(values.get("edischarge1_tot")),
    }


def _soc(values: Values) -> float | None:
    """The layouts divide SOC by 100, while loggers tell whole percents as well: what is above 100 cannot be one."""
    told = _first(values, "SOC", "batterySoc")
    return told if told is None or told <= _PERCENT_MAX else told / 100.0


def _grid(values: Values) -> dict[str, float | None]:
    """Of a hybrid, by its own meter: "to user" is drawn from the grid."""
    drawn, fed = values.get("pactousertot"), values.get("pactogridtot")
    return {
        "grid_power_w": None if drawn is None or fed is None else round(drawn - fed, 3),
        "import_energy_wh": _wh(values.get("etouser_tot")),
        "export_energy_wh": _wh(values.get("etogrid_tot")),
    }


def _meter(values: Values) -> dict[str, float | None]:
    return {
        "grid_power_w": values["pos_rev_act_power"],
        "import_energy_wh": _wh(values.get("pos_act_energy")),
        "export_energy_wh": _wh(values.get("rev_act_energy")),
        "ac_frequency_hz": values.get("frequency"),
        **_phases(values, "voltage_l", ("1", "2", "3"), "ac_voltage_v"),
        **_phases(values, "Current_l", ("1", "2", "3"), "ac_current_a"),
    }


def _phases(values: Values, name: str, ends: tuple[str, str, str], measure: str) -> dict[str, float | None]:
    told = [values.get(name + end) for end in ends]
    if told[1] or told[2]:
        return {f"{measure}_l{phase}": value for phase, value in enumerate(told, 1)}
    return {measure: told[0]}


def _first(values: Values, *names: str) -> float | None:
    return next((values[name] for name in names if name in values), None)


def _wh(kwh: float | None) -> float | None:
    """0 is a counter that was not read."""
    return round(kwh * 1000.0, 3) if kwh else None
