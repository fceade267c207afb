"""What the heading of a column probably measures: names in French, English, German, Spanish and Italian.

A guess that a person sees and corrects before anything is read, so the likely answer is given where fleet.codecs.naming
would rather give none.
"""

import re
from typing import Final, Literal, NamedTuple

from fleet.codecs.files.units import unit_named, units_known
from fleet.codecs.naming import name_words
from fleet.codecs.words import word_set
from fleet.measures import DAY_COUNTER_OF, INTERVAL_OF, is_measure

# Of the numbers in a column, as far as they are seen: surely a counter; one that begins anew; perhaps one; none
Course = Literal["grows", "restarts", "rises", "varies"]


class Meaning(NamedTuple):
    """mean_power: power over an interval whose energy is measured.

    sign    the file counts the other way round
    weak    the name does not say so, but it is what such a column mostly is: if no other one is (1), or if no other one of
            such a unit says what it is (2)
    """

    measure: str
    mean_power: bool = False
    sign: Literal[1, -1] = 1
    weak: Literal[0, 1, 2] = 0


_PV: Final = word_set(
    "pv solar solaire photovoltaique photovoltaik fotovoltaica fotovoltaico production produit produite produced prod"
    " produktion erzeugung erzeugt ertrag gesamtertrag tagesertrag einspeiseleistung yield generation generated generacion"
    " produccion produzione prodotta generata generada inverter onduleur wechselrichter inversor pac wr inv rendement gain"
)
_IMPORT: Final = word_set(
    "soutirage soutire soutiree import imported importe importee importation bezug netzbezug bezogen importacion importada"
    " importata prelievo prelevata purchased purchasing purchase bought achat achete drawn eas conso"
)
_EXPORT: Final = word_set(
    "injection injecte injectee export exported exporte exportee exportation einspeisung netzeinspeisung eingespeist"
    " inyeccion inyectada vertido vertida excedente excedentes exportada immissione immessa ceduta surplus feed feedin"
    " returned sold vente eai"
)
_BATTERY: Final = word_set("battery batterie batteries akku bateria batteria speicher storage stockage powerwall ess")
_CHARGE: Final = word_set("charge charged charging ladung geladen carga cargada carica caricata")  # in French a load, too
_DISCHARGE: Final = word_set("discharge discharged discharging decharge entladung entladen descarga scarica")
_LOAD: Final = word_set(
    "consommation consommee consumption consumed verbrauch hausverbrauch consumo load last demand carico home house"
    " household maison haus logement casa"
)
# What the site's panels feed into itself: no flow over its meters
_SELF: Final = word_set(
    "self auto autoconsommation autoconsommee autoconsumo eigenverbrauch direktverbrauch selbstverbrauch direct eigen"
)
_VEHICLE: Final = word_set("ev ve wallbox vehicle vehicule car borne evse elli")
# Neither measured here nor energy or power of now
_OTHER_THINGS: Final = word_set(
    "theoretical theorique theoretisch expected prevu prevue prevision forecast prognose loss losses perte pertes verlust"
    " limit limite limitation max maximum peak crete spitze nominal rated nennleistung efficiency specific specifique"
    " spezifisch spezifischer performance ratio pr target objectif budget revenue revenu savings economies co2 cost cout"
    " insolation irradiation"
)
_TO: Final = word_set("to into ins vers alla al in")
_FROM: Final = word_set("from vom aus depuis du desde dal della")
# What stands beside "power" and "energy" without saying whose they are
_NEUTRAL: Final = word_set(
    "ac total totale gesamt active actif aktiv wirk output sortie ausgang inst instant instantanee instantaneous average"
    " avg moyenne mean mittel mittelwerte mittelwert messwert momentan momentane aktuell aktuelle actuelle current now of"
    " de la le l the a b c r s t ph phase sum somme summe"
)
_GRID: Final = word_set("grid reseau netz red rete mains linky compteur meter zahler zaehler contador contatore")
_DAY: Final = word_set(
    "day daily today jour journalier journaliere quotidien tag tages taglich tagesertrag heute dia diaria diario hoy giorno"
    " oggi giornaliera"
)
_TOTAL: Final = word_set(
    "total totale lifetime gesamt gesamtertrag counter index compteur zahler zahlerstand zaehlerstand contador contatore"
    " cumul cumulee cumulative cumulated acumulada acumulado cumulata totalyield"
)
_ENERGY: Final = (
    word_set("energy energie energia ertrag yield e eac arbeit gesamtertrag tagesertrag") | _TOTAL | _IMPORT | _EXPORT
)
_POWER: Final = word_set(
    "power puissance leistung wirkleistung potencia potenza pac ppv pdc p pwr watt watts einspeiseleistung"
)
_VOLTAGE: Final = word_set("voltage tension spannung voltaje tensione u uac udc upv vpv vac vdc volt")
_CURRENT: Final = word_set("current courant strom corriente corrente intensite i iac idc ipv amp")
_TEMPERATURE: Final = word_set("temperature temperatur temperatura temp tmp")
_FREQUENCY: Final = word_set("frequency frequence frequenz frecuencia frequenza fac hz freq")
_IRRADIANCE: Final = word_set(
    "irradiance irradiation einstrahlung strahlung irradiancia irraggiamento ensoleillement rayonnement"
)
_DC: Final = word_set("dc string mppt mpp tracker udc idc pdc upv ipv vpv ppv vdc chaine strang")
_AC: Final = word_set("ac pac inverter onduleur wechselrichter inversor output l phase")
_INPUT: Final = word_set("input entree eingang entrada ingresso")
_MODULE: Final = word_set("module modules panel panels panneau panneaux modul modultemperatur cell cells cellule")
_AMBIENT: Final = word_set(
    "ambient ambiant ambiante exterieur exterieure outdoor aussen aussentemperatur umgebung exterior ambiente esterna air"
)
_FACTOR: Final = word_set("cos cosphi phi pf factor facteur faktor fattore leistungsfaktor powerfactor")
_SERIAL: Final = word_set("serial serie seriennummer sn matricola serialnumber")
_HOUR: Final = word_set("hour heure stunde hora ora hr")
_DEVICE: Final = word_set(
    "device appareil gerat geraet equipment equipement inverter onduleur wechselrichter inversor inv wr logger meter"
    " compteur zahler module string id"
)
_START: Final = word_set("start debut von from inicio desde inizio da begin beginning")
_END: Final = word_set("end fin ende bis to until fine al hasta")
_PLAIN: Final = {
    "var": "reactive_power_var",
    "Hz": "ac_frequency_hz",
    "W/m²": "irradiance_w_m2",
    "factor": "power_factor",
}
_PHASES: Final = {"1": "1", "2": "2", "3": "3", "a": "1", "b": "2", "c": "3", "r": "1", "s": "2", "t": "3"}
_PARTS: Final = (
    "temperatur", "leistung", "spannung", "ertrag", "energie", "einspeisung", "bezug", "modul", "aussen", "batterie",
    "verbrauch", "erzeugung", "produktion", "strahlung", "zahler", "gesamt",
)  # fmt: skip
_NUMBER: Final = re.compile(r"(?<![0-9])([0-9]{1,2})(?![0-9])")
_OTHER_UNIT: Final = re.compile(
    r"[\[(]\s*(?:[^\[\]()]{0,8}[/€$£¥Ωλ][^\[\]()]{0,8}|h|hrs?|kg|t|l|m|km|m/s|hpa|mbar|k?varh|k?vah|[km]?ohm|eur|usd)\s*[\])]\s*$",
    re.IGNORECASE,
)
_TOLD_APART: Final = re.compile(
    r"[0-9]+|\b(?:[abcrst]|h[pc][eh]?|heures|pleines|creuses|peak|offpeak|off|ht|nt|day|night|jour|nuit|tag|nacht)\b"
)


