"""Shelly's first generation (EM, 3EM, plugs and relays that measure): one plain number per topic.

Source: the maker's Gen1 API pages on MQTT. `shellies/<id>/emeter/<i>/…` is a clamp: power in W, + drawn through it, `total`
and `total_returned` lifetime counters in Wh. `energy` is W·min since something that a restart forgets, in `relay/…` as well:
no counter, so it is left out. What a clamp or a plug is around is not said: as with fleet/codecs/shelly.py the first clamp
is the grid's, further ones may be an inverter's, whose production then has to flow forward. A 3EM's phases are three meters.
"""

from typing import Final

from fleet.codecs.topic_template import Field, Template, codec

_SHAPES: Final = {"channel": "[0-9]", "field": "[a-z_]+"}
_OWN_IDS: Final = "shelly[a-z0-9]+(?:-[a-z][a-z0-9]?)?-[0-9A-Fa-f]{6,12}"  # shellyem-…, shellyplug-s-…
_GRID: Final = {
    "power": Field("grid_power_w", "W"),
    "total": Field("import_energy_wh", "Wh"),
    "total_returned": Field("export_energy_wh", "Wh"),
}
_AC: Final = {"voltage": Field("ac_voltage_v", "V"), "current": Field("ac_current_a", "A")}
_PLUG_POWER: Final = (Field("grid_power_w", "W"), Field("pv_power_w", "W", magnitude=True))

decode = codec(
    Template(
        "{base}/shellies/{device}/emeter/{channel}/{field}",
        "{device}",
        {**_GRID, **_AC},
        {**_SHAPES, "channel": "0"},
        channel="channel",
        own_ids=_OWN_IDS,
    ),
    Template(
        "{base}/shellies/{device}/emeter/{channel}/{field}",
        "{device}",
        {
            "power": (_GRID["power"], Field("pv_power_w", "W")),
            "total": (_GRID["total"], Field("pv_energy_wh", "Wh")),
            "total_returned": _GRID["total_returned"],
            **_AC,
        },
        _SHAPES,
        channel="channel",
        own_ids=_OWN_IDS,
    ),
    Template(
        "{base}/shellies/{device}/relay/{channel}/{field}",
        "{device}",
        {"power": _PLUG_POWER},
        _SHAPES,
        channel="channel",
        own_ids=_OWN_IDS,
    ),
)
