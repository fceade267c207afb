"""An unknown export: how it probably reads, for a person to look at and correct. Whatever comes in, something comes out."""

from collections.abc import Sequence
from itertools import islice
from typing import Final, Literal

import msgspec

from fleet.codecs.files import wide_reading
from fleet.codecs.files.dates import UNIX_MS, UNIX_S, decide_order
from fleet.codecs.files.guess_names import Meaning, end_named, is_serial_name, meaning, sibling_key
from fleet.codecs.files.guess_shape import Shape, shape_of
from fleet.codecs.files.reading import Content, Context, DateOrder, Rows, StampEnd, Unreadable
from fleet.codecs.files.row_reader import serial_of
from fleet.codecs.files.units import unit_named, units_known
from fleet.codecs.files.wide_declaration import Column, Kind, Place, TimeCells, WideCsv, kind_of
from fleet.codecs.naming import name_words
from fleet.file_limits import WIDE_COLUMNS_MAX, WIDE_TEXT_CHARS_MAX

__all__ = ["ColumnGuess", "Doubt", "Guess", "guess", "units_known"]

Doubt = Literal[
    "no_time_column",  # nothing looks like a date
    "no_measures",  # no column was understood
    "unknown_columns",  # some were not
    "no_unit",  # a power or an energy without one: it was taken for W or Wh
    "ambiguous_date",  # day or month first?
    "unknown_stamp",  # do times name beginnings or ends of intervals? ends were assumed
    "mean_power",  # W of one direction: taken for the mean of the interval
    "same_measure",  # several columns of one measure, such as phases: they would be added up
    "ambiguous_decimal",  # 1.234: a decimal mark, or thousands?
    "reads_nothing",  # read so, the lines shown give no row
]
_PREVIEW_LINES: Final = 20
_PREVIEW_CELLS: Final = 100
_DAY_S: Final = 86_400


class ColumnGuess(msgspec.Struct, frozen=True, omit_defaults=True):
    """position: from 1. measure None: not understood, or the column of times or serials (role)."""

    position: int
    name: str
    unit: str
    measure: str | None = None
    kind: Kind | None = None
    role: Literal["time", "serial"] | None = None


class Guess(msgspec.Struct, frozen=True):
    """preview: the first lines as cells. header_line: from 1; None: there are no headings."""

    declaration: WideCsv
    preview: list[list[str]]
    header_line: int | None
    columns: list[ColumnGuess]
    doubts: list[Doubt]


def guess(head: bytes, context: Context) -> Guess:
    """head: the beginning of the file, unpacked; the more of it, the better the guess. Raises nothing."""
    shape = shape_of(head)
    doubts: dict[Doubt, None] = {}
    serial_at = _serial_column(shape)
    columns, meant = _columns(shape, serial_at)
    declared = _declared(shape, columns, meant, doubts)
    declaration = WideCsv(
        time=_time(shape, columns, context, doubts),
        columns=tuple(declared),
        delimiter=shape.delimiter,
        decimal=shape.decimal,
        thousands=shape.thousands,
        encoding=shape.encoding,
        header=shape.header_at is not None,
        lines_before=_lines_before(shape),
        units_row=shape.units_row,
        lines_after=shape.lines_after,
        serial_at=None if serial_at is None else _place(shape, serial_at)[0],
    )
    _doubt_columns(columns, doubts)
    if shape.decimal_doubtful:
        doubts["ambiguous_decimal"] = None
    if "ambiguous_date" not in doubts and declared and shape.first_row is not None:
        _try(declaration, head, context, doubts)
    preview = [[cell[:WIDE_TEXT_CHARS_MAX] for cell in cells[:_PREVIEW_CELLS]] for cells in shape.rows[:_PREVIEW_LINES]]
    header_line = None if shape.header_at is None else shape.header_at + 1
    return Guess(declaration, preview, header_line, columns, list(doubts))


def _columns(shape: Shape, serial_at: int | None) -> tuple[list[ColumnGuess], list[Meaning | None]]:
    """What each is, and what its heading was understood to mean."""
    count = min(shape.width, WIDE_COLUMNS_MAX)
    among = frozenset(word for at in range(count) for word in name_words(f"{shape.said_above(at)} {shape.title(at)}"))
    meant = [
        None if at in shape.time_at or at == serial_at or not shape.is_numeric(at) else _meant(shape, at, among)
        for at in range(count)
    ]
    for unit in ("_w", "_wh"):
        sure = [each.measure for each in meant if each is not None and each.measure.endswith(unit) and not each.weak]
        enough = 1 if any(each.startswith("pv_") for each in sure) else 2 if sure else 3
        meant = [
            None if each is not None and each.measure.endswith(unit) and each.weak >= enough else each for each in meant
        ]
    columns = [_column(shape, at, serial_at, each) for at, each in enumerate(meant)]
    kept = {at for measure in {each.measure for each in columns} if measure for at in _of_one(columns, measure)}
    columns = [
        each if each.measure is None or each.position - 1 in kept else ColumnGuess(each.position, each.name, each.unit)
        for each in columns
    ]
    return columns, meant


def _meant(shape: Shape, at: int, among: frozenset[str]) -> Meaning | None:
    name, unit = shape.name(at)
    return meaning(f"{shape.said_above(at)} {name}".strip(), unit, shape.course(at), among)


