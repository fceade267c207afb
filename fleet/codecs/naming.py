"""What a free name such as "Grid/Power" or "Énergie injectée" measures: for formats whose names are chosen by their users.

The unit tells the quantity, the words tell whose it is. Words are taken in French and English; what they do not say for
certain stays unmapped rather than wrong, which means:
- a power or a counter without a word for production, grid or load (or a device whose name has one) is nobody's;
- power that counts one way only ("import power") is no grid power, since it shows 0 for the other way;
- a battery's power is not taken: half of the makers count charging as positive, half of them discharging;
- VA is no W, a phase's power is not the meter's, a maximum, a limit, a forecast or a month's total is no measure.
Who wants these has the names of fleet.measures themselves, which are always understood.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from fleet.codecs.units import Quantity, Unit, unit_of
from fleet.codecs.words import word_set, words_of
from fleet.measures import DAY_COUNTER_OF, is_measure

# What is remembered of a name; longer ones are no names.
_NAME_CHARS_MAX: Final = 120
_UNIT_CHARS_MAX: Final = 24
_ABOUT_CHARS_MAX: Final = 400

Role = Literal["pv", "grid", "battery", "load"]


class Meaning(NamedTuple):
    """value × factor = measure"""

    measure: str
    factor: float


# Whose power or counter it is.
_SAYS: Final[Mapping[Role, frozenset[str]]] = {
    "pv": word_set(
        "pv solar solaire solaires photovoltaic photovoltaique production produced produite producing produit generation"
        " generated yield mppt"
    ),
    "grid": word_set("grid reseau linky mains utility"),
    "battery": word_set("battery batterie batteries batt bat storage stockage accu ess bms soc"),
    "load": word_set("load consumption consommation conso consumed household"),
}
# Words that say so where nothing clearer does: a hybrid inverter tells of its battery, a meter of what the roof makes.
_MADE: Final = word_set("production produced produite producing produit generation generated")
_HINTS: Final[Mapping[Role, frozenset[str]]] = {
    "pv": word_set("inverter onduleur inv opendtu ahoydtu hoymiles apsystems"),
    "grid": word_set("meter compteur tic"),
}
_IMPORT: Final = word_set(
    "import imported importe importee importation soutirage soutire soutiree purchased bought achat drawn"
)
_EXPORT: Final = word_set(
    "export exported exporte exportee exportation injection injecte injectee injected returned return feedin feed sold vente"
    " eait"
)
_CHARGE: Final = word_set("charge charged charging chargee")
_DISCHARGE: Final = word_set("discharge discharged discharging decharge dechargee")
_DAY: Final = word_set("today daily day jour journalier journaliere aujourd quotidien quotidienne")
_DC: Final = word_set("dc mppt mpp string chaine tracker")
_NO_WATT: Final = word_set("reactive apparent reactif apparente")
_ONE_WAY: Final = _IMPORT | _EXPORT | _CHARGE | _DISCHARGE | _DAY | _NO_WATT
_BETWEEN: Final = word_set("neutral neutre line")
# Consumers, whatever feeds them: a part of the load, and no meter of the site.
_APPLIANCE: Final = word_set(
    "ev vehicle vehicule car voiture wallbox borne evse loadpoint heater heating boiler ballon chauffe chauffage ecs pump"
    " pompe pool piscine plug prise socket fridge washer dryer thermal thermique"
)
# Beside these nothing else counts: not now, not all of it, not measured, or nothing of the site's own balance.
_OTHER: Final = _APPLIANCE | word_set(
    "limit limite max maxi maximum min mini minimum peak pointe setpoint consigne target cible nominal nominale rated"
    " installed capacity capacite available disponible forecast prevision estimated estime estimee predicted remaining"
    " restant restante yesterday hier month monthly mois mensuel mensuelle year yearly annual annee annuel annuelle week"
    " weekly semaine hour hourly heure horaire last previous average avg moyenne mean tariff tarif price prix cost cout"
    " revenue co self autoconsommation autoconsumption loss losses perte pertes standby veille diff delta error erreur"
    " difference reserve threshold seuil period"
)
# Words that say nothing of whose it is: beside them the device's name decides.
_NEUTRAL: Final = word_set(
    "power puissance active actif p pac w kw mw energy energie e wh kwh mwh total totale tot lifetime cumul cumulative index"
    " counter compteur sum now current courant instantaneous instantanee ac value valeur state sensor measure mesure output"
    " sortie v u voltage tension i a b c l phase intensite amperage hz frequency frequence f va kva var kvar s q pf cos phi"
    " cosphi factor facteur de of the temperature temp actual present live real time realtime measured reading"
)
_SILENT: Final = _NEUTRAL | _DAY | _DC
_CHANNEL: Final = word_set("ch channel canal")
_PHASE_WORDS: Final = word_set("l phase ph")
_OF_A_PHASE: Final = word_set("voltage tension current courant power puissance act active u v i")
_PHASE_OF: Final = {"1": "_l1", "2": "_l2", "3": "_l3", "a": "_l1", "b": "_l2", "c": "_l3"}
_LETTERS: Final = frozenset("abc")  # "Energy a" of a meter with several clamps
_MODULE: Final = word_set("module modules panel panels panneau panneaux cell cells cellule")
_AMBIENT: Final = word_set("ambient ambiant ambiante outdoor outside exterieur exterieure air")
_INSIDE: Final = word_set("inverter onduleur inv internal interne heatsink radiateur cabinet")
_QUANTITY_WORDS: Final[Mapping[str, Quantity]] = {
    **dict.fromkeys(("power", "puissance", "pac"), "power"),
    **dict.fromkeys(("energy", "energie", "yield"), "energy"),
    **dict.fromkeys(("voltage", "tension"), "voltage"),
    **dict.fromkeys(("current", "courant", "intensite"), "current"),
    **dict.fromkeys(("frequency", "frequence"), "frequency"),
    **dict.fromkeys(("temperature",), "temperature"),
    **dict.fromkeys(("irradiance", "irradiation", "ensoleillement"), "irradiance"),
}

_UNIT_INSIDE: Final = re.compile(r"(?:(?<![A-Za-z])(?:[kKMGm]?[Ww]h|[kMGm]W|kw|k?VA|k?var|Hz)|SoC|SOC)(?![A-Za-z])")
# A maker's name says nothing of what its device measures: they have meters, too.
_MAKERS: Final = re.compile(r"(?i:solar[ _-]?(?:edge|log|man|assistant|world))(?![A-Za-z])|Solar(?:Max|Watt)(?![A-Za-z])")


def name_words(text: str) -> tuple[str, ...]:
    """'ActivePowerL1' → active, power, l, 1; 'Énergie injectée (kWh)' → energie, injectee, kwh."""
    return words_of(_UNIT_INSIDE.sub(lambda found: f" {found[0].lower()} ", _MAKERS.sub(" ", text)))


def meaning(
    name: str, unit: str | None, about: str = "", *, role: Role | None = None, ac_is_pv: bool = False, device: str = ""
) -> Meaning | None:
    """name: of the value; about: names of its device; role: what is known to be measured, where neither says.

    device: what the device calls itself, which the names of its values repeat as often as not.
    unit: as written; None or '' where the format has none: then the name may say it, else the value is in W, Wh, V, A …
    ac_is_pv: "AC/Power" alone is an inverter's; elsewhere it may be an air conditioner's.
    """
    if len(name) > _NAME_CHARS_MAX or (unit is not None and len(unit) > _UNIT_CHARS_MAX):
        return None
    return _meaning(name, unit, about[:_ABOUT_CHARS_MAX], role, ac_is_pv, device[:_ABOUT_CHARS_MAX])


@lru_cache(maxsize=4_096)
def _meaning(name: str, unit: str | None, about: str, role: Role | None, ac_is_pv: bool, device: str) -> Meaning | None:
    last = re.split(r"[/:. ]", name.strip())[-1]
    words = name_words(name)
    known = unit_of(unit) if unit else _unit_within(name, words)
    if is_measure(last):
        return _itself(last, known)
    if known is None or not set(words).isdisjoint(_OTHER):
        return None
    own = frozenset(name_words(device))
    if _conflicts(words):
        words = tuple(word for word in words if word not in own)  # "Solar inverter grid power" of the solar inverter
    whose = _role(words)
    if whose is None and all(_says_nothing(word, own) for word in words) and not _conflicts(words):
        whose = _role_of_device(about) or role or ("pv" if ac_is_pv and "ac" in words else None)
    if whose == "pv" and not _MADE.isdisjoint(words) and _role_of_device(device) == "grid":
        # what a meter calls produced went out
        whose, words = "grid", tuple("exported" if word in _MADE else word for word in words)
    words = _turned(words, whose)
    if whose == "load" and _role_of_device(about) == "grid":
        return None  # a meter's "consumption" is what it counts one way
    found = _KINDS[known.quantity](words, whose)
    return None if found is None else Meaning(found[0], known.factor * found[1])


def _says_nothing(word: str, own: frozenset[str]) -> bool:
    return word.isdigit() or word in _SILENT or word in own


def _turned(words: tuple[str, ...], whose: Role | None) -> tuple[str, ...]:
    """'Grid energy in' → … import; 'in kWh' is no direction."""
    ways = _WAYS.get(whose) if whose is not None else None
    if ways is None or ways.keys().isdisjoint(words):
        return words
    following = (*words[1:], "")
    return tuple(
        ways.get(word, word) if unit_of(after) is None else word for word, after in zip(words, following, strict=True)
    )


_WAYS: Final[Mapping[Role, Mapping[str, str]]] = {
    "grid": {"in": "import", "out": "export"},
    "battery": {"in": "charge", "out": "discharge"},
}


def _unit_within(name: str, words: tuple[str, ...]) -> Unit | None:
    written = {unit for each in _UNIT_INSIDE.findall(name) if (unit := unit_of(each)) is not None}
    if written:
        return written.pop() if len(written) == 1 else None
    if "soc" in words:
        return Unit("ratio", 0.01)
    if ("power", "factor") in pairwise(words) or "cosphi" in words:
        return Unit("ratio", 1.0)
    quantities = {_QUANTITY_WORDS[word] for word in words if word in _QUANTITY_WORDS}
    if len(quantities) > 1:
        quantities.discard("current")  # "current power"
    return Unit(quantities.pop(), 1.0) if len(quantities) == 1 else None


def _itself(measure: str, unit: Unit | None) -> Meaning | None:
    """A name of ours. A unit that does not fit it makes it nobody's."""
    quantity, scale = _QUANTITY_OF_SUFFIX.get(measure.rsplit("_", 1)[-1], (None, 1.0))
    if unit is None or quantity is None:
        return Meaning(measure, 1.0)
    return Meaning(measure, unit.factor * scale) if unit.quantity == quantity else None


