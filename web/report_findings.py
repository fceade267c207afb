"""What a commissioning check found, as a report tells it: a verdict, and in a short phrase what it rests on. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from fleet.commissioning import Check, CheckCode, CheckState
from fleet.measures import is_measure
from fleet.telemetry import UnixMs
from web.i18n import say
from web.language import Language
from web.pages import check_words, measures, times
from web.report_content import ReportCheck
from web.report_texts import words

_WORST_FIRST: Final[tuple[CheckState, ...]] = ("failed", "waiting", "later", "ok")
_SAID_IN_WORDS: Final[frozenset[CheckCode]] = frozenset({"sun", "consumption"})  # their sentence holds the figures already
_FIGURES_MAX: Final = 4


class PrintedCheck(msgspec.Struct, frozen=True):
    """found: one or two sentences with the figures that they rest on."""

    state: CheckState
    verdict: str
    title: str
    found: str


def is_shown(check: ReportCheck) -> bool:
    """What does not concern a device is not reported."""
    return check.state != "not_applicable"


def finding(check: ReportCheck, timezone: str, at: UnixMs, language: Language) -> PrintedCheck:
    """at: when it was judged, which is what "now" means in it."""
    said = check_words.check(Check(check.code, check.state, check.evidence), timezone, at, language)
    figures = _figures(check, language)
    return PrintedCheck(
        state=check.state,
        verdict=words(language)[check.state],
        title=said.title,
        found=f"{said.finding} ({', '.join(figures)})" if figures else said.finding,
    )


def tally(checks: Sequence[ReportCheck], language: Language) -> tuple[str, str]:
    """The worst state of a device's checks, and how many of them are in order: "4 / 5"; ('', '–') where none concerns it."""
    shown = [check for check in checks if is_shown(check)]
    if not shown:
        return "", "–"
    fine = sum(check.state == "ok" for check in shown)
    worst = next(state for state in _WORST_FIRST if any(check.state == state for check in shown))
    return worst, f"{words(language)[worst]} ({fine} / {len(shown)})"


def _figures(check: ReportCheck, language: Language) -> list[str]:
    if check.code in _SAID_IN_WORDS:
        return []
    if check.code == "clock":
        ahead_s = check.evidence.get("clock_ahead_s")
        if check.state != "ok" or not isinstance(ahead_s, int | float):
            return []
        return (
            [say(language, "%(count)s s", count=f"{ahead_s:+.0f}")]
            if abs(ahead_s) < 90
            else [times.duration(ahead_s, language)]
        )
    told = {
        name: float(value) for name, value in check.evidence.items() if is_measure(name) and isinstance(value, int | float)
    }
    return [f"{each.label} {each.figure}" for each in measures.readings(told, language)][:_FIGURES_MAX]