def is_serial_name(name: str) -> bool:
    return not _SERIAL.isdisjoint(name_words(name))


def end_named(name: str) -> Literal["start", "end"] | None:
    """Which end of an interval a column of times names."""
    words = name_words(name)
    starts, ends = not _START.isdisjoint(words), not _END.isdisjoint(words)
    return None if starts == ends else "start" if starts else "end"


def is_hour_name(name: str) -> bool:
    """Of a column of whole hours beside one of days."""
    return not _HOUR.isdisjoint(name_words(name))


def is_device_name(name: str) -> bool:
    return not _DEVICE.isdisjoint(name_words(name))


def sibling_key(name: str) -> str:
    """Equal for columns that tell parts of one thing: phases, tariffs, numbered devices; these have a '#' in it."""
    return _TOLD_APART.sub("#", " ".join(name_words(name)))


def meaning(name: str, unit: str, course: Course, among: frozenset[str] = frozenset()) -> Meaning | None:
    """unit: as written, '' if nowhere. among: words of all the file's headings. None: nothing comes to mind."""
    if is_measure(name.strip()):
        return Meaning(name.strip())
    words = _words(name)
    known = unit_named(unit)
    if words & (_OTHER_THINGS | _VEHICLE) or (known is None and _OTHER_UNIT.search(name) is not None):
        return None
    base = units_known()[known][0] if known is not None else _base_of(words)
    number = _number(name)
    if base == "Wh":
        return _energy(words, course, among)
    if base == "W":
        return _power(words, number, among)
    measure = _other(base, words, number)
    return Meaning(measure) if is_measure(measure) else None


def _other(base: str, words: frozenset[str], number: int) -> str:
    """What is neither energy nor power; '' for nothing."""
    if base in {"V", "A"}:
        return _electrical("voltage_v" if base == "V" else "current_a", words, number)
    if base == "VA":
        return "export_apparent_power_va" if words & _EXPORT else "apparent_power_va"
    if base == "°C":
        return "module_temp_c" if words & _MODULE else "ambient_temp_c" if words & _AMBIENT else "inverter_temp_c"
    if base == "%":
        if words & (_BATTERY | {"soc", "ladezustand"}) or (words & _CHARGE and words & {"state", "etat"}):
            return "battery_soc_pct"
        return "power_factor" if words & _FACTOR else ""
    return _PLAIN.get(base, "")