_QUANTITY_OF_SUFFIX: Final[Mapping[str, tuple[Quantity, float]]] = {
    "w": ("power", 1.0), "wh": ("energy", 1.0), "va": ("apparent", 1.0), "var": ("reactive", 1.0), "v": ("voltage", 1.0),
    "a": ("current", 1.0), "hz": ("frequency", 1.0), "c": ("temperature", 1.0), "m2": ("irradiance", 1.0),
    "pct": ("ratio", 100.0), "factor": ("ratio", 1.0),
}  # fmt: skip


def _said(words: tuple[str, ...], table: Mapping[Role, frozenset[str]]) -> list[Role]:
    return [role for role, its in table.items() if not its.isdisjoint(words)]


def _role(words: tuple[str, ...]) -> Role | None:
    """None: it does not say, or it says two."""
    said = _said(words, _SAYS) or _said(words, _HINTS)
    return said[0] if len(said) == 1 else None


def _role_of_device(names: str) -> Role | None:
    words = name_words(names)
    return None if not _APPLIANCE.isdisjoint(words) else _role(words)


def _conflicts(words: tuple[str, ...]) -> bool:
    return len(_said(words, _SAYS)) > 1


def _number(words: tuple[str, ...]) -> int | None:
    """Of the input of an inverter: 'MPPT 2', 'dc/1', 'PV1'."""
    for before, word in pairwise(words):
        if word.isdigit() and (before in _DC or before in {"pv", "input", "entree"}):
            number = int(word[:4])
            return number if 1 <= number <= 59 else None
    return None


