"""Reads a file by a declaration: finds the headings, understands the columns, and hands its rows to the RowReader.

Headings that come again, in the middle of a file and perhaps in another order, count from there on.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from fleet.codecs.files.dates import AmbiguousDate, Times
from fleet.codecs.files.lines import lines
from fleet.codecs.files.numbers import Numbers
from fleet.codecs.files.reading import Content, Context, Found, Unreadable
from fleet.codecs.files.row_reader import Layout, Naming, RowReader, serial_of, split
from fleet.codecs.files.wide_declaration import WideCsv
from fleet.codecs.files.wide_header import Heading, heading, layout, plain, without_heading
from fleet.file_limits import FILE_HEAD_BYTES, HEADING_LINES_MAX, WIDE_TEXT_CHARS_MAX

_ROWS_TRIED: Final = 5
_HTML: Final = ("<!doctype html", "<html", "<head", "<body", "http/1.")


def read(declaration: WideCsv, content: Content, context: Context, *, naming: Naming | None = None) -> Iterator[Found]:
    """Raises Unreadable (empty_file, html_file, columns_not_found, header_only, and what the RowReader raises)."""
    return _Reading(declaration, content, context, naming).found()


def recognises(declaration: WideCsv, head: bytes) -> bool:
    """By its headings, all of them; without headings by the first rows, which have to be readable."""
    texts = _head_texts(declaration, head)[declaration.lines_before :]
    if not declaration.header or not _names_columns(declaration):
        passed_over = 1 + declaration.lines_after if declaration.header else 0
        return _reads_rows(declaration, texts[passed_over:])
    return any(
        (known := heading(declaration, split(text, declaration.delimiter))) is not None and known.complete
        for text in texts
        if _begins_so(declaration, text)
    )


def is_html(text: str) -> bool:
    return text.lstrip().lower().startswith(_HTML)


class _Reading:
    def __init__(self, declaration: WideCsv, content: Content, context: Context, naming: Naming | None) -> None:
        time = declaration.time
        self._declaration: Final = declaration
        self._content: Final = content
        self._stamp: Final = context.settings.stamp
        self._reader: Final = RowReader(
            content,
            context,
            delimiter=declaration.delimiter,
            numbers=Numbers(declaration.decimal, declaration.thousands, declaration.missing),
            times=Times(time.pattern, context.settings.date_order or time.order),
            zone=time.zone,
            encoding=declaration.encoding,
            short_rows=declaration.short_rows,
            odd=self._odd,
            naming=naming,
        )
        self._skip: Final = tuple(plain(each).casefold() for each in declaration.skip)
        self._above: Final[deque[list[str]]] = deque(maxlen=10)  # lines before the headings
        self._heading: Heading | None = None
        self._below: list[list[str]] = []  # lines between the headings and the first row
        self._awaited = 0  # more of them
        self._serial: str | None = None
        self._laid = False
        self._refused = 0

    def found(self) -> Iterator[Found]:
        declaration, row = self._declaration, self._reader.row
        any_text = False
        for number, text in lines(self._content, encoding=declaration.encoding):
            if self._laid and not self._awaited:
                found = row(number, text)
                if found:
                    self._refused += len(found)
                    yield from found
                continue
            if not any_text and text.strip():
                any_text = True
                if is_html(text):
                    raise Unreadable("html_file", number)
            if number > declaration.lines_before:
                yield from self._before_rows(number, text)
        if not any_text:
            raise Unreadable("empty_file")
        if not self._laid:
            raise Unreadable("columns_not_found" if self._heading is None else "header_only")
        yield from self._reader.rest()
        if not self._reader.rows and not self._refused:
            raise Unreadable("header_only")

    def _before_rows(self, number: int, text: str) -> Sequence[Found]:
        cells = split(text, self._declaration.delimiter)
        if self._awaited:
            self._awaited -= 1
            self._below.append(cells)
            return self._lay() if not self._awaited else []
        if not self._declaration.header:
            return self._lay_without_heading(number, text, cells)
        if self._is_serial_line(text):
            return []
        known = heading(self._declaration, cells) if _begins_so(self._declaration, text) else None
        if known is not None:
            return self._understood(known)
        if number > self._declaration.lines_before + HEADING_LINES_MAX:
            raise Unreadable("columns_not_found", number, text=text)
        self._above.append(cells)
        return []

    def _understood(self, known: Heading) -> Sequence[Found]:
        self._heading = known
        self._below = []
        self._awaited = max(
            self._declaration.lines_after, self._declaration.units_row or 0, self._declaration.serial_row or 0
        )
        return self._lay() if not self._awaited else []

    def _lay(self) -> list[Found]:
        """What was understood counts from here on. Raises Unreadable (wrong_unit, too_many_columns)."""
        declaration, known = self._declaration, self._heading
        if known is None:
            return []
        units = self._below[declaration.units_row - 1] if declaration.units_row else []
        serials: Sequence[str] = []
        if declaration.serial_row is not None and declaration.serial_row > 0:
            serials = self._below[declaration.serial_row - 1]
        elif declaration.serial_row is not None and len(self._above) >= -declaration.serial_row:
            serials = self._above[declaration.serial_row] if declaration.serial_row else []
        self._laid = True
        return self._reader.lay(
            layout(declaration, known, units=units, serials=serials, serial=self._serial, stamp=self._stamp)
        )

    def _lay_without_heading(self, number: int, text: str, cells: list[str]) -> Sequence[Found]:
        if not text.strip() or self._is_serial_line(text):
            return []
        while len(cells) > 1 and not cells[-1].strip():
            del cells[-1]
        self._heading = without_heading(self._declaration, len(cells))
        if self._heading is None:
            raise Unreadable("columns_not_found", number, text=text)
        return [*self._lay(), *self._reader.row(number, text)]

    def _odd(self, _number: int, cells: list[str]) -> Sequence[Found] | None:
        """A line below the headings that is no row: headings again, another device's beginning, or nothing of interest."""
        text = self._declaration.delimiter.join(cells)
        if self._is_serial_line(text):
            return self._lay()
        if self._skip and plain(cells[0]).casefold().startswith(self._skip):
            return []
        known = heading(self._declaration, cells) if self._declaration.header else None
        if known is None:
            return None
        if self._heading is not None and known.cells == self._heading.cells and not self._below and self._serial is None:
            return []
        return self._understood(known)

    def _is_serial_line(self, text: str) -> bool:
        if self._declaration.serial_line is None:
            return False
        told = _serial_pattern(self._declaration.serial_line).match(text[:WIDE_TEXT_CHARS_MAX])
        serial = serial_of(told["serial"]) if told is not None else ""
        if serial:
            self._serial = serial
        return bool(serial)


