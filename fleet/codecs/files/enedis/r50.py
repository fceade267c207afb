"""Flow R50: half-hours of meters up to 36 kVA (C5, P4), several delivery points in a file, one day or several.

    R50 > En_Tete_Flux > Pas_Publication (30)
        > PRM* > Id_PRM, Donnees_Releve* > Date_Releve, PDC* > H, V, IV

Source: guide of R50. Mean W, raw only; H is the END of its half-hour, the first one 00:30; V absent or empty is missing;
IV is an index of plausibility. The flow does not say whether it was drawn or fed in: drawn, unless the logger's role is
"pv".
"""

from collections.abc import Iterator
from typing import Final

from fleet.codecs.files.enedis.long_csv import MINUTE_MS, Meant
from fleet.codecs.files.enedis.xml_points import PointWalker
from fleet.codecs.files.enedis.xml_walk import root_is, walk
from fleet.codecs.files.reading import Content, Context, FileFormat, Found

_STEP_MINUTES: Final = 30


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_xml, xml_entities, line_too_long, cut_meter_number, too_many_serials)."""
    yield from walk(content, _Points(context))


class _Points(PointWalker):
    def __init__(self, context: Context) -> None:
        super().__init__(context, "end")
        self._step_ms = _STEP_MINUTES * MINUTE_MS
        self._meant: Meant | None = None
        self._direction = ""
        self._stamp = ""
        self._value = ""

    def closed(self, name: str, text: str) -> None:
        if name == "H":
            self._stamp = text
        elif name == "V":
            self._value = text
        elif name == "PDC":
            if self._meant is not None:
                self.add(self._meant, self._stamp, self._value)
            self._stamp = self._value = ""
        elif name == "Id_PRM":
            self._meant = Meant(text, self._direction, "EA", "W", "", self._step_ms)
        elif name == "Pas_Publication" and text.isdecimal():
            self._step_ms = int(text[:4]) * MINUTE_MS


FORMATS: Final = (
    FileFormat(
        "enedis-r50",
        "Enedis : flux R50, courbes de charge (C5, P4)",
        "Enedis: flow R50, load curves (C5, P4)",
        "imported-meter",
        root_is("R50"),
        read,
    ),
)
