"""Data files of WebdynSun and WebdynSunPM loggers (INV, MODBUS, IO, TIC).

Source: the maker's manuals (WebdynSun v2, WebdynModbus, WebdynSunPM 1.0, 2.05: chapters on data, definitions, FTP) and one
public parser's test of SNINV. A file holds one block after the other, one of each device, and each begins with its heading:

    SNINV;<serial or ADDRnn>;<n>      TypeINV;<definition>
    ADDRMODBUS;<address>;<n>          TypeMODBUS;<definition>[;<id>]
    DEVICEINDEX;<index>               <protocol>;<definition>
    SNTIC;<serial>;<n>                TypeTIC;<definition>
    TypeIO;<definition>

then, if the logger is set so, `<number>;<variable>;…` and perhaps a line of labels, then `date;value;…`. Values are raw
registers: without the definition nothing of a block is taken in, and the file is read again when it has come. Times are
instants, or the end of the window whose minimum, maximum and average are told (the average counts), of the logger's wall
clock without a zone. Decimal point. TIC values are the meter's text.
"""

import re
from collections.abc import Iterator, Sequence
from math import inf, isfinite
from typing import Final

from fleet.codecs import tic
from fleet.codecs.files.lines import head_lines, lines
from fleet.codecs.files.local_time import LocalTimes
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Refusal, Rows, Unreadable, refusal
from fleet.codecs.files.webdyn_columns import Column, Columns, TicColumns, are_statistics, columns_of, tic_columns_of
from fleet.codecs.files.webdyn_dates import ROW, Clock, order_of
from fleet.codecs.files.webdyn_definition import Definitions
from fleet.codecs.webdyn_names import DeviceRole
from fleet.file_limits import FILE_ROWS_PER_BLOCK, FILE_SERIALS_MAX, REFUSED_LINES_KEPT_MAX, WEBDYN_VARIABLES_MAX
from fleet.serials import is_serial, serial_from

_HEADINGS: Final = frozenset(("SNINV", "ADDRMODBUS", "DEVICEINDEX", "SNTIC", "TYPEIO"))
_FIRST: Final = re.compile(r"(?:SNINV|ADDRMODBUS|SNTIC);[^;]+(?:;[0-9]*)?;?|DEVICEINDEX;[0-9A-Za-z]+;?|TypeIO;[^;]+;?")
_SECOND: Final = re.compile(r"Type(?:INV|MODBUS|TIC);[^;]+(?:;[^;]*)?;?|[A-Za-z][A-Za-z0-9 _-]*;[^;]+;?")
_NEVER_NEGATIVE: Final = frozenset(("pv_power_w", "load_power_w"))  # by night an inverter draws a little
_MISSING: Final = frozenset(("", "nan", "null", "-", "--", "---"))


