"""SolarPerform's own CSV: `time[,serial],<measure>,…`, the fastest way in for years of history.

The first line names the columns: `time` (or `t`), perhaps `serial`, and measures by their names in the contract, in their
units. Times are Unix ms or ISO 8601 with an offset, row by row; or all of a file without one, in the logger's local time.
Cells are decimal numbers with a dot, empty where there is none. Commas, or semicolons, or tabs. Without `serial` all rows
are the logger's own device's.

Read by column, some thousand lines at a time; where one of them is not as usual they go one by one, each with its refusal.
"""

import re
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Final

from fleet.codecs.files.dates import UNIX_MS, Times
from fleet.codecs.files.lines import head_lines, line_blocks
from fleet.codecs.files.numbers import Numbers
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Rows, Unreadable
from fleet.codecs.files.row_reader import Layout, RowReader, serial_of
from fleet.codecs.files.series import Group, Slot, rows_of
from fleet.codecs.files.wide_reading import is_html
from fleet.file_limits import FILE_CELLS_GATHERED_MAX, FILE_ROWS_PER_BLOCK, FILE_SERIALS_MAX
from fleet.measures import is_measure
from fleet.telemetry import UnixMs

_DELIMITERS: Final = (",", ";", "\t")
_TIME: Final = frozenset(("time", "t"))
_UNIX: Final = re.compile(r"[0-9]{9,16}(?:\.[0-9]{0,9})?")  # others of digits alone would be dates
_LINES_AT_ONCE: Final = 4_096
_Column = list[float | None]


