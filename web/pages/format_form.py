"""A format of rows and columns as a form, to a declaration and back: its layout, its times, each of its columns.

Pure. The declaration that the form began with travels along in it, for what the form does not ask.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fleet.codecs.files.guess_names import meaning
from fleet.codecs.files.lines import lines
from fleet.codecs.files.reading import Content, Unreadable
from fleet.codecs.files.row_reader import split
from fleet.codecs.files.units import scale_to, unit_named, units_known
from fleet.codecs.files.wide_csv import Column, Place, TimeCells, WideCsv, faults
from fleet.codecs.files.wide_header import name_and_unit
from web.pages.forms import Fields, number

COLUMNS_MAX: Final = 50  # that a person describes one by one; a form has at most 300 fields, five of each column
_LINES: Final = 400  # looked at for samples
_SAMPLES: Final = 3
_TEXT_CHARS: Final = 200
_NO_HEADINGS: Final = 0
_DELIMITERS: Final = (";", ",", "\t", "|", " ")


class ColumnFields(msgspec.Struct, frozen=True):
    """choice: a measure, one with ':mean_power' behind it, or '' for a column that is not wanted.

    title: '' without headings. told: the unit that it tells. unit: chosen against it, or where it tells none.
    """

    position: int
    title: str
    samples: list[str]
    choice: str
    told: str
    unit: str
    factor: str
    turned: bool


class FormatFields(msgspec.Struct, frozen=True):
    """As chosen. heading: the line of headings; date_at, time_at, serial_at: columns. All from 1, 0 for none.

    more: columns that the file has beyond those. base: the declaration that the form began with.
    """

    name: str
    format_id: str
    version: int
    delimiter: str
    decimal: str
    thousands: str
    heading: int
    date_at: int
    time_at: int
    pattern: str
    order: str
    zone: str
    stamp: str
    step_s: str
    serial_at: int
    columns: list[ColumnFields]
    more: int
    base: WideCsv


class FormFault(NamedTuple):
    """column: its index among the form's columns; None: the format as a whole."""

    column: int | None
    code: str


class Lines(msgspec.Struct, frozen=True):
    """The first lines of a file, counted from 1."""

    texts: list[str]

    def cells(self, number: int, delimiter: str) -> list[str]:
        return split(self.texts[number - 1], delimiter) if 1 <= number <= len(self.texts) else []


def first_lines(head: bytes) -> Lines:
    """Nothing for what is no text."""
    found: list[str] = []
    try:
        for line in lines(Content(lambda: [head])):
            found.append(line.text)
            if len(found) == _LINES:
                break
    except Unreadable:
        pass
    return Lines(found)


def fields_from(
    declaration: WideCsv,
    shown: Lines,
    heading: int,
    *,
    delimiter: str | None = None,
    name: str = "",
    format_id: str = "",
    version: int = 0,
) -> FormatFields:
    """What the form begins with. delimiter: in place of the declaration's."""
    time = declaration.time
    delimiter = delimiter or declaration.delimiter
    titles = titles_of(shown, heading, delimiter)
    at = [position_of(place, titles) for place in time.at]
    chosen = {position: column for column in declaration.columns for position in positions_of(column, titles)}
    return FormatFields(
        name=name,
        format_id=format_id,
        version=version,
        delimiter=delimiter,
        decimal=declaration.decimal,
        thousands=declaration.thousands,
        heading=heading,
        date_at=at[0],
        time_at=at[1] if len(at) > 1 else 0,
        pattern=time.pattern or "",
        order=time.order or "",
        zone=time.zone or "",
        stamp=time.stamp,
        step_s="" if time.step_s is None else str(time.step_s),
        serial_at=0 if declaration.serial_at is None else position_of(declaration.serial_at, titles),
        columns=[
            _column_fields(position, title, samples_of(shown, heading, delimiter, position), chosen.get(position))
            for position, title in enumerate(titles[:COLUMNS_MAX], 1)
        ],
        more=max(0, len(titles) - COLUMNS_MAX),
        base=msgspec.structs.replace(declaration, columns=declaration.columns[:COLUMNS_MAX]),
    )


