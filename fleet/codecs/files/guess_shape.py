"""What an unknown file looks like: delimiter, decimal mark, headings, units, the column of times, where the rows begin."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import islice, pairwise
from typing import Final, Literal

from fleet.codecs.files.dates import UNIX_MS, UNIX_S, Times
from fleet.codecs.files.guess_names import Course, is_device_name, is_hour_name
from fleet.codecs.files.lines import lines
from fleet.codecs.files.numbers import Decimal, Numbers, Thousands
from fleet.codecs.files.reading import Content, Unreadable
from fleet.codecs.files.row_reader import split
from fleet.codecs.files.units import unit_named
from fleet.file_limits import GUESS_LINES_MAX, WIDE_COLUMNS_MAX

Encoding = Literal["utf-16-le", "utf-16-be"] | None

_DELIMITERS: Final = (";", "\t", ",", "|")
_TIME_CELLS: Final = 12  # dates stand among the first columns
_CLOCK: Final = re.compile(r"[0-9]{1,2}[:h][0-9]{2}(?:[:m][0-9]{2}s?)?(?: ?[AaPp][Mm])?")
_HOUR: Final = re.compile(r"(?:[01]?[0-9]|2[0-4]) ?h?")
_UNIX: Final = re.compile(r"1[0-9]{9}(?:[0-9]{3})?")
_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.,' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]*(?:[eE][+-]?[0-9]{1,3})?")
_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_POINT: Final = re.compile(r"[+-]?[0-9]+\.[0-9]+")
_THREE: Final = re.compile(r"[+-]?[0-9]{1,3}[.,][0-9]{3}")
_GROUPED: Final = re.compile(
    r"[+-]?[0-9]{1,3}(?:([.,' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}])[0-9]{3})+(?:([.,])[0-9]+)?"
)
_BLANKS_BEFORE_UNIT: Final = " \t_\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
_BLANKS: Final = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
# From the end backwards: whatever a heading is made of, it is gone through once.
_UNIT_BEHIND: Final = re.compile(r"(.*)[\[(]\s*+([^\[\]()]{1,12}?)\s*+[\])]\s*+")
_UNIT_WORD: Final = re.compile(r"(.*[^\s_])?[\s_]+([^\s_]{1,6})")
_NEEDS_ORDER: Final = re.compile(r"\s*[0-9]{1,2}([/-])[0-9]{1,2}\1[0-9]{2,4}")
_ENOUGH: Final = 10  # numbers, for a counter to show
_SURE: Final = 3  # times its largest step, a counter's first number is
_SURE_OF_FEW: Final = 50
_Kind = Literal["both", "date", "clock", "unix"]


class Shape:
    """rows: the first lines as cells. header_at, first_row: indexes of lines, None: there is none such.

    time_at    cells of date and time, of the first row
    unix       times are counted since 1970: 'unix_s' or 'unix_ms'
    days_only  dates without a time
    """

    def __init__(self, texts: Sequence[str], encoding: Encoding) -> None:
        self.encoding: Final = encoding
        self.delimiter: Final = _delimiter(texts)
        self.rows: Final = [split(text, self.delimiter) for text in texts]
        self.time_at: tuple[int, ...]
        self.first_row, self.time_at = _first_row(self.rows)
        self.data: Final = [] if self.first_row is None else [cells for cells in self.rows[self.first_row :] if any(cells)]
        self.width: Final = len(self.data[0]) if self.data else max(map(len, self.rows), default=0)
        self.units_at, self.header_at = _headings(self.rows, self.first_row, self.width)
        self.time_at = (*self.time_at, *self._hours())
        self.decimal: Decimal
        self.thousands: Thousands
        self.decimal, self.thousands, self.decimal_doubtful = _decimal(self.data, self.time_at, self.delimiter)

    @property
    def lines_after(self) -> int:
        if self.header_at is None or self.first_row is None:
            return 0
        return min(self.first_row - self.header_at - 1, 100)

    @property
    def units_row(self) -> int | None:
        below = 0 if self.header_at is None or self.units_at is None else self.units_at - self.header_at
        return below if 1 <= below <= 10 else None

    @cached_property
    def unix(self) -> str | None:
        first = self._times()[:1]
        if not first or _UNIX.fullmatch(first[0].strip()) is None:
            return None
        return UNIX_S if len(first[0].strip()) == 10 else UNIX_MS

    @property
    def days_only(self) -> bool:
        return len(self.time_at) == 1 and all(_kind(text, 0) == "date" for text in self._times())

    @cached_property
    def dates_need_order(self) -> bool:
        return any(_NEEDS_ORDER.match(text) for text in self._times())

    def title(self, at: int) -> str:
        """As it stands in the line of headings."""
        cells = [] if self.header_at is None else self.rows[self.header_at]
        return cells[at].strip().strip('"').strip() if at < len(cells) else ""

    def name(self, at: int) -> tuple[str, str]:
        """Name and unit of a column; '' where there is none."""
        title = self.title(at)
        for pattern in (_UNIT_BEHIND, _UNIT_WORD):
            found = pattern.fullmatch(title)
            if found is not None and unit_named(found[2]) is not None and (pattern is _UNIT_BEHIND or len(found[2]) > 1):
                return (found[1] or "").rstrip(_BLANKS_BEFORE_UNIT) or title, found[2]
        units = [] if self.units_at is None else self.rows[self.units_at]
        unit = units[at].strip() if at < len(units) else ""
        return title, unit if unit_named(unit) is not None else ""

    def said_above(self, at: int) -> str:
        """What stands over the heading: the device that several columns are of."""
        line = (self.header_at or 0) - 1
        cells = self.rows[line] if line >= 0 else []
        return cells[at].strip() if len(cells) == self.width and sum(map(bool, cells)) > 1 else ""

    def device_at(self) -> int | None:
        """The column that tells apart rows of the same time, if there are such."""
        rows = [cells for cells in self.data if len(cells) == self.width]
        times = [tuple(cells[at] for at in self.time_at) for cells in rows]
        if len(set(times)) == len(times) or not self.time_at:
            return None
        found = [
            at
            for at in range(min(self.width, WIDE_COLUMNS_MAX))
            if at not in self.time_at
            and all(cells[at].strip() for cells in rows)
            and 1 < len({cells[at] for cells in rows}) < len(rows)
            and len({(time, cells[at]) for time, cells in zip(times, rows, strict=True)}) == len(rows)
        ]
        words = [at for at in found if not self.is_numeric(at)]
        return next((at for at in found if is_device_name(self.name(at)[0])), words[0] if words else None)

    def is_numeric(self, at: int) -> bool:
        told = [text for text in self._cells(at) if text]
        return bool(told) and sum(_NUMBER.fullmatch(text) is not None for text in told) * 2 > len(told)

    def course(self, at: int) -> Course:
        """Whether a counter could have told these numbers."""
        numbers = Numbers(self.decimal, self.thousands)
        values = []
        for text in self._cells(at):
            try:
                value = numbers.one(text)
            except ValueError:
                continue
            if value is not None:
                values.append(value)
        if len(values) > 1 and values[0] > values[-1] and self._descends():
            values.reverse()
        steps = [b - a for a, b in pairwise(values)]
        rises, falls = [step for step in steps if step > 0], [step for step in steps if step < 0]
        if falls:
            rare = len(falls) * 10 <= len(rises) and len(falls) <= self._days
            restarts = all(b <= max(values) / 10 for a, b in pairwise(values) if b < a)
            return "restarts" if rare and restarts else "varies"
        if rises and _comes_to_rest(values):
            return "restarts" if values[0] * _SURE < values[-1] else "grows"
        times = _SURE if len(values) >= _ENOUGH else _SURE_OF_FEW
        return "grows" if rises and values[0] > times * max(rises) else "rises"

    @cached_property
    def _days(self) -> int:
        """How many there are, as far as dates tell."""
        return len({text[:10].partition(" ")[0] for text in self._times()}) if self.unix is None else len(self.data)

    def _hours(self) -> tuple[int, ...]:
        """A column of whole hours, beside one of days that come several times."""
        days = self._times()
        if not self.days_only or len(set(days)) == len(days):
            return ()
        hours = (
            at
            for at in range(min(self.width, _TIME_CELLS))
            if at not in self.time_at and is_hour_name(self.title(at)) and all(map(_HOUR.fullmatch, self._cells(at)))
        )
        return tuple(islice(hours, 1))

    def _descends(self) -> bool:
        times = Times(self.unix, "dmy")
        try:
            first, last = (times.one(text) for text in (self._times()[0], self._times()[-1]))
        except (ValueError, IndexError):
            return False
        return first > last

    def _times(self) -> list[str]:
        return self._cells(self.time_at[0]) if self.time_at else []

    def _cells(self, at: int) -> list[str]:
        return [cells[at].strip() for cells in self.data if at < len(cells)]


def _comes_to_rest(values: Sequence[float]) -> bool:
    """A day's energies end with nothing; what stays at its highest when the day is over is a counter."""
    resting = sum(1 for value in values if value == values[-1])
    return len(values) >= _ENOUGH and values[-1] == max(values) > 0 and resting * _ENOUGH >= len(values) and resting > 2