def recognises(head: bytes) -> bool:
    first = next((text for text in head_lines(head) if text.strip()), "")
    return _heading(first) is not None


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (empty_file, html_file, columns_not_found, header_only, and what the RowReader raises)."""
    reading: _Reading | None = None
    for first, block in line_blocks(content):
        for start in range(0, len(block), _LINES_AT_ONCE):
            number, texts = first + start, block[start : start + _LINES_AT_ONCE]
            if reading is None:
                while texts and not texts[0].strip():
                    number, texts = number + 1, texts[1:]
                if not texts:
                    continue
                reading = _Reading(content, context, number, texts[0])
                number, texts = number + 1, texts[1:]
            yield from reading.lines(number, texts)
    if reading is None:
        raise Unreadable("empty_file")
    yield from reading.rest()
    if not reading.any_row:
        raise Unreadable("header_only")


class _Reading:
    def __init__(self, content: Content, context: Context, number: int, first: str) -> None:
        """Raises Unreadable (html_file, columns_not_found, unknown_zone)."""
        found = _heading(first)
        if found is None:
            raise Unreadable("html_file" if is_html(first) else "columns_not_found", number, text=first)
        self.any_row = False
        self._delimiter, self._layout = found
        self._content: Final = content
        self._context: Final = context
        self._times: Times | None = None
        self._slow: RowReader | None = None
        self._serials: Final[dict[str, str | None]] = {"": None}
        self._open: Final[dict[str | None, Rows]] = {}
        self._cells = 0

    def lines(self, first: int, texts: list[str]) -> Iterator[Found]:
        """Raises Unreadable."""
        if not texts:
            return
        if self._slow is None:
            self._slow = self._reader()
        try:
            t, whose, columns = self._by_column(texts)
        except (ValueError, KeyError):
            for number, text in enumerate(texts, first):
                found = self._slow.row(number, text)
                self.any_row = self.any_row or bool(self._slow.rows or found)
                yield from found
            return
        self.any_row = True
        yield from self._add(t, whose, columns)

    def rest(self) -> Iterator[Found]:
        if self._slow is not None:
            yield from self._slow.rest()
        yield from self._open.values()
        self._open.clear()
        self._cells = 0

    def _reader(self) -> RowReader:
        self._times = _Times()
        reader = RowReader(
            self._content, self._context, delimiter=self._delimiter, numbers=Numbers(), times=self._times, odd=self._odd
        )
        reader.lay(self._layout)
        return reader

    def _odd(self, _number: int, cells: list[str]) -> Sequence[Found] | None:
        """Files that were glued together bring their headings with them."""
        found = _heading(self._delimiter.join(cells))
        if found is None or self._slow is None:
            return None
        self._layout = found[1]
        return self._slow.lay(self._layout)

    def _by_column(self, texts: list[str]) -> tuple[list[UnixMs], list[str] | None, list[_Column]]:
        """Raises ValueError or KeyError where anything is not as usual: then nothing of it was taken."""
        width, delimiter, group, times = self._layout.width, self._delimiter, self._layout.groups[0], self._times
        if times is None or {text.count(delimiter) for text in texts} != {width - 1}:
            raise ValueError("a line has more or fewer cells")
        joined = delimiter.join(texts)
        if '"' in joined or not joined.isascii():
            raise ValueError("quotes, or digits that float() takes and nobody else")
        cells = joined.split(delimiter)
        told = cells[::width]
        if told[0].isdigit() and min(map(len, told)) >= 9 and times.absolute is not False:
            t = list(map(int, told))
            times.absolute = True
        else:
            t = [Times.one(times, text) for text in told]
        if not times.absolute or min(t) < 0 or max(t) >= 1 << 53:
            raise ValueError("local times, or impossible ones")
        columns: list[_Column] = []
        has_underscores = "_" in joined
        for slot in group.slots:
            column = cells[slot.at :: width]
            if has_underscores and "_" in "".join(column):
                raise ValueError("1_000")
            if "" in column:
                read: _Column = [float(cell) if cell else None for cell in column]
            else:
                read = list(map(float, column))
            if not isfinite(sum(value for value in read if value is not None)):
                raise ValueError("not finite")
            columns.append(read)
        if group.serial_at is None:
            return t, None, columns
        whose = cells[group.serial_at :: width]
        for text in set(whose).difference(self._serials):
            self._know(text)
        return t, whose, columns

    def _know(self, text: str) -> None:
        """Raises ValueError: no serial; Unreadable (too_many_serials)."""
        serial = serial_of(text.strip())
        if not serial:
            raise ValueError("no serial")
        if len(self._serials) > FILE_SERIALS_MAX:
            raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
        self._serials[text] = serial

    def _add(self, t: list[UnixMs], whose: list[str] | None, columns: list[_Column]) -> Iterator[Rows]:
        measures = [slot.measure for slot in self._layout.groups[0].slots]
        if whose is None or whose.count(whose[0]) == len(whose):
            serial = None if whose is None else self._serials[whose[0]]
            yield from self._extend(rows_of(serial, dict(zip(measures, columns, strict=True)), t))
            return
        indexes: dict[str, list[int]] = {}
        for index, text in enumerate(whose):
            indexes.setdefault(text, []).append(index)
        for text, its in indexes.items():
            picked = [[column[index] for index in its] for column in columns]
            rows = rows_of(self._serials[text], dict(zip(measures, picked, strict=True)), [t[index] for index in its])
            yield from self._extend(rows)

    def _extend(self, found: list[Rows]) -> Iterator[Rows]:
        for rows in found:
            known = self._open.get(rows.serial)
            if known is not None and (known.measures != rows.measures or len(known.t) + len(rows.t) > FILE_ROWS_PER_BLOCK):
                yield self._open.pop(rows.serial)
                self._cells -= len(known.t) * len(known.measures)
                known = None
            self._cells += len(rows.t) * len(rows.measures)
            if known is None:
                self._open[rows.serial] = rows
                continue
            known.t.extend(rows.t)
            for column, more in zip(known.values, rows.values, strict=True):
                column.extend(more)
        if self._cells >= FILE_CELLS_GATHERED_MAX:
            yield from self._open.values()
            self._open.clear()
            self._cells = 0


class _Times(Times):
    """Unix ms beside what Times reads."""

    def __init__(self) -> None:
        super().__init__()
        self._unix: Final = Times(UNIX_MS)

    def one(self, text: str) -> int:
        if self.absolute is False or _UNIX.fullmatch(told := text.strip()) is None:
            return super().one(text)
        found = self._unix.one(told)
        self.absolute = True
        return found


def _heading(text: str) -> tuple[str, Layout] | None:
    """Delimiter, and what stands where. None: no such heading: time comes first, and each other name is known, once."""
    for delimiter in _DELIMITERS:
        names = [name.strip(' "').lower() for name in text.split(delimiter)]
        if names[0] not in _TIME or len(names) < 2:
            continue
        serial_at = names.index("serial") if "serial" in names else None
        slots = tuple(Slot(at, name) for at, name in enumerate(names) if is_measure(name))
        if slots and 1 + (serial_at is not None) + len(slots) == len(names) == len(set(names)):
            return delimiter, Layout(len(names), (0,), (Group(None, slots, serial_at),))
    return None


FORMAT: Final = FileFormat("solarperform-csv", "CSV SolarPerform", "SolarPerform CSV", "imported-inverter", recognises, read)
