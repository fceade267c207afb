"""OpenDTU: Hoymiles microinverters, one plain number per topic.

Source: topics and units of the OpenDTU documentation's MQTT page. `<base>/<serial>/0/<metric>` is the inverter's AC side,
`<base>/<serial>/1…6/<metric>` its DC inputs; power in W, yieldtotal in kWh. The totals of all inverters (`ac/…`, `dc/…`) are
left alone: they fall whenever one inverter cannot be reached. Daily yields are left out too: they restart with the inverter.
`status/last_update` is the only time, in a message of its own: the values come when they were read, so their arrival it is.
"""

from typing import Final

from fleet.codecs.topic_template import Field, Template, codec

_SHAPES: Final = {"serial": "[0-9A-Fa-f]{10,16}", "input": "[1-6]", "field": "[a-z]+"}

decode = codec(
    Template(
        "{base}/{serial}/0/{field}",
        "{serial}",
        {
            "power": Field("pv_power_w", "W"),
            # 0 is what it says after losing the radio link, when told to clear its values
            "yieldtotal": Field("pv_energy_wh", "kWh", zero_is_missing=True),
            "voltage": Field("ac_voltage_v", "V"),
            "current": Field("ac_current_a", "A"),
            "frequency": Field("ac_frequency_hz", "Hz"),
            "temperature": Field("inverter_temp_c", "°C"),
        },
        _SHAPES,
        own_ids="",
    ),
    Template(
        "{base}/{serial}/{input}/{field}",
        "{serial}",
        {
            "power": Field("dc_power_w_{input}", "W"),
            "voltage": Field("dc_voltage_v_{input}", "V"),
            "current": Field("dc_current_a_{input}", "A"),
        },
        _SHAPES,
        own_ids="",
    ),
)
