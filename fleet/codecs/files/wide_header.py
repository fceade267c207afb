"""Finds a declaration's columns in a line of headings, and makes of it how rows below it read."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from fleet.codecs.files.reading import StampEnd, Unreadable
from fleet.codecs.files.row_reader import Layout, serial_of
from fleet.codecs.files.series import Group, Slot, Stamps
from fleet.codecs.files.units import measured_in, scale_to, unit_named, units_known
from fleet.codecs.files.wide_declaration import Column, Place, WideCsv
from fleet.codecs.words import unaccented
from fleet.measures import INTERVAL_LENGTH, is_measure

_UNIT_BEHIND: Final = re.compile(r"(.*?)\s*[\[(]\s*([^\[\]()]{1,12}?)\s*[\])]")
_BLANKS: Final = re.compile(r"\s+")
_HOLES: Final = {"{n}": r"(?P<n>[0-9]{1,2})", "{serial}": r"(?P<serial>[A-Za-z0-9][A-Za-z0-9._/-]{2,39})"}
_HOLE: Final = re.compile(r"(\{n\}|\{serial\})")
_POWERS: Final = {"W", "VA", "var"}  # none of which is ever another
_LABEL: Final = re.compile(r"[^:]{0,20}:\s*")  # "SN: 2100000001"


class _Match(NamedTuple):
    at: int
    number: str
    serial: str
    unit: str


class Heading(NamedTuple):
    """A line of headings in which the declared columns were found.

    width      cells of a row; empty headings at the end do not count
    time_at    cells of date and time, from 0
    found      for each declared column the cells that it was found in
    complete   all that are not optional were found
    """

    cells: list[str]
    width: int
    time_at: tuple[int, ...]
    found: list[tuple[Column, list[_Match]]]
    complete: bool


def heading(declaration: WideCsv, cells: list[str]) -> Heading | None:
    """None: not this declaration's headings: a time column, or all others, are missing."""
    titles = _Titles(cells)
    time_at = [at for place in declaration.time.at if (at := titles.place(place)) is not None]
    if len(time_at) < len(declaration.time.at):
        return None
    starts = titles.called(declaration.group_at) if declaration.group_at else []
    if declaration.group_at and not starts:
        return None
    if isinstance(declaration.serial_at, str) and titles.place(declaration.serial_at) is None:
        return None
    found = [(column, list(_matches(column, titles, starts))) for column in declaration.columns]
    named = [bool(matches) for column, matches in found if isinstance(column.at, str)]
    if named and not any(named):
        return None
    complete = all(matches or column.optional for column, matches in found)
    width = max((at + 1 for at, cell in enumerate(cells) if cell.strip()), default=1)
    return Heading(cells, width, tuple(time_at), found, complete)


def layout(
    declaration: WideCsv,
    head: Heading,
    *,
    units: Sequence[str] = (),
    serials: Sequence[str] = (),
    serial: str | None = None,
    stamp: StampEnd | None = None,
) -> Layout:
    """units, serials: cells of these rows, where there are such. serial: of the device whose rows follow.

    stamp: set by a person, against the declaration
    """
    time = declaration.time
    titles = _Titles(head.cells)
    serial_at = None if declaration.serial_at is None else titles.place(declaration.serial_at)
    starts = titles.called(declaration.group_at) if declaration.group_at else []
    slots: dict[tuple[str | None, int | None], list[Slot]] = {}
    for column, matches in head.found:
        for match in matches:
            slot = _slot(column, match, units[match.at] if match.at < len(units) else "")
            if slot is None:
                continue
            whose, whose_at = serial, serial_at
            if match.serial:
                whose = match.serial
            elif match.at < len(serials):
                whose = serial_of(_LABEL.sub("", serials[match.at]).strip()) or serial
            elif starts:
                whose_at = max((start for start in starts if start <= match.at), default=None)
                if whose_at is None:
                    continue
            slots.setdefault((whose, whose_at), []).append(slot)
    groups = tuple(
        Group(whose, tuple(its), whose_at)
        for (whose, whose_at), its in slots.items()
        if any(slot.measure != INTERVAL_LENGTH for slot in its)
    )
    read = [slot.at for group in groups for slot in group.slots] + list(head.time_at)
    width = max(head.width, max(read) + 1, 0 if serial_at is None else serial_at + 1)
    return Layout(width, head.time_at, groups, Stamps(stamp or time.stamp, time.step_s), len(head.cells))


