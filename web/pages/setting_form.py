"""Settings as a form: the texts of their controls, and the values that were typed."""

from collections.abc import Iterable, Mapping

from babel.numbers import format_decimal

from fleet.configuration import Values
from fleet.remote import ConfigValue
from fleet.setting import Setting, range_of
from web.i18n import N_, say
from web.language import Language
from web.pages.figures import NO_VALUE
from web.pages.forms import Fields, number

PREFIX = "set."  # of the names of controls, before the key


def label(setting: Setting, language: Language) -> str:
    return setting.label_en if language == "en" else setting.label_fr


def hint(setting: Setting, language: Language) -> str:
    """What it does, and what it may be."""
    allowed = range_of(
        _most(setting.minimum, setting.grid_minimum), _least(setting.maximum, setting.grid_maximum), setting.unit
    )
    helping = setting.help_en if language == "en" else setting.help_fr
    return " · ".join(part for part in (helping, allowed or setting.unit, setting.grid_code) if part)


def shown(setting: Setting | None, value: ConfigValue | None, language: Language) -> str:
    """A value as people read it, with its unit; of a key without a setting, as it is. None: a dash."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return say(language, N_("Yes") if value else N_("No"))
    if isinstance(value, str):
        for choice in setting.choices if setting is not None else ():
            if choice.value == value:
                return choice.label_en if language == "en" else choice.label_fr
        return value or NO_VALUE
    text = format_decimal(value, format="#,##0.######", locale=language)
    return f"{text}\u00a0{setting.unit}" if setting is not None and setting.unit else text


def spelt(value: ConfigValue) -> str:
    """As it stands in a control."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.12g}"


def values_in(fields: Fields, settings: Iterable[Setting]) -> Values:
    """What the form names. A number that cannot be read stays the text that it is: the check then says what it should be."""
    found: Values = {}
    for setting in settings:
        text = fields.get(PREFIX + setting.key)
        if text is not None and not setting.read_only:
            found[setting.key] = _value(setting, text)
    return found


def texts_of(values: Mapping[str, ConfigValue]) -> dict[str, str]:
    """Key → what stands in its control."""
    return {key: spelt(value) for key, value in values.items()}


def _value(setting: Setting, text: str) -> ConfigValue:
    match setting.kind:
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "number" | "integer":
            read = number(text)
            if read is None:
                return text
            return int(read) if read == int(read) else read
        case _:
            return text


def _most(one: float | None, other: float | None) -> float | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _least(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)
