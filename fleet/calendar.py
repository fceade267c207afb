"""The local calendar of a site: days of 92, 96 or 100 quarter-hours, months and years that are the calendar's.

Every zone of our time is a multiple of 15 minutes away from UTC, so quarter-hours are the same instants everywhere: a
quarter's number is its start in Unix ms // QUARTER_MS.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fleet.errors import BadInput
from fleet.telemetry import UnixMs

QUARTER_MS = 900_000
Step = Literal["15m", "1h", "1d", "1mo", "1y"]
Span = tuple[UnixMs, UnixMs]  # from, until (excluded)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Raises BadInput (unknown_timezone)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput("unknown_timezone", f"not an IANA time zone: {name[:60]!r}") from None


def local_day(at: UnixMs, timezone: str) -> date:
    return _day_of_quarter(at // QUARTER_MS, timezone)


@lru_cache(maxsize=16_384)
def day_bounds(day: date, timezone: str) -> Span:
    """From the first instant of the local day to the first of the next one."""
    return _midnight(day, timezone), _midnight(day + timedelta(days=1), timezone)


@lru_cache(maxsize=1_024)
def quarter_starts(day: date, timezone: str) -> tuple[UnixMs, ...]:
    """92, 96 or 100 instants (94 or 98 where the clock moves by half an hour)."""
    start, end = day_bounds(day, timezone)
    return tuple(range(start, end, QUARTER_MS))


def quarter_floor(at: UnixMs) -> UnixMs:
    return at // QUARTER_MS * QUARTER_MS


def quarter_ceil(at: UnixMs) -> UnixMs:
    return -(-at // QUARTER_MS) * QUARTER_MS


def days_between(start: UnixMs, end: UnixMs, timezone: str) -> list[date]:
    """The local days that [start, end) touches."""
    if end <= start:
        return []
    first, last = local_day(start, timezone), local_day(end - 1, timezone)
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def steps(start: UnixMs, end: UnixMs, step: Step, timezone: str) -> list[Span]:
    """The calendar's steps that touch [start, end), the first and the last cut to it.

    start and end count in whole quarter-hours: start is rounded down, end up. On the day that the clock goes back, the hour
    that comes twice is two steps.
    """
    start, end = quarter_floor(start), quarter_ceil(end)
    if end <= start:
        return []
    if step == "15m":
        edges = list(range(start, end, QUARTER_MS))
    elif step == "1h":
        edges = _hour_edges(start, end, timezone)
    else:
        edges = _date_edges(start, end, step, timezone)
    return list(zip(edges, [*edges[1:], end], strict=True))


def _hour_edges(start: UnixMs, end: UnixMs, timezone: str) -> list[UnixMs]:
    edges: list[UnixMs] = []
    hour_before: tuple[object, ...] | None = None
    for at in range(start, end, QUARTER_MS):
        local = datetime.fromtimestamp(at / 1000, zone(timezone))
        hour = (local.date(), local.hour, local.utcoffset())
        if hour != hour_before:
            edges.append(at)
        hour_before = hour
    return edges


def _date_edges(start: UnixMs, end: UnixMs, step: Step, timezone: str) -> list[UnixMs]:
    days = days_between(start, end, timezone)
    opening = [day for day in days[1:] if _opens(day, step)]
    return [start, *(day_bounds(day, timezone)[0] for day in opening)]


def _opens(day: date, step: Step) -> bool:
    return step == "1d" or (day.day == 1 and (step == "1mo" or day.month == 1))


@lru_cache(maxsize=65_536)
def _day_of_quarter(quarter: int, timezone: str) -> date:
    return datetime.fromtimestamp(quarter * QUARTER_MS / 1000, zone(timezone)).date()


def _midnight(day: date, timezone: str) -> UnixMs:
    """Where the clock jumps over midnight, the instant of the jump; where midnight comes twice, the first."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone(timezone))
    return int(local.astimezone(UTC).timestamp()) * 1000