def without_heading(declaration: WideCsv, width: int) -> Heading | None:
    """All columns by position. None: a row of so many cells has not all of them."""
    found = heading(declaration, [""] * width)
    return None if found is None else found._replace(width=width)


@lru_cache(maxsize=4_096)
def plain(text: str) -> str:
    """Without accents, quotes and superfluous blanks; in its own case."""
    return _BLANKS.sub(" ", unaccented(text.strip(" \t\"'#\N{ZERO WIDTH NO-BREAK SPACE}")))


class _Titles:
    """Cells of a line of headings, to be found by what they are called: with or without their unit, in any case."""

    def __init__(self, cells: Sequence[str]) -> None:
        self._cells: Final = [(plain(cell), *name_and_unit(cell)) for cell in cells]
        self._at: Final[dict[str, list[int]]] = {}
        for at, (whole, name, _) in enumerate(self._cells):
            for called in {whole.casefold(), name.casefold()}:
                self._at.setdefault(called, []).append(at)

    def called(self, name: str) -> list[int]:
        return self._at.get(plain(name).casefold(), [])

    def place(self, place: Place) -> int | None:
        if isinstance(place, int):
            return place - 1 if place <= len(self._cells) else None
        return next(iter(self.called(place)), None)

    def unit(self, at: int) -> str:
        return self._cells[at][2]

    def like(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, re.Match[str]]]:
        for at, (whole, name, _) in enumerate(self._cells):
            found = pattern.fullmatch(whole) or pattern.fullmatch(name)
            if found is not None:
                yield at, found


@lru_cache(maxsize=4_096)
def name_and_unit(cell: str) -> tuple[str, str]:
    """'Energy Produced (Wh)' → 'Energy Produced', 'Wh'"""
    found = _UNIT_BEHIND.fullmatch(plain(cell))
    if found is None or unit_named(found[2]) is None:
        return plain(cell), ""
    return found[1], found[2]


def _matches(column: Column, titles: _Titles, starts: Sequence[int]) -> Iterator[_Match]:
    if isinstance(column.at, int):
        at = titles.place(column.at)
        if at is not None:
            yield _Match(at, "", "", titles.unit(at))
        return
    if "{" not in column.at:
        for group in _grouped(titles.called(column.at), starts):
            yield from (_Match(at, "", "", titles.unit(at)) for at in group[column.nth - 1 : column.nth])
        return
    for at, found in titles.like(_pattern(column.at)):
        holes = found.groupdict()
        yield _Match(at, holes.get("n") or "", holes.get("serial") or "", titles.unit(at))


def _grouped(its: list[int], starts: Sequence[int]) -> Iterator[list[int]]:
    """Columns of one name, by the group that they stand in."""
    edges = [*starts, 1 << 30] if starts else [0, 1 << 30]
    for start, end in pairwise(edges):
        yield [at for at in its if start <= at < end]


@lru_cache(maxsize=1_024)
def _pattern(name: str) -> re.Pattern[str]:
    """Each hole once; a second one is text."""
    parts, seen = [], set()
    for part in _HOLE.split(plain(name)):
        if part in _HOLES and part not in seen:
            seen.add(part)
            parts.append(_HOLES[part])
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts), re.IGNORECASE)


def _slot(column: Column, match: _Match, unit_below: str) -> Slot | None:
    if column.measure is None:
        return None
    measure = column.measure.replace("{n}", match.number.lstrip("0") or "0")
    if not is_measure(measure):
        return None
    mean_power = column.kind == "mean_power"
    told = [unit for each in (match.unit, unit_below, column.unit or "") if (unit := unit_named(each)) is not None]
    scale = 1.0
    for unit in told:
        found = scale_to(measure, unit, mean_power=mean_power)
        if found is not None:
            scale = found
            break
        if {units_known()[unit][0], measured_in(measure)} <= _POWERS:
            raise Unreadable("wrong_unit", column=match.at + 1, text=match.unit or unit_below, unit=unit, measure=measure)
    return Slot(match.at, measure, scale * column.factor * column.sign, mean_power)