def shape_of(head: bytes) -> Shape:
    encodings: tuple[Encoding, ...] = (None, "utf-16-le", "utf-16-be")
    for encoding in encodings:
        texts: list[str] = []
        try:
            for _, text in lines(Content(lambda: [head]), encoding=encoding):
                texts.append(text)
                if len(texts) > GUESS_LINES_MAX:
                    break
        except Unreadable as error:
            if error.refusal.code in {"nul_bytes", "bad_encoding"}:
                continue
        return Shape(texts[:GUESS_LINES_MAX], encoding)
    return Shape([], None)


def _delimiter(texts: Sequence[str]) -> str:
    """What most lines have equally often."""
    declared = next((text for text in texts[:3] if text.startswith("sep=") and len(text) > 4), None)
    if declared is not None and declared[4] in _DELIMITERS:
        return declared[4]
    best, best_lines = _DELIMITERS[0], 0
    for delimiter in _DELIMITERS:
        counts = Counter(count for text in texts if (count := text.count(delimiter)))
        most = max(counts.values(), default=0)
        if most > best_lines:
            best, best_lines = delimiter, most
    return best


def _first_row(rows: Sequence[Sequence[str]]) -> tuple[int | None, tuple[int, ...]]:
    """The first line with a time and a number that is followed by another one, or by nothing."""
    found = [(index, _time_cells(cells)) for index, cells in enumerate(rows) if any(cells)]
    for position, (index, time_at) in enumerate(found):
        if not time_at or not any(_is_number(cell) for at, cell in enumerate(rows[index]) if at not in time_at):
            continue
        if position + 1 >= len(found) or found[position + 1][1] == time_at:
            return index, time_at
    return None, ()


