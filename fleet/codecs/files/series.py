"""Rows of one or several devices that share their lines, on the way from cells to samples: by column, in blocks.

Here times become UTC, starts of intervals become their ends, units become ours, and mean powers become energies.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Final, NamedTuple

from fleet.codecs.files.intervals import ROWS_AHEAD, are_all_too_long, is_day, lengths
from fleet.codecs.files.local_time import DAY_MS, LocalTimes
from fleet.codecs.files.reading import Found, Refusal, Rows, StampEnd, Unreadable, refusal
from fleet.file_limits import INTERVAL_MAX_S
from fleet.limits import READING_ABS_MAX
from fleet.measures import INTERVAL_LENGTH, INTERVAL_OF
from fleet.telemetry import UnixMs

_INTERVALS: Final = frozenset(INTERVAL_OF.values())
_Column = list[float | None]


class Slot(NamedTuple):
    """One cell of a row. at: counted from 0. scale: how many of the measure's unit the file's number counts as.

    mean_power: it is the interval's mean power in W (once scaled), and the measure its energy.
    """

    at: int
    measure: str
    scale: float = 1.0
    mean_power: bool = False


class Group(NamedTuple):
    """The cells of one device. serial None: the file does not tell. serial_at: the cell that tells it in each row.

    Slots of the same measure are added up (phases, tariffs). left_out: such a device is not read.
    """

    serial: str | None
    slots: tuple[Slot, ...]
    serial_at: int | None = None
    left_out: bool = False


class Stamps(NamedTuple):
    """Which end of its interval a row's time names, and how long that is; None: as far as the rows are apart."""

    end: StampEnd = "instant"
    step_s: int | None = None


class Series:
    """add … while the file lasts; found() now and then, and at the end."""

    def __init__(self, groups: Sequence[Group], stamps: Stamps, zone: str, clock: "Clock") -> None:
        self.groups: Final = groups
        self.naive: Final[list[int]] = []
        self.lines: Final[list[int]] = []
        self.rows: Final[list[Sequence[float | None]]] = []
        self.cells: Final = sum(len(group.slots) for group in groups)
        self._stamps: Final = stamps
        self._zone: Final = zone
        self._clock: Final = clock
        self._t: Final[list[UnixMs]] = []  # of the first of these rows
        lacking = [group for group in groups if _needs_lengths(group, stamps) and not _tells_length(group)]
        self._lengths_known: Final = not lacking
        self._compares: Final = bool(lacking) and stamps.step_s is None

    def found(self, *, absolute: bool, final: bool) -> list[Found]:
        """What can be told of the rows so far. Raises Unreadable (coarser_than_a_day)."""
        found: list[Found] = list(self._to_utc(absolute=absolute))
        count = len(self._t) - (0 if final or not self._compares else ROWS_AHEAD)
        if count <= 0:
            return found
        lasting = self._lengths(count, absolute=absolute)
        columns = [list(column) for column in zip(*self.rows[:count], strict=True)]
        first = 0
        for group in self.groups:
            last = first + len(group.slots)
            if not group.left_out:
                found += self._of_group(group, columns[first:last], lasting, count)
            first = last
        for each in (self.naive, self.lines, self.rows, self._t):
            del each[:count]
        return found

    def _to_utc(self, *, absolute: bool) -> list[Refusal]:
        new = self.naive[len(self._t) :]
        converted: Sequence[UnixMs | None] = new if absolute else self._clock.local.utc_many(new)
        refused: list[Refusal] = []
        if None in converted:
            missing = [len(self._t) + index for index, t in enumerate(converted) if t is None]
            refused = [refusal("time_does_not_exist", self.lines[index], zone=self._zone) for index in missing]
            for index in reversed(missing):
                del self.naive[index], self.lines[index], self.rows[index]
        self._t.extend(t for t in converted if t is not None)
        return refused

    def _lengths(self, count: int, *, absolute: bool) -> list[int | None]:
        """Of the first count rows' intervals, in ms; [] where nothing depends on them."""
        clock, starts, step_s = self._clock, self._stamps.end == "start", self._stamps.step_s
        if self._lengths_known:
            return []
        if step_s is not None:
            found: list[int | None] = [step_s * 1000] * count
        else:
            if clock.before is None and are_all_too_long(self._t):
                raise Unreadable("coarser_than_a_day", self.lines[0])
            found, _ = lengths(self._t, clock.before, clock.step, starts=starts)
            found = found[:count]
            clock.before, clock.step = self._t[count - 1], found[-1]
        if not absolute and found[0] is not None and is_day(found[0]):
            found = [
                self._day(each, t, starts=starts) if length is not None and is_day(length) else length
                for each, t, length in zip(self.naive, self._t, found, strict=False)
            ]
        return found

    def _day(self, naive: int, t: UnixMs, *, starts: bool) -> int:
        """A day is as long as the calendar says: 23, 24 or 25 hours."""
        other = LocalTimes(self._zone).utc(naive + (DAY_MS if starts else -DAY_MS))
        return DAY_MS if other is None else abs(other - t)

    def _of_group(self, group: Group, columns: list[_Column], lasting: Sequence[int | None], count: int) -> list[Found]:
        t, lines = self._t[:count], self.lines[:count]
        found: list[Found] = []
        measured: dict[str, _Column] = {}
        for slot, column in zip(group.slots, columns, strict=True):
            if slot.scale != 1.0:
                digits = 3 if abs(slot.scale) >= 1.0 else 9  # a multiplication invents further ones
                column = [None if value is None else round(value * slot.scale, digits) for value in column]  # noqa: PLW2901 - the same in our unit
            found += _cleared_of_infinities(column, lines, slot.at)
            other = measured.get(slot.measure)
            measured[slot.measure] = column if other is None else _sum(other, column)
        if _needs_lengths(group, self._stamps):
            told = measured.pop(INTERVAL_LENGTH, None)
            seconds = _seconds(told, lasting, count)
            t, refused = self._with_intervals(group, measured, t, lines, seconds)
            found += refused
            if any(measure in _INTERVALS for measure in measured):
                measured[INTERVAL_LENGTH] = seconds
        found += rows_of(group.serial, measured, t)
        return found

    def _with_intervals(
        self, group: Group, measured: dict[str, _Column], t: list[UnixMs], lines: list[int], seconds: _Column
    ) -> tuple[list[UnixMs], list[Refusal]]:
        """Moves t to the ends of its intervals, makes energies of mean powers, takes out what has no known length."""
        refused: list[Refusal] = []
        intervals = [measured[measure] for measure in measured if measure in _INTERVALS]
        all_columns = list(measured.values())
        for index, length in enumerate(seconds):
            if length is not None and 0 < length <= INTERVAL_MAX_S:
                continue
            concerned = all_columns if self._stamps.end == "start" else intervals
            if any(column[index] for column in concerned):
                too_long = length is not None and length > INTERVAL_MAX_S
                refused.append(refusal("coarser_than_a_day" if too_long else "unknown_interval", lines[index]))
            for column in concerned:
                column[index] = None
            seconds[index] = None
        for measure in {slot.measure for slot in group.slots if slot.mean_power}:
            measured[measure] = [
                None if value is None or length is None else round(value * length / 3600, 6)
                for value, length in zip(measured[measure], seconds, strict=True)
            ]
        if self._stamps.end == "start":
            t = [each + round((length or 0) * 1000) for each, length in zip(t, seconds, strict=True)]
        return t, refused


