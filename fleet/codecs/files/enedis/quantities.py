"""What the values of a series are, from Enedis's three words for it: direction, physical quantity, unit.

Sources: guides of R4x (EA, ERC, ERI, E; kW, kWr, V), R6x (PA, PRI, PRC, E, EA, PMA; W, VAr, V, Wh, VA) and R171 for the
codes and units, portal files for the words. CONS is drawn, PROD is fed in.
"""

from typing import Final, Literal, NamedTuple

from fleet.codecs.files.enedis.words import skeleton
from fleet.measures import INTERVAL_LENGTH, INTERVAL_OF

Direction = Literal["import", "export"]
# power: mean of an interval; energy: of an interval; level: what it is, at the end of an interval or at an instant
Kind = Literal["power", "energy", "level"]
_Physical = Literal["active", "inductive", "reactive", "voltage", "peak", "apparent", "other"]


class Quantity(NamedTuple):
    """measures: what a row tells. A value times factor is the first of them, in Wh per hour if it is a power."""

    measures: tuple[str, ...]
    factor: float
    kind: Kind


class NotKept(Exception):
    """There is no measure for it. code: not_active_power, series_not_kept; what: in Enedis's words."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(code, what)
        self.code = code
        self.what = what[:60]


_CODES: Final[dict[str, _Physical]] = {
    "": "active", "ea": "active", "pa": "active", "eri": "inductive", "pri": "inductive", "erc": "reactive",
    "prc": "reactive", "er": "reactive", "e": "voltage", "u": "voltage", "pma": "peak",
}  # fmt: skip
# In this order: "énergie réactive inductive" has all three words
_WORDS: Final[tuple[tuple[str, _Physical], ...]] = (
    ("inductiv", "inductive"),
    ("ractiv", "reactive"),
    ("activ", "active"),
    ("tnsion", "voltage"),
    ("puissanc maximal", "peak"),
    ("apparnt", "apparent"),
)
_POWERS: Final = {"": 1.0, "w": 1.0, "kw": 1e3, "mw": 1e6}
_ENERGIES: Final = {"wh": 1.0, "kwh": 1e3, "mwh": 1e6}
_APPARENT: Final = {"va": 1.0, "kva": 1e3, "mva": 1e6}
_REACTIVE: Final = {"var": 1.0, "kvar": 1e3, "wr": 1.0, "kwr": 1e3}
_VOLTS: Final = {"v": 1.0, "kv": 1e3}
_APPARENT_OF: Final[dict[Direction, str]] = {"import": "apparent_power_va", "export": "export_apparent_power_va"}


def quantity(direction: Direction, physical: str, unit: str) -> Quantity:
    """Raises NotKept: nothing becomes W that is not."""
    scale, kind = unit.strip().lower(), _physical(physical)
    what = f"{physical.strip()} {unit.strip()}".strip()
    if kind == "active":
        measures = (INTERVAL_OF[f"{direction}_energy_wh"], INTERVAL_LENGTH)
        if scale in _POWERS:
            return Quantity(measures, _POWERS[scale], "power")
        if scale in _ENERGIES:
            return Quantity(measures, _ENERGIES[scale], "energy")
        raise NotKept("not_active_power", what)
    if kind in {"peak", "apparent"} and scale in _APPARENT:
        return Quantity((_APPARENT_OF[direction],), _APPARENT[scale], "level")
    if kind == "peak" and scale in _POWERS and scale:
        return Quantity(("grid_power_w",), _POWERS[scale] * (1 if direction == "import" else -1), "level")
    if kind == "inductive" and scale in _REACTIVE and direction == "import":
        return Quantity(("reactive_power_var",), _REACTIVE[scale], "level")
    if kind == "voltage" and scale in _VOLTS:
        return Quantity(("ac_voltage_v",), _VOLTS[scale], "level")
    raise NotKept("series_not_kept", what)


def is_peak(physical: str) -> bool:
    return _physical(physical) == "peak"


def is_active(physical: str) -> bool:
    return _physical(physical) == "active"


def is_energy(unit: str) -> bool:
    return unit.strip().lower() in _ENERGIES


def energy_factor(unit: str) -> float:
    """Wh in one of the unit. Raises NotKept."""
    factor = _ENERGIES.get(unit.strip().lower())
    if factor is None:
        raise NotKept("not_active_power", unit.strip())
    return factor


def direction_of(text: str) -> Direction | None:
    """None: the words tell of no direction, or of both."""
    words = skeleton(text)
    drawn = "cons" in words or "soutir" in words
    fed = "prod" in words or "injct" in words
    if drawn == fed:
        return None
    return "import" if drawn else "export"


def _physical(text: str) -> _Physical:
    code: Final = text.strip().lower()
    if code in _CODES:
        return _CODES[code]
    words: Final = skeleton(text)
    return next((kind for word, kind in _WORDS if word in words), "other")