def fields_typed(typed: Fields, shown: Lines) -> FormatFields:
    """As a browser sends them. What is missing or no choice of ours counts as not chosen: the faults say so.

    When the cells were divided anew, columns that were there before keep their choices; others begin with the base's or with
    what their headings suggest.
    """
    delimiter = {"tab": "\t", "space": " "}.get(typed.get("delimiter", ";"), typed.get("delimiter", ";"))
    delimiter = delimiter if delimiter in _DELIMITERS else ";"
    heading = min(_whole(typed, "heading"), len(shown.texts))
    titles = titles_of(shown, heading, delimiter)
    base = _base(typed)
    begun = fields_from(base, shown, heading, delimiter=delimiter)
    relaid = _titles_typed(typed) != titles[:COLUMNS_MAX]
    before = _chosen_before(typed)
    columns = []
    for column in begun.columns:
        title, position = column.title, column.position
        key = position if typed.get(f"title-{position}") == title else before.get(title)
        if key is not None:
            columns.append(msgspec.structs.replace(column, **_column_typed(typed, key)))
        else:
            columns.append(column if column.choice else _suggested(column))
    return msgspec.structs.replace(
        begun,
        name=typed.get("name", "")[:_TEXT_CHARS],
        format_id=typed.get("format_id", "")[:40],
        version=_whole(typed, "version"),
        decimal="," if typed.get("decimal") == "," else ".",
        thousands=typed.get("thousands", "") if typed.get("thousands") in (".", ",", "'") else _blank(typed),
        date_at=begun.date_at if relaid else _whole(typed, "date_at"),
        time_at=begun.time_at if relaid else _whole(typed, "time_at"),
        pattern=typed.get("pattern", "")[:_TEXT_CHARS],
        order=typed.get("order", ""),
        zone=typed.get("zone", "")[:_TEXT_CHARS],
        stamp=typed.get("stamp", "instant"),
        step_s=typed.get("step_s", ""),
        serial_at=begun.serial_at if relaid else _whole(typed, "serial_at"),
        columns=columns,
    )


def declaration_of(fields: FormatFields) -> tuple[WideCsv | None, list[FormFault]]:
    """None with what makes it impossible; else with what makes it useless."""
    titles = [column.title for column in fields.columns]
    wanted = [column for column in fields.columns if column.choice]
    times = [at for at in (fields.date_at, fields.time_at) if at]
    if not times:
        return None, [FormFault(None, "no_time")]
    made: dict[str, Any] = msgspec.to_builtins(fields.base) | {
        "delimiter": fields.delimiter,
        "decimal": fields.decimal,
        "thousands": fields.thousands,
        "header": fields.heading != _NO_HEADINGS,
        "time": {
            "at": [_place(at, titles) for at in times],
            "pattern": fields.pattern or None,
            "order": fields.order or None,
            "zone": fields.zone or None,
            "stamp": fields.stamp,
            "step_s": int(fields.step_s) if fields.step_s.isdecimal() else None,
        },
        "columns": [_column(column, titles) for column in wanted],
        "serial_at": _place(fields.serial_at, titles) if fields.serial_at else None,
    }
    if fields.heading == _NO_HEADINGS:
        made |= {"header_like": None, "units_row": None, "serial_row": None, "group_at": None}
    try:
        declaration = msgspec.convert(made, WideCsv)
    except msgspec.ValidationError:
        return None, [FormFault(None, "bad_format")]
    found = [
        FormFault(None if each.column is None else wanted[each.column].position - 1, each.code)
        for each in faults(declaration)
    ]
    found += [FormFault(each.position - 1, "bad_factor") for each in wanted if each.factor and not number(each.factor)]
    return declaration, found or [FormFault(each.position - 1, "wrong_unit") for each in wanted if _contradicts(each)]


def _contradicts(column: ColumnFields) -> bool:
    """The heading tells a unit in which that is not measured."""
    measure, _, kind = column.choice.partition(":")
    return bool(column.told) and scale_to(measure, column.told, mean_power=kind == "mean_power") is None


def heading_of(declaration: WideCsv, shown: Lines) -> int:
    """The line in which most of the declared columns are found; 0 for a format without headings."""
    if not declaration.header:
        return _NO_HEADINGS
    named = [each.at for each in declaration.columns] + list(declaration.time.at)

    def found(number: int) -> int:
        titles = titles_of(shown, number, declaration.delimiter)
        return sum(isinstance(place, str) and position_of(place, titles) > 0 for place in named)

    return max(range(1, len(shown.texts) + 1), key=found, default=_NO_HEADINGS)


def titles_of(shown: Lines, heading: int, delimiter: str) -> list[str]:
    """Of the columns; without headings as many empty ones as the first row has cells."""
    if heading != _NO_HEADINGS:
        return [cell.strip().strip('"') for cell in shown.cells(heading, delimiter)]
    width = next((len(split(text, delimiter)) for text in shown.texts if text.strip()), 0)
    return [""] * width


def samples_of(shown: Lines, heading: int, delimiter: str, position: int) -> list[str]:
    """What stands below in that column, each but once: nights are long, and all zeros."""
    rows = (split(text, delimiter) for text in shown.texts[heading:] if text.strip())
    cells = dict.fromkeys(row[position - 1].strip() for row in rows if len(row) >= position)
    return [cell for cell in cells if cell][:_SAMPLES]