def _time_cells(cells: Sequence[str]) -> tuple[int, ...]:
    """Of an interval's two ends the later one is taken by its heading, if at all: here the first."""
    kinds = [_kind(cell, at) for at, cell in enumerate(cells[:_TIME_CELLS])]
    if "both" in kinds:
        return (kinds.index("both"),)
    if "date" in kinds:
        date_at = kinds.index("date")
        return (date_at, kinds.index("clock")) if "clock" in kinds else (date_at,)
    return (kinds.index("unix"),) if "unix" in kinds else ()


def _kind(text: str, at: int) -> _Kind | None:
    text = text.strip()
    if _CLOCK.fullmatch(text):
        return "clock"
    if text.replace(".", "").replace(",", "").isdigit() and "." not in text.replace(".", "", 1):
        if at == 0 and _UNIX.fullmatch(text):
            return "unix"
        if at > 0 or not text.startswith("20") or len(text) not in {8, 12, 14}:
            return None
    for order in ("dmy", "mdy"):
        try:
            Times(None, order).one(text)
        except ValueError:
            continue
        return "both" if ":" in text or len(text) in {12, 14} else "date"
    return None


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


def _headings(rows: Sequence[Sequence[str]], first_row: int | None, width: int) -> tuple[int | None, int | None]:
    """Lines of units and of names above the rows."""
    units_at: int | None = None
    names_at: int | None = None
    for index in range((len(rows) if first_row is None else first_row) - 1, -1, -1):
        told = [cell.strip() for cell in rows[index] if cell.strip()]
        least = 1 if width == len(rows[index]) == 2 else 2  # the times' column may have no name
        if len(told) < least or 2 * len(told) < width or sum(map(_is_number, told)) * 2 > len(told):
            continue
        if units_at is None and sum(unit_named(cell) is not None for cell in told) * 2 >= len(told):
            units_at = index
            continue
        names_at = index
        break
    if names_at is None and units_at is not None:
        return units_at, units_at
    return units_at, names_at


def _decimal(rows: Sequence[Sequence[str]], time_at: tuple[int, ...], delimiter: str) -> tuple[Decimal, Thousands, bool]:
    """Decimal mark, thousands separator, and whether 1.234 could be either."""
    cells = [cell.strip() for row in rows for at, cell in enumerate(row[:WIDE_COLUMNS_MAX]) if at not in time_at]
    separators: Counter[str] = Counter()
    for cell in cells:
        grouped = _GROUPED.fullmatch(cell)
        if grouped is not None and (grouped[2] or grouped[1] not in ".," or cell.count(grouped[1]) > 1):
            separators[" " if grouped[1] in _BLANKS else grouped[1]] += 1
    commas, points = sum(map(bool, map(_COMMA.fullmatch, cells))), sum(map(bool, map(_POINT.fullmatch, cells)))
    thousands = next(
        (known for known in _THOUSANDS if separators.most_common(1) and separators.most_common(1)[0][0] == known), None
    )
    if thousands in {".", ","}:
        return ("," if thousands == "." else "."), thousands, False
    decimal: Decimal = "," if commas > points and (delimiter != "," or not points) else "."
    marked = [cell for cell in cells if _COMMA.fullmatch(cell) or _POINT.fullmatch(cell)]
    doubtful = len(marked) > 1 and all(_THREE.fullmatch(cell) for cell in marked)
    return decimal, thousands or "", doubtful


_THOUSANDS: Final[tuple[Thousands, ...]] = (".", ",", " ", "'")
