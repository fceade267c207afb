"""Flows R4Q, R4H, R4M: load curves of sites above 36 kVA (C1-C4, P1-P3), day by day, by the week, by the month.

    Courbe > Entete > Nature_De_Courbe_Demandee (Brute, Corrigee)
           > Corps > Identifiant_PRM, Donnees_Courbe* > Granularite (minutes), Unite_Mesure, Grandeur_Metier,
             Grandeur_Physique, Donnees_Point_Mesure* (Horodatage, Valeur_Point, Statut_Point; attributes, or children)

Source: guide of R4x. A time H is the START: the value is the mean over [H, H + Granularite[, in kW (EA), kWr (ERC, ERI) or V
(E). CONS was drawn, PROD fed in; where it is missing it is CONS. A value may be absent. Points of every status are taken in
(R real, E estimated, C corrected, H, P, S, T, F, G, K, D): Enedis bills by them. Raw and corrected curves of a day both
come; the corrected one outranks.
"""

from collections.abc import Iterator
from typing import Final

from fleet.codecs.files.enedis.long_csv import MINUTE_MS, Meant
from fleet.codecs.files.enedis.xml_points import PointWalker
from fleet.codecs.files.enedis.xml_walk import root_is, walk
from fleet.codecs.files.reading import Content, Context, FileFormat, Found

_POINT: Final = "Donnees_Point_Mesure"
_CURVE: Final = "Donnees_Courbe"


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_xml, xml_entities, line_too_long, cut_meter_number, too_many_serials)."""
    yield from walk(content, _Curves(context))


class _Curves(PointWalker):
    def __init__(self, context: Context) -> None:
        super().__init__(context, "start")
        self._stage = ""
        self._meter = ""
        self._of_curve: Final[dict[str, str]] = {}
        self._of_point: Final[dict[str, str]] = {}
        self._meant: Meant | None = None

    def closed(self, name: str, text: str) -> None:
        if name == _POINT:
            point = self.attributes() or self._of_point
            if self._meant is None:
                self._meant = self._words()
            self.add(self._meant, point.get("Horodatage", ""), point.get("Valeur_Point", ""))
            self._of_point.clear()
        elif name == _CURVE:
            self._of_curve.clear()
            self._meant = None
        elif self.path and self.path[-1] == _POINT:
            self._of_point[name] = text
        elif self.path and self.path[-1] == _CURVE:
            self._of_curve[name] = text
        elif name == "Identifiant_PRM":
            self._meter = text
        elif name == "Nature_De_Courbe_Demandee":
            self._stage = text

    def _words(self) -> Meant:
        of_curve = self._of_curve
        minutes = of_curve.get("Granularite", "")
        return Meant(
            self._meter,
            of_curve.get("Grandeur_Metier", "") or "CONS",
            of_curve.get("Grandeur_Physique", ""),
            of_curve.get("Unite_Mesure", "") or "kW",
            self._stage,
            int(minutes[:4]) * MINUTE_MS if minutes.isdecimal() else 0,
        )


FORMATS: Final = (
    FileFormat(
        "enedis-r4x",
        "Enedis : flux R4Q, R4H, R4M, courbes de charge (C1-C4, P1-P3)",
        "Enedis: flows R4Q, R4H, R4M, load curves (C1-C4, P1-P3)",
        "imported-meter",
        root_is("Courbe"),
        read,
    ),
)
