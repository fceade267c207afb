"""Flows R151 and R171: daily registers by tariff, of meters up to 36 kVA and above.

    R151 > En_Tete_Flux > Unite_Mesure_Index (Wh)
         > PRM* > Id_PRM, Donnees_Releve* > Date_Releve, Classe_Temporelle_Distributeur* > Id_Classe_Temporelle, Valeur;
           Classe_Temporelle* (the supplier's, the same energy once more); Puissance_Maximale > Valeur
    R171 > serieMesuresDateesListe > serieMesuresDatees* > prmId, type (INDEX), grandeurMetier, grandeurPhysique,
           typeCalendrier (D: the operator's), codeClasseTemporelle, unite,
           mesuresDateesListe > mesureDatee* > dateFin, valeur

Sources: a third party's parsers and their tests (the guides were not at hand): shapes are known, meanings second hand.
Date_Releve and dateFin have no zone: legal time, Paris. A date is taken as its first instant. R151 does not say whether it
was drawn or fed in: drawn, unless the logger's role is "pv". Its daily maximum has no time of day, so it is not taken.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from fleet.codecs.files.enedis.r64_csv import Register, RegisterRows
from fleet.codecs.files.enedis.registers import OPERATOR, SUPPLIER, UNKNOWN, Rank, Source
from fleet.codecs.files.enedis.xml_walk import Walker, root_is, walk
from fleet.codecs.files.reading import Content, Context, FileFormat, Found

_R151_RANKS: Final[Mapping[str, Rank]] = {"Classe_Temporelle_Distributeur": OPERATOR, "Classe_Temporelle": SUPPLIER}


def read_r151(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_xml, xml_entities, line_too_long, cut_meter_number, too_many_serials, too_many_registers)."""
    yield from walk(content, _R151(context))


def read_r171(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_xml, xml_entities, line_too_long, cut_meter_number, too_many_serials, too_many_registers)."""
    yield from walk(content, _R171(context))


class _RegisterWalker(Walker):
    def __init__(self, context: Context) -> None:
        super().__init__()
        self._rows = RegisterRows(context)

    def take(self, register: Register) -> None:
        self.told.extend(self._rows.take(self.line_of(), register))

    def rest(self) -> Iterator[Found]:
        return self._rows.rest()


class _R151(_RegisterWalker):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._unit = "Wh"
        self._meter = ""
        self._day = ""
        self._of_class: Final[dict[str, str]] = {}

    def closed(self, name: str, text: str) -> None:
        if self.path and self.path[-1] in _R151_RANKS:
            self._of_class[name] = text
        elif name in _R151_RANKS:
            tariff, value = self._of_class.get("Id_Classe_Temporelle", ""), self._of_class.get("Valeur", "")
            source = Source(_R151_RANKS[name], "", "")
            self.take(Register(self._meter, "", "EA", self._unit, self._day, value, source, tariff))
            self._of_class.clear()
        elif name == "Donnees_Releve":
            self._day = ""
        elif name == "Date_Releve":
            self._day = text
        elif name == "Id_PRM":
            self._meter = text
        elif name == "Unite_Mesure_Index" and text:
            self._unit = text


class _R171(_RegisterWalker):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._of_series: Final[dict[str, str]] = {}
        self._of_value: Final[dict[str, str]] = {}

    def closed(self, name: str, text: str) -> None:
        parent = self.path[-1] if self.path else ""
        if name == "mesureDatee":
            self.take(self._register())
            self._of_value.clear()
        elif name == "serieMesuresDatees":
            self._of_series.clear()
        elif parent == "mesureDatee":
            self._of_value[name] = text
        elif parent == "serieMesuresDatees":
            self._of_series[name] = text

    def _register(self) -> Register:
        told = self._of_series
        calendar = told.get("typeCalendrier", "")
        rank: Rank = OPERATOR if calendar == "D" else SUPPLIER if calendar else UNKNOWN
        is_index = told.get("type", "INDEX").upper() == "INDEX"
        return Register(
            told.get("prmId", ""),
            told.get("grandeurMetier", ""),
            told.get("grandeurPhysique", "") if is_index else told.get("type", ""),
            told.get("unite", ""),
            self._of_value.get("dateFin", ""),
            self._of_value.get("valeur", ""),
            Source(rank, calendar, ""),
            told.get("codeClasseTemporelle", ""),
        )


FORMATS: Final = (
    FileFormat(
        "enedis-r151",
        "Enedis : flux R151, index quotidiens (C5)",
        "Enedis: flow R151, daily registers (C5)",
        "imported-meter",
        root_is("R151"),
        read_r151,
    ),
    FileFormat(
        "enedis-r171",
        "Enedis : flux R171, index quotidiens (C2-C4)",
        "Enedis: flow R171, daily registers (C2-C4)",
        "imported-meter",
        root_is("R171"),
        read_r171,
    ),
)
