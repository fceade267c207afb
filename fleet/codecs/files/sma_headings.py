"""The lines above the rows of SMA's CSV files: who is in which column, what it is, and how dates and numbers are written."""

import re
from collections.abc import Sequence
from typing import Final

from fleet.codecs.files.dates import order_of
from fleet.codecs.files.numbers import Decimal
from fleet.codecs.files.reading import StampEnd, Unreadable
from fleet.codecs.files.row_reader import Layout, split
from fleet.codecs.files.series import Group, Slot, Stamps
from fleet.codecs.files.sma_channels import channel, is_channel, scale
from fleet.codecs.files.units import unit_named, units_known
from fleet.codecs.files.wide_declaration import Column, TimeCells, WideCsv
from fleet.codecs.files.wide_header import heading, layout

DAY_S: Final = 86_400

_NAMED: Final = {"semicolon": ";", "comma": ",", "tab": "\t"}
_KINDS: Final = frozenset(("counter", "analog", "status", "parameter", "text"))
_SERIAL: Final = re.compile(r"(SN:\s*)?([0-9]{6,12})")
_ADDS_UP: Final = re.compile(r"(?:SMA |Sunny )?(?:WebBox|Cluster Controller|CLCON|Data Manager|EDM[ML]\b)", re.IGNORECASE)
_CLOCK: Final = re.compile(r"[Hh]{1,2}:mm(?::ss)?")

# One row per inverter, written by SBFspot at each of its runs
_SPOT: Final = WideCsv(
    time=TimeCells(at=(1,)),
    serial_at="Serial",
    columns=(
        Column("PacTot", "pv_power_w", "W"),
        Column("ETotal", "pv_energy_wh", "kWh", optional=True),
        Column("EToday", "pv_day_energy_wh", "kWh", optional=True),
        Column("Pdc{n}", "dc_power_w_{n}", "W", optional=True),
        Column("Udc{n}", "dc_voltage_v_{n}", "V", optional=True),
        Column("Idc{n}", "dc_current_a_{n}", "A", optional=True),
        Column("Uac{n}", "ac_voltage_v_l{n}", "V", optional=True),
        Column("Iac{n}", "ac_current_a_l{n}", "A", optional=True),
        Column("Frequency", "ac_frequency_hz", "Hz", optional=True),
        Column("Temperature", "inverter_temp_c", "°C", optional=True),
    ),
)


# The same for inverters of batteries. What such a one puts out and takes in is no yield
_SPOT_BATTERY: Final = WideCsv(
    time=TimeCells(at=(1,)),
    serial_at="Serial",
    columns=(
        Column("SOC", "battery_soc_pct", "%"),
        Column("TotWIn", "grid_power_w", "W", optional=True),
        Column("TotWOut", "grid_power_w", "W", sign=-1, optional=True),
        Column("Frequency", "ac_frequency_hz", "Hz", optional=True),
    ),
)


