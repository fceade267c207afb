"""What the customer portal of Enedis lets download as CSV: load curves, daily registers, daily totals, daily peaks.

A file is a sequence of blocks: a preamble (PRM, type of data, quantity, direction, unit, step: names in a line, values in
the next one), a heading of columns, rows. The file of daily registers goes on with calendars and with daily peaks.

    load curve   Horodate;Valeur               mean W of an interval (an empty unit is W), times with offset: see curve.py
                 horodate ISO fin de pas;puissance moyenne (W)     the same; its times are ends, in so many words
    registers    Horodate;Type de releve;EAS F1;…;EAS T            see portal_index.py
    totals       Date;Valeur (en Wh)    Date;Consommation (en kWh)     of a local day, ISO or dd/mm/yyyy, decimal comma
    peaks        Horodate;Valeur               W or VA, at the very time of the day's highest

Portal files as measured on recorded ones: byte order mark, accents that come and go, an empty or missing step that changes
within the file, gaps, empty values. When summer time ends there are two rows of 02:00 with two offsets, when it begins none.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from fleet.codecs.files.enedis.headings import (
    Heading,
    begins,
    cells_of,
    heading,
    shape_of,
    told_below,
    type_of_data,
    unit_in_brackets,
)
from fleet.codecs.files.enedis.portal_index import IndexRows
from fleet.codecs.files.enedis.quantities import Direction, NotKept, Quantity, direction_of, is_energy, quantity
from fleet.codecs.files.enedis.series import AllSeries, Series, Shape
from fleet.codecs.files.enedis.stamps import Texts
from fleet.codecs.files.enedis.words import refused, serial_of
from fleet.codecs.files.lines import lines
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, StampEnd, Unreadable

_MINUTE_MS: Final = 60_000
_MONTH: Final = re.compile(r"(?:[0-9]{4}-[0-9]{2}|[0-9]{2}/[0-9]{4})(?![0-9/-])")
_FIRST_DIGITS: Final = re.compile(r"[0-9]+")

_ReadRow = Callable[[int, str], Iterable[Found]]


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (cut_meter_number, coarser_than_a_day, too_many_serials, and those of lines())."""
    portal = _Portal(context)
    for number_, text in lines(content):
        if found := portal.take(number_, text):
            yield from found
    yield from portal.rest()


