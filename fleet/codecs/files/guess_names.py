"""What the heading of a column probably measures: names in French, English, German, Spanish and Italian.

A guess that a person sees and corrects before anything is read, so the likely answer is given where fleet.codecs.naming
would rather give none.
"""

import re
from typing import Final, Literal, NamedTuple

from fleet.codecs.files.units import unit_named, units_known
from fleet.codecs.naming import words_of
from fleet.measures import DAY_COUNTER_OF, INTERVAL_OF, is_measure

# Of the numbers in a column, as far as they are seen: surely a counter; one that begins anew; perhaps one; none
Course = Literal["grows", "restarts", "rises", "varies"]


class Meaning(NamedTuple):
    """mean_power: power over an interval whose energy is measured."""

    measure: str
    mean_power: bool = False


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PV: Final = _set(
    "pv solar solaire photovoltaique photovoltaik fotovoltaica fotovoltaico production produit produite produced prod"
    " produktion erzeugung erzeugt ertrag gesamtertrag tagesertrag einspeiseleistung yield generation generated generacion"
    " produccion produzione prodotta generata generada inverter onduleur wechselrichter inversor pac wr inv rendement gain"
)
_IMPORT: Final = _set(
    "soutirage soutire soutiree import imported importe importee importation bezug netzbezug bezogen importacion importada"
    " importata prelievo prelevata purchased bought achat drawn eas conso"
)
_EXPORT: Final = _set(
    "injection injecte injectee export exported exporte exportee exportation einspeisung netzeinspeisung eingespeist"
    " inyeccion inyectada vertido vertida excedente excedentes exportada immissione immessa ceduta surplus feed feedin"
    " returned sold vente eai"
)
_BATTERY: Final = _set("battery batterie batteries akku bateria batteria speicher storage stockage")
_CHARGE: Final = _set("charge charged charging ladung geladen carga cargada carica caricata")
_DISCHARGE: Final = _set("discharge discharged discharging decharge entladung entladen descarga scarica")
_LOAD: Final = _set(
    "consommation consumption consumed verbrauch hausverbrauch consumo load last demand carico autoconsommation"
)
_GRID: Final = _set("grid reseau netz red rete mains linky compteur meter zahler zaehler contador contatore")
_DAY: Final = _set(
    "day daily today jour journalier journaliere quotidien tag tages taglich tagesertrag heute dia diaria diario hoy giorno"
    " oggi giornaliera"
)
_TOTAL: Final = _set(
    "total totale lifetime gesamt gesamtertrag counter index compteur zahler zahlerstand zaehlerstand contador contatore"
    " cumul cumulee cumulative cumulated acumulada acumulado cumulata totalyield"
)
_ENERGY: Final = (
    _set("energy energie energia ertrag yield e eac arbeit gesamtertrag tagesertrag") | _TOTAL | _IMPORT | _EXPORT
)
_POWER: Final = _set("power puissance leistung wirkleistung potencia potenza pac p pwr watt watts einspeiseleistung")
_VOLTAGE: Final = _set("voltage tension spannung voltaje tensione u uac udc upv vac vdc upv volt")
_CURRENT: Final = _set("current courant strom corriente corrente intensite i iac idc ipv amp")
_TEMPERATURE: Final = _set("temperature temperatur temperatura temp tmp")
_FREQUENCY: Final = _set("frequency frequence frequenz frecuencia frequenza fac hz freq")
_IRRADIANCE: Final = _set(
    "irradiance irradiation einstrahlung strahlung irradiancia irraggiamento ensoleillement rayonnement"
)
_DC: Final = _set("dc string mppt mpp tracker udc idc pdc upv ipv vdc chaine strang")
_MODULE: Final = _set("module modules panel panels panneau panneaux modul modultemperatur cell cells cellule")
_AMBIENT: Final = _set(
    "ambient ambiant ambiante exterieur exterieure outdoor aussen aussentemperatur umgebung exterior ambiente esterna air"
)
_FACTOR: Final = _set("cos cosphi phi pf factor facteur faktor fattore")
_SERIAL: Final = _set("serial serie seriennummer sn matricola serialnumber")
_START: Final = _set("start debut von from inicio desde inizio da begin beginning")
_END: Final = _set("end fin ende bis to until fine al hasta")
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


