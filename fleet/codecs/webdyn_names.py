"""What the variables of a WebdynSun or WebdynSunPM are: from a definition's name, tag, unit and category to our measures.

Source: the maker's manuals (WebdynSun v2, WebdynSunPM 2.05: definition files, automatic names of SunSpec variables). The
names themselves are those of whoever wrote the definition: makers of inverters, installers, in French and in English. So
the unit decides what kind of quantity it is and its scale, the words of the name which one, and what is not understood for
certain is nothing: VA is not W, and a power of one phase, a limit or a monthly total is no measure of ours.
The same names and units stand in the PM's MQTT messages, whose values are scaled already.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from fleet.codecs.units import Quantity, unit_of
from fleet.codecs.words import word_set, words_of
from fleet.measures import DAY_COUNTER_OF

DeviceRole = Literal["pv", "grid", "battery", "load"]


class Meaning(NamedTuple):
    """value in the definition's unit x factor = measure"""

    measure: str
    factor: float


def meaning(name: str, unit: str, *, tag: str = "", role: DeviceRole | None = None) -> Meaning | None:
    """role: what the device measures; without it only names that say so themselves are understood. None: not for certain."""
    return None if len(name) + len(tag) + len(unit) > _CHARS_MAX else _meaning(name, unit, tag, role)


@lru_cache(maxsize=4_096)
def _meaning(name: str, unit: str, tag: str, role: DeviceRole | None) -> Meaning | None:
    known = _unit(unit)
    for each in (name, tag):
        sunspec = _SUNSPEC_NAME.fullmatch(each.strip())
        if sunspec is not None:
            return _sunspec(sunspec["model"], sunspec["block"], sunspec["point"], known)
        if known is not None:
            measure = _KINDS[known.kind](words_of(each), role)
            if measure is not None:
                return Meaning(measure, known.factor)
    return None


def role_of(category: str) -> DeviceRole | None:
    """Of a device, from the category in its definition or in the logger's configuration."""
    words = set(words_of(category))
    return next((role for role, its in _CATEGORIES.items() if words & its), None)


_CHARS_MAX: Final = 300  # nobody calls a variable that


class _Unit(NamedTuple):
    kind: Quantity | Literal["share"]
    factor: float


# Where they differ from everybody's: capitals tell nothing, but for the small m of a thousandth.
_OWN_UNITS: Final[Mapping[str, _Unit]] = {
    "mw": _Unit("power", 1e6),
    "mwh": _Unit("energy", 1e6),
    "ma": _Unit("current", 1e-3),
    "c": _Unit("temperature", 1.0),
    "%": _Unit("share", 1.0),
    **dict.fromkeys(("", "-", "cos"), _Unit("ratio", 1.0)),
}
_MILLI: Final = frozenset(("mW", "mWh"))


def _unit(text: str) -> _Unit | None:
    if text.strip() not in _MILLI:
        text = text.casefold().replace(" ", "").replace("^", "")
        if text in _OWN_UNITS:
            return _OWN_UNITS[text]
    known = unit_of(text)
    return None if known is None else _Unit(*known)


_CATEGORIES: Final[Mapping[DeviceRole, frozenset[str]]] = {
    "pv": frozenset(("inverter", "inverters", "onduleur", "onduleurs", "inv")),
    "grid": frozenset(("meter", "compteur", "linky", "tic", "grid", "reseau", "energymeter")),
    "battery": frozenset(("battery", "batterie", "storage", "stockage", "ess", "bms")),
}

# Words beside which nothing else counts: a setting, an extreme, a part, another span of time.
_OTHER: Final = word_set(
    "max min maxi mini maximum minimum peak pointe limit limite limitation setpoint consigne nominal nominale rated soll ref"
    " reference target cible month monthly mois mensuel mensuelle year yearly annee annuel annuelle hour hourly heure"
    " horaire yesterday hier week semaine partial partiel partielle tariff tarif neutral neutre leakage residual fuite"
    " insulation isolation isolement iso riso bus earth terre harmonic thd hc hp set reserve avail available disponible"
)
_DC: Final = word_set("dc pv udc vdc idc pdc upv vpv ipv ppv mppt mpp string chaine input entree")
_AC: Final = word_set("ac uac vac iac grid reseau")
_PV: Final = word_set("pac pv inverter onduleur production produced produite yield solar solaire")
_DAY: Final = word_set("day daily today jour journalier journaliere jrs journee")
_TOTAL: Final = word_set("total totale tot lifetime cumul cumulee cumulative index compteur counter life global")
_IMPORT: Final = word_set("import imported importe importee soutire soutiree soutirage imp consumed achat bought purchased")
_EXPORT: Final = word_set("export exported exporte exportee injecte injectee injection exp vente sold feedin")
_CHARGE: Final = word_set("charge charged chargee charging")
_DISCHARGE: Final = word_set("discharge discharged decharge dechargee discharging")
_BATTERY: Final = word_set("battery batterie bat batt ess stockage storage")
_POWER: Final = word_set("power puissance pac p w watt watts active actif")
_ENERGY: Final = word_set("energy energie e wh yield production eac etot active")
_PHASE_OF: Final[Mapping[str, int]] = {"1": 1, "2": 2, "3": 3, "a": 1, "b": 2, "c": 3, "r": 1, "s": 2, "t": 3}
_PHASE_WORDS: Final = word_set("l ul il vl phase ph phs phv aph uac vac iac u v i n")
_BETWEEN_PHASES: Final = re.compile(r"[uv]?(?:12|23|31|ab|bc|ca)|rs|st|tr|line|compose[es]*")
# As makers of inverters write them, whoever the device is.
_IDIOMS: Final = {"e total": "pv_energy_wh", "etotal": "pv_energy_wh", "kt 0": "pv_energy_wh"}
_DAY_IDIOMS: Final = {"e day": "pv_day_energy_wh", "eday": "pv_day_energy_wh", "kdy": "pv_day_energy_wh"}
_ONLY_INPUT: Final = word_set("upv udc vpv vdc ipv idc")


