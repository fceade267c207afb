"""Commissioning checks in plain words: what is asked, what was found, what to do. By the reasons of fleet.commissioning."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.commissioning import Check, CheckState, Evidence
from fleet.measures import is_measure
from fleet.telemetry import UnixMs
from web.i18n import N_, say
from web.language import Language
from web.pages import figures, measures, times

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
    "sign": N_("Power is counted in the right direction."),
    "unit": N_("The values have a plausible size."),
    "clock": N_("The device's clock is right."),
    "sun": N_("%(pv_power_w)s, and the sun allows about %(clear_sky_power_w)s now."),
    "consumption": N_("The house uses %(consumption_w)s: that can be."),
}
_NOT_YET: Final[Mapping[str, str]] = {
    "not_heard_yet": N_("Waiting for readings."),
    "production_not_heard": N_("Waiting for the inverter's production at the same moment."),
    "battery_not_heard": N_("Waiting for the battery's power at the same moment."),
    "dark": N_("The sun is too low to judge it."),
    "both_possible": N_("There is too little power now to tell the direction."),
    "idle": N_("The battery rests: its direction shows as soon as it charges or discharges."),
    "backlog": N_("The device is catching up on older readings; its clock shows afterwards."),
}
_WRONG: Final[Mapping[tuple[str, str], str]] = {
    ("sign", "negative_production"): N_("The production is negative: %(pv_power_w)s."),
    ("sign", "impossible_export"): N_(
        "The grid says %(grid_power_w)s: more than the site can give, or take, at the moment."
    ),
    ("sign", "follows_production"): N_(
        "When the sun rises, import seems to rise too: the meter counts the wrong way round."
    ),
    ("sign", "fills_while_discharging"): N_("The battery fills while it is said to discharge."),
    ("sign", "empties_while_charging"): N_("The battery empties while it is said to charge."),
    ("unit", "kilowatts"): N_("The values are a thousand times too small: it seems to say kilowatts instead of watts."),
    ("unit", "milliwatts"): N_("The values are a thousand times too large: it seems to say milliwatts instead of watts."),
    ("unit", "too_much"): N_("More power than this site can have."),
    ("unit", "counter"): N_("Counter and power disagree: %(counted_wh)s counted, %(flowed_wh)s by the power."),
    ("unit", "unknown_measure"): N_(
        "It reports something that its profile does not know: the profile is not the right one."
    ),
    ("unit", "bad_value"): N_("It reports values that are no numbers, or out of all proportion."),
    ("clock", "time_zone"): N_("Its clock is wrong by %(clock_ahead_s)s: a time zone."),
    ("clock", "drift"): N_("Its clock is wrong by %(clock_ahead_s)s."),
    ("clock", "years"): N_("Its clock is wrong by years: it does not know the date."),
    ("sun", "too_much"): N_("%(pv_power_w)s are more than the sun allows now (about %(clear_sky_power_w)s)."),
    ("sun", "no_power"): N_("The sun shines (about %(clear_sky_power_w)s possible), and nothing comes."),
    ("consumption", "negative"): N_("The consumption comes out negative: %(consumption_w)s."),
}
_REMEDIES: Final[Mapping[tuple[str, str], str]] = {
    ("sign", "negative_production"): N_("Turn the current clamp of the inverter around, or correct the sign here."),
    ("sign", "impossible_export"): N_("Turn the meter's current clamp around, or correct the sign here."),
    ("sign", "follows_production"): N_("Turn the meter's current clamp around, or correct the sign here."),
    ("unit", "too_much"): N_("Look at the peak power entered for the site, and at the device's settings."),
    ("unit", "counter"): N_(
        "Look at the pulse constant or unit of the counter in the device's settings, or correct it here."
    ),
    ("unit", "unknown_measure"): N_("Revoke it and add it again with the profile of its maker and model."),
    ("sun", "too_much"): N_("Look at the peak power entered for the site, and at the unit."),
    ("sun", "no_power"): N_("Look at the inverter, its switches and its strings. Under a very dark sky, wait."),
}
_REMEDIES_IN_GENERAL: Final[Mapping[str, str]] = {
    "sign": N_("Look at the device's settings, or correct the sign here."),
    "unit": N_("Look at the device's settings, or correct the unit here."),
    "clock": N_("Set the device's clock (NTP, time zone), or correct its times here."),
    "sun": N_("Look at the inverter, and at the peak power entered for the site."),
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
    reason = str(found.evidence.get("reason", ""))
    todo = ""
    if found.state == "failed":
        todo = say(language, _REMEDIES.get((found.code, reason), _REMEDIES_IN_GENERAL[found.code]))
    return CheckWords(title(found.code, language), verdict(found.state, language), _finding(found, reason, language)
                      + _again(found, timezone, now, language), todo)  # fmt: skip


def _finding(found: Check, reason: str, language: Language) -> str:
    if found.state == "ok":
        return _filled(_FINE[found.code], found.evidence, language)
    if found.state in ("waiting", "later"):
        return _filled(_NOT_YET.get(reason, _NOT_YET["not_heard_yet"]), found.evidence, language)
    known = _WRONG.get((found.code, reason))
    return _filled(known, found.evidence, language) if known else verdict(found.state, language).capitalize()


def _filled(text: str, evidence: Evidence, language: Language) -> str:
    """With the figures that it rests on; without those that are not told nothing is claimed."""
    said = {name: _value(name, number, language) for name, number in evidence.items()}
    try:
        return say(language, text) % said if "%(" in text else say(language, text)
    except KeyError:
        return verdict("ok", language).capitalize()


def _value(name: str, number: float | str | None, language: Language) -> str:
    if not isinstance(number, int | float):
        return str(number)
    if name == "clock_ahead_s":
        return ("+" if number > 0 else "−") + times.duration(abs(number), language)
    if is_measure(name):
        return str(measures.figure(name, number, language))
    if name.endswith("_wh"):
        return str(figures.energy(number, language))
    return str(figures.power(number, language)) if name.endswith("_w") else figures.decimal(number, 0, language)


def _again(found: Check, timezone: str, now: UnixMs, language: Language) -> str:
    at = found.evidence.get("again_at_ms")
    if not isinstance(at, int | float):
        return ""
    return " " + say(language, "Possible again from %(moment)s on.", moment=times.moment(int(at), now, timezone, language))
