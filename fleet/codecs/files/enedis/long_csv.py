"""Enedis's CSV files that say in each row what it is: the R6x flows, and the load curves that come by e-mail.

    R6x     Identifiant PRM;Date de début;Date de fin;Grandeur physique;Grandeur métier;Etape métier;Unité;Horodate;Valeur;
            Nature;Pas;Indice de vraisemblance;Etat complémentaire
            R63 curves (PA, PRI, PRC, E; mean of a step of PT5M to PT60M that each row tells), R65 daily energy (EA, P1D),
            R66 daily peaks (PMA, VA). Times are legal time without offset: the hour that comes twice is told by the order.
            BRUT is raw, BEST the best that there is. Up to 36 kVA a time is the end of its step, above its start: curve.py.
    e-mail  Date de la mesure;Heure de la mesure;Valeur;Statut de la mesure;PRM;Type de données;…;Pas en minutes
            of sites above 36 kVA, so starts if nothing tells; may be Latin-1.

Sources: guide of R6x (Enedis.SGE.GUI.0503) for columns, codes and stamps; the e-mail's columns as recorded. Every status is
taken in (real, estimated, corrected): Enedis itself bills by them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fleet.codecs.files.enedis.curve import HOUR_MS, End
from fleet.codecs.files.enedis.headings import begins, heading
from fleet.codecs.files.enedis.quantities import NotKept, direction_of, is_active, is_energy, is_peak, quantity
from fleet.codecs.files.enedis.series import AllSeries, Series, Shape
from fleet.codecs.files.enedis.stamps import Texts
from fleet.codecs.files.enedis.words import refused, serial_of
from fleet.codecs.files.lines import lines
from fleet.codecs.files.local_time import DAY_MS
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Unreadable

MINUTE_MS: Final = 60_000

_STEP: Final = re.compile(r"P(?:T(?P<minutes>[0-9]{1,4})M|T(?P<hours>[0-9]{1,3})H|(?P<days>[0-9]{1,3})D|[0-9]{1,3}[MY])")
_MINUTES: Final = re.compile(r"[0-9]{1,4}")
_MEANT_KNOWN_MAX: Final = 10_000  # words of rows that tell their series; a file with 500 meters has a few thousand
_STEPS_KNOWN_MAX: Final = 100  # texts of steps; a file has two or three
_REFUSED_SERIES_MAX: Final = 20  # told of one file


class _Columns(NamedTuple):
    """Where in a row what stands; `cells`, where an empty one is added: nowhere. clock: if date and time stand apart."""

    cells: int
    meter: int
    stamp: int
    clock: int
    value: int
    direction: int
    physical: int
    unit: int
    stage: int
    step: int


class Meant(NamedTuple):
    """The words of a row that tell its series. step_ms: 0 if it does not say."""

    meter: str
    direction: str
    physical: str
    unit: str
    stage: str
    step_ms: int


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (cut_meter_number, coarser_than_a_day, too_many_serials, header_only, and those of lines())."""
    rows = _Rows(context)
    for line, text in lines(content):
        yield from rows.take(line, text)
    yield from rows.rest()


class SeriesOfRows:
    """Finds the series that a row belongs to, or refuses it once."""

    def __init__(self, context: Context, usual: End | None) -> None:
        self.all: Final = AllSeries()
        self._context: Final = context
        self._usual: Final = usual
        self._texts: Final = Texts()
        self._known: Final[dict[Meant, Series]] = {}
        self._refused: Final[set[tuple[str, str, str]]] = set()

    def of(self, line: int, meant: Meant) -> Series | Found | None:
        """None: refused before. Raises Unreadable."""
        known = self._known.get(meant)
        if known is not None:
            return known
        if len(self._known) >= _MEANT_KNOWN_MAX:
            self._known.clear()
        try:
            series = self._known[meant] = self._find(meant)
        except NotKept as why:
            words = (meant.direction, meant.physical, meant.unit)
            if words in self._refused or len(self._refused) >= _REFUSED_SERIES_MAX:
                return None
            self._refused.add(words)
            return refused(why.code, line, ";".join(words), what=why.what)
        return series

    def _find(self, meant: Meant) -> Series:
        """One series however its step changes. Raises NotKept, Unreadable."""
        if meant.step_ms > DAY_MS and not is_peak(meant.physical):
            raise Unreadable("coarser_than_a_day")
        role = self._context.settings.role
        direction = direction_of(meant.direction) or ("export" if role == "pv" else "import")
        wanted = quantity(direction, meant.physical, meant.unit)
        serial, shape, corrected = serial_of(meant.meter), shape_of(meant), is_corrected(meant.stage)
        key = (serial, wanted, shape, corrected)
        known = self.all.get(key)
        if known is not None:
            return known
        series = Series(
            serial,
            wanted,
            self._texts,
            shape=shape,
            stamp=self._context.settings.stamp,
            usual=self._usual,
            corrected=corrected,
        )
        return self.all.put(key, serial, series)


