"""What a device can be told to be: named values with type, unit, range and dependencies; and whether values keep to that."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from fleet.errors import BadInput
from fleet.limits import SETTING_TEXT_CHARS_MAX, SETTINGS_PER_DEVICE_MAX
from fleet.order_messages import ConfigValue

SettingKind = Literal["number", "integer", "boolean", "text", "choice"]

ProblemCode = Literal[
    "unknown_key", "wrong_unit", "wrong_type", "out_of_range", "grid_code", "read_only", "not_a_choice", "too_long", "needs",
    "not_below", "too_many",
]  # fmt: skip

# The unit at the end of a key, as people may have it instead of ours; keys carry their unit (report_interval_s).
_UNIT_SUFFIXES = (
    "_s",
    "_ms",
    "_min",
    "_h",
    "_w",
    "_kw",
    "_mw",
    "_va",
    "_kva",
    "_wh",
    "_kwh",
    "_v",
    "_a",
    "_hz",
    "_pct",
    "_c",
)


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: str
    label_fr: str
    label_en: str


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One value of a device's configuration, or one argument of a command.

    key           with its unit at the end: report_interval_s, active_power_limit_pct
    unit          as people read it: "s", "%"
    minimum, maximum            what the device can do
    grid_minimum, grid_maximum  what the grid code allows it to do; grid_code says where that stands
    needs         only while these other settings have these values may this one differ from its default
    below         another setting that this one must stay below
    read_only     shown, never told
    """

    key: str
    kind: SettingKind
    label_fr: str
    label_en: str
    default: ConfigValue
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    grid_minimum: float | None = None
    grid_maximum: float | None = None
    grid_code: str = ""
    choices: tuple[Choice, ...] = ()
    needs: dict[str, ConfigValue] = {}
    below: str | None = None
    read_only: bool = False
    help_fr: str = ""
    help_en: str = ""


class SettingProblem(msgspec.Struct, frozen=True):
    """What is wrong with one value. allowed: what would be right, in no language ("1 to 3600 s", "report_interval_s")."""

    key: str
    code: ProblemCode
    allowed: str = ""


class RefusedValues(BadInput):
    """Values that do not keep to the settings; problems: one per key."""

    def __init__(self, code: str, detail: str, problems: tuple[SettingProblem, ...] = ()) -> None:
        super().__init__(code, detail)
        self.problems = problems

    def __reduce__(self) -> "tuple[type[RefusedValues], tuple[str, str, tuple[SettingProblem, ...]]]":
        return type(self), (self.code, self.detail, self.problems)


def refusal(code: str, problems: Iterable[SettingProblem]) -> RefusedValues:
    found = tuple(problems)
    said = "; ".join(f"{each.key}: {each.code}{f' ({each.allowed})' if each.allowed else ''}" for each in found)
    return RefusedValues(code, said, found)


def check_values(
    settings: Iterable[Setting], values: Mapping[str, ConfigValue], before: Mapping[str, ConfigValue] | None = None
) -> list[SettingProblem]:
    """What is wrong with these values, at most one problem a key; [] when nothing is.

    before: the values so far; what a read-only setting has there may be repeated.
    """
    known = {setting.key: setting for setting in settings}
    if len(values) > SETTINGS_PER_DEVICE_MAX:
        return [SettingProblem("", "too_many", str(SETTINGS_PER_DEVICE_MAX))]
    problems: list[SettingProblem] = []
    for key, value in values.items():
        setting = known.get(key)
        problem = _unknown(key, known) if setting is None else _problem(setting, value, known, values, before or {})
        if problem is not None:
            problems.append(problem)
    return problems


def defaults_of(settings: Iterable[Setting]) -> dict[str, ConfigValue]:
    return {setting.key: setting.default for setting in settings}


