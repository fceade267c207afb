"""How often something is expected or fetched, in the words of people."""

from collections.abc import Mapping
from typing import Final

from web.i18n import N_, say
from web.language import Language
from web.pages.times import duration

_EXPECTED: Final[Mapping[int, str]] = {
    3_600: N_("every hour"),
    6 * 3_600: N_("every 6 hours"),
    86_400: N_("every day"),
    7 * 86_400: N_("every week"),
    31 * 86_400: N_("every month"),
}
_FETCHED: Final[Mapping[int, str]] = {
    300: N_("every 5 minutes"),
    900: N_("every quarter of an hour"),
    3_600: N_("every hour"),
    86_400: N_("every day"),
}


def expected(seconds: int, language: Language) -> str:
    return _often(_EXPECTED, seconds, language)


def fetched(seconds: int, language: Language) -> str:
    return _often(_FETCHED, seconds, language)


def expectations(language: Language, chosen: int | None) -> list[tuple[int, str]]:
    return _choices(_EXPECTED, chosen, language)


def fetches(language: Language) -> list[tuple[int, str]]:
    return _choices(_FETCHED, None, language)


def _choices(known: Mapping[int, str], chosen: int | None, language: Language) -> list[tuple[int, str]]:
    """With the chosen one, whatever it is: the API takes others as well."""
    seconds = sorted({*known, *([chosen] if chosen else [])})
    return [(each, _often(known, each, language)) for each in seconds]


def _often(known: Mapping[int, str], seconds: int, language: Language) -> str:
    if seconds in known:
        return say(language, known[seconds])
    return say(language, "every %(time)s", time=duration(seconds, language))