def _words(name: str) -> frozenset[str]:
    """With the parts of German compounds: 'Modultemperatur' is a temperature too."""
    words = name_words(name)
    return frozenset((*words, *(part for word in words for part in _PARTS if part in word and part != word)))


def _base_of(words: frozenset[str]) -> str:
    """By the words alone, the clearer ones first."""
    for base, its in (
        ("W/m²", _IRRADIANCE), ("°C", _TEMPERATURE), ("Hz", _FREQUENCY), ("factor", _FACTOR), ("V", _VOLTAGE),
        ("W", _POWER), ("A", _CURRENT), ("Wh", _ENERGY), ("Wh", _PV), ("%", word_set("soc")),
    ):  # fmt: skip
        if words & its:
            return base
    return ""


def _energy(words: frozenset[str], course: Course, among: frozenset[str]) -> Meaning | None:
    weak: Literal[0, 1, 2] = 0
    if words & _SELF:
        return None
    if _is_battery(words, among):
        register = "discharge_energy_wh" if words & _DISCHARGE else "charge_energy_wh" if words & _CHARGE else ""
    elif _direction(words) is not None:
        register = f"{_direction(words)}_energy_wh"
    elif words & _GRID and not words & _PV:
        register = "import_energy_wh"
    elif words & _LOAD:
        register = ""  # what is consumed is no register of a site
    else:
        register = "pv_energy_wh"
        weak = 0 if words & _PV else _weak(words - _DAY, _ENERGY)
    if not register:
        return None
    if course == "restarts" or (words & _DAY and course != "varies"):
        return Meaning(DAY_COUNTER_OF[register], weak=weak)
    if course == "grows" or (words & _TOTAL and course == "rises"):
        return Meaning(register, weak=weak)
    return Meaning(INTERVAL_OF[register], weak=weak)


def _power(words: frozenset[str], number: int, among: frozenset[str]) -> Meaning | None:
    beside_ac = bool(among & word_set("pac ac output total grid active"))
    of_string = number and (words & _INPUT or ("pv" in words and beside_ac and not words & _AC))
    direction = _direction(words)
    if words & _DC or of_string:
        measure = f"dc_power_w_{number or 1}"
        return Meaning(measure) if is_measure(measure) else None
    if words & _SELF:
        return None
    if _is_battery(words, among):
        return _battery_power(words)
    if direction is not None and not words & _PV:
        return Meaning(f"{direction}_interval_wh", mean_power=True)
    of_whom = (("pv_power_w", _PV), ("load_power_w", _LOAD), ("grid_power_w", _GRID))
    told = next((measure for measure, its in of_whom if words & its), None)
    return Meaning("pv_power_w", weak=_weak(words, _POWER)) if told is None else Meaning(told)


def _battery_power(words: frozenset[str]) -> Meaning:
    """Of one direction it is an energy."""
    if words & (_CHARGE | _DISCHARGE):
        return Meaning(f"{'discharge' if words & _DISCHARGE else 'charge'}_interval_wh", mean_power=True)
    return Meaning("battery_power_w", sign=-1 if words & _FROM else 1)


def _is_battery(words: frozenset[str], among: frozenset[str]) -> bool:
    """Charging alone may be a car's, and 'charge' a load's: it is a battery's where others are told of discharging."""
    if words & (_BATTERY | _DISCHARGE):
        return True
    return bool(words & _CHARGE) and not words & _LOAD and bool(among & (_BATTERY | _DISCHARGE))


def _direction(words: frozenset[str]) -> Literal["import", "export"] | None:
    """Over the meter at the grid."""
    if words & _EXPORT:
        return "export"
    if words & _IMPORT:
        return "import"
    to, from_ = bool(words & _TO), bool(words & _FROM)
    if not words & _GRID or to == from_:
        return None
    return "export" if to else "import"


def _weak(words: frozenset[str], known: frozenset[str]) -> Literal[0, 1, 2]:
    """known: what says at least which quantity it is."""
    if all(word.isdigit() for word in words - known - _NEUTRAL):
        return 0
    return 1 if words & known else 2


def _electrical(what: str, words: frozenset[str], number: int) -> str:
    if words & _BATTERY:
        return ""
    if words & _DC or (number and words & (_INPUT | {"pv"})):
        return f"dc_{what}_{number or 1}"
    phase = _PHASES.get(str(number)) or next((_PHASES[word] for word in sorted(words) if word in set("abcrst")), None)
    return f"ac_{what}_l{phase}" if phase else f"ac_{what}"


def _number(name: str) -> int:
    """'Upv2', 'MPPT 2', 'U L1' → 2, 2, 1; 0: none"""
    found = _NUMBER.findall(name)
    return int(found[-1]) if found else 0
