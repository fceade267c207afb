"""SMA's CSV files: WebBox, Cluster Controller, Sunny Explorer, Sunny Data Control and SBFspot (CSV1), the inverters' own web
page and ennexOS (CSV3).

Source: recorded files; SBFspot's SBFspot.cfg and CSVexport.cpp; WebBox and Cluster Controller manuals. A few lines of
headings (serials, types, labels in the language of the PC, `Counter`/`Analog`), then one with the pattern of the date and
the units. Columns repeat for each inverter. What a column is, its kind and unit tell, not its label: a counter in kWh is
the lifetime yield; Analog in kW is the mean power of the 5 minutes before the stamp. Where dates have no time, rows are
days (monthly files): Analog in kWh is then the day's yield, from midnight to midnight. Newer files name channels instead
(`sma_channels`). Separators are what the PC's country uses, so the declared decimal mark is checked against the rows; UTF-8,
Latin-1 or UTF-16. `hh` counts to 24. Times are local; a PC that ignores summer time needs a fixed offset as its logger's
zone. The first row of a day may be short; `NaN`, `NaNStt`, `NoneMsg` are missing. SBFspot's spot file has one row per
inverter and run. A WebBox has columns of its own, which are the sum of its inverters': they are left out.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final

from fleet.codecs.files.dates import Times, date_in, is_pattern
from fleet.codecs.files.lines import Line, head_lines, lines
from fleet.codecs.files.numbers import Decimal, Numbers
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Unreadable, refusal
from fleet.codecs.files.row_reader import Layout, RowReader, split
from fleet.codecs.files.series import Group
from fleet.codecs.files.sma_headings import Headings, delimiter, is_clock

_HEADINGS_MAX: Final = 40
_ROWS_LOOKED_AT: Final = 100  # for their decimal mark
_FRACTION: Final = re.compile(r"[+-]?[0-9]*([.,])[0-9]+")
_EVENTS: Final = ("EventCode", "Event Code", "EventGroup")


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (empty_file, columns_not_found, not_readings, serials_missing, header_only, date_missing …)."""
    texts = lines(content)
    above = _above_rows(texts)
    headings = Headings(above)
    first = list(islice(texts, _ROWS_LOOKED_AT))
    reader = RowReader(
        content,
        context,
        delimiter=headings.delimiter,
        numbers=Numbers(_decimal(headings, first)),
        times=Times(headings.pattern or "yyyy-MM-dd", context.settings.date_order),
        short_rows=True,
    )
    layout = headings.layout(context.settings.stamp)
    day = "" if headings.pattern else _day(context) + headings.delimiter
    reader.lay(_moved(layout) if day else layout)
    refused = 0
    for number, text in chain(first, texts):
        found = reader.row(number, day + text if text and day else text)
        refused += len(found)
        yield from found
    yield from reader.rest()
    if not reader.rows and not refused:
        raise Unreadable("header_only")
    for name in headings.sums:
        yield refusal("sum_of_others", 0, text=name, name=name[:80])


def _recognises(head: bytes, *begins: str) -> bool:
    for text in [text for text in head_lines(head, 5) if text.strip()][:2]:
        if text.startswith("Version "):
            return text.startswith(begins)
    return False


def _is_csv1(head: bytes) -> bool:
    """SBFspot may be told to leave out all but the last line of the headings."""
    bare = _bare(head)
    pattern, *units = split(bare, delimiter([bare]))
    is_bare = is_pattern(pattern) and bool(units) and all(unit.strip() in {"kWh", "kW"} for unit in units)
    return is_bare or (_recognises(head, "Version CSV1|") and not _is_sbfspot(head))


def _bare(head: bytes) -> str:
    return next((text for text in head_lines(head, 5) if text.strip() and not text.startswith("sep=")), "")


def _is_sbfspot(head: bytes) -> bool:
    bare = _bare(head)
    if is_pattern(split(bare, delimiter([bare]))[0]) and Headings([bare]).are_spot:
        return True
    return _recognises(head, "Version CSV1|Tool SBFspot", "Version CSV1|Tool SMAspot")


def _is_csv3(head: bytes) -> bool:
    return _recognises(head, "Version CSV3|")


def _above_rows(texts: Iterator[Line]) -> list[str]:
    """The headings, up to the line with the pattern. Raises Unreadable."""
    above: list[str] = []
    for _, text in islice(texts, _HEADINGS_MAX):
        if not text.strip():
            continue
        above.append(text)
        cells = [cell.strip(' "') for cell in split(text, delimiter(above))]
        if (is_pattern(cells[0]) or is_clock(cells[0])) and len(cells) > 1:
            return above
        if not set(_EVENTS).isdisjoint(cells):
            raise Unreadable("not_readings")
    raise Unreadable("columns_not_found" if above else "empty_file")


def _decimal(headings: Headings, rows: Sequence[Line]) -> Decimal:
    """As the numbers themselves have it: the declaration is not always true."""
    for _, text in rows:
        for cell in split(text, headings.delimiter)[1:]:
            if (number := _FRACTION.fullmatch(cell.strip())) is not None:  # not 'STP 8.0', a device's type
                return "," if number[1] == "," else "."
    return "." if headings.delimiter == "," else headings.decimal


def _day(context: Context) -> str:
    named = date_in(context.name)
    if named is None:
        raise Unreadable("date_missing")
    return named.isoformat()


def _moved(layout: Layout) -> Layout:
    """Everything one cell further: the day stands before it."""
    groups = tuple(
        Group(group.serial, tuple(slot._replace(at=slot.at + 1) for slot in group.slots)) for group in layout.groups
    )
    return Layout(layout.width + 1, (0, 1), groups, layout.stamps)


_OLDER: Final = "SMA Sunny Explorer, WebBox, Cluster Controller (CSV1)"

CSV1: Final = FileFormat(
    "sma-csv1", _OLDER, _OLDER, "imported-inverter", _is_csv1, read,
)  # fmt: skip
CSV3: Final = FileFormat(
    "sma-csv3", "SMA, page web de l'onduleur ou ennexOS (CSV3)", "SMA inverter's web page or ennexOS (CSV3)",
    "imported-inverter", _is_csv3, read,
)  # fmt: skip
SBFSPOT: Final = FileFormat("sbfspot", "SBFspot (CSV)", "SBFspot (CSV)", "imported-inverter", _is_sbfspot, read)
