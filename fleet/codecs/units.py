"""Units as senders write them, and what they come to in ours.

Source: RFC 8428 section 12.1 and RFC 8798 (SenML's units, primary and secondary), Home Assistant's device classes of
sensors. mW and MW differ by their case alone, so only those two spellings are taken; all others in any case. Degrees
Fahrenheit need more than a factor and are nobody's here.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Quantity = Literal[
    "power", "energy", "apparent", "reactive", "voltage", "current", "frequency", "temperature", "irradiance", "ratio"
]


class Unit(NamedTuple):
    """value × factor is in W, Wh, VA, var, V, A, Hz, °C, W/m², or a share of one."""

    quantity: Quantity
    factor: float


J_PER_WH: Final = 3_600.0

_EXACT: Final[Mapping[str, Unit]] = {
    "mW": Unit("power", 1e-3),
    "MW": Unit("power", 1e6),
    "mWh": Unit("energy", 1e-3),
    "MWh": Unit("energy", 1e6),
    "mJ": Unit("energy", 1e-3 / J_PER_WH),
    "MJ": Unit("energy", 1e6 / J_PER_WH),
    "mV": Unit("voltage", 1e-3),
    "mA": Unit("current", 1e-3),
}
_IN_ANY_CASE: Final[Mapping[str, Unit]] = {
    "w": Unit("power", 1.0),
    "watt": Unit("power", 1.0),
    "watts": Unit("power", 1.0),
    "kw": Unit("power", 1e3),
    "gw": Unit("power", 1e9),
    "wh": Unit("energy", 1.0),
    "kwh": Unit("energy", 1e3),
    "gwh": Unit("energy", 1e9),
    "j": Unit("energy", 1.0 / J_PER_WH),
    "kj": Unit("energy", 1e3 / J_PER_WH),
    "gj": Unit("energy", 1e9 / J_PER_WH),
    "va": Unit("apparent", 1.0),
    "kva": Unit("apparent", 1e3),
    "var": Unit("reactive", 1.0),
    "kvar": Unit("reactive", 1e3),
    "v": Unit("voltage", 1.0),
    "volt": Unit("voltage", 1.0),
    "volts": Unit("voltage", 1.0),
    "kv": Unit("voltage", 1e3),
    "a": Unit("current", 1.0),
    "amp": Unit("current", 1.0),
    "amps": Unit("current", 1.0),
    "hz": Unit("frequency", 1.0),
    "cel": Unit("temperature", 1.0),
    "°c": Unit("temperature", 1.0),
    "ºc": Unit("temperature", 1.0),
    "degc": Unit("temperature", 1.0),
    "w/m2": Unit("irradiance", 1.0),
    "w/m²": Unit("irradiance", 1.0),
    "w/m^2": Unit("irradiance", 1.0),
    "/": Unit("ratio", 1.0),
    "%": Unit("ratio", 0.01),
    "%el": Unit("ratio", 0.01),  # SenML: remaining battery
}


def unit_of(text: str) -> Unit | None:
    """None: not one that we know, or none that is told apart for certain."""
    text = text.strip()
    return _EXACT.get(text) or _IN_ANY_CASE.get(text.casefold())
