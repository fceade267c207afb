"""Wall clocks to UTC, also through the hour that does not exist in spring and the one that comes twice in autumn.

Loggers write local time without an offset, so the order of the rows has to tell which of the two hours is meant: in an
ascending file the first pass is summer time, and a step back begins winter time; in a descending file it is the other way
round. A single pass is the first one, unless its distances to the rows around it say otherwise (a file that begins inside
the hour, a silence that ends in it).
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from fleet.calendar import zone as iana_zone
from fleet.codecs.files.reading import Unreadable
from fleet.errors import BadInput
from fleet.file_limits import LOCAL_DAYS_KNOWN_MAX
from fleet.telemetry import UnixMs

DAY_MS: Final = 86_400_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIXED: Final = re.compile(r"([+-])([01][0-9]):?([0-5][0-9])")
_FIRST_DAY: Final = -25_567  # 1900: no zone's rules are asked for a day outside these
_LAST_DAY: Final = 84_006  # 2200
_MARGIN_S: Final = 3 * 3_600  # no clock was ever moved further
_CLEARLY_LONGER: Final = 2  # times; less is jitter


class _Turn(NamedTuple):
    """A day on which the clock moves. start, end: of the hour that is missing or comes twice, as naive ms. Offsets in ms."""

    start: int
    end: int
    before: int
    after: int


class LocalTimes:
    """Wall-clock times of one series (a device in a file) to UTC. It remembers: call it in the order of the file."""

    def __init__(self, zone: str) -> None:
        """zone: IANA name, or '+01:00' for a clock that is never moved. Raises Unreadable (unknown_zone)."""
        self._zone: Final = _zone(zone)
        self._plain: Final = self._zone.plain
        self._last: int | None = None
        self._before_last: int | None = None
        self._direction = 1  # of the file, while it is in the hour that comes twice
        self._second = False  # pass of that hour, in the file's order
        self._doubled = False  # rows come in pairs, so an equal time tells nothing

    def utc(self, naive: int) -> UnixMs | None:
        """naive: what the clock showed, as Unix ms as if that were UTC. None: it never showed that (spring)."""
        offset = self._plain.get(naive // DAY_MS)
        if offset is None:
            return self._carefully([naive])[0]
        self._before_last = self._last
        self._last = naive
        return naive - offset

    def utc_many(self, naive: Sequence[int]) -> list[UnixMs | None]:
        """The same for what comes next in the file. What follows within the list helps to understand its beginning."""
        plain = self._plain
        try:
            found: list[UnixMs | None] = [each - plain[each // DAY_MS] for each in naive]
        except KeyError:
            return self._carefully(naive)
        if len(naive) > 1:
            self._before_last, self._last = naive[-2], naive[-1]
        elif naive:
            self._before_last, self._last = self._last, naive[0]
        return found

    def _carefully(self, naive: Sequence[int]) -> list[UnixMs | None]:
        found: list[UnixMs | None] = []
        position = 0
        while position < len(naive):
            each = naive[position]
            turn = self._zone.day(each // DAY_MS)
            if isinstance(turn, int):
                found.append(each - turn)
            elif not turn.start <= each < turn.end:
                found.append(each - (turn.before if each < turn.start else turn.after))
            elif turn.after > turn.before:
                found.append(None)
            else:
                end = position + 1
                while end < len(naive) and turn.start <= naive[end] < turn.end:
                    end += 1
                found += self._twice(naive[position:end], naive[end] if end < len(naive) else None, turn)
                position = end
                continue
            self._before_last, self._last = self._last, each
            position += 1
        return found

    def _twice(self, run: Sequence[int], following: int | None, turn: _Turn) -> Iterator[UnixMs]:
        """run: times within the hour that comes twice. following: the first one outside of it; None: not known yet."""
        last = self._last
        if last is None or not turn.start <= last < turn.end:
            self._doubled = last is not None and last == self._before_last
            self._direction = self._direction_into(run, following)
            self._second = self._is_single_second_pass(run, following, turn.before - turn.after)
        for each in run:
            if last is not None and turn.start <= last < turn.end:
                step = (each - last) * self._direction
                if step < 0 or (step == 0 and not self._doubled):
                    self._second = True
            yield each - (turn.after if self._second == (self._direction > 0) else turn.before)
            self._before_last, self._last = last, each
            last = each

    def _direction_into(self, run: Sequence[int], following: int | None) -> int:
        """1: the file ascends, -1: it descends. By most of the steps that are seen; at a draw, by the one into the hour."""
        seen = [each for each in (self._before_last, self._last, *run, following) if each is not None]
        balance = sum((b > a) - (b < a) for a, b in pairwise(seen))
        if balance == 0 and self._last is not None:
            balance = run[0] - self._last
        return -1 if balance < 0 else 1

    def _is_single_second_pass(self, run: Sequence[int], following: int | None, moved: int) -> bool:
        """By the distances to the rows around it: those that are usual; else the missing time lies in the longer silence."""
        direction = self._direction
        if any((b - a) * direction <= 0 for a, b in pairwise(run)):
            return False
        before = None if self._last is None else (run[0] - self._last) * direction
        after = None if following is None else (following - run[-1]) * direction
        if len(run) > 1:
            usual = (run[1] - run[0]) * direction
        else:
            usual = abs(self._last - self._before_last) if self._last is not None and self._before_last is not None else 0
        if usual:
            first = (before == usual) + (after is not None and after + moved == usual)
            second = (before is not None and before + moved == usual) + (after == usual)
            if first != second:
                return second > first
        if after is None or after <= 0:
            return False
        return before is None or before >= _CLEARLY_LONGER * after


def naive_ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """A wall clock's time as if it were UTC. Raises ValueError."""
    at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return (at - _EPOCH) // timedelta(milliseconds=1)