def is_same(one: ConfigValue | None, other: ConfigValue | None) -> bool:
    """1 and 1.0 are the same value; 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _problem(
    setting: Setting,
    value: ConfigValue,
    known: Mapping[str, Setting],
    values: Mapping[str, ConfigValue],
    before: Mapping[str, ConfigValue],
) -> SettingProblem | None:
    key = setting.key
    if setting.read_only and not is_same(value, before.get(key, setting.default)):
        return SettingProblem(key, "read_only")
    wrong = _wrong_in_itself(setting, value)
    if wrong is not None:
        return wrong
    if not is_same(value, setting.default):
        for other, wanted in setting.needs.items():
            if not is_same(values.get(other, known[other].default if other in known else None), wanted):
                return SettingProblem(key, "needs", f"{other} = {_spelt(wanted)}")
    if setting.below is not None and setting.below in known:
        bound = values.get(setting.below, known[setting.below].default)
        number, limit = _finite(value), _finite(bound)
        if number is not None and limit is not None and number >= limit:
            return SettingProblem(key, "not_below", f"< {setting.below} = {_spelt(bound)}")
    return None


def _wrong_in_itself(setting: Setting, value: ConfigValue) -> SettingProblem | None:
    match setting.kind:
        case "boolean":
            return None if isinstance(value, bool) else SettingProblem(setting.key, "wrong_type", "true, false")
        case "text":
            if not isinstance(value, str):
                return SettingProblem(setting.key, "wrong_type", '"…"')
            if len(value) > SETTING_TEXT_CHARS_MAX or "\x00" in value:
                return SettingProblem(setting.key, "too_long", str(SETTING_TEXT_CHARS_MAX))
            return None
        case "choice":
            allowed = [choice.value for choice in setting.choices]
            return None if value in allowed else SettingProblem(setting.key, "not_a_choice", ", ".join(allowed))
        case _:
            return _wrong_number(setting, value)


def _wrong_number(setting: Setting, value: ConfigValue) -> SettingProblem | None:
    unit = f" {setting.unit}" if setting.unit else ""
    number = _finite(value)
    if number is None:
        return SettingProblem(setting.key, "wrong_type", f"123{unit}")
    if setting.kind == "integer" and not number.is_integer():
        return SettingProblem(setting.key, "wrong_type", f"1, 2, 3 …{unit}")
    if not _within(number, setting.minimum, setting.maximum):
        return SettingProblem(setting.key, "out_of_range", range_of(setting.minimum, setting.maximum, setting.unit))
    if not _within(number, setting.grid_minimum, setting.grid_maximum):
        allowed = range_of(setting.grid_minimum, setting.grid_maximum, setting.unit)
        return SettingProblem(setting.key, "grid_code", f"{allowed} ({setting.grid_code})" if setting.grid_code else allowed)
    return None


def _unknown(key: str, known: Mapping[str, Setting]) -> SettingProblem:
    """Perhaps it is the right thing in another unit, or without one."""
    for other in known:
        if _stem(other) == _stem(key):
            return SettingProblem(key[:80], "wrong_unit", other)
    return SettingProblem(key[:80], "unknown_key", ", ".join(sorted(known)[:10]))


def _stem(key: str) -> str:
    for suffix in sorted(_UNIT_SUFFIXES, key=len, reverse=True):
        if key.endswith(suffix):
            return key.removesuffix(suffix)
    return key


def spelt_number(value: float) -> str:
    """In no language, and never with an exponent."""
    return f"{value:.12g}"


def range_of(minimum: float | None, maximum: float | None, unit: str, number: Callable[[float], str] = spelt_number) -> str:
    """For people: "1 … 3600 s", "≥ 1 s"; in no language unless `number` spells in one. '' where nothing is limited."""
    ending = f" {unit}" if unit else ""
    if minimum is not None and maximum is not None:
        return f"{number(minimum)} … {number(maximum)}{ending}"
    if minimum is not None:
        return f"≥ {number(minimum)}{ending}"
    return f"≤ {number(maximum)}{ending}" if maximum is not None else ""


def _within(value: float, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _finite(value: object) -> float | None:
    """None for what is no number, for NaN and infinities, and for an integer that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _spelt(value: ConfigValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:g}"