def _phase(words: tuple[str, ...]) -> str | None:
    """'_l1' … '_l3'; '': between two of them, or another part of the whole; None: the name says none."""
    found = set()
    for before, word in pairwise(words):
        if before in _CHANNEL and word.isdigit():
            found.add("")
        elif before in _PHASE_WORDS or (before in _OF_A_PHASE and (word in _LETTERS or word.isdigit())):
            found.add(_PHASE_OF.get(word, ""))
        elif before in _LETTERS and word in _OF_A_PHASE:
            found.add(_PHASE_OF[before])
    if len(found) > 1 or not _BETWEEN.isdisjoint(words):
        return ""
    return found.pop() if found else None


_Found = tuple[str, float] | None


def _power(words: tuple[str, ...], role: Role | None) -> _Found:
    if not _ONE_WAY.isdisjoint(words) or _phase(words) is not None:
        return None
    number = _number(words)
    if number is not None or not _DC.isdisjoint(words):
        return (f"dc_power_w_{number}", 1.0) if number is not None and role in {"pv", None} else None
    return None if role is None or role == "battery" else (f"{role}_power_w", 1.0)


def _energy(words: tuple[str, ...], role: Role | None) -> _Found:
    whole = _phase(words) is None and (_DC | _NO_WATT).isdisjoint(words) and _LETTERS.isdisjoint(words[-1:])
    register = _register(set(words), role) if whole else None
    if register is None:
        return None
    return (register if _DAY.isdisjoint(words) else DAY_COUNTER_OF[register]), 1.0


