"""Commissioning checks in plain words: what is asked, what was found, what to do."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.commissioning import Check, CheckState
from fleet.telemetry import UnixMs
from web.i18n import N_, say
from web.language import Language
from web.pages import measures, times

_TITLES: Final[Mapping[str, str]] = {
    "sign": N_("Direction"),
    "unit": N_("Unit"),
    "clock": N_("Clock"),
    "sun": N_("Production and sun"),
    "consumption": N_("Consumption"),
}
_VERDICTS: Final[Mapping[CheckState, str]] = {
    "ok": N_("in order"),
    "failed": N_("not in order"),
    "waiting": N_("waiting"),
    "later": N_("later"),
    "not_applicable": N_("does not apply"),
}
_FINE: Final[Mapping[str, str]] = {
    "sign": N_("The signs fit: import counts up, export counts down."),
    "unit": N_("The values have a plausible size."),
    "clock": N_("The device's clock is right."),
    "sun": N_("The power fits what the sun allows now."),
    "consumption": N_("Production and grid together give a consumption that can be."),
}
_WAITING: Final = N_("Waiting for readings.")
_LATER: Final[Mapping[str, str]] = {
    "sign": N_("Cannot be judged now: it takes some power to see its direction."),
    "unit": N_("Cannot be judged now: it takes some power to see its unit."),
    "sun": N_("Cannot be judged now: the sun is too low."),
    "consumption": N_("Cannot be judged now: production and grid have to be measured together."),
}
_WRONG: Final[Mapping[str, str]] = {
    "sign": N_("The direction is reversed."),
    "unit": N_("The values are of an impossible size."),
    "clock": N_("The device's clock is wrong."),
    "sun": N_("The power does not fit the sun."),
    "consumption": N_("The consumption comes out negative."),
}
_TODO: Final[Mapping[str, str]] = {
    "sign": N_("Turn the current clamp around, or correct the sign here."),
    "unit": N_("Look at the device's settings, or correct the unit here."),
    "clock": N_("Set the device's clock (NTP, time zone), or correct its times here."),
    "sun": N_("Look at the inverter, its switches and its strings; and at the peak power entered for the site."),
    "consumption": N_("A current clamp is the wrong way round, or on another phase. Turn it, or correct the sign here."),
}


class CheckWords(NamedTuple):
    """todo: '' unless something is wrong."""

    title: str
    verdict: str
    finding: str
    todo: str


def title(code: str, language: Language) -> str:
    return say(language, _TITLES[code])


def verdict(state: CheckState, language: Language) -> str:
    return say(language, _VERDICTS[state])


def check(found: Check, timezone: str, now: UnixMs, language: Language) -> CheckWords:
    return CheckWords(
        title=title(found.code, language),
        verdict=verdict(found.state, language),
        finding=_finding(found, timezone, now, language),
        todo=say(language, _TODO[found.code]) if found.state == "failed" else "",
    )


def _finding(found: Check, timezone: str, now: UnixMs, language: Language) -> str:
    if found.state == "waiting":
        return say(language, _WAITING)
    if found.state == "later":
        return say(language, _LATER.get(found.code, _WAITING)) + _again(found, timezone, now, language)
    if found.state == "ok":
        return say(language, _FINE[found.code])
    return say(language, _WRONG[found.code])


def _again(found: Check, timezone: str, now: UnixMs, language: Language) -> str:
    at = found.evidence.get("again_at_ms")
    if not isinstance(at, int | float):
        return ""
    return " " + say(language, "Possible again from %(moment)s on.", moment=times.moment(int(at), now, timezone, language))


def value(measure: str, number: float | str | None, language: Language) -> str:
    return str(measures.figure(measure, number if isinstance(number, int | float) else None, language))
