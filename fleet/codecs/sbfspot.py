"""SBFspot: an SMA inverter's values as one JSON object, under a topic that is free ("sbfspot_<serial>" by default).

Source: SBFspot.cfg (MQTT settings) and mqtt.cpp of SBFspot. ETotal in kWh, lifetime; PAC in W, UDC and UAC in V, IDC and IAC
in A; a decimal point always. Which items there are, and in which case, is the user's choice. `Timestamp` is the local time
of the PC, whose zone nobody tells, and the message is sent at once: its arrival is its time. It is retained by default.
Without a link the values are 0: ETotal and temperature 0 are unread. A battery's sign is not documented; it is left out.
"""

import re
from typing import Final

from fleet.codecs.decoded import Decoded, json_object, known, numeric, sample
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(r"(?:.+/)?sbfspot_(?P<serial>[0-9]{6,12})")
_SERIAL: Final = re.compile("[0-9]{6,12}")
_INPUT: Final = re.compile("(?P<what>[pui])dc(?P<input>[1-9])")
_INPUTS: Final = {"p": "dc_power_w_", "u": "dc_voltage_v_", "i": "dc_current_a_"}
_PHASES: Final = {"uac": "ac_voltage_v_l", "iac": "ac_current_a_l"}


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload)."""
    if message.payload[:1] != b"{":
        return None
    by_topic = _TOPIC.fullmatch(message.topic)
    if by_topic is None and b"invserial" not in message.payload.lower():
        return None
    told = {name.casefold(): value for name, value in json_object(message).items()}
    serial = str(told.get("invserial", "" if by_topic is None else by_topic["serial"]))
    if _SERIAL.fullmatch(serial) is None or not told.keys() & {"etotal", "pactot"}:
        return []
    total = numeric(told.get("etotal"))
    read: dict[str, float | None] = {
        "pv_power_w": numeric(told.get("pactot")),
        "pv_energy_wh": round(total * 1000.0, 3) if total else None,
        "ac_frequency_hz": numeric(told.get("gridfreq")) or None,
        "inverter_temp_c": numeric(told.get("invtemperature")) or None,
    }
    for name, value in told.items():
        dc = _INPUT.fullmatch(name)
        if dc is not None:
            read[_INPUTS[dc["what"]] + dc["input"]] = numeric(value)
    for item, measure in _PHASES.items():
        values = [numeric(told.get(f"{item}{phase}")) for phase in (1, 2, 3)]
        if values[1] or values[2]:
            read |= {f"{measure}{phase}": value for phase, value in enumerate(values, 1)}
        else:
            read[measure.removesuffix("_l")] = values[0] or None
    values_told = known(read)
    return [Decoded(serial, sample(message, values_told))] if values_told else []
