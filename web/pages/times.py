"""Instants and days as people of a site read them: in its zone, in their language."""

from datetime import date, datetime, timedelta
from typing import Literal

from babel.dates import format_date, format_datetime

from fleet.calendar import local_day, zone
from fleet.telemetry import UnixMs
from web.i18n import say
from web.language import Language

_LOCALE = {"fr": "fr_FR", "en": "en_GB"}
Period = Literal["day", "week", "month", "year", "total"]


def local(at: UnixMs, timezone: str) -> datetime:
    return datetime.fromtimestamp(at / 1000, zone(timezone))


def clock(at: UnixMs, timezone: str) -> str:
    return local(at, timezone).strftime("%H:%M")


def moment(at: UnixMs, now: UnixMs, timezone: str, language: Language) -> str:
    """ "14:05" today, "21 nov., 14:05" before, with its year when that is another one."""
    there = local(at, timezone)
    if local_day(at, timezone) == local_day(now, timezone):
        return clock(at, timezone)
    pattern = "d MMM, HH:mm" if there.year == local(now, timezone).year else "d MMM y, HH:mm"
    return format_datetime(there, pattern, tzinfo=zone(timezone), locale=_LOCALE[language])


def exact(at: UnixMs, now: UnixMs, timezone: str, language: Language) -> str:
    """To the second: "14:03:07" today, with its day before."""
    there = local(at, timezone)
    if local_day(at, timezone) == local_day(now, timezone):
        return there.strftime("%H:%M:%S")
    return format_datetime(there, "d MMM, HH:mm:ss", tzinfo=zone(timezone), locale=_LOCALE[language])


def long_day(day: date, language: Language) -> str:
    """ "lundi 23 novembre 2026"."""
    return format_date(day, "EEEE d MMMM y", locale=_LOCALE[language])


def short_day(day: date, language: Language) -> str:
    return format_date(day, "d MMM", locale=_LOCALE[language])


def month(day: date, language: Language, *, short: bool = False) -> str:
    return format_date(day, "LLL" if short else "LLLL y", locale=_LOCALE[language])


def weekday(day: date, language: Language) -> str:
    return format_date(day, "EEE d", locale=_LOCALE[language])


def period_title(period: Period, first: date, language: Language) -> str:
    if period == "day":
        return long_day(first, language)
    if period == "week":
        last = first + timedelta(days=6)
        return say(
            language,
            "%(first)s to %(last)s",
            first=short_day(first, language),
            last=f"{short_day(last, language)} {last.year}",
        )
    if period == "month":
        return month(first, language)
    return str(first.year) if period == "year" else say(language, "Since commissioning")


def duration(seconds: float, language: Language) -> str:
    """The largest unit that tells the story."""
    if seconds < 90:
        return say(language, "%(count)s s", count=round(seconds))
    if seconds < 90 * 60:
        return say(language, "%(count)s min", count=round(seconds / 60))
    if seconds < 48 * 3_600:
        return say(language, "%(count)s h", count=round(seconds / 3_600))
    return say(language, "%(count)s d", count=round(seconds / 86_400))