def shape_of(meant: Meant) -> Shape:
    if is_peak(meant.physical):
        return "instants"
    total = is_active(meant.physical) and is_energy(meant.unit) and not meant.step_ms
    return "days" if total or meant.step_ms == DAY_MS else "curve"


def is_corrected(stage: str) -> bool:
    return stage.strip().upper() == "BEST" or "corrig" in stage.lower()


def step_of(text: str) -> int:
    """'PT30M', or '30' minutes, as ms; 0: it says nothing; more than a day for months and years. Raises ValueError."""
    text = text.strip()
    if not text:
        return 0
    if _MINUTES.fullmatch(text):
        return int(text) * MINUTE_MS
    found = _STEP.fullmatch(text)
    if found is None:
        raise ValueError(text)
    if found["minutes"]:
        return int(found["minutes"]) * MINUTE_MS
    if found["hours"]:
        return int(found["hours"]) * HOUR_MS
    return int(found["days"]) * DAY_MS if found["days"] else 31 * DAY_MS


class _Rows:
    """Takes a file line by line."""

    def __init__(self, context: Context) -> None:
        self._context: Final = context
        self._columns: _Columns | None = None
        self._series = SeriesOfRows(context, None)
        self._email = False
        self._steps: Final[dict[str, int]] = {}
        self._last: Meant | None = None

    def take(self, line: int, text: str) -> Iterator[Found]:
        if '"' in text:
            text = text.replace('"', "")
        if not text[:1].isdigit():
            if not text.strip(" \t;"):
                return
            names = heading(text)
            if names is not None and names.kind in {"r6x", "email"}:
                yield from self.rest()
                self._email = names.kind == "email"
                self._columns = _columns(names.names)
                self._series = SeriesOfRows(self._context, "start" if self._email else None)
                return
        if self._columns is not None:
            yield from self._row(line, text, self._columns)

    def rest(self) -> Iterator[Found]:
        return self._series.all.rest()

    def _row(self, line: int, text: str, columns: _Columns) -> Iterator[Found]:
        cells = text.split(";")
        missing = columns.cells - len(cells)
        if missing > 0 and not (self._email and len(cells) > max(columns.stamp, columns.clock, columns.value)):
            yield refused("wrong_field_count", line, text, found=str(len(cells)), expected=str(columns.cells))
            return
        cells = [*cells[: columns.cells], *[""] * (missing + 1)] if missing > 0 else [*cells[: columns.cells], ""]
        try:
            meant = self._meant(columns, cells)
        except ValueError as error:
            yield refused("bad_step", line, str(error), columns.step + 1)
            return
        series = self._series.of(line, meant)
        if not isinstance(series, Series):
            if series is not None:
                yield series
            return
        clock = cells[columns.clock]
        stamp = f"{cells[columns.stamp]}T{clock}" if clock else cells[columns.stamp]
        found = series.add(line, stamp, cells[columns.value], meant.step_ms)
        if found is not None:
            yield found
        elif self._series.all.is_full():
            yield from self._series.all.older()

    def _meant(self, columns: _Columns, cells: Sequence[str]) -> Meant:
        """Raises ValueError: the step is none."""
        if self._email and self._last is not None and not cells[columns.meter]:
            return self._last  # what holds for all rows may stand in the first one only
        text = cells[columns.step]
        step = self._steps.get(text)
        if step is None:
            step = step_of(text)
            if len(self._steps) < _STEPS_KNOWN_MAX:
                self._steps[text] = step
        self._last = Meant(
            cells[columns.meter],
            cells[columns.direction],
            cells[columns.physical],
            cells[columns.unit],
            cells[columns.stage],
            step,
        )
        return self._last


def _columns(names: Sequence[str]) -> _Columns:
    def at(*wanted: str) -> int:
        return next((names.index(each) for each in wanted if each in names), len(names))

    return _Columns(
        cells=len(names),
        meter=at("idntifiant prm", "prm"),
        stamp=at("horodat", "dat d la msur"),
        clock=at("hur d la msur"),
        value=at("valur"),
        direction=at("grandur mtir"),
        physical=at("grandur physiqu"),
        unit=at("unit"),
        stage=at("tap mtir", "statut dmand"),
        step=at("pas", "pas n minuts"),
    )


FORMATS: Final = (
    FileFormat(
        "enedis-r6x-csv",
        "Enedis : flux R63, R65, R66 (CSV)",
        "Enedis: flows R63, R65, R66 (CSV)",
        "imported-meter",
        begins("r6x"),
        read,
    ),
    FileFormat(
        "enedis-email",
        "Enedis : courbe de charge reçue par courriel (C1-C4)",
        "Enedis: load curve by e-mail (C1-C4)",
        "imported-meter",
        begins("email"),
        read,
    ),
)
