"""Dates of WebdynSun files: two digits each, day first or year first as the logger was set, and nothing in the file says so.

`FTP_EuroDateFormat` makes it DD/MM/YY, without it it is YY/MM/DD. Whoever keeps the logger may say so here; else the file's
name tells its day of creation (`_YYMMDD_hhmmss`), and only one reading of the rows' dates is near that; else several days in
one file: read the right way they are days apart, the other way years. A single day without any of that is not guessed.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

from fleet.codecs.files.lines import lines
from fleet.codecs.files.local_time import naive_ms
from fleet.codecs.files.reading import Content, Context, Unreadable
from fleet.file_limits import WEBDYN_DAYS_KNOWN_MAX

Order = Literal["dmy", "ymd"]
_ORDERS: Final[tuple[tuple[Order, Order], ...]] = (("dmy", "ymd"), ("ymd", "dmy"))

ROW: Final = re.compile(r"[0-9]{2}/[0-9]{2}/[0-9]{2}-[0-9]{2}:[0-9]{2}:[0-9]{2}(?=;|$)")
_STAMP: Final = re.compile(r"_([0-9]{6})_[0-9]{6}(?![0-9])")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_DAY_MS: Final = 86_400_000
_NEAR_MS: Final = 150 * _DAY_MS  # the two readings of a date are the same, or at least 11 months apart
_ONE_FILE_MS: Final = 62 * _DAY_MS  # what a logger that was cut off sends at once


class Clock:
    """The wall clock of `01/07/24-12:10:00` as naive ms, by an order of day and year."""

    def __init__(self, order: Order) -> None:
        self._order: Final[Order] = order
        self._days: dict[str, int | None] = {}
        self._times: dict[str, int | None] = {}

    def naive(self, text: str) -> int | None:
        """None: there is no such day or time."""
        day, time = text[:8], text[9:]
        try:
            midnight, since = self._days[day], self._times[time]
        except KeyError:
            midnight, since = self._learn(day, time)
        return None if midnight is None or since is None else midnight + since

    def _learn(self, day: str, time: str) -> tuple[int | None, int | None]:
        if len(self._days) > WEBDYN_DAYS_KNOWN_MAX:
            self._days.clear()
        found = _TIME.fullmatch(time)
        since = None if found is None else (int(found[1]) * 3_600 + int(found[2]) * 60 + int(found[3])) * 1_000
        if since is not None:
            self._times[time] = since
        midnight = self._days[day] = _midnight(day, self._order)
        return midnight, since


def order_of(content: Content, context: Context) -> Order:
    """Raises Unreadable (ambiguous_date)."""
    told = context.settings.date_order
    if told is not None:
        return "ymd" if told == "ymd" else "dmy"
    stamp = _STAMP.search(context.name)
    created = None if stamp is None else _midnight("/".join(re.findall("..", stamp[1])), "ymd")
    first: tuple[int, str] | None = None
    only: dict[Order, bool] = {"dmy": True, "ymd": True}
    spans: dict[Order, tuple[int, int]] = {}
    for number, day in _days(content):
        if first is None:
            first = (number, day)
        both: dict[Order, int | None] = {"dmy": _midnight(day, "dmy"), "ymd": _midnight(day, "ymd")}
        if both["dmy"] == both["ymd"]:
            continue
        near = [
            order for order, at in both.items() if at is not None and created is not None and abs(at - created) <= _NEAR_MS
        ]
        if len(near) == 1:
            return near[0]
        for order, at in both.items():
            if at is None:
                only[order] = False
            else:
                low, high = spans.get(order, (at, at))
                spans[order] = (min(low, at), max(high, at))
        decided = _by_spans(spans)
        if decided is not None:
            return decided
    if first is None or not spans or only["dmy"] != only["ymd"]:
        return "ymd" if only["ymd"] and not only["dmy"] else "dmy"
    raise Unreadable("ambiguous_date", first[0], 1, first[1])


def _by_spans(spans: dict[Order, tuple[int, int]]) -> Order | None:
    lengths = {order: high - low for order, (low, high) in spans.items()}
    for order, other in _ORDERS:
        if 0 < lengths.get(order, 0) <= _ONE_FILE_MS and lengths.get(other, 0) >= 2 * _NEAR_MS:
            return order
    return None


def _days(content: Content) -> Iterator[tuple[int, str]]:
    """Each other day of the rows, with its first line."""
    seen: set[str] = set()
    for number, text in lines(content):
        if text[:8] not in seen and ROW.match(text) is not None and len(seen) < WEBDYN_DAYS_KNOWN_MAX:
            seen.add(text[:8])
            yield number, text[:8]


def _midnight(day: str, order: Order) -> int | None:
    a, month, c = int(day[:2]), int(day[3:5]), int(day[6:8])
    try:
        return naive_ms(2000 + (c if order == "dmy" else a), month, a if order == "dmy" else c)
    except ValueError:
        return None
