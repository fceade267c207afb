"""What a wish makes of a device's configuration: where each value comes from, and the version that comes of it.

Where a value comes from, the lowest first: the profile's default, the groups' rollouts in the order in which they came (the
newest wins), and the device's own. A rollout changes what it names and nothing else: a default that a device runs stays in
force when the profile's is edited, until somebody changes that device, having seen it. What somebody changes on site while a
rollout comes or goes becomes the device's own.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fleet.configuration import Change, ConfigState, Desired, Layer, Origin, Values, known_values, same_values
from fleet.device_setting import Setting, SettingProblem, check_values, defaults_of, is_same, refusal
from fleet.errors import Conflict
from fleet.limits import CONFIG_LAYERS_MAX
from fleet.order_messages import ConfigValue, ReportedConfig
from fleet.telemetry import UnixMs

_OF_ROLLOUTS: Final = ("rollout", "rollout_return")
_OF_THE_STANDING: Final = (*_OF_ROLLOUTS, "accept_drift", "overwrite")  # they leave the defaults that were told as they are


def inherited(settings: Iterable[Setting], layers: Iterable[Layer]) -> tuple[Values, dict[str, Origin]]:
    """Values without the device's own, and where each comes from. What is only shown is not among them. A layer's values
    that the profile does not know are left out: the profile may have changed since.
    """
    values = defaults_of(setting for setting in settings if not setting.read_only)
    origins = {key: Origin("profile") for key in values}
    for layer in layers:
        for key, value in layer.values.items():
            if key in values:
                values[key] = value
                origins[key] = Origin("group", layer.source, layer.name)
    return values, origins


def merged(
    settings: Iterable[Setting], layers: Iterable[Layer], own: Mapping[str, ConfigValue]
) -> tuple[Values, dict[str, Origin]]:
    """All values of a device, and where each comes from."""
    values, origins = inherited(settings, layers)
    for key, value in own.items():
        values[key] = value
        origins[key] = Origin("device")
    return values, origins


def told_values(
    state: ConfigState, settings: Iterable[Setting], layers: Iterable[Layer], own: Mapping[str, ConfigValue]
) -> Values:
    """What a device is told. Defaults of settings that it has reported without are left out: its software is older than the
    profile, and it would refuse the whole version for a key that it does not know.
    """
    values, origins = merged(settings, layers, own)
    knows = state.reported.values if state.reported is not None else {}
    if not knows:
        return values
    return {key: value for key, value in values.items() if key in knows or origins[key].kind != "profile"}


def plan(
    state: ConfigState, change: Change, settings: tuple[Setting, ...], earlier: Desired | None, now: UnixMs
) -> Desired | None:
    """The version that a wish makes; None when it would change nothing.

    earlier: for 'return', the version that is to come back; for 'rollout_return', the one before the rollout, if known.
    Raises Conflict (stale_version, not_drifted, stale_report, unknown_version, drifted), RefusedValues (bad_config).
    """
    if change.expected is not None and change.expected != state.version:
        raise Conflict("stale_version", f"the configuration is at version {state.version}, not {change.expected}")
    own, layers = _wished(state, change, earlier, settings)
    if change.kind in _OF_ROLLOUTS and layers == (state.desired.layers if state.desired is not None else ()):
        return None
    if change.kind == "rollout" and not change.overwrite_drift and state.status == "drifted":
        raise Conflict("drifted", "values were changed on site: accept or overwrite that, or let the rollout overwrite it")
    if change.kind == "rollout_return":
        own |= _on_site(state, change, earlier, settings)
    if change.kind in ("set", "accept_drift"):  # a rollout may go as it came: what was a device's own is so again
        below, _ = inherited(settings, layers)
        own = {key: value for key, value in own.items() if not is_same(value, below.get(key))}
    values = _told(state, change, settings, layers, own, earlier)
    problems = check_values(settings, values)
    if change.kind == "rollout_return" and state.desired is not None:
        problems = _new_problems(problems, values, settings, state.desired.values)
    if problems:
        raise refusal("bad_config", problems)
    if change.kind not in ("accept_drift", "overwrite") and state.desired is not None:
        wished = state.desired
        if same_values(values, wished.values) and same_values(own, wished.own) and layers == wished.layers:
            return None
    reported_version = state.reported.version if state.reported is not None else 0
    version = max(state.version, reported_version) + 1  # a device only takes what is newer than what it runs
    return Desired(version, values, own, layers, now, change.kind, change.person_id, change.rollout, change.why)


def sparing(state: ConfigState, said: ReportedConfig, settings: tuple[Setting, ...], now: UnixMs) -> Desired | None:
    """The version that spares what was changed on site before a device took what a rollout brings or gives back: that
    becomes its own, as if it had been so all along. None: nothing was, or the device has refused that version, so that
    nothing is about to be overwritten.

    state: before `said`, of which the same version is compared with what the device said of it until then.
    """
    wished, known = state.desired, state.reported
    if wished is None or wished.kind not in _OF_ROLLOUTS or known is None:
        return None
    if not known.version == said.version < wished.version:
        return None
    if said.rejected is not None and said.rejected.version == wished.version:
        return None
    changed = {
        key: value
        for key, value in said.values.items()
        if key in known.values and not is_same(value, known.values[key]) and not is_same(value, wished.values.get(key))
    }
    changed = _allowed(changed, settings, wished.values)
    if not changed:
        return None
    return msgspec.structs.replace(
        wished, version=wished.version + 1, values=wished.values | changed, own=wished.own | changed, at=now
    )


def _on_site(state: ConfigState, change: Change, earlier: Desired | None, settings: tuple[Setting, ...]) -> Values:
    """What somebody has changed on site of what a return has nothing to do with. Of a device that refused what the rollout
    brought, that is only known where it runs the version before that.
    """
    if state.desired is None or state.reported is None:
        return {}
    runs_earlier = state.reported.version == (earlier.version if earlier is not None else 0)
    if state.status != "drifted" and not (state.status == "rejected" and runs_earlier):
        return {}
    wished, back = state.desired, change.layer.values if change.layer is not None else {}
    named = set(back).union(*(layer.values for layer in wished.layers if layer.source == change.source))
    changed = {
        key: value
        for key, value in state.reported.values.items()
        if key in wished.values and key not in named and not is_same(value, wished.values[key])
    }
    return _allowed(changed, settings, wished.values)


def kept_on_site(before: Desired | None, made: Desired) -> Values:
    """What a rollout's version has made the device's own: as it runs there, be that set by somebody, or by the device itself
    when it took what the rollout brought.
    """
    if made.kind not in _OF_ROLLOUTS:
        return {}
    own = before.own if before is not None else {}
    return {key: value for key, value in made.own.items() if not is_same(value, own.get(key))}


def _allowed(changed: Values, settings: tuple[Setting, ...], beside: Values) -> Values:
    """Of what was changed on site, what the profile knows and allows."""
    changed = known_values(changed, {setting.key for setting in settings if not setting.read_only})
    wrong = {problem.key for problem in check_values(settings, beside | changed)}
    return {key: value for key, value in changed.items() if key not in wrong}


def _wished(
    state: ConfigState, change: Change, earlier: Desired | None, settings: tuple[Setting, ...]
) -> tuple[Values, tuple[Layer, ...]]:
    """The device's own values and its layers, as the change wants them. Of what was wished earlier only what the profile
    still knows: it may have changed since.
    """
    shown = {setting.key: setting.default for setting in settings if setting.read_only}
    known = {setting.key for setting in settings if not setting.read_only}
    own = known_values(state.desired.own, known) if state.desired is not None else {}
    layers = state.desired.layers if state.desired is not None else ()
    match change.kind:
        case "set":  # what is only shown may be repeated
            told = change.own or {}
            return {key: value for key, value in told.items() if not (key in shown and is_same(value, shown[key]))}, layers
        case "return":
            if earlier is None:
                raise Conflict("unknown_version", f"the configuration has no version {change.version}")
            return known_values(earlier.own, known), earlier.layers
        case "accept_drift":
            if state.status != "drifted" or state.reported is None:
                raise Conflict("not_drifted", "the device runs what it was told")
            if change.reported_at not in (None, state.reported.at):
                raise Conflict("stale_report", "the device has reported other values since: look at them, then accept those")
            former = defaults_in(state.desired) if state.desired is not None else {}
            runs = known_values(state.reported.values, known)
            return own | {key: each for key, each in runs.items() if not is_same(each, former.get(key))}, layers
        case "overwrite":
            if state.status not in ("drifted", "rejected"):
                raise Conflict("not_drifted", "the device runs what it was told")
            return own, layers
        case _:
            return own, _relayered(layers, change, known)


def _told(
    state: ConfigState,
    change: Change,
    settings: tuple[Setting, ...],
    layers: tuple[Layer, ...],
    own: Values,
    earlier: Desired | None,
) -> Values:
    """As told_values; but where nobody asked for the profile's defaults, those stay that the device was told before, or that
    it runs without having been told anything, unless the profile allows them no more.
    """
    values, origins = told_values(state, settings, layers, own), merged(settings, layers, own)[1]
    former: Values = {}
    if change.kind in ("return", "rollout_return") and earlier is not None:
        former = defaults_in(earlier)
    if change.kind == "rollout":
        former = defaults_run(state, settings)
    if change.kind in _OF_THE_STANDING and state.desired is not None:
        before = state.desired
        former |= defaults_in(before)
        values = {key: each for key, each in values.items() if key in before.values or origins[key].kind != "profile"}
    if change.kind == "accept_drift" and state.reported is not None:
        runs = state.reported.values
        former = {key: value for key, value in former.items() if is_same(value, runs.get(key))}
    kept = {key: former[key] for key in values if key in former and origins[key].kind == "profile"}
    wrong = {problem.key for problem in check_values(settings, values | kept)}
    return values | {key: value for key, value in kept.items() if key not in wrong}


def _new_problems(
    problems: list[SettingProblem], values: Values, settings: tuple[Setting, ...], in_force: Values
) -> list[SettingProblem]:
    """Without those that the values in force have already: the profile may have been edited since, and what a return leaves
    as it is shall not keep it from giving the rest back.
    """
    standing = {(each.key, each.code) for each in check_values(settings, in_force)}
    return [
        each
        for each in problems
        if (each.key, each.code) not in standing or not is_same(values.get(each.key), in_force.get(each.key))
    ]


def defaults_in(told: Desired) -> Values:
    """What came from the profile, as it was then."""
    others = set(told.own).union(*(layer.values for layer in told.layers))
    return {key: value for key, value in told.values.items() if key not in others}


def defaults_run(state: ConfigState, settings: Iterable[Setting]) -> Values:
    """Of a device that nobody has ever wished anything of: its profile's defaults, as they were when it took them."""
    if state.desired is not None or state.reported is None or state.status != "in_sync":
        return {}
    return known_values(state.reported.values, {setting.key for setting in settings if not setting.read_only})


