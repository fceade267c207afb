"""Configurations in the words of people: how one stands, its settings and values, what changed it, what the journal says."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from babel.numbers import format_decimal

from fleet.configuration import ChangeKind, ConfigStatus
from fleet.remote import ConfigValue
from fleet.setting import Setting, range_of
from web.config_views import OriginView
from web.i18n import N_, say
from web.language import Language
from web.pages.figures import NO_VALUE
from web.pages.words import Look

_LOCALES: Final = {"fr": "fr_FR", "en": "en_GB"}
_INPUT: Final = "input."  # an agent's switch of one of its inputs

# With the tone in which it is shown: the statuses of health.
_STATUSES: Final[Mapping[ConfigStatus, tuple[str, str, str]]] = {
    "in_sync": (N_("Applied"), "check", "ok"),
    "pending": (N_("Waiting to be sent"), "clock", "asleep"),
    "applying": (N_("Sent, no answer yet"), "upload", "asleep"),
    "rejected": (N_("Refused by the device"), "cross", "fault"),
    "drifted": (N_("Changed on site"), "swap", "warning"),
    "unknown": (N_("Not known"), "question", "unknown"),
}
_KINDS: Final[Mapping[ChangeKind, str]] = {
    "set": N_("Settings changed"),
    "return": N_("Back to an earlier version"),
    "accept_drift": N_("What was changed on site accepted"),
    "overwrite": N_("Sent once more over what was changed on site"),
    "rollout": N_("Settings changed"),
    "rollout_return": N_("Earlier values brought back"),
}
# The kinds of fleet.device_orders.
_RECEIPTS: Final[Mapping[str, str]] = {
    "config.desired": N_("Configuration wished"),
    "config.sent": N_("Configuration sent"),
    "config.reported": N_("The device says what it runs"),
    "command.queued": N_("Command given"),
    "command.sent": N_("Command sent"),
    "command.accepted": N_("Command accepted by the device"),
    "command.succeeded": N_("Command carried out"),
    "command.failed": N_("Command failed"),
    "command.timed_out": N_("Command given up: no answer"),
    "command.expired": N_("Command expired before it could be sent"),
    "command.cancelled": N_("Command cancelled"),
    "command.late": N_("Answer after the deadline"),
}


def status(code: ConfigStatus, language: Language) -> Look:
    text, icon, _ = _STATUSES[code]
    return Look(say(language, text), icon)


def tone(code: ConfigStatus) -> str:
    return _STATUSES[code][2]


def change(kind: ChangeKind, language: Language) -> str:
    return say(language, _KINDS[kind])


def receipt(kind: str, language: Language) -> str:
    return say(language, _RECEIPTS[kind]) if kind in _RECEIPTS else kind


def label(setting: Setting, language: Language) -> str:
    if setting.label_fr == setting.key:
        return name_of(setting.key, language)
    return setting.label_en if language == "en" else setting.label_fr


def name_of(key: str, language: Language) -> str:
    """Of a setting that has no other name, or that the profile does not know (any more)."""
    return say(language, "Input “%(name)s”", name=key.removeprefix(_INPUT)) if key.startswith(_INPUT) else key


def help_of(setting: Setting, language: Language) -> str:
    return setting.help_en if language == "en" else setting.help_fr


def value(setting: Setting | None, told: ConfigValue | None, language: Language) -> str:
    """With its unit; setting None: of a value that the profile does not know."""
    if told is None:
        return NO_VALUE
    if isinstance(told, bool):
        return say(language, "on") if told else say(language, "off")
    if isinstance(told, str):
        for choice in setting.choices if setting is not None else ():
            if choice.value == told:
                return choice.label_en if language == "en" else choice.label_fr
        return told or say(language, "(empty)")
    text = format_decimal(told, format="#,##0.######", locale=_LOCALES[language])
    return f"{text}\u00a0{setting.unit}" if setting is not None and setting.unit else text


def limits(setting: Setting) -> str:
    """What the device can do, in no language; '' where nothing limits it."""
    return range_of(setting.minimum, setting.maximum, setting.unit)


def grid_limits(setting: Setting, language: Language) -> str:
    """What the grid code allows of that; '' where it says nothing."""
    allowed = range_of(setting.grid_minimum, setting.grid_maximum, setting.unit)
    if not allowed:
        return ""
    if setting.grid_code:
        return say(language, "Grid connection: %(range)s (%(code)s)", range=allowed, code=setting.grid_code)
    return say(language, "Grid connection: %(range)s", range=allowed)


def origin(of: OriginView | None, language: Language) -> str:
    if of is None or of.kind == "profile":
        return say(language, "Device profile")
    if of.kind == "device":
        return say(language, "This device")
    return say(language, "Group “%(name)s”", name=of.name) if of.name else say(language, "Rollout")


def bound(language: Language) -> dict[str, Callable[..., Any]]:
    """For templates."""
    return {
        "config_status": lambda code: status(code, language),
        "config_tone": tone,
        "config_change": lambda kind: change(kind, language),
        "receipt": lambda kind: receipt(kind, language),
        "setting": lambda setting, key="": name_of(key, language) if setting is None else label(setting, language),
        "setting_value": lambda setting, told: value(setting, told, language),
        "origin": lambda of: origin(of, language),
    }