class _Portal:
    """Takes a file line by line."""

    def __init__(self, context: Context) -> None:
        self._context: Final = context
        self._texts: Final = Texts()
        self._series: Final = AllSeries()
        self._index: IndexRows | None = None
        self._names: tuple[str, ...] = ()  # of a preamble whose values are still to come
        self._told: Mapping[str, str] = {}
        self._serial: str | None = None
        self._read_row: _ReadRow | None = None
        self._in_calendar = False

    def take(self, line: int, text: str) -> Iterable[Found]:
        if '"' in text:
            text = text.replace('"', "")
        if self._read_row is not None and text[:1].isdigit():
            return self._read_row(line, text)
        if not text.strip(" \t;"):
            return ()
        if self._names:
            self._preamble(told_below(self._names, text))
            return ()
        found = heading(text)
        if found is not None:
            self._begin(found)
            return ()
        if self._read_row is not None and not self._in_calendar and not text.lower().startswith("total"):
            return (refused("bad_time", line, text),)
        return ()

    def rest(self) -> Iterator[Found]:
        yield from self._series.rest()
        if self._index is not None:
            yield from self._index.rest()

    def _begin(self, found: Heading) -> None:
        self._in_calendar = found.kind == "calendar"
        self._read_row = None
        if found.kind == "preamble":
            self._names = found.names
            if found.told:
                self._preamble(found.told)
        elif found.kind == "values":
            self._read_row = self._values()
        elif found.kind == "curve":
            self._read_row = self._pairs("curve", unit_in_brackets(found.names[1]) or "", "end")
        elif found.kind == "days":
            self._read_row = self._days(found.names)
        elif found.kind == "index":
            self._index = self._index or IndexRows(self._texts)
            self._index.begin(self._serial, self._direction(""), self._of("unit"), found.names)
            self._read_row = self._index.take
        elif found.kind == "calendar":
            self._read_row = _nothing

    def _preamble(self, told: Mapping[str, str]) -> None:
        self._names, self._told = (), told
        meter = next((value for name, value in told.items() if name.startswith("idntifiant prm") or "(prm)" in name), "")
        self._serial = serial_of(meter)

    def _of(self, name: str) -> str:
        return self._told.get(name, "")

    def _direction(self, column: str) -> Direction:
        """By the column's name, the preamble, the file's name, the role that a person has set; else it is drawn."""
        told = (column, self._of("grandur mtir"), type_of_data(self._told), self._context.name)
        found = next((direction for each in told if (direction := direction_of(each)) is not None), None)
        return found or ("export" if self._context.settings.role == "pv" else "import")

    def _values(self) -> _ReadRow:
        shape = shape_of(type_of_data(self._told))
        stamp = self._context.settings.stamp
        return self._pairs("instants" if shape == "peaks" else shape, self._of("unit"), stamp)

    def _pairs(self, shape: Shape, unit: str, stamp: StampEnd | None) -> _ReadRow:
        """Rows of a time and a value."""
        physical = self._of("grandur physiqu") or ("PMA" if shape == "instants" else "")
        try:
            wanted = quantity(self._direction(""), physical, unit)
        except NotKept as why:
            return _refuse_once(why)
        return self._add_to(self._one(shape, wanted, stamp))

    def _one(self, shape: Shape, wanted: Quantity, stamp: StampEnd | None) -> Series:
        corrected = "corrig" in self._of("tap mtir").lower()
        key = (self._serial, wanted, shape, corrected)
        minutes = _FIRST_DIGITS.search(self._of("pas n minuts"))
        known = self._series.get(key)
        if known is not None:
            return known
        series = Series(
            self._serial,
            wanted,
            self._texts,
            shape=shape,
            stamp=stamp,
            declared_ms=int(minutes[0][:4]) * _MINUTE_MS if minutes else 0,
            corrected=corrected,
        )
        return self._series.put(key, self._serial, series)

    def _add_to(self, series: Series) -> _ReadRow:
        add, is_full = series.add, self._series.is_full

        def read_row(line: int, text: str) -> Iterable[Found]:
            stamp, separator, told = text.partition(";")
            if not separator:
                return (refused("wrong_field_count", line, text, found="1", expected="2"),)
            found = add(line, stamp, told.rstrip("; "))
            if found is not None:
                return (found,)
            return self._series.older() if is_full() else ()

        return read_row

    def _days(self, names: tuple[str, ...]) -> _ReadRow:
        """Rows of a day and one or several totals."""
        columns: list[Series | None] = []
        for name in names[1:]:
            unit = unit_in_brackets(name) or ""
            kept = is_energy(unit)
            columns.append(self._one("days", quantity(self._direction(name), "EA", unit), None) if kept else None)

        def read_row(line: int, text: str) -> Iterable[Found]:
            if _MONTH.match(text):
                raise Unreadable("coarser_than_a_day", line)
            day, *told = cells_of(text)
            if len(told) < len(columns):
                found, expected = str(len(told) + 1), str(len(columns) + 1)
                return (refused("wrong_field_count", line, text, found=found, expected=expected),)
            return self._totals(line, day, columns, told)

        return read_row

    def _totals(self, line: int, day: str, columns: list[Series | None], told: list[str]) -> Iterator[Found]:
        for column, (series, cell) in enumerate(zip(columns, told, strict=False), 2):
            if series is None:
                yield refused("not_active_power", line, cell, column, what=cell)
                continue
            found = series.add(line, day, cell)
            if found is not None:
                yield found
            elif self._series.is_full():
                yield from self._series.older()


def _nothing(_line: int, _text: str) -> Iterable[Found]:
    return ()


def _refuse_once(why: NotKept) -> _ReadRow:
    """A whole series is refused at its first value: a block without any says nothing of anything."""
    told = False

    def read_row(line: int, text: str) -> Iterable[Found]:
        nonlocal told
        value = text.partition(";")[2].rstrip("; ")
        if told or not value:
            return ()
        told = True
        return (refused(why.code, line, text, what=why.what),)

    return read_row


def _format(format_id: str, label_fr: str, label_en: str, *kinds: str) -> FileFormat:
    return FileFormat(format_id, label_fr, label_en, "imported-meter", begins(*kinds), read)


FORMATS: Final = (
    _format("enedis-curve", "Enedis : courbe de charge (espace client)", "Enedis: load curve (portal)", "curve"),
    _format("enedis-index", "Enedis : index quotidiens (espace client)", "Enedis: daily registers (portal)", "index"),
    _format("enedis-daily", "Enedis : totaux quotidiens (espace client)", "Enedis: daily totals (portal)", "days"),
    _format("enedis-peaks", "Enedis : puissances maximales (espace client)", "Enedis: daily peaks (portal)", "peaks"),
)
