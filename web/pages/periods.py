"""Day, week, month, year, all: which days a page shows, and what lies before and after."""

from datetime import date, timedelta

import msgspec

from fleet.errors import BadInput
from web.pages.times import Period

PERIODS: tuple[Period, ...] = ("day", "week", "month", "year", "total")
_API_STEP = {"day": "15m", "week": "1d", "month": "1d", "year": "1mo", "total": "1y"}


class Shown(msgspec.Struct, frozen=True):
    """first to last, both included. before and after: a day in the neighbouring period, None where there is none."""

    period: Period
    first: date
    last: date
    before: date | None
    after: date | None
    current: bool

    @property
    def until(self) -> date:
        return self.last + timedelta(days=1)

    @property
    def api_step(self) -> str:
        return _API_STEP[self.period]


def shown(period: Period, day: date, *, today: date, since: date) -> Shown:
    """The period that holds `day`, which is moved into the site's life. since: the day of commissioning."""
    since = min(since, today)
    day = min(max(day, since), today)
    if period == "total":
        return Shown(period, since, today, None, None, current=True)
    first, last = _bounds(period, day)
    before, after = first - timedelta(days=1), last + timedelta(days=1)
    return Shown(
        period,
        first,
        last,
        before if before >= since else None,
        after if after <= today else None,
        current=first <= today <= last,
    )


def parse_day(text: str | None, today: date) -> date:
    """Raises BadInput (bad_range)."""
    if not text:
        return today
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput("bad_range", f"not a date: {text[:40]!r}") from None


def _bounds(period: Period, day: date) -> tuple[date, date]:
    if period == "day":
        return day, day
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=6)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return date(day.year, 1, 1), date(day.year, 12, 31)