def is_serial_name(name: str) -> bool:
    return not _SERIAL.isdisjoint(words_of(name))


def end_named(name: str) -> Literal["start", "end"] | None:
    """Which end of an interval a column of times names."""
    words = words_of(name)
    starts, ends = not _START.isdisjoint(words), not _END.isdisjoint(words)
    return None if starts == ends else "start" if starts else "end"


def meaning(name: str, unit: str, course: Course) -> Meaning | None:
    """unit: as written, '' if nowhere. None: nothing comes to mind."""
    if is_measure(name.strip()):
        return Meaning(name.strip())
    words = _words(name)
    known = unit_named(unit)
    base = units_known()[known][0] if known is not None else _base_of(words)
    number = _number(name)
    if base == "Wh":
        return _energy(words, course)
    if base == "W":
        return _power(words, number)
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
        return "battery_soc_pct" if words & (_BATTERY | {"soc"}) else "power_factor" if words & _FACTOR else ""
    return _PLAIN.get(base, "")


def _words(name: str) -> frozenset[str]:
    """With the parts of German compounds: 'Modultemperatur' is a temperature too."""
    words = words_of(name)
    return frozenset((*words, *(part for word in words for part in _PARTS if part in word and part != word)))


def _base_of(words: frozenset[str]) -> str:
    """By the words alone, the clearer ones first."""
    for base, its in (
        ("W/m²", _IRRADIANCE), ("°C", _TEMPERATURE), ("Hz", _FREQUENCY), ("factor", _set("cosphi cos pf")), ("V", _VOLTAGE),
        ("W", _POWER), ("A", _CURRENT), ("Wh", _ENERGY), ("Wh", _PV), ("%", _set("soc")),
    ):  # fmt: skip
        if words & its:
            return base
    return ""


def _energy(words: frozenset[str], course: Course) -> Meaning | None:
    if words & _BATTERY:
        register = "discharge_energy_wh" if words & _DISCHARGE else "charge_energy_wh" if words & _CHARGE else ""
    elif words & _EXPORT:
        register = "export_energy_wh"
    elif words & _IMPORT or (words & _GRID and not words & _PV):
        register = "import_energy_wh"
    elif words & _LOAD:
        register = ""  # what is consumed is no register of a site
    else:
        register = "pv_energy_wh"
    if not register:
        return None
    if course == "restarts" or (words & _DAY and course != "varies"):
        return Meaning(DAY_COUNTER_OF[register])
    if course == "grows" or (words & _TOTAL and course == "rises"):
        return Meaning(register)
    return Meaning(INTERVAL_OF[register])


def _power(words: frozenset[str], number: int) -> Meaning | None:
    if words & _DC and number:
        return Meaning(f"dc_power_w_{number}") if is_measure(f"dc_power_w_{number}") else None
    for register, its in (("export_interval_wh", _EXPORT), ("import_interval_wh", _IMPORT)):
        if words & its and not words & (_BATTERY | _PV):
            return Meaning(register, mean_power=True)
    for measure, its in (
        ("battery_power_w", _BATTERY),
        ("pv_power_w", _PV),
        ("load_power_w", _LOAD),
        ("grid_power_w", _GRID),
    ):
        if words & its:
            return Meaning(measure)
    return Meaning("pv_power_w")


def _electrical(what: str, words: frozenset[str], number: int) -> str:
    if words & _DC:
        return f"dc_{what}_{number or 1}"
    phase = _PHASES.get(str(number)) or next((_PHASES[word] for word in sorted(words) if word in set("abcrst")), None)
    return f"ac_{what}_l{phase}" if phase else f"ac_{what}"


def _number(name: str) -> int:
    """'Upv2', 'MPPT 2', 'U L1' → 2, 2, 1; 0: none"""
    found = _NUMBER.findall(name)
    return int(found[-1]) if found else 0
