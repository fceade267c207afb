"""AhoyDTU: Hoymiles microinverters by the names that their owner gave them.

Source: AhoyDTU's user manual and its publisher. `<base>/<name>/ch0/<metric>` is the inverter's AC side, `ch1…6` its DC
inputs: plain numbers, or with the JSON setting one object per channel under `<base>/<name>/ch<n>`. Powers in W; YieldTotal
is in kWh, whatever the manual says. YieldDay restarts with the inverter, `total/…` falls when one cannot be reached: both
are left out. `last_success` is the only time, in a message of its own.
"""

from typing import Final

from fleet.codecs.topic_template import Field, Template, codec

_SHAPES: Final = {"input": "[1-6]", "field": "[A-Z][A-Za-z]*(?:_[A-Z]+)?"}
_AC: Final = {
    "P_AC": Field("pv_power_w", "W"),
    "YieldTotal": Field("pv_energy_wh", "kWh", zero_is_missing=True),  # 0 at once when told to clear values it cannot read
    "U_AC": Field("ac_voltage_v", "V"),
    "I_AC": Field("ac_current_a", "A"),
    "F_AC": Field("ac_frequency_hz", "Hz"),
    "Temp": Field("inverter_temp_c", "°C"),
}
_DC: Final = {
    "P_DC": Field("dc_power_w_{input}", "W"),
    "U_DC": Field("dc_voltage_v_{input}", "V"),
    "I_DC": Field("dc_current_a_{input}", "A"),
}

decode = codec(
    Template("{base}/{name}/ch0/{field}", "{name}", _AC, _SHAPES),
    Template("{base}/{name}/ch{input}/{field}", "{name}", _DC, _SHAPES),
    Template("{base}/{name}/ch0", "{name}", _AC, payload="object"),
    Template("{base}/{name}/ch{input}", "{name}", _DC, _SHAPES, payload="object"),
)