class Clock:
    """What is remembered of one device's times through a file, however its rows are cut into series."""

    def __init__(self, zone: str) -> None:
        """Raises Unreadable (unknown_zone)."""
        self.local: Final = LocalTimes(zone)
        self.before: UnixMs | None = None
        self.step: int | None = None


def _needs_lengths(group: Group, stamps: Stamps) -> bool:
    return stamps.end == "start" or any(slot.measure in _INTERVALS for slot in group.slots)


def _tells_length(group: Group) -> bool:
    return any(slot.measure == INTERVAL_LENGTH for slot in group.slots)


def _seconds(told: _Column | None, lasting: Sequence[int | None], count: int) -> _Column:
    if told is not None:
        return told
    return [None if length is None else length / 1000 for length in lasting] if lasting else [None] * count


def _sum(one: _Column, other: _Column) -> _Column:
    return [None if a is None or b is None else a + b for a, b in zip(one, other, strict=True)]


def _cleared_of_infinities(column: _Column, lines: Sequence[int], at: int) -> list[Refusal]:
    """float() reads 'inf' and 'nan'; and nothing that we meter counts as far as 1e300."""
    told = [value for value in column if value is not None]
    if isfinite(sum(told)) and max(map(abs, told), default=0.0) <= READING_ABS_MAX:
        return []
    refused = []
    for index, value in enumerate(column):
        if value is not None and not abs(value) <= READING_ABS_MAX:
            refused.append(refusal("bad_number", lines[index], at + 1, str(value)))
            column[index] = None
    return refused


def rows_of(serial: str | None, measured: dict[str, _Column], t: list[UnixMs]) -> list[Rows]:
    """A row in which nothing is told is no sample."""
    columns = list(measured.values())
    telling = [column for measure, column in measured.items() if measure != INTERVAL_LENGTH]
    if all(None in column for column in telling):
        kept = [index for index in range(len(t)) if any(column[index] is not None for column in telling)]
        if not kept:
            return []
        if len(kept) < len(t):
            t = [t[index] for index in kept]
            columns = [[column[index] for index in kept] for column in columns]
    return [Rows(serial, tuple(measured), t, columns)]
