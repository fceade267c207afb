"""Tasmota: `tele/<topic>/SENSOR` and the answers to `Status 8` and `Status 10`, JSON with one section per sensor.

Source: Tasmota's documentation (energy, Teleinfo, Smart Meter Interface, Time); N. Bernaerts' README and source of his
Teleinfo firmware.

ENERGY   of a plug or a meter: Total and ExportActive in kWh, resettable; powers in W; arrays with several channels. What it
         is around is not said: as with fleet/codecs/shelly.py it is told as the grid's and as an inverter's
TIC      a French meter's labels (fleet/codecs/tic.py). The ENERGY beside it does not agree with the meter: it is not read
METER    Bernaerts: P and PP in VA, W and PW in W, drawn and produced; CONTRACT: CONSO and PROD, lifetime counters in Wh.
         Days' counters are left out: these two are there
others   a meter read by a script (fleet/codecs/tasmota_sml.py)

The template of topics is free, so the last level says what it is (`LIVE` is METER, `TIC` bare labels, and so is the `RESULT`
of a driver told to pass frames on), and the device is the level that is no prefix. `Time` is the device's local time; it
counts where it has an offset, or an Epoch beside it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from fleet.codecs import tasmota_sml, tic
from fleet.codecs.decoded import Decoded, json_object, known, line, named, number, numeric, sample
from fleet.codecs.iso_time import unix_ms
from fleet.errors import BadInput
from fleet.telemetry import RawMessage

Read = dict[str, float | None]

_TOPIC: Final = re.compile(r"(?:(?P<levels>.+)/)?(?P<last>SENSOR|STATUS8|STATUS10|RESULT|LIVE|TIC)")
_PREFIXES: Final = frozenset(("tele", "stat", "cmnd"))
_BARE: Final = {"TIC": "TIC", "RESULT": "TIC", "LIVE": "METER"}
_METERS_NUMBER: Final = (b'"ADSC"', b'"ADCO"')
_PHASES: Final = 3  # so many channels are one line; any other number are lines of their own
_CHANNELS_MAX: Final = 8
_FORCED_V: Final = 230.0  # what Bernaerts' firmware says of a meter that tells no voltage


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload)."""
    found = _TOPIC.fullmatch(message.topic)
    if found is None or message.payload[:1] != b"{":
        return None
    if found["last"] == "RESULT" and not any(label in message.payload for label in _METERS_NUMBER):
        return None  # the answer to a command
    told = json_object(message)
    if found["last"].startswith("STATUS"):
        told = told.get("StatusSNS") or {}
        if not isinstance(told, dict):
            return None
    bare = _BARE.get(found["last"])
    if bare is not None and not any(isinstance(section, dict) for section in told.values()):
        told = {bare: told}
    lines = _lines(message, told)
    if not lines:
        return None  # a thermometer, or whatever else one can connect
    levels = [level for level in (found["levels"] or "").split("/") if level and level not in _PREFIXES]
    if not levels:
        return [line(str(number))(None, sample(message, read, _time(told))) for number, read in lines if read]
    t, name = _time(told), levels[-1]
    several = [(str(number), read) for number, read in lines if read]
    return [line(number)(named(name, number), sample(message, read, t), True) for number, read in several]


def _lines(message: RawMessage, told: dict[str, Any]) -> list[tuple[int, Read]]:
    """By the number of the line; none: nothing of this is a meter. Raises BadInput (bad_payload)."""
    sections = {name: section for name, section in told.items() if isinstance(section, dict)}
    energy = sections.pop("ENERGY", None)
    if "TIC" in sections:
        return [(0, _tic(sections["TIC"]))]
    if "METER" in sections or "CONTRACT" in sections:
        return [(0, _meter(message, sections.get("METER", {})) | _contract(message, sections.get("CONTRACT", {})))]
    if energy is not None:
        # the share of a contract that is used: that is the Teleinfo driver's
        return [(0, {})] if "Load" in energy else _energy(message, energy)
    read = [one for one in (tasmota_sml.read(section) for section in sections.values()) if one is not None]
    return list(enumerate(read[:_CHANNELS_MAX]))


def _time(told: Mapping[str, Any]) -> float | None:
    labels = told.get("TIC")
    date = labels.get("DATE") if isinstance(labels, dict) else None
    if isinstance(date, str) and (t := tic.utc(date)) is not None:
        return t
    time = told.get("Time")
    if isinstance(time, str) and (t := unix_ms(time)) is not None:
        return t
    seconds = numeric(told.get("Epoch", time))
    return None if seconds is None else seconds * 1000.0


# A French meter ----------------------------------------------------------------------------------------------------


def _tic(labels: Mapping[str, Any]) -> Read:
    """Of a whole frame, or of the few labels that have changed."""
    texts = {
        label: value.strip() if isinstance(value, str) else value
        for label, value in labels.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }
    return dict(tic.reading(texts))