def _relayered(layers: tuple[Layer, ...], change: Change, known: set[str]) -> tuple[Layer, ...]:
    """A rollout's layer comes out on top. What is given back goes where it stood: no higher than what it makes room for,
    and below all that was above it, also where these came anew since. Where nothing of this source is left, a person has
    put it back already. Asked again, nothing changes.
    """
    if change.layer is not None and change.layer in layers:
        return layers
    others = tuple(layer for layer in layers if layer.source != change.source)
    if change.kind == "rollout":
        return others if change.layer is None else (*_with_room(others, known), change.layer)
    held = next((place for place, layer in enumerate(layers) if layer.source == change.source), None)
    if held is None or change.rollout not in (None, layers[held].rollout):
        return layers  # what another rollout has brought since is not this one's to take
    if change.layer is None:
        return others
    above = [place for place, layer in enumerate(others) if layer.source in change.below]
    place = min([held, *above])
    return (*others[:place], change.layer, *others[place:])


def _with_room(layers: tuple[Layer, ...], known: set[str]) -> tuple[Layer, ...]:
    """For one more. Where there are too many, the oldest go of which no value is in force, since others above set them all:
    first those of rollouts to no saved group, which none will come to again. So of the others each sets something alone.
    """
    covered: list[Layer] = []
    above: set[str] = set()
    for layer in reversed(layers):
        keys = layer.values.keys() & known
        if keys <= above:
            covered.insert(0, layer)
        above |= keys
    covered.sort(key=lambda layer: layer.source != layer.rollout)
    going = covered[: max(len(layers) + 1 - CONFIG_LAYERS_MAX, 0)]
    return tuple(layer for layer in layers if layer not in going)
