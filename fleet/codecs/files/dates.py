"""Dates and times as loggers write them, to ms: fast, because a file has few different days and few different clock times.

Read are ISO 8601 with and without offset (T or blank between), day-month-year, month-day-year and year-month-day with any
of . / - between or nothing, years of two digits, 12-hour clocks with AM and PM, and Unix seconds and milliseconds.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from itertools import pairwise
from typing import Final

from fleet.codecs.files.local_time import DAY_MS, naive_ms
from fleet.codecs.files.reading import DateOrder
from fleet.file_limits import DATE_TEXTS_KNOWN_MAX, FILE_DATES_COMPARED_MAX
from fleet.telemetry import UnixMs

ORDERS: Final[tuple[DateOrder, ...]] = ("dmy", "mdy", "ymd")
UNIX_S: Final = "unix_s"
UNIX_MS: Final = "unix_ms"

_DATE: Final = re.compile(r"([0-9]{4}|[0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|[0-9]{1,2})")
_NAMED: Final = re.compile(r"([0-9]{1,2})[ ./-]?([^\W\d_]{3,10})\.?[ ./-]?([0-9]{4}|[0-9]{2})")
_CLOCK: Final = re.compile(
    r"([0-9]{1,2})[:h.]([0-9]{2})(?:[:m.]([0-9]{2})s?(?:[.,]([0-9]{1,9}))?)?"
    r"\s*(?:([AaPp])\.?[Mm]\.?)?\s*(?:(Z|UTC|GMT)|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
_HOUR: Final = re.compile(r"([0-9]{1,2}) ?h?")
_COMPACT_CLOCK: Final = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})?")
_WHOLE: Final = re.compile(
    r"([0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}"
    r"|[0-9]{1,2}[ ./-]?[^\W\d_]{3,10}\.?[ ./-]?(?:[0-9]{4}|[0-9]{2})|[0-9]{8}|[0-9]{6})"
    r"([T _,-].*|[0-9]{4}|[0-9]{6})?"
)
_IN_NAME: Final = re.compile(r"(?<![0-9])([0-9]{4}|[0-9]{2})[-_.]?([0-9]{2})[-_.]?([0-9]{2})(?![0-9])")
_YEAR_FIRST: Final = re.compile(r"20[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_TOKEN: Final = re.compile(r"([yYMdD])\1*")
_MONTHS: Final = {
    name: month
    for month, names in enumerate(
        (
            "jan janv ene gen",
            "feb fev fév febr",
            "mar mär mars maerz märz mrz",
            "apr avr abr avril april",
            "may mai mag mayo",
            "jun juin giu june juni",
            "jul juil lug july juli juill",
            "aug aou aoû ago août aout",
            "sep sept set",
            "oct okt ott",
            "nov",
            "dec déc dez dic",
        ),
        1,
    )
    for name in names.split()
}
_YEAR: Final = 366
_ABSOLUTE: Final = 1 << 62  # mark of a clock time that carries its offset, above any ms


class Times:
    """Time cells of one file to ms: of Unix, if they carry an offset (absolute), else naive (fleet.codecs.files.local_time).

    absolute is known once a time was read; a file is all of one kind.
    """

    def __init__(self, pattern: str | None = None, order: DateOrder | None = None) -> None:
        """pattern: 'dd.MM.yyyy HH:mm', 'unix_s', 'unix_ms'; None: as they look. order: where neither they nor it tell."""
        self.order = order_of(pattern) or order
        self.absolute: bool | None = None
        self._unix_scale: Final = {UNIX_S: 1000, UNIX_MS: 1}.get(pattern or "")
        if self._unix_scale is not None:
            self.absolute = True
        self._cut = _fixed_width(pattern)  # of the date, where a clock time follows without a blank
        self._days: Final[dict[str, int]] = {}
        self._clocks: Final[dict[str, int]] = {}

    def one(self, text: str) -> int:
        """Date and time in one cell. Raises ValueError; AmbiguousDate, when only the order of day and month is missing."""
        if self._unix_scale is not None:
            return _unix(text, self._unix_scale)
        if self._cut is None:
            day, _, clock = text.partition(" ")
        else:
            day, clock = text[: self._cut], text[self._cut :]
        try:
            return self._days[day] + self._clocks[clock]
        except KeyError:
            return self._slowly(text)

    def two(self, day: str, clock: str) -> int:
        """Date and time in two cells, the latter perhaps a whole hour. Raises as `one` does."""
        try:
            return self._days[day] + self._clocks[clock]
        except KeyError:
            hour = _HOUR.fullmatch(clock.strip())
            return self._day(day) + self._clock(clock if hour is None else f"{hour[1]}:00")

    def _slowly(self, text: str) -> int:
        if self._cut is None:
            day, _, clock = text.strip().partition(" ")
        else:
            day, clock = text[: self._cut], text[self._cut :]
        try:
            return self._day(day) + self._clock(clock)
        except AmbiguousDate:
            raise
        except ValueError:
            whole = _WHOLE.fullmatch(text.strip())
            if whole is None:
                raise
            found = self._day(whole[1]) + self._clock(whole[2] or "")
            if whole[2] and not whole[2].startswith(" ") and len(whole[1]) in {8, 10}:
                self._cut = len(whole[1])  # as most of the others, probably
            return found

    def _day(self, text: str) -> int:
        known = self._days.get(text)
        if known is not None:
            return known
        if len(self._days) >= DATE_TEXTS_KNOWN_MAX:
            self._days.clear()
        found = self._days[text] = _day_ms(text.strip(), self.order)
        return found

    def _clock(self, text: str) -> int:
        known = self._clocks.get(text)
        if known is not None:
            return known
        found = _clock_ms(text.lstrip("T _,-").rstrip())
        absolute = found >= _ABSOLUTE - 2 * DAY_MS
        if self.absolute is None:
            self.absolute = absolute
        elif self.absolute != absolute:
            raise ValueError("some times of a file have an offset and others have none")
        if len(self._clocks) >= DATE_TEXTS_KNOWN_MAX:
            self._clocks.clear()
        self._clocks[text] = found = found - _ABSOLUTE if absolute else found
        return found


class AmbiguousDate(ValueError):
    """Day and month of such a date cannot be told apart by itself."""


def order_of(pattern: str | None) -> DateOrder | None:
    """'MM/dd/yyyy HH:mm' → 'mdy'. None: the pattern has not all three of them, or no sensible order."""
    order = "".join(dict.fromkeys(token[1].lower() for token in _TOKEN.finditer(pattern or "")))
    return next((each for each in ORDERS if each == order), None)


def is_pattern(text: str) -> bool:
    """Whether it names a way to write times that is read here."""
    return text in {UNIX_S, UNIX_MS} or order_of(text) is not None


def decide_order(texts: Iterable[str], *, not_after: UnixMs | None = None, file_name: str = "") -> DateOrder | None:
    """The one order in which all these dates (cells of a file, in its sequence) are possible; of several, the one in which
    they follow each other day by day, or meet the date in the file's name. None: it cannot be told.

    not_after: the file came then, so later days are impossible
    """
    seen: dict[tuple[int, int, int], None] = {}
    possible = list(ORDERS)
    for text in texts:
        parts = _parts(text)
        if parts is None or parts in seen:
            continue
        seen[parts] = None
        possible = [order for order in possible if _is_possible(parts, order, not_after)]
        if len(possible) < 2:
            return possible[0] if possible else None
        if len(seen) >= FILE_DATES_COMPARED_MAX:
            break
    if not seen:
        return None
    days = {order: [_in_order(parts, order) for parts in seen] for order in possible}
    spans = {order: (max(each) - min(each)).days for order, each in days.items()}
    if min(spans.values()) <= _YEAR:  # two digits may be a year or a day: nobody exports a day of each of ten years
        possible = [order for order in possible if spans[order] <= 2 * _YEAR]
        days = {order: days[order] for order in possible}
    if len({tuple(each) for each in days.values()}) == 1:
        return possible[0]  # 07/07/2024
    named = _dates_in(file_name)
    for is_it in (_follow_each_other, lambda each: any(abs((each[at] - day).days) <= 1 for at in (0, -1) for day in named)):
        chosen = [order for order in possible if is_it(days[order])]
        if len(chosen) == 1:
            return chosen[0]
    return None


def date_in(file_name: str) -> date | None:
    """'2024-07-01.csv', 'min240701.csv', 'Plant-20240701.csv'; None: the name has no date, or several."""
    found = _dates_in(file_name)
    return found[0] if len(found) == 1 else None


def _dates_in(file_name: str) -> list[date]:
    """min240701.csv, Plant-20240701.csv, 2024-07-01.csv"""
    found = []
    for name in _IN_NAME.finditer(file_name):
        with suppress(ValueError):
            found.append(date(_year(int(name[1])), int(name[2]), int(name[3])))
    return found


def _parts(text: str) -> tuple[int, int, int] | None:
    found = _DATE.match(text.strip())
    if found is None or len(found[1]) > 2:
        return None
    return int(found[1]), int(found[3]), int(found[4])


def _follow_each_other(days: Sequence[date]) -> bool:
    steps = [(b - a).days for a, b in pairwise(days)]
    return bool(steps) and (all(step == 1 for step in steps) or all(step == -1 for step in steps))


def _is_possible(parts: tuple[int, int, int], order: DateOrder, not_after: UnixMs | None) -> bool:
    try:
        found = _in_order(parts, order)
    except ValueError:
        return False
    return not_after is None or (found - date(1970, 1, 1)).days * DAY_MS <= not_after + DAY_MS


def _in_order(parts: tuple[int, int, int], order: DateOrder) -> date:
    year, month, day = (parts[order.index(each)] for each in "ymd")
    return date(_year(year), month, day)


def _year(told: int) -> int:
    return told if told >= 100 else told + (2000 if told < 70 else 1900)


def _day_ms(text: str, order: DateOrder | None) -> int:
    found = _DATE.fullmatch(text)
    if found is not None:
        parts = (int(found[1]), int(found[3]), int(found[4]))
        if len(found[1]) > 2:
            order = "ymd"
        elif found[2] == "." and order in {None, "mdy"}:
            order = "dmy"  # nobody writes the month first with dots
        if order is None:
            raise AmbiguousDate(text)
        day = _in_order(parts, order)
        return naive_ms(day.year, day.month, day.day)
    named = _NAMED.fullmatch(text)
    if named is not None:
        month = next((_MONTHS[named[2].lower()[:size]] for size in (5, 4, 3) if named[2].lower()[:size] in _MONTHS), 0)
        return naive_ms(_year(int(named[3])), month, int(named[1]))
    if text.isascii() and text.isdigit() and len(text) in {6, 8}:
        return _compact_day(text, order)
    raise ValueError(f"no date: {text[:40]!r}")


def _compact_day(text: str, order: DateOrder | None) -> int:
    if order in {None, "ymd"} or _YEAR_FIRST.fullmatch(text) is not None:
        year, month, day = text[:-4], text[-4:-2], text[-2:]
    else:
        first, second, year = text[:2], text[2:4], text[4:]
        day, month = (first, second) if order == "dmy" else (second, first)
    return naive_ms(_year(int(year)), int(month), int(day))


def _clock_ms(text: str) -> int:
    """Since local midnight; with an offset: since UTC's, marked by _ABSOLUTE."""
    if not text:
        return 0
    found = _CLOCK.fullmatch(text)
    if found is None:
        compact = _COMPACT_CLOCK.fullmatch(text)
        if compact is None:
            raise ValueError(f"no time: {text[:40]!r}")
        return _of_day(int(compact[1]), int(compact[2]), int(compact[3] or 0))
    hour = int(found[1])
    if found[5] is not None:
        afternoon = found[5] in "pP"
        if hour > (23 if afternoon else 12):
            raise ValueError("a 12-hour clock's morning has hours 1 to 12")
        if hour <= 12:  # 0 for 12 and 13 PM for 1 PM are seen, and mean one thing only
            hour = hour % 12 + (12 if afternoon else 0)
    ms = _of_day(hour, int(found[2]), int(found[3] or 0)) + int((found[4] or "0").ljust(3, "0")[:3])
    if found[6] is not None:
        return ms + _ABSOLUTE
    if found[7] is not None:
        offset = (int(found[8]) * 60 + int(found[9] or 0)) * 60_000
        if offset >= DAY_MS:
            raise ValueError("an offset is less than a day")
        return ms + (offset if found[7] == "-" else -offset) + _ABSOLUTE
    return ms


def _of_day(hour: int, minute: int, second: int) -> int:
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and (minute or second)):
        raise ValueError("no time of a day")
    return ((hour * 60 + minute) * 60 + second) * 1000


def _unix(text: str, scale: int) -> int:
    told = int(text) if text.isdigit() else float(text)
    if not 0 <= told * scale < 1 << 53:
        raise ValueError("no time that a clock would show")
    return round(told * scale)


def _fixed_width(pattern: str | None) -> int | None:
    """How many characters the date takes in a pattern with a T or nothing behind it; None: a blank ends it."""
    if pattern is None or " " in pattern or order_of(pattern) is None:
        return None
    end = max(token.end() for token in _TOKEN.finditer(pattern))
    tokens = [token[0] for token in _TOKEN.finditer(pattern)]
    return end if all(len(token) >= 2 for token in tokens) and len(pattern) > end else None