def recognises(head: bytes) -> bool:
    found = [line.strip("; \t") for line in head_lines(head) if line.strip("; \t")]  # a spreadsheet fills lines up
    if not found or _FIRST.fullmatch(found[0]) is None:
        return False
    return found[0].startswith("TypeIO") or (len(found) > 1 and _SECOND.fullmatch(found[1]) is not None)


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (ambiguous_date, unknown_zone, too_many_serials, too_many_columns)."""
    file = _File(context, Clock(order_of(content, context)))
    for number, text in lines(content):
        if ROW.match(text) is not None:
            yield from file.row(number, text)
            if file.is_full:
                yield from file.rows_so_far()
        elif text.strip("; \t"):
            yield from file.heading(number, text.strip("; \t").split(";"))
    yield from file.rows_so_far()


class _Block:
    """What a heading has said so far. kind: its first word. line: of what names the columns, or of the heading."""

    def __init__(self, kind: str, name: str, line: int) -> None:
        self.kind: Final = kind
        self.name: Final = name
        self.line = line
        self.definition: str | None = name if kind == "TYPEIO" else None
        self.id = ""
        self.ids: list[str] | None = None
        self.columns: Columns | TicColumns | None = None  # None: nothing of it is taken in
        self.serial: str | None = None
        self.begun = False


class _File:
    def __init__(self, context: Context, clock: Clock) -> None:
        self._zone: Final = context.zone
        self._role: Final = context.settings.role
        self._clock: Final = clock
        self._definitions: Final = Definitions(context)
        self._wall_clocks: Final[dict[str | None, LocalTimes]] = {}
        self._told: Final[set[tuple[str, str, str]]] = set()  # what is refused once for all of the file
        self._block: _Block | None = None
        self._lines: list[int] = []
        self._naive: list[int] = []
        self._values: list[list[float | None]] = []
        self._readings: list[dict[str, float]] = []

    @property
    def is_full(self) -> bool:
        return len(self._naive) >= FILE_ROWS_PER_BLOCK

    def heading(self, number: int, cells: list[str]) -> Iterator[Found]:
        kind = cells[0].strip().upper()
        block = self._block
        if kind in _HEADINGS:
            yield from self.rows_so_far()
            self._block = _Block(kind, cells[1].strip() if len(cells) > 1 else "", number)
        elif block is None:
            yield refusal("no_heading", number, text=";".join(cells))
        elif block.definition is None:
            block.definition = cells[1].strip() if len(cells) > 1 else ""
            block.id = cells[2].strip() if len(cells) > 2 else ""
        elif cells[0].strip().isdecimal() or are_statistics(cells):
            yield from self.rows_so_far()  # the list may change within a block
            named = [cell.strip() for cell in cells]
            named = [each for each in named if each] if are_statistics(named[:1]) else [each for each in named[1:] if each]
            if len(named) > WEBDYN_VARIABLES_MAX:
                raise Unreadable("too_many_columns", number, columns_max=str(WEBDYN_VARIABLES_MAX))
            block.ids, block.line, block.begun = named, number, False
        elif block.begun:
            yield refusal("bad_time", number, 1, ";".join(cells))
        # else it is a line of labels, which says nothing that the definition does not

    def row(self, number: int, text: str) -> Sequence[Found]:
        block = self._block
        if block is None or block.definition is None:
            return (refusal("no_heading", number, text=text),)
        begun = () if block.begun else self._begin(block, block.definition)
        columns = block.columns
        if columns is None:
            return begun
        cells = text.split(";")
        if len(cells) != columns.cells and (len(cells) < columns.cells or any(map(str.strip, cells[columns.cells :]))):
            expected, found = str(columns.cells), str(len(cells))
            return (*begun, refusal("wrong_field_count", number, text=text, found=found, expected=expected))
        naive = self._clock.naive(cells[0])
        if naive is None:
            return (*begun, refusal("bad_time", number, 1, cells[0]))
        refused: list[Refusal] = []
        if isinstance(columns, TicColumns):
            self._readings.append(_tic_reading(cells, columns, number, refused))
        elif columns.taken:
            self._values.append(_values(cells, columns, number, refused, suspect="_" in text))
        else:
            return begun
        self._lines.append(number)
        self._naive.append(naive)
        return (*begun, *refused) if begun or refused else ()

    def rows_so_far(self) -> Iterator[Found]:
        """Of the block, which need not be at its end."""
        block, naive = self._block, self._naive
        if block is None or block.columns is None or not naive:
            return
        t = self._wall_clock(block.serial).utc_many(naive)
        known = [place for place, each in enumerate(t) if each is not None]
        if len(known) < len(t):
            for place, each in enumerate(t):
                if each is None:
                    yield refusal("time_does_not_exist", self._lines[place], 1, zone=self._zone)
        at = [each for each in t if each is not None]
        if isinstance(block.columns, TicColumns):
            readings = [self._readings[place] for place in known]
            measures = tuple(dict.fromkeys(measure for each in readings for measure in each))
            columns: list[list[float | None]] = [[each.get(measure) for each in readings] for measure in measures]
        else:
            measures = tuple(column.measure for column in block.columns.taken)
            rows = self._values if len(known) == len(t) else [self._values[place] for place in known]
            columns = [list(column) for column in zip(*rows, strict=True)]
            for place, measure in enumerate(measures):
                if measure in _NEVER_NEGATIVE:
                    columns[place] = [each if each is None or each > 0.0 else 0.0 for each in columns[place]]
        self._lines, self._naive, self._values, self._readings = [], [], [], []
        if at and measures:
            yield Rows(block.serial, measures, at, columns)

    def _begin(self, block: _Block, definition_name: str) -> tuple[Refusal, ...]:
        """At the first row: which column is what, and which device it is. The refusals are those of the block as a whole."""
        block.begun = True
        block.columns = None
        definition = self._definitions.of(definition_name)
        refused: list[Refusal] = []
        columns: Columns | TicColumns
        if block.kind == "SNTIC" and (block.ids is not None or definition is not None):
            columns = tic_columns_of(block.ids, definition, block.line)
        elif definition is None:
            return self._once([refusal("definition_missing", block.line, text=definition_name, name=definition_name[:80])])
        else:
            columns = columns_of(block.ids, definition, self._role_of(block, definition.role), block.line)
        block.serial = self._serial(block)
        if block.serial is None and block.kind != "TYPEIO":
            refused.append(refusal("bad_serial", block.line, text=block.name))
        else:
            block.columns = columns
            refused += columns.refusals
        return self._once(refused, definition_name)

    def _once(self, refusals: list[Refusal], definition_name: str = "") -> tuple[Refusal, ...]:
        """A day's file has a block per device, and they share definitions."""
        found = []
        for each in refusals:
            key = (each.code, definition_name, each.text)
            if key not in self._told and len(self._told) < REFUSED_LINES_KEPT_MAX:
                self._told.add(key)
                found.append(each)
        return tuple(found)

    def _role_of(self, block: _Block, told: DeviceRole | None) -> DeviceRole | None:
        if block.kind == "SNINV":
            return told or "pv"
        configured = self._definitions.device(block.name) if block.kind == "DEVICEINDEX" else None
        return told or (configured.role if configured is not None else None) or self._role

    def _serial(self, block: _Block) -> str | None:
        """What stands in the heading, or in the logger's configuration; an address or index where there is no more."""
        if block.kind == "TYPEIO":
            return None
        if block.kind == "ADDRMODBUS":
            found = block.id if is_serial(block.id) else f"ADDR{block.name:0>2}"
        elif block.kind == "DEVICEINDEX":
            configured = self._definitions.device(block.name)
            found = (configured.serial if configured is not None else None) or f"device-{block.name}"
        else:
            found = block.name
        if not is_serial(found):
            found = serial_from(found)
        return found if is_serial(found) else None

    def _wall_clock(self, serial: str | None) -> LocalTimes:
        clock = self._wall_clocks.get(serial)
        if clock is None:
            if len(self._wall_clocks) >= FILE_SERIALS_MAX:
                raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
            clock = self._wall_clocks[serial] = LocalTimes(self._zone)
        return clock