def _column(shape: Shape, at: int, serial_at: int | None, meant: Meaning | None) -> ColumnGuess:
    name, unit = shape.name(at)
    if at in shape.time_at:
        return ColumnGuess(at + 1, name, unit, role="time")
    if at == serial_at:
        return ColumnGuess(at + 1, name, unit, role="serial")
    return ColumnGuess(at + 1, name, unit) if meant is None else ColumnGuess(at + 1, name, unit, meant.measure, _kind(meant))


def _of_one(columns: Sequence[ColumnGuess], measure: str) -> list[int]:
    """Of columns with the same measure those to keep: one, and if there is no sum of the others all that are of one kind."""
    its: dict[str, list[int]] = {}
    for each in columns:
        if each.measure == measure:
            its.setdefault(sibling_key(each.name), []).append(each.position - 1)
    alone = next((ats for key, ats in its.items() if "#" not in key), None)
    ats = alone or next(iter(its.values()))
    return ats if measure.endswith(("_wh", "_w")) else ats[:1]


def _kind(found: Meaning) -> Kind:
    return "mean_power" if found.mean_power else kind_of(found.measure)


def _declared(
    shape: Shape, columns: Sequence[ColumnGuess], meant: Sequence[Meaning | None], doubts: dict[Doubt, None]
) -> list[Column]:
    declared: list[Column] = []
    for each, told in zip(columns, meant, strict=True):
        if each.measure is None or told is None:
            continue
        if any(before.measure == each.measure for before in declared):
            doubts["same_measure"] = None
        at, nth = _place(shape, each.position - 1)
        declared.append(Column(at, each.measure, unit_named(each.unit), each.kind, sign=told.sign, nth=nth))
    return declared


def _doubt_columns(columns: Sequence[ColumnGuess], doubts: dict[Doubt, None]) -> None:
    told = [each for each in columns if each.role is None]
    if not any(each.measure for each in told):
        doubts["no_measures"] = None
    elif not all(each.measure for each in told):
        doubts["unknown_columns"] = None
    if any(each.measure and each.measure.endswith(("_wh", "_w")) and unit_named(each.unit) is None for each in told):
        doubts["no_unit"] = None
    if any(each.kind == "mean_power" for each in told):
        doubts["mean_power"] = None


def _time(shape: Shape, columns: Sequence[ColumnGuess], context: Context, doubts: dict[Doubt, None]) -> TimeCells:
    if not shape.time_at:
        doubts["no_time_column"] = None
        return TimeCells(at=(1,))
    names = " ".join(columns[at].name for at in shape.time_at if at < len(columns))
    stamp: StampEnd = "instant"
    if any(each.kind in {"interval", "mean_power"} for each in columns):
        named = end_named(names)
        if named is None and not shape.days_only:
            doubts["unknown_stamp"] = None
        stamp = "start" if shape.days_only else named or "end"
    return TimeCells(
        at=tuple(_place(shape, at)[0] for at in shape.time_at),
        pattern=shape.unix,
        order=_order(shape, context, doubts),
        zone="UTC" if {"utc", "gmt"} & set(names.lower().replace("(", " ").replace(")", " ").split()) else None,
        stamp=stamp,
        step_s=_DAY_S if shape.days_only and stamp != "instant" else None,
    )


def _order(shape: Shape, context: Context, doubts: dict[Doubt, None]) -> DateOrder | None:
    """None: the dates say it themselves, or nobody does."""
    if shape.unix in {UNIX_S, UNIX_MS} or not shape.dates_need_order:
        return None
    if context.settings.date_order is not None:
        return context.settings.date_order
    dates = (cells[shape.time_at[0]] for cells in shape.data if len(cells) > shape.time_at[0])
    order = decide_order(dates, not_after=context.received_at, file_name=context.name)
    if order is None:
        doubts["ambiguous_date"] = None
    return order


def _serial_column(shape: Shape) -> int | None:
    """By its heading, if what stands in it can be serials; else what tells apart rows of the same time."""
    for at in range(min(shape.width, WIDE_COLUMNS_MAX)):
        if at not in shape.time_at and is_serial_name(shape.name(at)[0]):
            told = {cells[at].strip() for cells in shape.data if len(cells) > at}
            if told and all(serial_of(text) for text in told):
                return at
    at_device = shape.device_at()
    if at_device is None or not all(serial_of(cells[at_device]) for cells in shape.data if len(cells) > at_device):
        return None
    return at_device


def _place(shape: Shape, at: int) -> tuple[Place, int]:
    """The heading, and which one of that name it is; or the position, where it has none that could be found again."""
    title = shape.title(at)
    if not title or "{" in title or len(title) > WIDE_TEXT_CHARS_MAX:
        return at + 1, 1
    return title, sum(shape.title(before) == title for before in range(at)) + 1


def _lines_before(shape: Shape) -> int:
    """Headings are found by their names; rows without headings have to be counted."""
    if shape.header_at is None:
        return min(shape.first_row or 0, 100)
    named = any(shape.title(at) for at in range(shape.width))
    return 0 if named else min(shape.header_at, 100)


def _try(declaration: WideCsv, head: bytes, context: Context, doubts: dict[Doubt, None]) -> None:
    try:
        if any(
            isinstance(found, Rows)
            for found in islice(wide_reading.read(declaration, Content(lambda: [head]), context), 1_000)
        ):
            return
    except Unreadable as error:
        if error.refusal.code == "ambiguous_date":
            doubts["ambiguous_date"] = None
            return
    doubts["reads_nothing"] = None