def position_of(place: Place, titles: Sequence[str]) -> int:
    """From 1; 0 when it is not there."""
    if isinstance(place, int):
        return place
    wanted = place.casefold()
    for position, title in enumerate(titles, 1):
        if wanted in (title.casefold(), name_and_unit(title)[0].casefold()):
            return position
    return 0


def positions_of(column: Column, titles: Sequence[str]) -> list[int]:
    """Of a column with a hole in its name: none, the form cannot show them."""
    if isinstance(column.at, int):
        return [column.at]
    wanted = column.at.casefold()
    its = [
        position
        for position, title in enumerate(titles, 1)
        if wanted in (title.casefold(), name_and_unit(title)[0].casefold())
    ]
    return its[column.nth - 1 : column.nth]


def units_offered() -> list[str]:
    return [unit for unit in units_known() if unit not in ("mV", "kJ", "J", "GWh", "mHz")]


def _column_fields(position: int, title: str, samples: list[str], column: Column | None) -> ColumnFields:
    if column is None or column.measure is None:
        return ColumnFields(position, title, samples, "", _told(title), "", "", turned=False)
    return ColumnFields(
        position=position,
        title=title,
        samples=samples,
        choice=f"{column.measure}:mean_power" if column.kind == "mean_power" else column.measure,
        told=_told(title),
        unit=column.unit or "",
        factor="" if column.factor == 1.0 else f"{column.factor:.15g}",
        turned=column.sign < 0,
    )


def _column(column: ColumnFields, titles: Sequence[str]) -> dict[str, Any]:
    """A unit that is chosen against the heading's counts: the heading's is turned into it."""
    measure, _, kind = column.choice.partition(":")
    mean_power = kind == "mean_power"
    factor = number(column.factor) if column.factor else 1.0
    unit: str | None = column.unit or None
    told = unit_named(column.told) if column.told else None
    if unit and told and unit != told:
        chosen, heading = (scale_to(measure, each, mean_power=mean_power) for each in (unit, told))
        if chosen and heading:
            factor, unit = (factor or 1.0) * chosen / heading, None
    made: dict[str, Any] = {
        "at": _place(column.position, titles),
        "measure": measure,
        "unit": unit,
        "sign": -1 if column.turned else 1,
        "factor": factor or 1.0,
    }
    if mean_power:
        made["kind"] = "mean_power"
    if isinstance(made["at"], str):
        made["nth"] = titles[: column.position].count(titles[column.position - 1])
    return made


def _place(position: int, titles: Sequence[str]) -> Place:
    """By its heading where it has one that says what it is: columns may move."""
    title = titles[position - 1] if 1 <= position <= len(titles) else ""
    return title if title and len(title) <= _TEXT_CHARS and "{" not in title else position


def _titles_typed(typed: Fields) -> list[str]:
    """As the form had them that was sent."""
    return [typed[f"title-{position}"] for position in range(1, COLUMNS_MAX + 1) if f"title-{position}" in typed]


def _suggested(column: ColumnFields) -> ColumnFields:
    """By its heading, where numbers stand below it."""
    if not column.title or not any(number(text) is not None for text in column.samples):
        return column
    found = meaning(*name_and_unit(column.title), "varies")
    if found is None:
        return column
    return msgspec.structs.replace(column, choice=f"{found.measure}:mean_power" if found.mean_power else found.measure)


def _chosen_before(typed: Fields) -> dict[str, int]:
    """Heading → position under which the form that was sent has its choices."""
    found: dict[str, int] = {}
    for position in range(1, COLUMNS_MAX + 1):
        title = typed.get(f"title-{position}")
        if title:
            found.setdefault(title, position)
    return found


def _column_typed(typed: Fields, position: int) -> dict[str, Any]:
    return {
        "choice": typed.get(f"measure-{position}", "")[:60],
        "unit": typed.get(f"unit-{position}", "")[:20],
        "factor": typed.get(f"factor-{position}", "")[:30],
        "turned": f"turned-{position}" in typed,
    }


def _told(title: str) -> str:
    return unit_named(name_and_unit(title)[1]) or ""


def _whole(typed: Fields, name: str) -> int:
    text = typed.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _blank(typed: Fields) -> str:
    return " " if typed.get("thousands") == "space" else ""


def _base(typed: Fields) -> WideCsv:
    try:
        return msgspec.json.decode(typed.get("base", "").encode(), type=WideCsv)
    except msgspec.DecodeError:
        return WideCsv(time=TimeCells(at=(1,)), columns=())