def _values(cells: list[str], columns: Columns, number: int, refused: list[Refusal], *, suspect: bool) -> list[float | None]:
    """What is no number is missing, and told of in refused. suspect: Python would read more as a number than others do."""
    taken = columns.taken
    if not suspect:
        try:
            found = [float(cells[place]) * scale + offset for _, place, scale, offset in taken]
        except ValueError:
            pass
        else:
            if isfinite(sum(found)):
                return list(found)
    return [_value(cells, column, number, refused) for column in taken]


def _value(cells: list[str], column: Column, number: int, refused: list[Refusal]) -> float | None:
    text = cells[column.place].strip()
    if text.casefold() in _MISSING:
        return None
    try:
        found = float(text) * column.scale + column.offset
    except ValueError:
        found = inf
    if isfinite(found) and "_" not in text:
        return found
    refused.append(refusal("bad_number", number, column.place + 1, text))
    return None


def _tic_reading(cells: list[str], columns: TicColumns, number: int, refused: list[Refusal]) -> dict[str, float]:
    labels: dict[str, str | float] = {}
    for place, label in columns.labels:
        text = cells[place].strip()
        if text.casefold() in _MISSING:
            continue
        if label in tic.COUNTED and tic.number(text) is None:
            refused.append(refusal("bad_number", number, place + 1, text))
        else:
            labels[label] = text
    return tic.reading(labels)


FORMAT: Final = FileFormat(
    id="webdyn",
    label_fr="WebdynSun et WebdynSunPM",
    label_en="WebdynSun and WebdynSunPM",
    profile_id="imported-inverter",
    recognises=recognises,
    read=read,
    local=re.compile(r"ADDR.+|device-.+"),
)
