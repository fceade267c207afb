"""Tasmota's smart meter interface: `"<group>": {"<name>": value, …}`, with names that the user's script made up.

Source: Tasmota's documentation of its Smart Meter Interface, and scripts that people share. The script names each value and
scales it; nothing in a message tells a unit. So a name counts only where people use it for one thing: counters in kWh,
powers in W, + drawn. "Verbrauch" alone is a power with some and an energy with others, and so is nothing.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from fleet.codecs.decoded import numeric

_COUNTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "totalin", "totalinkwh", "totalimport", "ein", "energyin", "energyimport", "import", "importkwh", "importenergy",
            "bezug", "bezugkwh", "bezuggesamt", "bezugtotal", "gesamtbezug", "netzbezug", "strombezug", "zaehlerstand",
            "zaehlerstandbezug", "bezugzaehlerstand", "zaehlerstandein", "zaehlerstandverbrauch", "gesamtverbrauch",
            "verbrauchgesamt", "verbrauchtotal", "verbrauchkwh", "stromverbrauchgesamt", "totalconsumption", "totalkwh",
            "consumptiontotal", "180", "e180", "obis180", "10180", "importactive", "totalconsumed", "totalconsumedkwh",
            "counterpos", "poswirktariflos", "energysum", "energyimported", "enrgimp", "kwhin", "powertotalin", "zaehlera+",
            "a+",
        ),
        "import_energy_wh",
    ),
    **dict.fromkeys(
        (
            "totalout", "totaloutkwh", "totalexport", "eout", "energyout", "energyexport", "export", "exportkwh",
            "exportenergy", "einspeisung", "einspeisungkwh", "einspeisunggesamt", "einspeisungtotal", "gesamteinspeisung",
            "netzeinspeisung", "zaehlerstandeinspeisung", "einspeisungzaehlerstand", "zaehlerstandaus", "lieferung",
            "gesamtlieferung", "280", "e280", "obis280", "10280", "exportactive", "totaldelivered", "totaldeliveredkwh",
            "counterneg", "negwirktariflos", "energysupply", "energyexported", "enrgexp", "kwhout", "powertotalout",
            "exporttotalkwh", "zaehlera-", "a-",
        ),
        "export_energy_wh",
    ),
}  # fmt: skip
_NOW: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "powercurr", "powercur", "powercurrent", "power", "powertotal", "powersum", "powerall", "poweract",
            "currentpower", "activepower", "leistung", "leistungw", "leistungaktuell", "leistunggesamt", "leistungsumme",
            "leistungtotal", "aktuelleleistung", "gesamtleistung", "momentanleistung", "wirkleistung", "wirkleistunggesamt",
            "verbrauchaktuell", "aktuellerverbrauch", "momentanverbrauch", "momentanerverbrauch", "verbrauchw", "watt",
            "wattsumme", "wattgesamt", "currw", "ptotal", "psum", "1670", "obis1670", "101670", "momentanwirkleistung",
            "currentconsumption", "pl1l2l3",
        ),
        "grid_power_w",
    ),
    **dict.fromkeys(("freq", "frequency", "frequenz", "netzfrequenz", "hz"), "ac_frequency_hz"),
}  # fmt: skip
# These mean it only beside others that are known.
_WEAK: Final[Mapping[str, str]] = {"total": "import_energy_wh", "p": "grid_power_w"}
# A meter's own codes, maybe behind its name: "ELZ_PV_1.8.0".
_OBIS: Final = re.compile(r"(?:(?P<whose>.*)[^0-9A-Za-z])?(?P<code>[12])[.:_]8[.:_]0")
_BY_CODE: Final = {"1": "import_energy_wh", "2": "export_energy_wh"}
_PHASE: Final = r"(?:l|p|phase|ph)?(?P<phase>[123])(?:curr)?"
_VOLTAGE: Final = re.compile(rf"(?:volt|voltage|spannung|u){_PHASE}")
_CURRENT: Final = re.compile(rf"(?:curr|current|amp|ampere|amperage|strom|stromstaerke|i){_PHASE}")
_LETTERS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_OTHER: Final = re.compile(r"[^a-z0-9]+")


def read(group: Mapping[str, object]) -> dict[str, float | None] | None:
    """The measures of one meter. Nothing at all while its import is 0: until a first telegram came, every value is.

    None: no name in it is one that we know; it is no meter.
    """
    found: dict[str, float | None] = {}
    coded = {name: code for name in group if (code := _OBIS.fullmatch(name)) is not None}
    one = len({code["whose"] for code in coded.values()}) == 1  # else they are several meters'
    for name, told in group.items():
        measure, scale = _meaning(name)
        if name in coded:
            measure, scale = (_BY_CODE[coded[name]["code"]] if one else None), 1_000.0
        if measure is not None:
            _take(found, measure, told, scale)
    for name in group if found else ():
        measure = _WEAK.get(name.casefold())
        if measure is not None:
            _take(found, measure, group[name], 1.0 if measure.endswith("_w") else 1_000.0)
    if not found:
        return None
    return {} if found.get("import_energy_wh") == 0.0 else found


def _take(found: dict[str, float | None], measure: str, told: object, scale: float) -> None:
    value = numeric(told)
    if value is not None and measure not in found:
        found[measure] = value if scale == 1.0 else round(value * scale, 3)


@lru_cache(maxsize=1_024)
def _meaning(name: str) -> tuple[str | None, float]:
    plain = _OTHER.sub("", unicodedata.normalize("NFC", name).casefold().translate(_LETTERS))
    counter = _COUNTED.get(plain + name[-1:] if name.endswith(("+", "-")) else plain)
    if counter is not None:
        return counter, 1_000.0
    for pattern, quantity in ((_VOLTAGE, "voltage_v"), (_CURRENT, "current_a")):
        found = pattern.fullmatch(plain)
        if found is not None:
            return f"ac_{quantity}_l{found['phase']}", 1.0
    return _NOW.get(plain), 1.0
