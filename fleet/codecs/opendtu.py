"""OpenDTU: Hoymiles microinverters, one plain number per topic.

Source: topics and units of the OpenDTU documentation's MQTT page. `<base>/<serial>/0/<metric>` is the inverter's AC side,
`<base>/<serial>/1…6/<metric>` its DC inputs; power in W, yieldtotal in kWh. The totals of all inverters (`ac/…`, `dc/…`) are
left alone: they fall whenever one inverter cannot be reached. Daily yields are left out too: they restart with the inverter.
"""

import re
from typing import Final

from fleet.codecs.decoded import Decoded, plain_number, sample, wh
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(r"(?:.*/)?(?P<serial>[0-9A-Fa-f]{10,16})/(?P<channel>[0-6])/(?P<metric>[a-z]+)")
_AC: Final = {
    "power": "pv_power_w",
    "voltage": "ac_voltage_v",
    "current": "ac_current_a",
    "frequency": "ac_frequency_hz",
    "temperature": "inverter_temp_c",
}
_DC: Final = {"power": "dc_power_w", "voltage": "dc_voltage_v", "current": "dc_current_a"}


def decode(message: RawMessage) -> list[Decoded]:
    """Raises BadInput (bad_payload)."""
    found = _TOPIC.fullmatch(message.topic)
    if found is None:
        return []
    serial, channel, metric = found.group("serial", "channel", "metric")
    if channel == "0" and metric == "yieldtotal":
        # 0 is what it says after losing the radio link, when told to clear its values
        return _one(message, serial, "pv_energy_wh", wh(plain_number(message)) or None)
    if channel == "0" and metric in _AC:
        return _one(message, serial, _AC[metric], plain_number(message))
    if channel != "0" and metric in _DC:
        return _one(message, serial, f"{_DC[metric]}_{channel}", plain_number(message))
    return []


def _one(message: RawMessage, serial: str, measure: str, value: float | None) -> list[Decoded]:
    return [] if value is None else [Decoded(serial, sample(message, {measure: value}))]
