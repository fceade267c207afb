"""Shelly from the second generation on: energy meters (Pro 3EM, Pro EM, 3EM-63 …), and plugs and relays that measure.

Source: payloads and parsers of aioshelly, eddie and evcc; the maker's pages on EM, EMData, EM1, EM1Data, Switch and PM1.
`<prefix>/events/rpc` carries NotifyStatus with whatever changed and NotifyFullStatus, `<prefix>/status/<component>` one
component, `<prefix>/rpc` the answer to somebody's question in the shape of HTTP's; the same may come several ways. The
prefix is the device's id, maybe below other levels, or a chosen name. `ts` is the time, once the clock was set.

Power in W, + drawn through the clamp; energy in Wh, resettable by people. `aenergy` of a plug holds both directions when
`ret_aenergy` is there. What a clamp or a plug is around is not said: the first clamp counts as the grid's, further ones have
a serial of their own, "<prefix>/1", and may be the grid's or an inverter's, as plugs may: their values are told as both, and
the device's profile takes one. An inverter's production is what flows most, whichever way the clamp is turned; plugs before
Gen3 tell no direction anyway.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from fleet.codecs import shelly_gen1
from fleet.codecs.decoded import Decoded, json_object, known, line, named, number, sample
from fleet.errors import BadInput
from fleet.telemetry import RawMessage

_STATUS: Final = re.compile(r"(?:(?P<prefix>.*)/)?status/(?P<component>(?:em|emdata|em1|em1data|switch|pm1):[0-9])")
_RPC: Final = re.compile(r"(?:(?P<prefix>.*)/)?events/rpc")
_ANSWER: Final = re.compile(r"(?:.*/)?rpc")
_COMPONENT: Final = re.compile(r"(?P<kind>em|emdata|em1|em1data|switch|pm1):(?P<number>[0-9])")
_OWN_ID: Final = re.compile(r"shelly[a-z0-9]+-[0-9a-f]{6,12}")
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
    "switch": {"apower": "grid_power_w", "voltage": "ac_voltage_v", "current": "ac_current_a", "freq": "ac_frequency_hz"},
}
# What an answer without a component's name must be; a field that no other component has.
_TELLING: Final = {
    "total_act_power": "em",
    "total_act": "emdata",
    "act_power": "em1",
    "total_act_energy": "em1data",
    "apower": "switch",
}


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload)."""
    topic = message.topic
    if topic.endswith("rpc"):
        event = _RPC.fullmatch(topic)
        if event is not None:
            return _components(message, event["prefix"], json_object(message).get("params"))
        return _answer(message) if _ANSWER.fullmatch(topic) is not None else None
    status = _STATUS.fullmatch(topic)
    if status is not None:
        return _component(message, status["prefix"], status["component"], json_object(message), None)
    return shelly_gen1.decode(message)


def _components(message: RawMessage, prefix: str | None, told: object) -> list[Decoded]:
    """Of an object with components by their names, and the time of all."""
    if not isinstance(told, dict):
        return []
    seconds = number(message, told, "ts")
    t = None if seconds is None else seconds * 1000.0
    found: list[Decoded] = []
    for name, values in told.items():
        if isinstance(values, dict):
            found += _component(message, prefix, name, values, t)
    return found


def _answer(message: RawMessage) -> list[Decoded] | None:
    """To Shelly.GetStatus, or to the GetStatus of one component; whose it is stands in `src`."""
    if b'"src"' not in message.payload:
        return None
    told = json_object(message)
    result, source = told.get("result"), told.get("src")
    if not isinstance(result, dict) or not isinstance(source, str):
        return []
    kind = next((kind for field, kind in _TELLING.items() if field in result), None)
    if kind is None:
        return _components(message, source, result)
    place = str(result.get("id", 0))
    return _component(message, source, f"{kind}:{place}", result, None)


def _component(message: RawMessage, prefix: str | None, name: str, values: dict[str, Any], t: float | None) -> list[Decoded]:
    component = _COMPONENT.fullmatch(name)
    if component is None:
        return []
    kind, place = component.groups()
    plug = kind in {"switch", "pm1"}
    read = known({measure: number(message, values, field) for field, measure in _FIELDS["switch" if plug else kind].items()})
    if plug:
        read |= _counted(message, values)
    if not read:
        return []
    if plug or (place != "0" and kind in {"em1", "em1data"}):
        read |= _as_inverter(read)
    if not prefix:
        return [line(place)(None, sample(message, read, t))]
    last = prefix.rpartition("/")[2]
    own = _OWN_ID.fullmatch(last) is not None
    return [line(place)(named(last if own else prefix, place), sample(message, read, t), not own)]


def _counted(message: RawMessage, values: dict[str, Any]) -> dict[str, float | None]:
    both, returned = (_total(message, values, name) for name in ("aenergy", "ret_aenergy"))
    drawn = both if both is None or returned is None else round(max(both - returned, 0.0), 3)
    return known({"import_energy_wh": drawn, "export_energy_wh": returned})


def _total(message: RawMessage, values: dict[str, Any], name: str) -> float | None:
    counter = values.get(name)
    if counter is None:
        return None
    if not isinstance(counter, dict):
        raise BadInput("bad_payload", f"{message.topic[:80]}: {name} is not an object")
    return number(message, counter, "total")


def _as_inverter(read: dict[str, float | None]) -> dict[str, float | None]:
    """The larger counter of both directions only grows, too. Of a clamp both are needed to know which one it is."""
    power, forward, back = (read.get(name) for name in ("grid_power_w", "import_energy_wh", "export_energy_wh"))
    return known(
        {
            "pv_power_w": None if power is None else abs(power),
            "pv_energy_wh": forward if back is None else None if forward is None else max(forward, back),
        }
    )
