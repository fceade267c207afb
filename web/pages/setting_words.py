"""Settings of devices and arguments of commands in the words of people: names, values, limits."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from babel.numbers import format_decimal

from fleet.device_setting import Setting, range_of
from fleet.order_messages import ConfigValue
from web.i18n import N_, say
from web.language import Language
from web.pages.figures import NO_VALUE

_LOCALES: Final = {"fr": "fr_FR", "en": "en_GB"}
_INPUT: Final = "input."  # an agent's switch of one of its inputs


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
        return say(language, N_("on") if told else N_("off"))
    if isinstance(told, str):
        for choice in setting.choices if setting is not None else ():
            if choice.value == told:
                return choice.label_en if language == "en" else choice.label_fr
        return told or say(language, "(empty)")
    text = _number(told, language)
    return f"{text}\u00a0{setting.unit}" if setting is not None and setting.unit else text


def limits(setting: Setting, language: Language) -> str:
    """What the device can do; '' where nothing limits it."""
    return _range(setting.minimum, setting.maximum, setting.unit, language)


def grid_limits(setting: Setting, language: Language) -> str:
    """What the grid code allows of that; '' where it says nothing."""
    allowed = _range(setting.grid_minimum, setting.grid_maximum, setting.unit, language)
    if not allowed:
        return ""
    if setting.grid_code:
        return say(language, "Grid connection: %(range)s (%(code)s)", range=allowed, code=setting.grid_code)
    return say(language, "Grid connection: %(range)s", range=allowed)


def hint(setting: Setting, language: Language) -> str:
    """What it may be, and what it does: under a control."""
    parts = (limits(setting, language) or setting.unit, grid_limits(setting, language), help_of(setting, language))
    return " · ".join(part for part in parts if part)


def _range(minimum: float | None, maximum: float | None, unit: str, language: Language) -> str:
    """It stays on one line."""
    return range_of(minimum, maximum, unit, partial(_number, language=language)).replace(" ", "\u00a0")


def _number(value: float, language: Language) -> str:
    return format_decimal(value, format="#,##0.######", locale=_LOCALES[language])


def bound(language: Language) -> dict[str, Callable[..., Any]]:
    """For templates."""
    return {
        "setting": lambda setting, key="": name_of(key, language) if setting is None else label(setting, language),
        "setting_value": lambda setting, told: value(setting, told, language),
        "setting_hint": lambda setting: hint(setting, language),
    }
