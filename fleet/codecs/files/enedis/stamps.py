"""Times and days as Enedis writes them.

With an offset (portal, R4x, R50) they are instants. Without one (R6x, R171, R151) they are legal time, and that is always
Paris: Enedis runs the grid of mainland France only; Corsica and overseas are EDF SEI's, whose flows tell their offset.
"""

import re
from typing import Final, TypeVar

from fleet.codecs.files.local_time import DAY_MS, LocalTimes, naive_ms
from fleet.file_limits import LOCAL_DAYS_KNOWN_MAX
from fleet.telemetry import UnixMs

PARIS: Final = "Europe/Paris"

_ISO_DAY: Final = re.compile(r"(20[0-9]{2})-([0-9]{2})-([0-9]{2})")
_FRENCH_DAY: Final = re.compile(r"([0-9]{2})/([0-9]{2})/(20[0-9]{2})")
_TIME: Final = re.compile(
    r"[T ]*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]{1,9})?)?(?: ?(?:(Z)|([+-])([0-9]{2}):?([0-9]{2})))?"
)
_CLOCK: Final = re.compile(r"[T ]*([0-9]{1,2}):")
_Any = TypeVar("_Any")


class Texts:
    """What was understood of stamps already: there are few days, and fewer times of day."""

    def __init__(self) -> None:
        self._days: Final[dict[str, int]] = {}
        self._times: Final[dict[str, tuple[int, bool]]] = {}

    def told(self, text: str) -> tuple[int, bool]:
        """Unix ms, and whether that is UTC; else it is the wall clock. Raises ValueError."""
        day, time = self._days.get(text[:10]), self._times.get(text[10:])
        if day is None:
            day = _remember(self._days, text[:10], day_of(text[:10]))
        if time is None:
            time = _remember(self._times, text[10:], _time_of(text[10:]))
        return day + time[0], time[1]


class Stamps:
    """Of one series, in the order of the file."""

    def __init__(self, texts: Texts) -> None:
        self._texts: Final = texts
        self._local: Final = LocalTimes(PARIS)

    def utc(self, text: str) -> UnixMs | None:
        """None: the clock never showed that. Raises ValueError."""
        ms, is_utc = self._texts.told(text)
        return ms if is_utc else self._local.utc(ms)


def day_of(text: str) -> int:
    """'2024-07-01' or '01/07/2024' as naive ms: days of Enedis are French. Raises ValueError."""
    found = _ISO_DAY.fullmatch(text)
    if found is not None:
        return naive_ms(int(found[1]), int(found[2]), int(found[3]))
    found = _FRENCH_DAY.fullmatch(text)
    if found is not None:
        return naive_ms(int(found[3]), int(found[2]), int(found[1]))
    raise ValueError(text)


def midnight(day: int) -> UnixMs:
    """The beginning of a local day. day: naive ms."""
    found: Final = LocalTimes(PARIS).utc(day)
    assert found is not None  # noqa: S101 - Paris has never moved its clocks at midnight since 2000
    return found


def nearest_midnight(text: str, texts: Texts) -> UnixMs:
    """The local midnight that a daily register is of. Raises ValueError.

    The portal gives all rows the offset of the day on which the file was made: made in winter, rows of summer say
    01:00:00+02:00; made in summer, those of winter say 23:00:00+01:00, on the eve.
    """
    texts.told(text)
    day: Final = day_of(text[:10])
    clock: Final = _CLOCK.match(text[10:])
    after_noon: Final = clock is not None and int(clock[1]) >= 12
    return midnight(day + DAY_MS if after_noon else day)


def _time_of(text: str) -> tuple[int, bool]:
    if not text:
        return 0, False
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    ms = ((hour * 60 + minute) * 60 + second) * 1000
    if minute > 59 or second > 59 or ms > DAY_MS:  # 24:00 is the end of a day
        raise ValueError(text)
    if found[4]:
        return ms, True
    if found[5] is None:
        return ms, False
    offset = (int(found[6]) * 60 + int(found[7])) * 60_000
    if offset > 14 * 3_600_000:
        raise ValueError(text)
    return ms - (offset if found[5] == "+" else -offset), True


def _remember(known: dict[str, _Any], text: str, value: _Any) -> _Any:
    if len(known) >= LOCAL_DAYS_KNOWN_MAX:
        known.clear()
    known[text] = value
    return value
