"""Victron's Venus OS: `N/<portal>/<service>/<instance>/<path>` with {"value": x}, one value per message.

Source: README of dbus-flashmq, and the Venus OS list of D-Bus paths for names, units (energy in kWh) and signs: a grid meter
counts import as positive, a battery charging. {"value": null} is "not known", an empty payload "service gone". `system/…` is
left alone: it sums up the others. The serial is "<portal>/<service>/<instance>", which stays when the GX starts again.
"""

import re
from collections.abc import Mapping
from typing import Final

from fleet.codecs.decoded import Decoded, json_object, number, sample, wh
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(
    r"(?:.*/)?N/(?P<portal>[A-Za-z0-9]{1,20})/(?P<service>[a-z]{1,12})/(?P<instance>[0-9]{1,6})/(?P<path>.+)"
)


def _phases(*, frequency: bool = False) -> dict[str, str]:
    paths = {f"Ac/L{phase}/Voltage": f"ac_voltage_v_l{phase}" for phase in (1, 2, 3)}
    paths |= {f"Ac/L{phase}/Current": f"ac_current_a_l{phase}" for phase in (1, 2, 3)}
    return paths | ({"Ac/Frequency": "ac_frequency_hz"} if frequency else {})


_PATHS: Final[Mapping[str, Mapping[str, str]]] = {
    "pvinverter": {"Ac/Power": "pv_power_w", "Ac/Energy/Forward": "pv_energy_wh", **_phases()},
    "solarcharger": {
        "Yield/Power": "pv_power_w",
        "Yield/System": "pv_energy_wh",
        "Pv/V": "dc_voltage_v_1",
        "Pv/I": "dc_current_a_1",
    },
    "grid": {
        "Ac/Power": "grid_power_w",
        "Ac/Energy/Forward": "import_energy_wh",
        "Ac/Energy/Reverse": "export_energy_wh",
        **_phases(frequency=True),
    },
    "battery": {
        "Dc/0/Power": "battery_power_w",
        "Dc/0/Voltage": "dc_voltage_v_1",
        "Dc/0/Current": "dc_current_a_1",
        "Soc": "battery_soc_pct",
        "History/ChargedEnergy": "charge_energy_wh",
        "History/DischargedEnergy": "discharge_energy_wh",
    },
}


def decode(message: RawMessage) -> list[Decoded]:
    """Raises BadInput (bad_payload)."""
    found = _TOPIC.fullmatch(message.topic)
    if found is None or not message.payload:
        return []
    portal, service, instance, path = found.group("portal", "service", "instance", "path")
    measure = _PATHS.get(service, {}).get(path)
    if measure is None:
        return []
    value = number(message, json_object(message), "value")
    if value is None:
        return []
    if measure.endswith("_energy_wh"):
        value = wh(value)
    elif measure == "pv_power_w":
        value = max(value, 0.0)  # by night an inverter draws a little
    return [Decoded(f"{portal}/{service}/{instance}", sample(message, {measure: value}))]