class _Zone:
    """Offsets in ms by local day. plain: of days on which the clock is not moved, as far as they were asked for."""

    def __init__(self, rules: tzinfo | int) -> None:
        self.plain: Final[dict[int, int]] = {}
        self._rules: Final = rules
        self._turns: Final[dict[int, _Turn]] = {}

    def day(self, number: int) -> int | _Turn:
        """number: days since 1970. The offset of the whole day, or how it changes."""
        known = self.plain.get(number)
        if known is not None:
            return known
        asked = min(max(number, _FIRST_DAY), _LAST_DAY)
        turn = self._turns.get(asked)
        if turn is not None:
            return turn
        found = self._find(asked)
        if isinstance(found, int):
            if len(self.plain) >= LOCAL_DAYS_KNOWN_MAX:
                self.plain.clear()
            self.plain[number] = found
        else:
            self._turns[asked] = found
        return found

    def _find(self, number: int) -> int | _Turn:
        rules = self._rules
        if isinstance(rules, int):
            return rules
        start = datetime(1970, 1, 1, tzinfo=rules) + timedelta(days=number)
        end = start + timedelta(days=1, milliseconds=-1)
        offsets = {_ms(each.replace(fold=fold).utcoffset()) for each in (start, end) for fold in (0, 1)}
        return offsets.pop() if len(offsets) == 1 else _turn(number * 86_400, rules)


@lru_cache(maxsize=64)
def _zone(name: str) -> _Zone:
    fixed = _FIXED.fullmatch(name)
    if fixed is not None:
        minutes = int(fixed[2]) * 60 + int(fixed[3])
        return _Zone((-minutes if fixed[1] == "-" else minutes) * 60_000)
    try:
        return _Zone(iana_zone(name))
    except BadInput:
        raise Unreadable("unknown_zone", zone=name[:60]) from None


def _turn(day_s: int, rules: tzinfo) -> _Turn:
    """Between the ends of this local day the offset changes: when, by halving."""
    low, high = (
        day_s + margin - _offset_s(day_s + margin, rules) for margin in (-_MARGIN_S, 86_400 + _MARGIN_S)
    )  # before and after, as Unix s
    before, after = _offset_s(low, rules), _offset_s(high, rules)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_s(middle, rules) == before:
            low = middle
        else:
            high = middle
    start, end = sorted((high + before, high + after))
    return _Turn(start * 1000, end * 1000, before * 1000, after * 1000)


def _offset_s(at_s: int, rules: tzinfo) -> int:
    return _ms(datetime.fromtimestamp(at_s, rules).utcoffset()) // 1000


def _ms(offset: timedelta | None) -> int:
    return 0 if offset is None else offset // timedelta(milliseconds=1)
