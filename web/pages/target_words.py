"""A query for devices in one line of words, for those who read what a group or a rollout means."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fleet.configuration import ConfigStatus
from fleet.targets import TargetQuery
from fleet.views import HealthStatus
from web.i18n import N_, say, say_count
from web.language import Language
from web.pages import config_words, words
from web.pages.times import duration

_VALUES_SHOWN: Final = 3  # of one field, in one line
_GROUP_WARNINGS: Final[Mapping[str, str]] = {
    "matches_nothing": N_("No device is meant now."),
    "matches_everything": N_("This means every device there is."),
}

# Installer's id or profile's id → its name; what is not in it is shown by its id.
Names = Mapping[str, str]


def query(asked: TargetQuery, language: Language, names: Names | None = None) -> str:
    """'Inverter · firmware below 2.0 · tag roof or lot-2'."""
    if asked.is_everything:
        return say(language, "Every device")
    known = names or {}
    parts = [
        _any(language, [words.kind(kind, language).text for kind in asked.kinds]),
        _any(language, [known.get(profile, profile) for profile in asked.profiles]),
        _labelled(language, N_("model %(values)s"), asked.models),
        _labelled(language, N_("firmware %(values)s"), asked.firmwares),
        say(language, "firmware below %(version)s", version=asked.firmware_below) if asked.firmware_below else "",
        _labelled(language, N_("site %(values)s"), asked.sites),
        _labelled(language, N_("department %(values)s"), asked.departments),
        _labelled(language, N_("installed by %(values)s"), [known.get(each, each) for each in asked.installers]),
        _labelled(language, N_("tagged %(values)s"), asked.tags_all, joined=N_(" and ")),
        _labelled(language, N_("tagged %(values)s"), asked.tags_any),
        _any(language, [_health(status, language) for status in asked.health]),
        _labelled(language, N_("configuration: %(values)s"), [_config(status, language) for status in asked.config]),
        _since(language, N_("heard of within %(age)s"), asked.seen_within_s),
        _since(language, N_("silent for %(age)s"), asked.silent_for_s),
        say_count(language, "%(num)s device by name", "%(num)s devices by name", len(asked.devices))
        if asked.devices
        else "",
    ]
    return " · ".join(part for part in parts if part)


def warning(code: str, language: Language) -> str:
    return say(language, _GROUP_WARNINGS[code])


def bound(language: Language) -> dict[str, Callable[..., Any]]:
    """For templates."""
    return {
        "query": lambda asked, names=None: query(asked, language, names),
        "query_warning": lambda code: warning(code, language),
        "config_state": lambda code: config_words.status(code, language).text,
    }


def _any(language: Language, values: Iterable[str], joined: str = N_(" or ")) -> str:
    listed = list(values)
    shown = say(language, joined).join(listed[:_VALUES_SHOWN])
    rest = len(listed) - _VALUES_SHOWN
    return shown if rest <= 0 else say(language, "%(values)s (and %(count)s more)", values=shown, count=rest)


def _labelled(language: Language, label: str, values: Iterable[str], joined: str = N_(" or ")) -> str:
    told = _any(language, values, joined)
    return say(language, label, values=told) if told else ""


def _since(language: Language, label: str, seconds: float | None) -> str:
    return "" if seconds is None else say(language, label, age=duration(seconds, language))


def _health(status: HealthStatus, language: Language) -> str:
    return words.health(status, language).text


def _config(status: ConfigStatus, language: Language) -> str:
    return config_words.status(status, language).text
