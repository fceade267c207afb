"""What a declaration of a format of rows and columns may say. Companies' own formats are stored so, as JSON."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from fleet.codecs.files.dates import is_pattern
from fleet.codecs.files.local_time import LocalTimes
from fleet.codecs.files.numbers import MISSING, Decimal, Thousands
from fleet.codecs.files.reading import DateOrder, StampEnd, Unreadable
from fleet.codecs.files.units import scale_to, unit_named
from fleet.file_limits import INTERVAL_MAX_S, WIDE_COLUMNS_MAX, WIDE_HOLES_MAX, WIDE_TEXT_CHARS_MAX
from fleet.measures import DAY_COUNTER_OF, INTERVAL_LENGTH, INTERVAL_OF, REGISTERS, is_measure

Kind = Literal["lifetime", "daily", "interval", "mean_power", "instant"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=WIDE_TEXT_CHARS_MAX)]
Position = Annotated[int, msgspec.Meta(ge=1, le=4_096)]
Place = Text | Position  # a column by its heading, or by its position from 1
_Few = Annotated[int, msgspec.Meta(ge=0, le=100)]

_KIND_OF: Final[dict[str, Kind]] = {
    **dict.fromkeys(REGISTERS, "lifetime"),
    **dict.fromkeys(DAY_COUNTER_OF.values(), "daily"),
    **dict.fromkeys(INTERVAL_OF.values(), "interval"),
}


class TimeCells(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """When a row is of.

    at       the column, or those of date and time
    pattern  'dd.MM.yyyy HH:mm', 'unix_s', 'unix_ms'; None: as it looks (ISO 8601, or three numbers in `order`)
    order    of 01/07/24; None: told by the settings or by the file's dates themselves, else the file is refused
    zone     of the file's clock; None: the logger's
    stamp    which end of its interval a time names
    step_s   how long that is, 86400 being the local day; None: as far as the rows are apart
    """

    at: Annotated[tuple[Place, ...], msgspec.Meta(min_length=1, max_length=2)]
    pattern: Text | None = None
    order: DateOrder | None = None
    zone: Text | None = None
    stamp: StampEnd = "instant"
    step_s: Annotated[int, msgspec.Meta(ge=1, le=INTERVAL_MAX_S)] | None = None


class Column(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands in a column. Columns of one measure and device are added up (tariffs, phases).

    at        its heading, without regard to case and accents, with or without the unit in brackets. '{n}' in it is a number
              that the measure takes over ('Upv{n}' → 'dc_voltage_v_{n}'), '{serial}' the device's serial
    measure   of fleet.measures; None: known, and not wanted
    unit      of the numbers, if neither the heading nor a row of units tells; None: the measure's own
    kind      must fit the measure; 'mean_power': power over the interval whose energy (*_interval_wh) is measured
    factor    further multiplier: a transformer's ratio, a divisor of raw numbers
    nth       of several columns with this heading, which one
    optional  the file may be without it
    """

    at: Place
    measure: Text | None = None
    unit: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    kind: Kind | None = None
    sign: Literal[1, -1] = 1
    factor: float = 1.0
    nth: Position = 1
    optional: bool = False


class WideCsv(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A format of rows and columns.

    header        a line of headings names the columns; without one all columns are given by position
    lines_before  what is passed over first; headings may also stand further down
    header_like   how the line of headings begins
    units_row     units stand so many lines below the headings
    lines_after   between the headings and the first row, the units included
    serial_row    serials stand above the columns, so many lines below the headings (negative: above)
    serial_line   lines of this form begin the rows of one device: '#INV* ESN:{serial}'
    serial_at     a column holds the device's serial, row by row
    group_at      the columns repeat for each device, beginning with one of this heading, which holds its serial
    skip          rows that begin so are none: 'Total'
    short_rows    empty cells at the end of a row may be left out
    """

    time: TimeCells
    columns: Annotated[tuple[Column, ...], msgspec.Meta(max_length=WIDE_COLUMNS_MAX)]
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ";"
    decimal: Decimal = "."
    thousands: Thousands = ""
    encoding: Literal["utf-8", "cp1252", "latin-1", "utf-16-le", "utf-16-be"] | None = None
    header: bool = True
    lines_before: _Few = 0
    header_like: Text | None = None
    units_row: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None
    lines_after: _Few = 0
    missing: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)] = MISSING
    serial_row: Annotated[int, msgspec.Meta(ge=-10, le=10)] | None = None
    serial_line: Text | None = None
    serial_at: Place | None = None
    group_at: Text | None = None
    skip: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)] = ()
    short_rows: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError: each column with a hole is held against each heading of each line that may be one."""
        if sum(isinstance(each.at, str) and "{" in each.at for each in self.columns) > WIDE_HOLES_MAX:
            raise ValueError(f"at most {WIDE_HOLES_MAX} columns have {{n}} or {{serial}} in their heading")


class Fault(NamedTuple):
    """What makes a declaration useless. column: its index among the columns; None: the declaration as a whole."""

    column: int | None
    code: Literal[
        "no_measures",
        "unknown_measure",
        "wrong_kind",
        "wrong_unit",
        "bad_pattern",
        "unknown_zone",
        "needs_position",
        "bad_delimiter",
    ]


def kind_of(measure: str) -> Kind:
    return _KIND_OF.get(measure, "instant")


def faults(declaration: WideCsv) -> list[Fault]:
    """What has to be put right before it is used."""
    found = [Fault(index, code) for index, each in enumerate(declaration.columns) if (code := _fault(each)) is not None]
    if not any(each.measure not in {None, INTERVAL_LENGTH} for each in declaration.columns):
        found.append(Fault(None, "no_measures"))
    time = declaration.time
    if time.pattern is not None and not is_pattern(time.pattern):
        found.append(Fault(None, "bad_pattern"))
    if time.zone is not None:
        try:
            LocalTimes(time.zone)
        except Unreadable:
            found.append(Fault(None, "unknown_zone"))
    if declaration.delimiter in '"\r\n' or declaration.delimiter.isalnum():
        found.append(Fault(None, "bad_delimiter"))
    places: Sequence[Place] = [*time.at, *(each.at for each in declaration.columns)]
    if not declaration.header and not all(isinstance(each, int) for each in places):
        found.append(Fault(None, "needs_position"))
    return found


def _fault(column: Column) -> Literal["unknown_measure", "wrong_kind", "wrong_unit"] | None:
    if column.measure is None:
        return None
    measure = column.measure.replace("{n}", "1")
    if not is_measure(measure):
        return "unknown_measure"
    mean_power = column.kind == "mean_power"
    if column.kind is not None and kind_of(measure) != ("interval" if mean_power else column.kind):
        return "wrong_kind"
    if column.unit and (unit_named(column.unit) is None or scale_to(measure, column.unit, mean_power=mean_power) is None):
        return "wrong_unit"
    return None
