"""Revocations, alarms and corrections in the words of people."""

from collections.abc import Mapping
from typing import Final

from web.i18n import N_, say
from web.language import Language
from web.pages import measures
from web.pages.figures import decimal

_REASONS: Final[Mapping[str, str]] = {
    "stolen": N_("It was stolen"),
    "lost": N_("It was lost"),
    "compromised": N_("Somebody else may have its key"),
    "replaced": N_("It was replaced"),
    "retired": N_("It is out of service"),
    "other": N_("Another reason"),
}

# The codes of actors.guard; a revocation that is stuck carries one of them as well.
_ALARMS: Final[Mapping[str, str]] = {
    "crl_not_proven": N_("The broker does not show that it goes by the newest list"),
    "crl_corrupt": N_("The newest list cannot be put before the broker"),
    "crl_expiring": N_("The list of revoked certificates runs out soon"),
    "crl_expired": N_("The list of revoked certificates has run out: the broker lets no device in"),
    "broker_open": N_("The broker lets revoked devices in"),
    "broker_away": N_("The broker does not answer"),
    "authority_away": N_("Nobody signs the list of revoked certificates"),
}


def revocation_reason(code: str, language: Language) -> str:
    return say(language, _REASONS[code]) if code in _REASONS else code


def alarm(code: str, language: Language) -> str:
    return say(language, _ALARMS[code]) if code in _ALARMS else code.replace("_", " ").capitalize()


def correction(kind: str, measure: str, value: float, language: Language) -> str:
    """What a correction does, as a label: "turn the direction of Grid around"."""
    name = measures.label(measure, language) if measure else ""
    if kind == "sign":
        return say(language, "turn the direction of “%(measure)s” around", measure=name)
    if kind == "factor":
        return say(language, "multiply “%(measure)s” by %(factor)s", measure=name, factor=_factor(value, language))
    if kind == "offset":
        return say(language, "add %(value)s to “%(measure)s”", measure=name, value=_signed(measure, value, language))
    return say(language, "move its clock by %(time)s", time=_clock(value, language))


def _factor(value: float, language: Language) -> str:
    if 0 < abs(value) < 1:
        return "1/" + decimal(1 / value, 0 if abs(1 / value - round(1 / value)) < 1e-6 else 2, language)
    return decimal(value, 0 if value == round(value) else 2, language)


def _signed(measure: str, value: float, language: Language) -> str:
    text = str(measures.figure(measure, value, language))
    return text if value < 0 else f"+{text}"


def _clock(seconds: float, language: Language) -> str:
    """ "+2 h 00 min 00 s": the direction matters, and every second of it."""
    sign, rest = "−" if seconds < 0 else "+", round(abs(seconds))
    days, rest = divmod(rest, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "j" if language == "fr" else "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    said = " ".join(f"{count}\u00a0{unit}" for count, unit in parts if count)
    return sign + (said or "0\u00a0s")
