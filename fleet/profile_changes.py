"""What operations may make of a device profile: a sound one, whose stored history stays readable."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from fleet.command_catalog import CATALOG
from fleet.configuration import settings_of
from fleet.device_setting import Setting, check_values, defaults_of
from fleet.errors import BadInput, Conflict
from fleet.ids import device_id
from fleet.limits import MEASURES_PER_SAMPLE_MAX, PROFILE_BYTES_MAX, SETTING_KEY_CHARS_MAX, SETTINGS_PER_DEVICE_MAX
from fleet.profiles import DeviceProfile

_LABEL_CHARS_MAX: Final = 80
_HELP_CHARS_MAX: Final = 300
_INTERVAL_S: Final = (1.0, 86_400.0)
_NAMES_MAX: Final = 50  # commands, and fields of the configuration
_KEY: Final = re.compile(r"[a-z][a-z0-9_.]*")
_DEVICES_OWN: Final = "input."  # the switches of an agent's inputs


def check_profile(profile: DeviceProfile) -> None:
    """Beyond what DeviceProfile holds by itself. Raises BadInput (bad_profile) that says what is wrong with it."""
    device_id(profile.id)  # the same form: it stands in addresses
    size = len(msgspec.json.encode(profile))
    unknown = [name for name in profile.commands if name not in CATALOG]
    problems = {
        f"it has {size} bytes, {PROFILE_BYTES_MAX} are allowed": size > PROFILE_BYTES_MAX,
        "it needs a label in French and in English": not all(
            1 <= len(label.strip()) <= _LABEL_CHARS_MAX for label in (profile.label_fr, profile.label_en)
        ),
        "a channel stands in it twice": len(set(profile.channels)) < len(profile.channels),
        f"it has more than {MEASURES_PER_SAMPLE_MAX} channels": len(profile.channels) > MEASURES_PER_SAMPLE_MAX,
        "interval_s must be from a second to a day": not _INTERVAL_S[0] <= profile.interval_s <= _INTERVAL_S[1],
        "counter_step_wh must be above 0, and at most 1,000,000": not 0 < profile.counter_step_wh <= 1e6,
        f"it has more than {_NAMES_MAX} commands or fields of configuration": (
            max(len(profile.commands), len(profile.default_config)) > _NAMES_MAX
        ),
        f"there is no command {unknown[:1]}; there are {', '.join(CATALOG)}": bool(unknown),
        "a command stands in it twice": len(set(profile.commands)) < len(profile.commands),
    }
    wrong = [said for said, is_wrong in problems.items() if is_wrong] or list(_wrong_settings(profile))[:1]
    if wrong:
        raise BadInput("bad_profile", f"profile {profile.id}: {wrong[0]}")


def check_successor(old: DeviceProfile, new: DeviceProfile) -> None:
    """Raises Conflict (profile_channels, profile_identity): samples are stored in the order of the channels, for ever."""
    if (new.id, new.kind) != (old.id, old.kind):
        raise Conflict(
            "profile_identity", f"profile {old.id} stays {old.id}, and of kind {old.kind}; make a new one instead"
        )
    if new.channels[: len(old.channels)] != old.channels:
        raise Conflict("profile_channels", f"channels can only be added at the end of {', '.join(old.channels) or 'none'}")


def _wrong_settings(profile: DeviceProfile) -> Iterator[str]:
    """What is wrong with them, each said with the setting's key."""
    known = {setting.key: setting for setting in profile.settings}
    if len(known) < len(profile.settings):
        keys = [setting.key for setting in profile.settings]
        yield f"setting {next(key for key in keys if keys.count(key) > 1)!r} stands in it twice"
    if len(known) > SETTINGS_PER_DEVICE_MAX:
        yield f"it has more than {SETTINGS_PER_DEVICE_MAX} settings"
    for setting in profile.settings:
        for said in (*_wrong_by_itself(setting), *_wrong_among_others(setting, known)):
            yield f"setting {setting.key[:SETTING_KEY_CHARS_MAX]!r}: {said}"
    if (circle := _circle(known)) is not None:
        yield f"setting {circle!r} needs itself in the end"
    for key in profile.default_config:
        if not _is_key(key):
            yield f"default_config {key[:SETTING_KEY_CHARS_MAX]!r}: a key has a-z, 0-9, _ and . only"
    settings = settings_of(profile)
    for problem in check_values(settings, defaults_of(settings)):
        allowed = f" ({problem.allowed})" if problem.allowed else ""
        yield f"setting {problem.key!r}: its default is not allowed: {problem.code}{allowed}"


def _wrong_by_itself(setting: Setting) -> Iterator[str]:
    if not _is_key(setting.key):
        yield f"a key has a-z, 0-9, _ and . only, at most {SETTING_KEY_CHARS_MAX}, and does not begin with {_DEVICES_OWN!r}"
    labels = (setting.label_fr, setting.label_en, *(each for c in setting.choices for each in (c.label_fr, c.label_en)))
    if not all(1 <= len(label.strip()) <= _LABEL_CHARS_MAX for label in labels):
        yield "it needs a label in French and in English, and so does each choice"
    if max(map(len, (setting.help_fr, setting.help_en, setting.grid_code))) > _HELP_CHARS_MAX:
        yield f"its help, and the name of its grid code, may have {_HELP_CHARS_MAX} characters"
    bounds = (setting.minimum, setting.maximum, setting.grid_minimum, setting.grid_maximum)
    if setting.kind not in ("number", "integer") and any(bound is not None for bound in bounds):
        yield "only numbers have bounds"
    if not _ascending(setting.minimum, setting.maximum) or not _ascending(setting.grid_minimum, setting.grid_maximum):
        yield "a minimum is above its maximum"
    elif not _ascending(setting.minimum, setting.grid_minimum) or not _ascending(setting.grid_maximum, setting.maximum):
        yield "the grid code's bounds must lie within the device's"
    if (setting.grid_minimum is not None or setting.grid_maximum is not None) and not setting.grid_code.strip():
        yield "grid_code must say where its bounds stand"
    values = [choice.value for choice in setting.choices]
    if (setting.kind == "choice") != bool(values) or len(set(values)) < len(values):
        yield "a choice has choices, each once; nothing else has any"


def _wrong_among_others(setting: Setting, known: Mapping[str, Setting]) -> Iterator[str]:
    for other, wanted in setting.needs.items():
        if other not in known:
            yield f"it needs {other!r}, which is no setting"
        elif check_values([msgspec.structs.replace(known[other], needs={}, below=None)], {other: wanted}):
            yield f"{other!r} cannot be what it needs"
    if setting.below is not None:
        other_setting = known.get(setting.below)
        if other_setting is None or other_setting is setting:
            yield f"it must stay below {setting.below!r}, which is no other setting"
        elif not {setting.kind, other_setting.kind} <= {"number", "integer"}:
            yield "only a number stays below a number"


def _circle(known: Mapping[str, Setting]) -> str | None:
    """A setting that can only be changed once it has been changed."""
    for key in known:
        reached: set[str] = set()
        ahead = [key]
        while ahead:
            setting = known.get(ahead.pop())
            for other in setting.needs if setting is not None else ():
                if other == key:
                    return key
                if other not in reached:
                    reached.add(other)
                    ahead.append(other)
    return None


def _is_key(key: str) -> bool:
    return len(key) <= SETTING_KEY_CHARS_MAX and _KEY.fullmatch(key) is not None and not key.startswith(_DEVICES_OWN)


def _ascending(low: float | None, high: float | None) -> bool:
    return low is None or high is None or low <= high
