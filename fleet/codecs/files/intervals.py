"""How long the interval of each row is, told by the rows' distances.

The step may change within a file, nights and faults leave gaps, files run either way. A distance is believed when it is
a usual one (a part of an hour or of a day) and its neighbour has the same, or most of the others do; else the step that
was last seen holds. So a gap never becomes one long interval.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from fleet.file_limits import INTERVAL_MAX_S
from fleet.telemetry import UnixMs

ROWS_AHEAD: Final = 2  # how many later rows a row's interval may depend on

_HOUR_MS: Final = 3_600_000
_MAX_MS: Final = INTERVAL_MAX_S * 1000
_DAYS_MS: Final = frozenset(hours * _HOUR_MS for hours in (23, 24, 25))


class Lengths(NamedTuple):
    """ms of each row's interval; None: unknown. step: the last one that was believed, for what follows."""

    ms: list[int | None]
    step: int | None


def lengths(t: Sequence[UnixMs], before: UnixMs | None, step: int | None, *, starts: bool) -> Lengths:
    """t: in the order of the file. before, step: of the row before them. starts: t begins an interval."""
    known = [*([before] if before is not None else []), *t]
    distances = [b - a for a, b in pairwise(known)]
    descends = sum((each > 0) - (each < 0) for each in distances) < 0
    # A row's interval lies between it and the next row in time if t begins it, else the one before
    if starts != descends:
        towards = [*distances[len(known) - len(t) :], 0]
    else:
        towards = distances if before is not None else [0, *distances]
    towards = [-each for each in towards] if descends else towards
    usual = [each if _is_usual(each) else 0 for each in towards]
    found: list[int | None] = []
    for run in _runs(t, usual, -1 if descends else 1):
        if found or step is None:
            step = _first_step(run) or step
        step = _believe(run, step, found)
    return Lengths(found, step)


def _runs(t: Sequence[UnixMs], usual: Sequence[int], direction: int) -> Iterator[Sequence[int]]:
    """Of files that were glued together: where time jumps back, another one begins."""
    begin = 0
    for index, (before, each) in enumerate(pairwise(t), 1):
        if (each - before) * direction < 0:
            yield usual[begin:index]
            begin = index
    yield usual[begin:]


def _first_step(usual: Sequence[int]) -> int | None:
    """The first that comes twice running, else the most common one."""
    twice = next((a for a, b in pairwise(usual) if a and a == b), None)
    counted = Counter(each for each in usual if each)
    return twice or (counted.most_common(1)[0][0] if counted else None)


def _believe(usual: Sequence[int], step: int | None, found: list[int | None]) -> int | None:
    """Appends a length for each; returns the last one."""
    for index, each in enumerate(usual):
        if each and each != step:
            beside = (*usual[max(index - 1, 0) : index], *usual[index + 1 : index + 2])
            step = each if step is None or each in beside else step
        found.append(step)
    return step


def are_all_too_long(t: Sequence[UnixMs]) -> bool:
    """Totals of months or years."""
    distances = [abs(b - a) for a, b in pairwise(t) if a != b]
    return bool(distances) and min(distances) > _MAX_MS


def is_day(length_ms: int) -> bool:
    return length_ms in _DAYS_MS


def _is_usual(distance: int) -> bool:
    if not 0 < distance <= _MAX_MS:
        return False
    return _HOUR_MS % distance == 0 or 24 * _HOUR_MS % distance == 0 or distance in _DAYS_MS