def _power(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    known = set(words)
    if known & (_OTHER | _BATTERY | _CHARGE | _DISCHARGE | {"reactive", "apparent", "apparente"}):
        return None  # which sign a battery's power has, no definition says
    number = _number(words)
    if known & _DC and not known & {"pac", "ac"}:
        return f"dc_power_w_{number}" if number is not None and 1 <= number < 60 else None
    if not known & _POWER or number is not None or _phase(words) is not None:
        return None
    if role == "pv" or (role is None and (known & _PV or "ac" in known)):
        return "pv_power_w" if not known & (_IMPORT | _EXPORT) else None
    if role == "grid":
        return "grid_power_w" if not known & (_IMPORT | _EXPORT | _PV) else None
    return "load_power_w" if role == "load" else None


def _energy(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    known = set(words)
    said = " ".join(words)
    idiom = _IDIOMS.get(said) or _DAY_IDIOMS.get(said)
    if idiom is not None and role in {"pv", None}:
        return idiom
    if (
        known & (_OTHER | {"reactive", "apparent", "apparente", "dc"})
        or _number(words) is not None
        or _phase(words) is not None
    ):
        return None
    register = _register(known, role)
    if register is None:
        return None
    return DAY_COUNTER_OF[register] if known & _DAY else register


def _register(known: set[str], role: DeviceRole | None) -> str | None:
    if known & _DISCHARGE or known & _CHARGE:
        return "discharge_energy_wh" if known & _DISCHARGE else "charge_energy_wh"
    exported = bool(known & _EXPORT) or (role == "grid" and "out" in known)
    imported = bool(known & _IMPORT) or (role == "grid" and "in" in known)
    if known & _BATTERY or (exported and imported):
        return None
    if role == "pv":
        return "pv_energy_wh" if known & (_ENERGY | _TOTAL | _DAY) and not exported and not imported else None
    if exported or imported:
        return "export_energy_wh" if exported else "import_energy_wh"
    # A meter's total without a direction is, with some makers, the sum of both.
    return "pv_energy_wh" if role is None and known & (_PV - {"pac"}) else None


def _voltage(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    return _electrical(words, role, ("voltage", "tension", "u", "v", "uac", "vac", "ul", "vl", "ph", "phv"), "voltage_v")


def _current(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    return _electrical(words, role, ("current", "courant", "intensite", "i", "iac", "il", "a", "aph"), "current_a")


def _electrical(words: tuple[str, ...], role: DeviceRole | None, says: tuple[str, ...], quantity: str) -> str | None:
    known = set(words)
    number = _number(words)
    if known & (_OTHER | _BATTERY):
        return None
    if known & _DC:
        if number is None and known & _ONLY_INPUT:
            number = 1
        return f"dc_{quantity}_{number}" if number is not None and 1 <= number < 60 else None
    if not known & (_AC | set(says)) or any(_BETWEEN_PHASES.fullmatch(word) for word in words):
        return None
    phase = _phase(words)
    if phase:
        return f"ac_{quantity}_l{phase}"
    return f"ac_{quantity}" if phase is None and number is None and (role == "grid" or known & _AC) else None


def _phase(words: tuple[str, ...]) -> int | None:
    """1, 2 or 3; 0: between two of them; None: the name says none."""
    found = [
        _PHASE_OF[word]
        for before, word in zip(("", *words), words, strict=False)
        if word in _PHASE_OF
        and (before in _PHASE_WORDS or (word.isdigit() and before in {"voltage", "tension", "courant", "current"}))
    ]
    if len(words) > 1 and words[1] == "phase" and words[0] in _PHASE_OF:  # "R phase voltage"
        return _PHASE_OF[words[0]]
    return (found[0] if len(set(found)) == 1 else 0) if found else None


def _number(words: tuple[str, ...]) -> int | None:
    """The first one in a name."""
    return next((int(word) for word in words if word.isdigit() and len(word) < 4), None)


def _apparent(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    """Of a meter: an inverter's would read as drawn from the grid."""
    if role != "grid" or set(words) & _OTHER or _number(words) is not None or _phase(words) is not None:
        return None
    return "export_apparent_power_va" if set(words) & _EXPORT else "apparent_power_va"


def _reactive(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    if set(words) & _OTHER or _number(words) is not None or _phase(words) is not None or role == "battery":
        return None
    return "reactive_power_var"


def _frequency(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    return None if set(words) & _OTHER or role == "battery" else "ac_frequency_hz"


def _temperature(words: tuple[str, ...], role: DeviceRole | None) -> str | None:
    known = set(words)
    if known & (_OTHER | _BATTERY) or role == "battery":
        return None
    if known & {"module", "modules", "panel", "panneau", "panneaux", "cell", "cellule", "mod"}:
        return "module_temp_c"
    if known & {"ambient", "ambiant", "ambiante", "outdoor", "exterieur", "exterieure", "air", "amb"}:
        return "ambient_temp_c"
    inside = {"inverter", "onduleur", "internal", "interne", "cabinet", "cab", "heatsink", "radiateur", "coffret", "boitier"}
    return "inverter_temp_c" if known & inside or (role == "pv" and _number(words) is None) else None


def _irradiance(words: tuple[str, ...], _role: DeviceRole | None) -> str | None:
    return None if set(words) & _OTHER else "irradiance_w_m2"


def _share(words: tuple[str, ...], _role: DeviceRole | None) -> str | None:
    known = set(words)
    charged = "soc" in known or {"state", "charge"} <= known or {"etat", "charge"} <= known
    return "battery_soc_pct" if charged and not known & _OTHER else None


def _ratio(words: tuple[str, ...], _role: DeviceRole | None) -> str | None:
    known = set(words)
    factor = known & {"pf", "cos", "cosphi", "fp"} or {"power", "factor"} <= known or {"facteur", "puissance"} <= known
    return "power_factor" if factor and not known & _OTHER and _number(words) is None and _phase(words) is None else None


_KINDS: Final[Mapping[str, Callable[[tuple[str, ...], DeviceRole | None], str | None]]] = {
    "power": _power,
    "energy": _energy,
    "apparent": _apparent,
    "reactive": _reactive,
    "voltage": _voltage,
    "current": _current,
    "frequency": _frequency,
    "temperature": _temperature,
    "irradiance": _irradiance,
    "share": _share,
    "ratio": _ratio,
}

# The PM calls what it finds by SunSpec "<model>_<point>" or "<model>_<block>_<point>".
_SUNSPEC_NAME: Final = re.compile(r"(?P<model>[1-9][0-9]{2})_(?:(?P<block>[1-9][0-9]?)_)?(?P<point>[A-Za-z]{1,12})")
_SUNSPEC_AC: Final = {
    "A": "ac_current_a",
    "Hz": "ac_frequency_hz",
    "PF": "power_factor",
    "VAr": "reactive_power_var",
    "VAR": "reactive_power_var",
    **{f"Aph{letter}": f"ac_current_a_l{phase}" for phase, letter in enumerate("ABC", 1)},
    **{f"PhVph{letter}": f"ac_voltage_v_l{phase}" for phase, letter in enumerate("ABC", 1)},
}
_SUNSPEC_INVERTER: Final = {
    **_SUNSPEC_AC,
    "W": "pv_power_w",
    "WH": "pv_energy_wh",
    "DCA": "dc_current_a_1",
    "DCV": "dc_voltage_v_1",
    "DCW": "dc_power_w_1",
    "TmpCab": "inverter_temp_c",
    "St": "state",
}
_SUNSPEC_METER: Final = {
    **_SUNSPEC_AC,
    "W": "grid_power_w",
    "VA": "apparent_power_va",
    "PhV": "ac_voltage_v",
    "TotWhImp": "import_energy_wh",
    "TotWhExp": "export_energy_wh",
}
_SUNSPEC_INPUTS: Final = {"DCA": "dc_current_a_{}", "DCV": "dc_voltage_v_{}", "DCW": "dc_power_w_{}"}
_SUNSPEC: Final[Mapping[str, Mapping[str, str]]] = {
    **dict.fromkeys(("101", "102", "103", "111", "112", "113"), _SUNSPEC_INVERTER),
    **dict.fromkeys(("201", "202", "203", "204", "211", "212", "213", "214"), _SUNSPEC_METER),
    "160": _SUNSPEC_INPUTS,
}


def _sunspec(model: str, block: str | None, point: str, unit: _Unit | None) -> Meaning | None:
    """Without a unit it is the model's own, which the definition's coefficient comes to."""
    measure = _SUNSPEC.get(model, {}).get(point)
    if measure is None or (block is None) == (model == "160"):
        return None
    if measure == "power_factor":
        return Meaning(measure, 1.0 if unit is not None and unit.kind == "ratio" else 0.01)
    return Meaning(measure.format(block), unit.factor if unit is not None else 1.0)
