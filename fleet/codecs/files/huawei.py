"""Huawei SmartLogger's daily file (minYYMMDD.csv, over FTP or SFTP): blocks of one device each, newest row first.

Source: SmartLogger user manual (FTP settings); shape and meanings measured on a recorded file. ASCII, semicolons, a dot as
decimal mark. `#INV1 ESN:<serial>` begins a block, `#Time;…` names its columns, whose number varies by model. Times are
the logger's local time, with summer time. Pac kW, Qac kvar, energies kWh: E-Total lifetime, E-Day since local midnight,
Eac since the row before, which was Cycle Time minutes ago. Where E-Total is written, Eac tells nothing more and is left out.
The file grows, or is sent again, during its day. A block with an inverter's columns is one, whatever it is called. Blocks
of other devices are named as refused, not read: their columns are the installer's own.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from fleet.codecs.files.dates import Times
from fleet.codecs.files.lines import head_lines, lines
from fleet.codecs.files.numbers import MISSING, Numbers
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Refusal, Unreadable, refusal
from fleet.codecs.files.row_reader import Layout, RowReader, serial_of, split
from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv
from fleet.codecs.files.wide_header import heading, layout

_FIRST: Final = "#SmartLogger ESN:"
_TITLE: Final = re.compile(r"#\s*+([^:;]{1,40}?)\s*+ESN:\s*([^;]*);*")
_INVERTER: Final = re.compile(r"INV[0-9]*", re.IGNORECASE)
_LIFETIME: Final = "pv_energy_wh"

_COLUMNS: Final = (
    Column("Pac", "pv_power_w", "kW"),
    Column("Qac", "reactive_power_var", "kvar", optional=True),
    Column("E-Total", "pv_energy_wh", "kWh", optional=True),
    Column("E-Day", "pv_day_energy_wh", "kWh", optional=True),
    Column("Eac", "pv_interval_wh", "kWh", optional=True),
    Column("Cycle Time", "interval_s", "min", optional=True),
    Column("Upv{n}", "dc_voltage_v_{n}", "V", optional=True),
    Column("Ipv{n}", "dc_current_a_{n}", "A", optional=True),
    Column("Uac{n}", "ac_voltage_v_l{n}", "V", optional=True),
    Column("Iac{n}", "ac_current_a_l{n}", "A", optional=True),
    Column("Uac", "ac_voltage_v", "V", optional=True),
    Column("Iac", "ac_current_a", "A", optional=True),
    Column("fac", "ac_frequency_hz", "Hz", optional=True),
    Column("cos", "power_factor", optional=True),
    Column("Temp", "inverter_temp_c", "°C", optional=True),
    Column("Status", "state", optional=True),
)
_DECLARATION: Final = WideCsv(time=TimeCells(at=("Time",), order="ymd", stamp="end"), columns=_COLUMNS)
_WITHOUT_INTERVALS: Final = WideCsv(
    time=TimeCells(at=("Time",), order="ymd"),
    columns=tuple(each for each in _COLUMNS if each.measure not in {"pv_interval_wh", "interval_s"}),
)


def recognises(head: bytes) -> bool:
    """Some firmware leaves the logger's own line out. Without semicolons between its cells it is not as it was sent."""
    found = [text for text in head_lines(head, 10) if text.strip()]
    columns = next((text for text in found if text.startswith("#Time")), "#Time;")
    return columns.startswith("#Time;") and any(text.startswith(_FIRST) or _is_inverter(text) for text in found[:3])


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (header_only, empty_file …)."""
    reader = RowReader(
        content,
        context,
        delimiter=";",
        numbers=Numbers(missing=("NA", "N/A", *MISSING)),
        times=Times(order="ymd"),
        short_rows=True,
    )
    block = _Block(reader)
    for number, text in lines(content):
        if text.startswith("#"):
            yield from block.title(number, text)
        elif block.is_read:
            found = reader.row(number, text)
            block.refused += len(found)
            yield from found
        elif text.strip():
            block.passed_over += 1
    yield from block.end()
    if not reader.rows and not block.refused:
        raise Unreadable("header_only" if block.begun else "empty_file")


class _Block:
    """The device whose rows follow."""

    def __init__(self, reader: RowReader) -> None:
        self.is_read = False
        self.begun = False
        self.passed_over = 0  # rows of a device that is not understood
        self.refused = 0
        self._reader: Final = reader
        self._serial: str | None = None
        self._other: tuple[str, int, str] | None = None  # why it is not understood, its line and text

    def title(self, number: int, text: str) -> Sequence[Found]:
        told = _TITLE.fullmatch(text.strip())
        if told is not None:
            found = self.end()
            self.begun = True
            is_logger, is_inverter = text.startswith(_FIRST), _INVERTER.fullmatch(told[1]) is not None
            self._serial = None if is_logger else serial_of(told[2].strip()) or None
            if not is_logger and not (is_inverter and self._serial):
                self._other = ("bad_serial" if is_inverter else "unknown_block", number, text.strip())
            return found
        if self._serial is not None and self._other is not None and _has_strings(text):
            self._other = None  # an inverter under a name that somebody gave it
        if self._other is not None or self._serial is None:
            return []
        known = _layout(text)
        if known is None:
            self._other, self.is_read = ("unknown_block", number, text.strip()), False
            return self._reader.rest()
        self.is_read = True
        return self._reader.lay(known._replace(groups=tuple(each._replace(serial=self._serial) for each in known.groups)))

    def end(self) -> Sequence[Found]:
        found = self._reader.rest()
        if self._other is not None:
            found.append(self._unknown(*self._other))
        self.is_read, self.passed_over, self._other, self._serial = False, 0, None, None
        return found

    def _unknown(self, code: str, number: int, title: str) -> Refusal:
        self.refused += 1
        return refusal(code, number, text=title, rows=str(self.passed_over))


def _has_strings(text: str) -> bool:
    """What goes into it is told, and what comes out of it."""
    names = {cell.strip().lower() for cell in text.split(";")}
    return {"upv1", "pac"} <= names and not names.isdisjoint({"e-total", "e-day", "eac"})


@lru_cache(maxsize=64)
def _layout(text: str) -> Layout | None:
    """Of the rows below such a line of headings: a file's blocks mostly share one. None: no columns of an inverter."""
    cells = split(text, ";")
    known = heading(_DECLARATION, cells)
    if known is None:
        return None
    if any(matches for column, matches in known.found if column.measure == _LIFETIME):
        known = heading(_WITHOUT_INTERVALS, cells)
        return None if known is None else layout(_WITHOUT_INTERVALS, known)
    return layout(_DECLARATION, known)


def _is_inverter(text: str) -> bool:
    told = _TITLE.fullmatch(text.strip())
    return told is not None and _INVERTER.fullmatch(told[1]) is not None


FORMAT: Final = FileFormat(
    "huawei-smartlogger",
    "Huawei SmartLogger (CSV du jour)",
    "Huawei SmartLogger (daily CSV)",
    "imported-inverter",
    recognises,
    read,
)
