"""The portal's daily registers: rows of 'Horodate;Type de releve;EAS F1;…;EAS F10;EAS D1;…;EAS D4;EAS T', cumulative, in Wh.

EAS is what was drawn, EAI what was fed in; F are the supplier's tariffs, D the grid operator's. T is the total: the meter's
own sum, also of registers that the tariff of the day does not use, so it stands for itself where the file has it. A file of
a producer's meter has all of EAS's columns too, and nothing in them; without EAI its EAS are what its heading says.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fleet.codecs.files.enedis.quantities import Direction, NotKept, energy_factor
from fleet.codecs.files.enedis.stamps import PARIS, Stamps, Texts, nearest_midnight
from fleet.codecs.files.enedis.words import number, refused, skeleton
from fleet.codecs.files.reading import Found, Gathering

_REGISTER: Final = re.compile(r"(as|ai|ap) (?:(t)|(f)[0-9]+|d[0-9]+)")


class _Column(NamedTuple):
    """total: where it stands; None: parts are summed up."""

    direction: Direction
    total: int | None
    parts: tuple[int, ...]


class IndexRows:
    def __init__(self, texts: Texts) -> None:
        self._texts: Final = texts
        self._gathering: Final = Gathering()
        self._stamps = Stamps(texts)
        self._serial: str | None = None
        self._columns: tuple[_Column, ...] = ()
        self._measures: tuple[str, ...] = ()
        self._cells = 0
        self._factor: float | None = None
        self._unit = ""

    def begin(self, serial: str | None, direction: Direction, unit: str, names: Sequence[str]) -> None:
        """names: of the columns, as skeletons. direction: of the registers that are EAS by name."""
        self._stamps = Stamps(self._texts)
        self._serial, self._unit = serial, unit
        self._columns = _columns(names, direction)
        self._measures = tuple(f"{each.direction}_energy_wh" for each in self._columns)
        self._cells = len(names)
        try:
            self._factor = energy_factor(unit or "Wh")
        except NotKept:
            self._factor = None

    def take(self, line: int, text: str) -> Iterator[Found]:
        cells = text.split(";")
        if len(cells) < self._cells:
            yield refused("wrong_field_count", line, text, found=str(len(cells)), expected=str(self._cells))
            return
        if self._factor is None:
            yield refused("not_active_power", line, text, 1, what=self._unit)
            return
        try:
            daily = not cells[1].strip() or "quotidin" in skeleton(cells[1])
            t = nearest_midnight(cells[0], self._texts) if daily else self._stamps.utc(cells[0])
        except ValueError:
            yield refused("bad_time", line, cells[0], 1)
            return
        if t is None:
            yield refused("time_does_not_exist", line, cells[0], 1, zone=PARIS)
            return
        try:
            values = [self._value(cells, column) for column in self._columns]
        except ValueError as error:
            yield refused("bad_number", line, str(error))
            return
        if any(value is not None for value in values):
            yield from self._gathering.add(self._serial, self._measures, t, values)

    def rest(self) -> Iterator[Found]:
        return self._gathering.rest()

    def _value(self, cells: Sequence[str], column: _Column) -> float | None:
        assert self._factor is not None  # noqa: S101 - take() has looked
        if column.total is not None:
            total = number(cells[column.total])
        else:
            parts = [part for each in column.parts if (part := number(cells[each])) is not None]
            total = sum(parts) if parts else None
        return None if total is None else total * self._factor


def _columns(names: Sequence[str], direction: Direction) -> tuple[_Column, ...]:
    found: dict[Direction, tuple[list[int], list[int]]] = {}
    registers = [_REGISTER.fullmatch(name) for name in names]
    if any(each is not None and each[1] == "ai" for each in registers):
        direction = "import"
    for position, register in enumerate(registers):
        if register is not None:
            totals, parts = found.setdefault(direction if register[1] == "as" else "export", ([], []))
            if register[2]:
                totals.append(position)
            elif register[3]:
                parts.append(position)
    return tuple(
        _Column(each, totals[0] if totals else None, tuple(parts))
        for each, (totals, parts) in found.items()
        if totals or parts
    )
