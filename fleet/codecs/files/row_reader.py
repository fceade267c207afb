"""Lines of cells to samples, once it is known which cell is what: the part that all formats of rows and columns share.

A line that is no row of readings is offered to the format (`odd`) before it is refused: it may be a heading.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from fleet.codecs.files.dates import AmbiguousDate, Times, decide_order
from fleet.codecs.files.lines import lines
from fleet.codecs.files.numbers import Numbers
from fleet.codecs.files.reading import Content, Context, Found, Unreadable, refusal
from fleet.codecs.files.series import Clock, Group, Series, Stamps
from fleet.file_limits import FILE_CELLS_GATHERED_MAX, FILE_CELLS_MAX, FILE_ROWS_PER_BLOCK, FILE_SERIALS_MAX
from fleet.serials import is_serial, serial_from

Odd = Callable[[int, list[str]], Sequence[Found] | None]
Naming = Callable[[str], str | None]  # what a cell says → the device's serial; '': it cannot be one; None: leave it out
_Key = tuple[str, ...]


class Layout(NamedTuple):
    """Where things stand in a row. time_at: date and time, in one cell or in two.

    width: how many cells. width_max: with those at the end of which nobody says what they are
    """

    width: int
    time_at: tuple[int, ...]
    groups: tuple[Group, ...]
    stamps: Stamps = Stamps()
    width_max: int = 0


class RowReader:
    """lay(…) when a heading was understood, row(…) for each line below it, rest() at the end."""

    def __init__(
        self,
        content: Content,
        context: Context,
        *,
        delimiter: str,
        numbers: Numbers,
        times: Times,
        zone: str | None = None,
        encoding: str | None = None,
        short_rows: bool = False,
        odd: Odd | None = None,
        naming: Naming | None = None,
    ) -> None:
        """zone: of the file's clock; None: the context's. short_rows: cells at the end may be left out.

        odd: asked about a line that cannot be read as a row; None: it is refused. naming: of devices, where rows tell them;
        None: serial_of.
        """
        self.rows = 0  # read so far
        self.times: Final = times
        self._content: Final = content
        self._context: Final = context
        self._delimiter: Final = delimiter
        self._numbers: Final = numbers
        self._zone: Final = zone or context.zone
        self._encoding: Final = encoding
        self._short_rows: Final = short_rows
        self._odd: Final = odd
        self._naming: Final = naming or serial_of
        self._clocks: Final[dict[_Key, Clock]] = {}
        self._layout = Layout(0, (0,), ())
        self._serial_at: tuple[int, ...] = ()
        self._positions: tuple[int, ...] = ()
        self._states: frozenset[int] = frozenset()
        self._series: Final[dict[_Key, Series]] = {}
        self._cells = 0
        self._held: tuple[int, str] | None = None  # a short row

    def lay(self, layout: Layout) -> list[Found]:
        """From here on rows are such. What was gathered before comes out. Raises Unreadable."""
        found = self._release(is_last=False)
        if layout.width > FILE_CELLS_MAX:
            raise Unreadable("too_many_columns", columns_max=str(FILE_CELLS_MAX))
        self._layout = layout
        self._serial_at = tuple(group.serial_at for group in layout.groups if group.serial_at is not None)
        slots = [slot for group in layout.groups for slot in group.slots]
        self._positions = tuple(slot.at for slot in slots)
        self._states = frozenset(slot.at for slot in slots if slot.measure == "state")
        return found

    def row(self, number: int, text: str) -> Sequence[Found]:
        """Mostly nothing: rows are gathered into blocks. Raises Unreadable."""
        held, self._held = self._held, None
        if held is None:
            return self._row(number, text)
        return [*self._row(*held, is_last=False), *self._row(number, text)]

    def _row(self, number: int, text: str, *, is_last: bool | None = None) -> Sequence[Found]:
        """is_last: of the file; None: that is not known yet. A short row there was cut off."""
        cells = text.split(self._delimiter) if '"' not in text else split(text, self._delimiter)
        layout = self._layout
        found: list[Found] = []
        if len(cells) != layout.width and not self._is_as_wide(cells):
            if is_last or not self._short_rows or not max(layout.time_at) < len(cells) < layout.width:
                return self._refuse(number, cells, "wrong_field_count")
            if is_last is None:
                self._held = (number, text)
                return ()
            cells += [""] * (layout.width - len(cells))
        try:
            if len(layout.time_at) == 1:
                at = self.times.one(cells[layout.time_at[0]])
            else:
                at = self.times.two(cells[layout.time_at[0]], cells[layout.time_at[1]])
        except AmbiguousDate:
            self._decide_order(number, cells)
            return self._row(number, text, is_last=is_last)
        except ValueError:
            return self._refuse(number, cells, "bad_time")
        missing, quick = self._numbers.missing, self._numbers.quick
        try:
            if "_" in text and any("_" in cells[position] for position in self._positions):
                raise ValueError(text)  # float() reads 1_000
            values = [None if (cell := cells[position]) in missing else quick(cell) for position in self._positions]
        except ValueError:
            values, found = self._cell_by_cell(number, cells)
        return self._gather(number, cells, at, values, found)

    def _gather(self, number: int, cells: list[str], at: int, values: list[float | None], found: list[Found]) -> list[Found]:
        """found: what is refused of this row already."""
        key = tuple([cells[each] for each in self._serial_at]) if self._serial_at else ()
        series = self._series.get(key)
        if series is None:
            opened = self._open(key)
            if opened is None:
                return [refusal("bad_serial", number, self._serial_at[0] + 1, " ".join(key))]
            series = opened
        series.naive.append(at)
        series.lines.append(number)
        series.rows.append(values)
        self.rows += 1
        self._cells += series.cells
        if len(series.naive) >= FILE_ROWS_PER_BLOCK:
            found += self._take(series, final=False)
        elif self._cells >= FILE_CELLS_GATHERED_MAX:
            for each in self._series.values():
                found += self._take(each, final=True)
        return found

    def rest(self) -> list[Found]:
        """At the end of the file. Raises Unreadable."""
        return self._release(is_last=True)

    def _release(self, *, is_last: bool) -> list[Found]:
        found: list[Found] = []
        held, self._held = self._held, None
        if held is not None:
            found += self._row(*held, is_last=is_last)
        absolute = bool(self.times.absolute)
        for series in self._series.values():
            found += series.found(absolute=absolute, final=True)
        self._series.clear()
        self._cells = 0
        return found

    def _take(self, series: Series, *, final: bool) -> list[Found]:
        before = len(series.naive)
        found = series.found(absolute=bool(self.times.absolute), final=final)
        self._cells -= (before - len(series.naive)) * series.cells
        return found

    def _open(self, key: _Key) -> Series | None:
        """None: what stands there can be no serial. Raises Unreadable (too_many_serials)."""
        told = iter(key)
        groups = []
        for group in self._layout.groups:
            if group.serial_at is None:
                groups.append(group)
                continue
            text = next(told).strip()
            serial = self._naming(text) if text else None
            if serial == "":
                return None
            groups.append(group._replace(serial=serial, left_out=bool(text) and serial is None))
        whose = tuple(group.serial or "" for group in groups)
        clock = self._clocks.get(whose)
        if len(self._series) >= FILE_SERIALS_MAX or (clock is None and len(self._clocks) >= FILE_SERIALS_MAX):
            raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
        if clock is None:
            clock = self._clocks[whose] = Clock(self._zone)
        series = self._series[key] = Series(groups, self._layout.stamps, self._zone, clock)
        return series

    def _is_as_wide(self, cells: list[str]) -> bool:
        """Whether the row has as many cells as its heading, but for idle ones at the end; makes it so."""
        width, width_max = self._layout.width, self._layout.width_max
        while len(cells) > width and (not cells[-1].strip() or len(cells) <= width_max):
            del cells[-1]
        return len(cells) == width

    def _refuse(self, number: int, cells: list[str], code: str) -> Sequence[Found]:
        if not any(cell.strip() for cell in cells):
            return ()
        if self._odd is not None and (found := self._odd(number, cells)) is not None:
            return found
        if code == "wrong_field_count":
            width = str(self._layout.width)
            return [refusal(code, number, text=self._delimiter.join(cells), found=str(len(cells)), expected=width)]
        at = self._layout.time_at
        return [refusal(code, number, at[0] + 1, " ".join(cells[each] for each in at))]

    def _cell_by_cell(self, number: int, cells: list[str]) -> tuple[list[float | None], list[Found]]:
        """Where a cell is no plain number: what the others say counts."""
        values: list[float | None] = []
        refused: list[Found] = []
        for position in self._positions:
            try:
                values.append(self._numbers.one(cells[position]))
            except ValueError:
                values.append(None)
                if position in self._states:
                    continue  # some firmware writes a word
                refused.append(refusal("bad_number", number, position + 1, cells[position]))
        return values, refused

    def _decide_order(self, number: int, cells: list[str]) -> None:
        """By all dates of the file. Raises Unreadable (ambiguous_date)."""
        at = self._layout.time_at[0]
        self.times.order = decide_order(self._texts(at), not_after=self._context.received_at, file_name=self._context.name)
        if self.times.order is None:
            raise Unreadable("ambiguous_date", number, at + 1, cells[at])

    def _texts(self, at: int) -> Iterator[str]:
        for line in lines(self._content, encoding=self._encoding):
            cells = split(line.text, self._delimiter)
            if len(cells) > at:
                yield cells[at]


def split(text: str, delimiter: str) -> list[str]:
    """A line's cells. Quotes may hide delimiters in them; a line's end they cannot hide."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return text.split(delimiter)


def serial_of(text: str) -> str:
    """As it stands, if it can be a serial; else as near to it as one can be; '' if nothing is left of it."""
    if is_serial(text):
        return text
    serial = serial_from(text)
    return serial if is_serial(serial) else ""
