"""Shelly's energy meters from the second generation on (Pro 3EM, Pro EM, 3EM-63 …).

Source: payloads and parsers of aioshelly, eddie and evcc; the maker's pages on the components EM, EMData, EM1 and EM1Data.
`<prefix>/events/rpc` carries NotifyStatus with whatever changed, `<prefix>/status/<component>` one component; the same may
come both ways. Power in W, + drawn through the clamp; energy in Wh. What a clamp is around is not said: the first one counts
as the grid's, further ones have a serial of their own, "<prefix>/1". The prefix is the device's id, or a chosen name.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from fleet.codecs.decoded import Decoded, json_object, number, sample
from fleet.serials import serial_from
from fleet.telemetry import RawMessage

_STATUS: Final = re.compile(r"(?:(?P<prefix>.+)/)?status/(?P<component>(?:em|emdata|em1|em1data):[0-9])")
_RPC: Final = re.compile(r"(?:(?P<prefix>.+)/)?events/rpc")
_COMPONENT: Final = re.compile(r"(?P<kind>em|emdata|em1|em1data):(?P<number>[0-9])")
_OWN_ID: Final = re.compile(r"shelly[a-z0-9]+-[0-9a-f]{6,12}")
_NAME_CHARS_MAX: Final = 28
_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "em": {
        "total_act_power": "grid_power_w",
        "total_current": "ac_current_a",
        "a_freq": "ac_frequency_hz",
        **{f"{phase}_voltage": f"ac_voltage_v_l{place}" for place, phase in enumerate("abc", 1)},
        **{f"{phase}_current": f"ac_current_a_l{place}" for place, phase in enumerate("abc", 1)},
    },
    "emdata": {"total_act": "import_energy_wh", "total_act_ret": "export_energy_wh"},
    "em1": {"act_power": "grid_power_w", "voltage": "ac_voltage_v", "current": "ac_current_a", "freq": "ac_frequency_hz"},
    "em1data": {"total_act_energy": "import_energy_wh", "total_act_ret_energy": "export_energy_wh"},
}


def decode(message: RawMessage) -> list[Decoded]:
    """Raises BadInput (bad_payload)."""
    status = _STATUS.fullmatch(message.topic)
    if status is not None:
        return _component(message, status["prefix"], status["component"], json_object(message))
    rpc = _RPC.fullmatch(message.topic)
    if rpc is None:
        return []
    params = json_object(message).get("params")
    if not isinstance(params, dict):
        return []
    found: list[Decoded] = []
    for name, values in params.items():
        if isinstance(values, dict):
            found += _component(message, rpc["prefix"], name, values)
    return found


def _component(message: RawMessage, prefix: str | None, name: str, values: dict[str, Any]) -> list[Decoded]:
    component = _COMPONENT.fullmatch(name)
    if component is None or (prefix is None and component["number"] != "0"):
        return []
    fields = _FIELDS[component["kind"]]
    read = {measure: number(message, values, field) for field, measure in fields.items()}
    known: dict[str, float | None] = {measure: value for measure, value in read.items() if value is not None}
    if not known:
        return []
    if prefix is None:
        return [Decoded(None, sample(message, known))]
    name = serial_from(prefix, _NAME_CHARS_MAX)
    serial = name if component["number"] == "0" else f"{name}/{component['number']}"
    return [Decoded(serial, sample(message, known), local=_OWN_ID.fullmatch(prefix) is None)]