def _head_texts(declaration: WideCsv, head: bytes) -> list[str]:
    found = []
    try:
        for _, text in islice(
            lines(Content(lambda: [head[:FILE_HEAD_BYTES]]), encoding=declaration.encoding), HEADING_LINES_MAX
        ):
            found.append(text)
    except Unreadable:  # no text, or of another encoding
        pass
    return found


def _names_columns(declaration: WideCsv) -> bool:
    return any(isinstance(place, str) for place in (*declaration.time.at, *(each.at for each in declaration.columns)))


def _begins_so(declaration: WideCsv, text: str) -> bool:
    return declaration.header_like is None or plain(text[:WIDE_TEXT_CHARS_MAX]).casefold().startswith(
        plain(declaration.header_like).casefold()
    )


@lru_cache(maxsize=1_024)
def _serial_pattern(line: str) -> re.Pattern[str]:
    """'#INV* ESN:{serial}': one * is any text, {serial} what looks like a serial."""
    before, _, after = line.partition("{serial}")
    escaped = re.escape(before).replace(r"\*", ".*?", 1).replace(r"\ ", r"\s*")
    return re.compile(escaped + r"\s*(?P<serial>[A-Za-z0-9][A-Za-z0-9._/-]{2,39})" + re.escape(after), re.IGNORECASE)


def _reads_rows(declaration: WideCsv, texts: Sequence[str]) -> bool:
    rows = [split(text, declaration.delimiter) for text in texts if text.strip()][:_ROWS_TRIED]
    known = without_heading(declaration, len(rows[0])) if rows else None
    if known is None or not known.complete:
        return False
    times, numbers = (
        Times(declaration.time.pattern, declaration.time.order),
        Numbers(declaration.decimal, declaration.thousands),
    )
    where = layout(declaration, known)
    return bool(where.groups) and all(_reads_row(where, times, numbers, cells) for cells in rows)


def _reads_row(where: Layout, times: Times, numbers: Numbers, cells: list[str]) -> bool:
    try:
        told = [cells[at] for at in where.time_at]
        if len(told) == 1:
            times.one(told[0])
        else:
            times.two(told[0], told[1])
    except AmbiguousDate:
        pass
    except (ValueError, IndexError):
        return False
    try:
        for group in where.groups:
            for slot in group.slots:
                numbers.one(cells[slot.at])
    except (ValueError, IndexError):
        return False
    return True
