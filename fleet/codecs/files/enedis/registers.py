"""Cumulative registers by tariff, to the one total that a meter has counted at an instant.

The same energy is told several times over: by the meter's own total, by the grid operator's tariffs, by the supplier's. The
total stands for itself; else the operator's tariffs are summed up, since they stay when the supplier changes; else the
supplier's. Never two calendars or two reading contexts together.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from fleet.codecs.files.enedis.quantities import Direction
from fleet.codecs.files.reading import Rows, Unreadable
from fleet.file_limits import FILE_ROWS_PER_BLOCK, FILE_SERIALS_MAX, REGISTER_VALUES_HELD_MAX
from fleet.telemetry import UnixMs

Rank = Literal[0, 1, 2, 3]  # the meter's total, the operator's calendar, the supplier's, one that nobody knows

TOTAL: Final[Rank] = 0
OPERATOR: Final[Rank] = 1
SUPPLIER: Final[Rank] = 2
UNKNOWN: Final[Rank] = 3


class Source(NamedTuple):
    """Which registers belong together: of one calendar, read in one context."""

    rank: Rank
    calendar: str
    context: str


_Point = tuple[UnixMs, Source, str]
_Meter = tuple[str | None, Direction]


def rank_of(calendar: str, label: str) -> Rank:
    """By a calendar's id ('DI000003', 'FC011827') or what it is called."""
    words: Final = f"{calendar} {label}".lower()
    if "distribut" in words or "grd" in words or calendar.upper().startswith("DI"):
        return OPERATOR
    if "fournisseur" in words or calendar.upper().startswith("F"):
        return SUPPLIER
    return UNKNOWN


class Registers:
    """for … : yield from registers.add(…)        yield from registers.rest()"""

    def __init__(self) -> None:
        self._open: Final[dict[_Meter, dict[_Point, float | None]]] = {}
        self._closed: Final[set[_Meter]] = set()
        self._held = 0

    def add(
        self, serial: str | None, direction: Direction, t: UnixMs, source: Source, tariff: str, wh: float | None
    ) -> Iterator[Rows]:
        """wh None: the register is there, its value is not. Raises Unreadable (too_many_serials, too_many_registers)."""
        meter = (serial, direction)
        points = self._open.get(meter)
        if points is None:
            if meter in self._closed:
                raise Unreadable("too_many_registers", values_max=str(REGISTER_VALUES_HELD_MAX))
            if len(self._open) + len(self._closed) >= 2 * FILE_SERIALS_MAX:
                raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
            points = self._open[meter] = {}
        before = len(points)
        points[(t, source, tariff)] = wh
        self._held += len(points) - before
        if self._held > REGISTER_VALUES_HELD_MAX:
            yield from self._close_all_but(serial)

    def rest(self) -> Iterator[Rows]:
        for (serial, direction), points in self._open.items():
            yield from _rows(serial, direction, points)
        self._open.clear()
        self._held = 0

    def _close_all_but(self, serial: str | None) -> Iterator[Rows]:
        """A file tells of one meter after the other; whoever comes again has been summed up already."""
        for meter in [each for each in self._open if each[0] != serial]:
            points = self._open.pop(meter)
            self._closed.add(meter)
            self._held -= len(points)
            yield from _rows(*meter, points)
        if self._held > REGISTER_VALUES_HELD_MAX:
            raise Unreadable("too_many_registers", values_max=str(REGISTER_VALUES_HELD_MAX))


def _rows(serial: str | None, direction: Direction, points: dict[_Point, float | None]) -> Iterator[Rows]:
    sums: dict[UnixMs, dict[Source, float | None]] = {}
    for (t, source, _), wh in points.items():
        of_instant = sums.setdefault(t, {})
        total = of_instant.get(source, 0.0)
        of_instant[source] = None if wh is None or total is None else total + wh
    told = [(t, best) for t in sorted(sums) if (best := _best(sums[t])) is not None]
    for first in range(0, len(told), FILE_ROWS_PER_BLOCK):
        part = told[first : first + FILE_ROWS_PER_BLOCK]
        yield Rows(serial, (f"{direction}_energy_wh",), [t for t, _ in part], [[total for _, total in part]])


def _best(sums: dict[Source, float | None]) -> float | None:
    """Of sources of the same rank the one that counted most: it lacks no register."""
    whole = [(source.rank, -total) for source, total in sums.items() if total is not None]
    return -min(whole)[1] if whole else None