def _register(words: set[str], role: Role | None) -> str | None:
    imported, exported = bool(words & _IMPORT), bool(words & _EXPORT)
    if role == "battery":
        charged, discharged = bool(words & _CHARGE), bool(words & _DISCHARGE)
        if charged == discharged or imported or exported:
            return None
        return "charge_energy_wh" if charged else "discharge_energy_wh"
    if words & (_CHARGE | _DISCHARGE) or _conflicts(tuple(words)) or (imported and exported):
        return "import_energy_wh" if _is_drawn(words) else None
    if imported or exported:
        return None if words & _SAYS["pv"] or role == "load" else ("import_energy_wh" if imported else "export_energy_wh")
    return "pv_energy_wh" if role == "pv" else None


def _is_drawn(words: set[str]) -> bool:
    """'Grid consumption': the only two words for whose it is that fit together."""
    said = _said(tuple(words), _SAYS)
    return said == ["grid", "load"] and not words & (_EXPORT | _CHARGE | _DISCHARGE)


def _electrical(what: str, words: tuple[str, ...], role: Role | None) -> _Found:
    if role in {"battery", "load"} or _conflicts(words):
        return None
    number = _number(words)
    if number is not None or not _DC.isdisjoint(words):
        return f"dc_{what}_{number or 1}", 1.0
    phase = _phase(words)
    if phase == "" or (not _SAYS["pv"].isdisjoint(words) and "ac" not in words):
        return None  # a panel's, or that of the net behind the inverter: nobody knows
    return f"ac_{what}{phase or ''}", 1.0


def _voltage(words: tuple[str, ...], role: Role | None) -> _Found:
    return _electrical("voltage_v", words, role)


def _current(words: tuple[str, ...], role: Role | None) -> _Found:
    return _electrical("current_a", words, role)


def _temperature(words: tuple[str, ...], role: Role | None) -> _Found:
    if role == "battery":
        return None
    for measure, its in (("module_temp_c", _MODULE), ("ambient_temp_c", _AMBIENT), ("inverter_temp_c", _INSIDE)):
        if not its.isdisjoint(words):
            return measure, 1.0
    return ("inverter_temp_c", 1.0) if role == "pv" else None


def _apparent(words: tuple[str, ...], role: Role | None) -> _Found:
    """Of the grid: an inverter's would read as drawn."""
    exported = not _EXPORT.isdisjoint(words)
    if role in {"pv", "battery", "load"} or not (exported or role == "grid") or _phase(words) is not None:
        return None
    return ("export_apparent_power_va" if exported else "apparent_power_va"), 1.0


def _reactive(words: tuple[str, ...], role: Role | None) -> _Found:
    return None if role in {"battery", "load", None} or _phase(words) is not None else ("reactive_power_var", 1.0)


def _frequency(_words: tuple[str, ...], role: Role | None) -> _Found:
    return None if role == "battery" else ("ac_frequency_hz", 1.0)


def _irradiance(_words: tuple[str, ...], _role: Role | None) -> _Found:
    return "irradiance_w_m2", 1.0


def _ratio(words: tuple[str, ...], _role: Role | None) -> _Found:
    """'Battery' alone is any sensor's coin cell."""
    known = set(words)
    if "soc" in known or {"state", "charge"} <= known or {"etat", "charge"} <= known:
        return "battery_soc_pct", 100.0
    if {"power", "factor"} <= known or {"facteur", "puissance"} <= known or known & {"pf", "cos", "cosphi"}:
        return ("power_factor", 1.0) if _phase(words) is None else None
    return None


_KINDS: Final[Mapping[Quantity, Callable[[tuple[str, ...], Role | None], _Found]]] = {
    "power": _power, "energy": _energy, "apparent": _apparent, "reactive": _reactive, "voltage": _voltage,
    "current": _current, "frequency": _frequency, "temperature": _temperature, "irradiance": _irradiance, "ratio": _ratio,
}  # fmt: skip