def _meter(message: RawMessage, meter: dict[str, Any]) -> Read:
    told = {name: number(message, meter, name) for name in ("PH", "P", "W", "I", "PP", "PW")}
    voltages = [number(message, meter, f"U{phase}") for phase in (1, 2, 3)]
    currents = [number(message, meter, f"I{phase}") for phase in (1, 2, 3)]
    read: Read = {
        "apparent_power_va": told["P"],
        "export_apparent_power_va": told["PP"],
        "grid_power_w": _net(told),
    }
    if told["PH"] == _PHASES or currents[1] is not None:
        read |= {f"ac_voltage_v_l{phase}": _measured(volts) for phase, volts in enumerate(voltages, 1)}
        read |= {f"ac_current_a_l{phase}": amperes for phase, amperes in enumerate(currents, 1)}
    else:
        read |= {"ac_voltage_v": _measured(voltages[0]), "ac_current_a": told["I"]}
    return known(read)


def _net(told: Mapping[str, float | None]) -> float | None:
    """Without a producer's contract a meter shows 0 while it injects, and while the firmware has no power factor yet W is 0
    though P is not: neither is a power.
    """
    drawn, produced = told["W"], told["PW"]
    if drawn is None or (drawn == 0.0 and (produced is None or told["P"])):
        return None
    return drawn - (produced or 0.0)


def _measured(volts: float | None) -> float | None:
    return None if volts == _FORCED_V else volts


def _contract(message: RawMessage, contract: dict[str, Any]) -> Read:
    drawn, produced = (number(message, contract, name) for name in ("CONSO", "PROD"))
    return known({"import_energy_wh": drawn or None, "export_energy_wh": produced or None})


# Plugs and meters --------------------------------------------------------------------------------------------------

_SHARED: Final = {"Voltage": "ac_voltage_v", "Current": "ac_current_a", "Frequency": "ac_frequency_hz"}


def _energy(message: RawMessage, energy: dict[str, Any]) -> list[tuple[int, Read]]:
    power = energy.get("Power")
    channels = len(power) if isinstance(power, list) else 1
    if channels == _PHASES:
        return [(0, _three_phases(message, energy))]
    lines = []
    for channel in range(min(channels, _CHANNELS_MAX)):
        read: Read = {measure: _one(message, energy, name, channel) for name, measure in _SHARED.items()}
        # the total of several lines together is that of none of them
        drawn, returned = (
            _one(message, energy, name, channel) if channels == 1 or isinstance(energy.get(name), list) else None
            for name in ("Total", "ExportActive")
        )
        lines.append((channel, known(read) | _both(_one(message, energy, "Power", channel), drawn, returned)))
    return lines


def _three_phases(message: RawMessage, energy: dict[str, Any]) -> Read:
    read: Read = {}
    for name, measure in (("Voltage", "ac_voltage_v"), ("Current", "ac_current_a")):
        if isinstance(energy.get(name), list):
            read |= {f"{measure}_l{phase + 1}": _one(message, energy, name, phase) for phase in range(_PHASES)}
        else:
            read[measure] = _one(message, energy, name, 0)
    read["ac_frequency_hz"] = _one(message, energy, "Frequency", 0)
    totals = [_sum(message, energy, name) for name in ("Power", "Total", "ExportActive")]
    return known(read) | _both(*totals)


def _one(message: RawMessage, energy: Mapping[str, Any], name: str, channel: int) -> float | None:
    """Raises BadInput (bad_payload)."""
    told = energy.get(name)
    if isinstance(told, list):
        told = told[channel] if channel < len(told) else None
    value = numeric(told)
    if value is None and told is not None:
        raise BadInput("bad_payload", f"{message.topic[:80]}: ENERGY.{name} is not a number")
    return value


def _sum(message: RawMessage, energy: Mapping[str, Any], name: str) -> float | None:
    told = energy.get(name)
    if not isinstance(told, list):
        return _one(message, energy, name, 0)
    values = [_one(message, energy, name, phase) for phase in range(len(told))]
    found = [value for value in values if value is not None]
    return sum(found) if found and len(found) == len(values) else None


def _both(power: float | None, drawn_kwh: float | None, returned_kwh: float | None) -> Read:
    """As the grid's, and as an inverter's: what flows most, whichever way."""
    drawn, returned = (None if kwh is None else round(kwh * 1000.0, 3) for kwh in (drawn_kwh, returned_kwh))
    counted = [wh for wh in (drawn, returned) if wh is not None]
    return known(
        {
            "grid_power_w": power,
            "import_energy_wh": drawn,
            "export_energy_wh": returned,
            "pv_power_w": None if power is None else abs(power),
            "pv_energy_wh": max(counted) if drawn is not None else None,
        }
    )
