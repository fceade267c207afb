"""What a change of a configuration would change, value by value, before anything is stored or sent."""

from collections.abc import Mapping

import msgspec

from fleet.config_wishes import defaults_run, inherited, merged, told_values
from fleet.configuration import ConfigState, Layer, Origin, Values
from fleet.device_setting import Setting, SettingProblem, check_values, is_same
from fleet.order_messages import ConfigValue


class ValueChange(msgspec.Struct, frozen=True):
    """before: as wished until now; reported: as the device says it runs; None: no such value. origin_*: where from."""

    key: str
    before: ConfigValue | None
    after: ConfigValue | None
    reported: ConfigValue | None = None
    origin_before: Origin | None = None
    origin_after: Origin | None = None


def wished(state: ConfigState, settings: tuple[Setting, ...]) -> Values:
    """What a device shall run; of one that nobody has wished anything of, its profile's defaults as it took them."""
    if state.desired is not None:
        return dict(state.desired.values)
    return told_values(state, settings, (), {}) | defaults_run(state, settings)


def origins_of(state: ConfigState, settings: tuple[Setting, ...]) -> dict[str, Origin]:
    """Of what it shall run: a default that it runs stays in force when the profile's is edited."""
    layers, own = _layers_and_own(state)
    values, origins = merged(settings, layers, own)
    told = wished(state, settings)
    former = {
        key
        for key, each in origins.items()
        if each.kind == "profile" and not is_same(told.get(key, values[key]), values[key])
    }
    return {key: Origin("former_profile") if key in former else each for key, each in origins.items()}


def preview(
    state: ConfigState, settings: tuple[Setting, ...], own: Mapping[str, ConfigValue]
) -> tuple[list[ValueChange], list[SettingProblem]]:
    """What would change if these became the device's own values, all of them, in the settings' order; and what is wrong."""
    layers, _ = _layers_and_own(state)
    below, _ = inherited(settings, layers)
    shown = {setting.key: setting.default for setting in settings if setting.read_only}  # may be repeated
    kept = {key: value for key, value in own.items() if not is_same(value, (below | shown).get(key))}
    after, origins_after = told_values(state, settings, layers, kept), merged(settings, layers, kept)[1]
    before, origins_before = wished(state, settings), origins_of(state, settings)
    said = state.reported.values if state.reported is not None else {}
    changes = [
        ValueChange(key, before.get(key), after.get(key), said.get(key), origins_before.get(key), origins_after.get(key))
        for key in dict.fromkeys((*after, *before))
        if not (is_same(before.get(key), after.get(key)) and origins_before.get(key) == origins_after.get(key))
    ]
    return changes, check_values(settings, after)


def differences(
    before: Mapping[str, ConfigValue], after: Mapping[str, ConfigValue]
) -> dict[str, tuple[ConfigValue | None, ConfigValue | None]]:
    """Key → (before, after), where they differ."""
    keys = dict.fromkeys((*after, *before))
    return {key: (before.get(key), after.get(key)) for key in keys if not is_same(before.get(key), after.get(key))}


def _layers_and_own(state: ConfigState) -> tuple[tuple[Layer, ...], Values]:
    return (state.desired.layers, state.desired.own) if state.desired is not None else ((), {})
