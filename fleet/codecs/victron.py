"""Victron's Venus OS: `N/<portal>/<service>/<instance>/<path>` with {"value": x}, one value per message.

Source: README of dbus-flashmq, and the Venus OS list of D-Bus paths for names, units (energy in kWh) and signs: a grid meter
counts import as positive, a battery charging. {"value": null} is "not known" ([] with the older dbus-mqtt), an empty payload
"service gone". `system/…` is left alone: it sums up the others; so is `vebus/…`, whose energies restart with the inverter.
The serial is "<portal>/<service>/<instance>", which stays when the GX starts again. A Venus OS is silent unless it is asked
to speak every minute: the site's agent does (edge/agent/inputs/mqtt.py).
"""

from collections.abc import Mapping
from typing import Final

from fleet.codecs.topic_template import Field, Fields, Template, codec

_SHAPES: Final = {"portal": "[A-Za-z0-9]{1,20}", "instance": "[0-9]{1,6}", "field": ".+"}
_PHASES: Final = {
    **{f"Ac/L{phase}/Voltage": Field(f"ac_voltage_v_l{phase}", "V") for phase in (1, 2, 3)},
    **{f"Ac/L{phase}/Current": Field(f"ac_current_a_l{phase}", "A") for phase in (1, 2, 3)},
}
_PANELS: Final = {
    "Yield/Power": Field("pv_power_w", "W", at_least=0.0),
    "Yield/System": Field("pv_energy_wh", "kWh"),  # Yield/User is one that people set back
    "Pv/V": Field("dc_voltage_v_1", "V"),
    "Pv/I": Field("dc_current_a_1", "A"),
    **{f"Pv/{tracker}/V": Field(f"dc_voltage_v_{tracker + 1}", "V") for tracker in range(4)},
    **{f"Pv/{tracker}/P": Field(f"dc_power_w_{tracker + 1}", "W") for tracker in range(4)},
}
_SERVICES: Final[Mapping[str, Fields]] = {
    "pvinverter": {
        "Ac/Power": Field("pv_power_w", "W", at_least=0.0),  # by night an inverter draws a little
        "Ac/Energy/Forward": Field("pv_energy_wh", "kWh"),
        **_PHASES,
    },
    "solarcharger": _PANELS,
    "multi": _PANELS,  # an RS has its panels' trackers in it
    "inverter": _PANELS,
    "grid": {
        "Ac/Power": Field("grid_power_w", "W"),
        "Ac/Energy/Forward": Field("import_energy_wh", "kWh"),
        "Ac/Energy/Reverse": Field("export_energy_wh", "kWh"),
        "Ac/Frequency": Field("ac_frequency_hz", "Hz"),
        **_PHASES,
    },
    "battery": {
        "Dc/0/Power": Field("battery_power_w", "W"),
        "Dc/0/Voltage": Field("dc_voltage_v_1", "V"),
        "Dc/0/Current": Field("dc_current_a_1", "A"),
        "Soc": Field("battery_soc_pct", "%"),
        "History/ChargedEnergy": Field("charge_energy_wh", "kWh"),
        "History/DischargedEnergy": Field("discharge_energy_wh", "kWh"),
    },
}

decode = codec(
    *(
        Template(
            f"{{base}}/N/{{portal}}/{service}/{{instance}}/{{field}}",
            f"{{portal}}/{service}/{{instance}}",
            fields,
            _SHAPES,
            ("value",),
            own_ids="",
        )
        for service, fields in _SERVICES.items()
    )
)
