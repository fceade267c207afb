"""The form of a device's configuration, made from its settings: what stands in it, and what was typed."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fleet.configuration import Values
from fleet.device_setting import Setting, SettingProblem, defaults_of, is_same
from fleet.order_messages import ConfigValue
from web.config_views import ConfigView, OriginView
from web.i18n import N_, say
from web.language import Language
from web.pages import setting_words
from web.pages.forms import MISSING, NOT_A_NUMBER, Errors, Fields, number
from web.pages.setting_form import spelt
from web.setting_texts import setting_message

VALUE: Final = "v."  # begins the name of a field
INHERIT: Final = "inherit."
TOO_FINE: Final = N_("Please enter a whole number.")


class Typed(msgspec.Struct, frozen=True):
    """As it was typed. inherit: the settings that shall be inherited again."""

    texts: dict[str, str]
    inherit: frozenset[str] = frozenset()


class SettingField(msgspec.Struct, frozen=True):
    """One setting as it stands on the page. text: of its control. own: the device has a value of its own.

    idle: why it has no effect now; '' when it has. reported: what the device runs, when that is something else.
    beyond: what is wished goes beyond the limits of now, and what would not.
    """

    setting: Setting
    label: str
    help: str
    text: str
    shown: str
    origin: OriginView | None
    own: bool
    inherited: str
    inherit: bool
    limits: str
    grid_limits: str
    idle: str
    reported: str
    beyond: str
    error: str

    @property
    def name(self) -> str:
        return VALUE + self.setting.key

    @property
    def inherit_name(self) -> str:
        return INHERIT + self.setting.key

    @property
    def attributes(self) -> str:
        """Of its number field: the tighter ones of the device's and the grid's limits."""
        setting = self.setting
        low = max((each for each in (setting.minimum, setting.grid_minimum) if each is not None), default=None)
        high = min((each for each in (setting.maximum, setting.grid_maximum) if each is not None), default=None)
        step = "1" if setting.kind == "integer" else "any"
        bounds = "".join(f' {name}="{bound:.15g}"' for name, bound in (("min", low), ("max", high)) if bound is not None)
        return f'step="{step}"{bounds}'


def typed_of(own: Mapping[str, ConfigValue], view: ConfigView) -> Typed:
    """The form that these values of its own came from."""
    texts = {setting.key: spelt(own.get(setting.key, view.inherited.get(setting.key))) for setting in view.settings}
    return Typed(texts, frozenset(key for key in view.own if key not in own))


def typed_in(fields: Fields, view: ConfigView) -> Typed:
    """What is not in the form at all stays as it is: a setting may have come up since it was shown."""
    now = view.desired.values
    texts = {setting.key: fields.get(VALUE + setting.key, spelt(now.get(setting.key))) for setting in view.settings}
    return Typed(texts, frozenset(key.removeprefix(INHERIT) for key in fields if key.startswith(INHERIT)))


def own_of(typed: Typed, view: ConfigView) -> tuple[Values, Errors]:
    """The device's own values that were typed, and what could not be read."""
    own: Values = {}
    errors: Errors = {}
    for setting in view.settings:
        key = setting.key
        if setting.read_only or key in typed.inherit:
            continue
        value, wrong = _read(setting, typed.texts.get(key, ""))
        if wrong:
            errors[key] = wrong
        elif value is not None and not is_same(value, view.inherited.get(key)):
            own[key] = value
    return own, errors


def fields_of_settings(
    view: ConfigView,
    typed: Typed | None,
    errors: Errors,
    problems: Iterable[SettingProblem],
    language: Language,
) -> list[SettingField]:
    """typed None: as it is. errors: in English, marked for the catalogue; problems: those of the values together."""
    labels = {setting.key: setting_words.label(setting, language) for setting in view.settings}
    wrong = {each.key: setting_message(each, language, labels) for each in problems}
    wrong |= {key: say(language, text) for key, text in errors.items()}
    texts = (typed or typed_of(view.own, view)).texts
    inherit = typed.inherit if typed is not None else frozenset[str]()
    return [
        _field(
            setting,
            view,
            texts.get(setting.key, ""),
            inherit=setting.key in inherit,
            error=wrong.get(setting.key, ""),
            language=language,
        )
        for setting in view.settings
    ]


def _field(setting: Setting, view: ConfigView, text: str, *, inherit: bool, error: str, language: Language) -> SettingField:
    key = setting.key
    wished = view.desired.values.get(key, setting.default)
    said = view.reported.values.get(key) if view.reported is not None else None
    other = said is not None and not is_same(said, wished)
    return SettingField(
        setting=setting,
        label=setting_words.label(setting, language),
        help=setting_words.help_of(setting, language),
        text=text,
        shown=setting_words.value(setting, wished, language),
        origin=view.origins.get(key),
        own=key in view.own,
        inherited=setting_words.value(setting, view.inherited.get(key), language),
        inherit=inherit,
        limits=setting_words.limits(setting, language),
        grid_limits=setting_words.grid_limits(setting, language),
        idle=_idle(setting, view, language),
        reported=setting_words.value(setting, said, language) if other else "",
        beyond=next((setting_message(each, language) for each in view.beyond_limits if each.key == key), ""),
        error=error,
    )


def _idle(setting: Setting, view: ConfigView, language: Language) -> str:
    """The other settings that keep it from having an effect, as they would have to be."""
    by_key = {each.key: each for each in view.settings}
    now = defaults_of(view.settings) | view.desired.values
    unmet = [(key, wanted) for key, wanted in setting.needs.items() if not is_same(now.get(key), wanted)]
    return ", ".join(
        f"{setting_words.label(by_key[key], language) if key in by_key else key} = "
        f"{setting_words.value(by_key.get(key), wanted, language)}"
        for key, wanted in unmet
    )


def _read(setting: Setting, text: str) -> tuple[ConfigValue | None, str]:
    """The value, and what is wrong with the text."""
    match setting.kind:
        case "boolean":
            return text == "true", ""
        case "text" | "choice":
            return text, ""
        case _:
            value = number(text)
            if value is None:
                return None, NOT_A_NUMBER if text else MISSING
            if setting.kind == "integer" and value != int(value):
                return None, TOO_FINE
            return (int(value) if setting.kind == "integer" else value), ""