class Headings:
    """pattern: of the dates; '' where rows have a time only. decimal: as the file declares it, if it does.

    sums: what devices are called whose columns are the sum of the others', once they were laid out
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """texts: what is not blank, up to the line with the pattern."""
        self.delimiter: Final = delimiter(texts)
        version = next((text for text in texts if text.startswith("Version ")), "")
        declared = re.search(r"\|Decimalpoint (\w+)", version)
        self.decimal: Final[Decimal] = "," if declared is not None and declared[1].lower() == "comma" else "."
        self.sums: Final[list[str]] = []
        told = [text for text in texts if not _is_preamble(text)] or [""]
        rows = [[cell.strip(' "') for cell in split(text, self.delimiter)] for text in told]
        self._units: Final = rows[-1]
        self.pattern: Final = self._units[0] if order_of(self._units[0]) is not None else ""
        self.days: Final = bool(self.pattern) and not re.search("[Hh]", self.pattern)
        kinds_at = next((at for at in range(len(rows) - 2, -1, -1) if _are_kinds(rows[at])), None)
        self._kinds: Final = [] if kinds_at is None else [each.lower() for each in rows[kinds_at]]
        self._labels: Final = rows[kinds_at - 1] if kinds_at else []
        self._serials: Final = _serials(rows[:-1])
        self._above: Final = rows[:-1]

    @property
    def are_spot(self) -> bool:
        """Of SBFspot's file of one row per inverter and run."""
        return heading(_SPOT, self._units) is not None and "DeviceType" in self._units

    def layout(self, stamp: StampEnd | None) -> Layout:
        """Raises Unreadable (columns_not_found, serials_missing)."""
        for declared in (_SPOT_BATTERY, _SPOT):
            spot = heading(declared, self._units)
            if spot is not None and spot.complete:
                return layout(declared, spot, stamp=stamp)
        if not self._serials and len(self._units) > 3 and not any(map(is_channel, self._labels)):
            raise Unreadable("serials_missing")
        groups = [Group(serial, tuple(slots)) for serial, slots in self._slots().items() if slots]
        if not groups:
            raise Unreadable("columns_not_found")
        stamps = Stamps("start", DAY_S) if self.days else Stamps(stamp or "end")
        return Layout(len(self._units), (0,), tuple(groups), stamps)

    def _slots(self) -> dict[str | None, list[Slot]]:
        found: dict[str | None, list[Slot]] = {}
        strings: dict[tuple[str | None, str], int] = {}
        named = {self._serial(at) for at, label in enumerate(self._labels) if channel(label) is not None}
        for at in range(1, len(self._units)):
            serial = self._serial(at)
            slots = found.setdefault(serial, [])
            label = _cell(self._labels, at)
            if channel(label) is not None or is_channel(label) or serial in named:
                slot = self._by_channel(at, label, serial, strings)
            else:
                slot = self._by_kind(at)
            if slot is not None and slot.measure not in {each.measure for each in slots}:
                slots.append(slot)
        self._leave_out(found)
        if self.days:
            for slots in found.values():  # the day's yield tells more than the counter at its end
                if any(slot.measure == "pv_interval_wh" for slot in slots):
                    slots[:] = [slot for slot in slots if slot.measure == "pv_interval_wh"]
        return found

    def _leave_out(self, found: dict[str | None, list[Slot]]) -> None:
        """What a logger adds up of its inverters, and what an inverter of a battery puts out: neither is a further yield."""
        for serial, slots in list(found.items()):
            columns = [at for at in range(1, len(self._units)) if self._serial(at) == serial]
            labels = [_cell(self._labels, at) for at in columns]
            if any(each.startswith("Bat.") for each in labels) and not any(each.startswith("DcMs.") for each in labels):
                slots[:] = [slot for slot in slots if not slot.measure.startswith("pv_")]
            name = next(
                (cell for row in self._above for at in columns if _ADDS_UP.match(cell := _cell(row, at)) is not None), ""
            )
            if name and any(_yields(its) for other, its in found.items() if other != serial):
                self.sums.append(name)
                del found[serial]

    def _serial(self, at: int) -> str | None:
        return _cell(self._serials, at) or None

    def _by_channel(
        self, at: int, label: str, serial: str | None, strings: dict[tuple[str | None, str], int]
    ) -> Slot | None:
        known = channel(label)
        if known is None:
            return None
        its, number = known
        factor = scale(its, self._units[at])
        if factor is None:
            return None
        if not its.numbered:
            return Slot(at, its.measure, factor)
        strings[serial, its.measure] = number or strings.get((serial, its.measure), 0) + 1
        return Slot(at, its.measure.replace("{n}", str(strings[serial, its.measure])), factor)

    def _by_kind(self, at: int) -> Slot | None:
        """A file without a line of kinds has the counter first."""
        unit = unit_named(self._units[at])
        if unit is None:
            return None
        base, factor = units_known()[unit]
        kind = _cell(self._kinds, at) if self._kinds else "counter" if at % 2 and base == "Wh" else "analog"
        if base == "Wh" and kind == "counter":
            return Slot(at, "pv_energy_wh", factor)
        if base == "Wh" and kind == "analog":
            return Slot(at, "pv_interval_wh" if self.days else "pv_day_energy_wh", factor)
        if base == "W" and kind == "analog" and not self.days:
            return Slot(at, "pv_power_w", factor)
        return None


def delimiter(texts: Sequence[str]) -> str:
    """As the file says in `sep=` or in its version, unless a spreadsheet has made that untrue; else what stands most often
    in the last of these lines.
    """
    last = texts[-1] if texts else ""
    for text in texts:
        declared = re.search(r"\|Delimiter (\w+)", text) if text.startswith("Version ") else None
        told = text[4:5] if text.startswith("sep=") else _NAMED.get(declared[1].lower(), "") if declared is not None else ""
        if told and told in last:
            return told
    return max(_NAMED.values(), key=last.count)


def is_clock(pattern: str) -> bool:
    """A pattern without a date: the file's name has it."""
    return _CLOCK.fullmatch(pattern) is not None


def _is_preamble(text: str) -> bool:
    return text.startswith(("sep=", "Version "))


def _are_kinds(row: Sequence[str]) -> bool:
    told = {cell.lower() for cell in row[1:] if cell}
    return bool(told) and told <= _KINDS


def _serials(rows: Sequence[Sequence[str]]) -> Sequence[str]:
    """By column; the row of bare numbers goes before the one of names that end in them."""
    found: Sequence[str] = []
    for row in rows:
        told = [_SERIAL.fullmatch(cell) for cell in row]
        if any(row[1:]) and all(each is not None for each, cell in zip(told[1:], row[1:], strict=True) if cell):
            found = [each[2] if each is not None else "" for each in told]
    return found


def _yields(slots: Sequence[Slot]) -> bool:
    return any(slot.measure.startswith("pv_") for slot in slots)


def _cell(cells: Sequence[str], at: int) -> str:
    return cells[at] if at < len(cells) else ""
