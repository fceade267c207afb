"""A device's configuration: what it shall run, what it says it runs, and how the two stand to each other.

Where a value comes from, the lowest first: the profile's default, the groups' rollouts in the order in which they came (the
newest wins), and the device's own. Versions are the device's, and only grow.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from fleet.device_setting import Setting, check_values, defaults_of, is_same, refusal
from fleet.errors import BadInput, Conflict
from fleet.limits import (
    CONFIG_LAYERS_MAX,
    CONFIG_RESEND_S,
    CONFIG_VERSION_AHEAD_MAX,
    REPORT_INTERVAL_MAX_S,
    SETTING_KEY_CHARS_MAX,
    SETTING_TEXT_CHARS_MAX,
    SETTINGS_PER_DEVICE_MAX,
)
from fleet.order_messages import ConfigValue, DesiredConfig, RejectedConfig, ReportedConfig
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs

Values = dict[str, ConfigValue]
ConfigStatus = Literal["in_sync", "pending", "applying", "rejected", "drifted", "unknown"]
STATUSES: Final[tuple[ConfigStatus, ...]] = ("in_sync", "pending", "applying", "rejected", "drifted", "unknown")
ChangeKind = Literal["set", "return", "accept_drift", "overwrite", "rollout", "rollout_return"]
OriginKind = Literal["profile", "group", "device"]
_INTERVAL: Final = "report_interval_s"
_SWITCHES: Final = "input."  # what an agent reports of its inputs: they are its own, no profile knows them


class Layer(msgspec.Struct, frozen=True):
    """What a rollout has brought to a device. source: of the group, or of a rollout to no saved group."""

    source: str
    name: str
    rollout: str
    values: Values


class Origin(msgspec.Struct, frozen=True):
    """Where a value comes from. source, name: of the group's layer."""

    kind: OriginKind
    source: str = ""
    name: str = ""


class Change(msgspec.Struct, frozen=True):
    """A wish. What is not named stays; exactly what `kind` needs is set.

    own      set: the device's own values, all of them; those equal to what it would inherit are inherited
    version  return: the earlier version whose values shall come back
    layer    rollout: what it brings; rollout_return: what takes the place of the layer of `source`, None: nothing
    expected the version that whoever wishes has seen; None: whatever it is (rollouts)
    below    rollout_return: sources of those that `layer` stood below

    Processes of two releases hand it to each other by the order of its fields: a new one comes last.
    """

    kind: ChangeKind
    why: str = ""
    person_id: str | None = None
    expected: int | None = None
    own: Values | None = None
    version: int | None = None
    source: str = ""
    layer: Layer | None = None
    rollout: str | None = None
    below: tuple[str, ...] = ()


class Desired(msgspec.Struct, frozen=True):
    """One version of what a device shall be; the history is made of these. values: all of them, with what is inherited."""

    version: int
    values: Values
    own: Values
    layers: tuple[Layer, ...]
    at: UnixMs
    kind: ChangeKind
    person_id: str | None = None
    rollout: str | None = None
    why: str = ""

    def wire(self) -> DesiredConfig:
        return DesiredConfig(self.version, self.values)


class Reported(msgspec.Struct, frozen=True):
    """What a device said last that it runs."""

    version: int
    values: Values
    at: UnixMs
    rejected: RejectedConfig | None = None


class ConfigState(msgspec.Struct, frozen=True):
    """Of one device. desired None: nobody has ever wished anything, it runs its profile's defaults.

    sent_version: the highest that was stored as sent. revision grows with every change of any of it.
    asked_at, asked: when it was last published, and how often in this presence of the device; not stored.
    """

    desired: Desired | None = None
    reported: Reported | None = None
    sent_version: int = 0
    sent_at: UnixMs | None = None
    status: ConfigStatus = "unknown"
    status_at: UnixMs = 0
    revision: int = 0
    asked_at: UnixMs = 0
    asked: int = 0

    @property
    def version(self) -> int:
        return self.desired.version if self.desired is not None else 0


def settings_of(profile: DeviceProfile, reported: Mapping[str, ConfigValue] | None = None) -> tuple[Setting, ...]:
    """What a device of this profile can be told: the profile's settings with its defaults, what older definitions name in
    default_config only, and the switches of inputs that the device itself reports. The default of what is only shown is
    what the device says of it.
    """
    said = reported or {}
    settings = [
        msgspec.structs.replace(
            setting, default=(said if setting.read_only else profile.default_config).get(setting.key, setting.default)
        )
        for setting in profile.settings
    ]
    known = {setting.key for setting in settings}
    settings += [_inferred(key, value) for key, value in profile.default_config.items() if key not in known]
    known.update(profile.default_config)
    for key, value in said.items():
        if key.startswith(_SWITCHES) and isinstance(value, bool) and key not in known:
            settings.append(_inferred(key, True))
    return tuple(settings)


def interval_s(profile: DeviceProfile, said: Reported | None) -> float:
    """How often a device reports when all is well: as its profile has it, or more rarely when it says so itself."""
    own_s = said.values.get(_INTERVAL) if said is not None else None
    if isinstance(own_s, bool) or not isinstance(own_s, int | float):
        return profile.interval_s
    return min(max(own_s, profile.interval_s), REPORT_INTERVAL_MAX_S)


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

    earlier: for 'return', the version that is to come back.
    Raises Conflict (stale_version, not_drifted, unknown_version), RefusedValues (bad_config), BadInput (too_many_layers).
    """
    if change.expected is not None and change.expected != state.version:
        raise Conflict("stale_version", f"the configuration is at version {state.version}, not {change.expected}")
    own, layers = _wished(state, change, earlier, settings)
    if change.kind in ("set", "accept_drift"):  # a rollout may go as it came: what was a device's own is so again
        below, _ = inherited(settings, layers)
        own = {key: value for key, value in own.items() if not is_same(value, below.get(key))}
    values = told_values(state, settings, layers, own)
    problems = check_values(settings, values)
    if problems:
        raise refusal("bad_config", problems)
    if change.kind not in ("accept_drift", "overwrite") and state.desired is not None:
        wished = state.desired
        if same_values(values, wished.values) and same_values(own, wished.own) and layers == wished.layers:
            return None
    reported_version = state.reported.version if state.reported is not None else 0
    version = max(state.version, reported_version) + 1  # a device only takes what is newer than what it runs
    return Desired(version, values, own, layers, now, change.kind, change.person_id, change.rollout, change.why)


def _wished(
    state: ConfigState, change: Change, earlier: Desired | None, settings: tuple[Setting, ...]
) -> tuple[Values, tuple[Layer, ...]]:
    """The device's own values and its layers, as the change wants them. Of what was wished earlier only what the profile
    still knows: it may have changed since.
    """
    shown = {setting.key: setting.default for setting in settings if setting.read_only}
    known = {setting.key for setting in settings if not setting.read_only}
    own = _known(state.desired.own, known) if state.desired is not None else {}
    layers = state.desired.layers if state.desired is not None else ()
    match change.kind:
        case "set":  # what is only shown may be repeated
            told = change.own or {}
            return {key: value for key, value in told.items() if not (key in shown and is_same(value, shown[key]))}, layers
        case "return":
            if earlier is None:
                raise Conflict("unknown_version", f"the configuration has no version {change.version}")
            return _known(earlier.own, known), earlier.layers
        case "accept_drift":
            if state.status != "drifted" or state.reported is None:
                raise Conflict("not_drifted", "the device runs what it was told")
            return own | _known(state.reported.values, known), layers
        case "overwrite":
            if state.status not in ("drifted", "rejected"):
                raise Conflict("not_drifted", "the device runs what it was told")
            return own, layers
        case _:
            layers = _relayered(layers, change)
            if len(layers) > CONFIG_LAYERS_MAX:
                raise BadInput("too_many_layers", f"more than {CONFIG_LAYERS_MAX} groups bear upon this device")
            return own, layers


def _relayered(layers: tuple[Layer, ...], change: Change) -> tuple[Layer, ...]:
    """A rollout's layer comes out on top. What is given back goes where it stood: no higher than what it makes room for,
    and below all that was above it, also where these came anew since. Asked again, nothing changes.
    """
    if change.layer is not None and change.layer in layers:
        return layers
    others = tuple(layer for layer in layers if layer.source != change.source)
    if change.kind == "rollout":
        return others if change.layer is None else (*others, change.layer)
    held = next((place for place, layer in enumerate(layers) if layer.source == change.source), None)
    if held is not None and change.rollout not in (None, layers[held].rollout):
        return layers  # what another rollout has brought since is not this one's to take
    if change.layer is None:
        return others
    above = [place for place, layer in enumerate(others) if layer.source in change.below]
    place = min([len(others) if held is None else held, *above])
    return (*others[:place], change.layer, *others[place:])


def _known(values: Mapping[str, ConfigValue], known: set[str]) -> Values:
    return {key: value for key, value in values.items() if key in known}


def adopted(state: ConfigState, desired: Desired, now: UnixMs) -> ConfigState:
    """Once the version is stored."""
    return _judged(
        msgspec.structs.replace(state, desired=desired, asked_at=0, asked=0, revision=state.revision + 1), None, now
    )


def sent(state: ConfigState, now: UnixMs) -> ConfigState:
    """Stored before the first publishing of a version; a repetition changes what is not stored only."""
    if state.sent_version >= state.version:
        return msgspec.structs.replace(state, asked_at=now, asked=state.asked + 1)
    after = msgspec.structs.replace(
        state, sent_version=state.version, sent_at=now, asked_at=now, asked=1, revision=state.revision + 1
    )
    return _judged(after, None, now)


def is_due(state: ConfigState, now: UnixMs) -> bool:
    """Whether a device that is there is to be told its configuration now: at once, then with growing patience."""
    if state.status not in ("pending", "applying"):
        return False
    waits = CONFIG_RESEND_S[min(state.asked, len(CONFIG_RESEND_S)) - 1] if state.asked else 0.0
    return now - state.asked_at >= waits * 1000


def returned(state: ConfigState) -> ConfigState:
    """The device has come back: what it has not reported is due at once."""
    return msgspec.structs.replace(state, asked_at=0, asked=0)


def reported(state: ConfigState, said: ReportedConfig, settings: tuple[Setting, ...], now: UnixMs) -> ConfigState:
    """After a device's `up/config`; the same object when that says nothing new.

    Raises BadInput (bad_version) for a version that no mistake explains, and (bad_report) for what is no configuration.
    """
    for version in (said.version, said.rejected.version if said.rejected is not None else 0):
        if not 0 <= version <= state.version + CONFIG_VERSION_AHEAD_MAX:
            raise BadInput("bad_version", f"version {version} was reported; {state.version} is the newest that there is")
    if len(said.values) > SETTINGS_PER_DEVICE_MAX or not all(_is_storable(*value) for value in said.values.items()):
        raise BadInput(
            "bad_report",
            f"more than {SETTINGS_PER_DEVICE_MAX} values, or some that no setting may have: long texts, infinities",
        )
    rejected = _readable(said.rejected) if said.rejected is not None else None
    known = state.reported
    if (
        known is not None
        and known.version == said.version
        and same_values(known.values, said.values)
        and known.rejected == rejected
    ):
        return state
    after = msgspec.structs.replace(
        state, reported=Reported(said.version, dict(said.values), now, rejected), revision=state.revision + 1
    )
    return _judged(after, settings, now)


def judge(state: ConfigState, settings: tuple[Setting, ...] | None) -> ConfigStatus:
    """How desired and reported stand to each other.

    settings: for a device that nobody has wished anything of, whose profile's defaults then count as wished; what it does
    not say it was not told.
    """
    said = state.reported
    if state.desired is None:
        if said is None:
            return "unknown"
        wanted = _known(defaults_of(settings or ()), set(said.values))
        return "in_sync" if said.version == 0 and _agrees(wanted, said.values) else "drifted"
    if said is None or said.version < state.version:
        if said is not None and said.rejected is not None and said.rejected.version == state.version:
            return "rejected"
        return "applying" if state.sent_version >= state.version else "pending"
    if said.version == state.version and _agrees(state.desired.values, said.values):
        return "in_sync"
    return "drifted"  # changed on site, or a version that was never sent


def drift(state: ConfigState, settings: tuple[Setting, ...]) -> dict[str, tuple[ConfigValue | None, ConfigValue | None]]:
    """Key → (wished, reported), where they differ; empty unless the device drifted."""
    if state.reported is None or state.status != "drifted":
        return {}
    said = state.reported.values
    wanted = state.desired.values if state.desired is not None else _known(defaults_of(settings), set(said))
    return {key: (value, said.get(key)) for key, value in wanted.items() if not is_same(value, said.get(key))}


def same_values(one: Mapping[str, ConfigValue], other: Mapping[str, ConfigValue]) -> bool:
    return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())


def _agrees(wanted: Mapping[str, ConfigValue], said: Mapping[str, ConfigValue]) -> bool:
    """A device may report more than it was told; of what it was told, nothing may be missing."""
    return all(key in said and is_same(value, said[key]) for key, value in wanted.items())


def _is_storable(key: str, value: ConfigValue) -> bool:
    if len(key) > SETTING_KEY_CHARS_MAX or "\x00" in key:
        return False
    if isinstance(value, str):
        return len(value) <= SETTING_TEXT_CHARS_MAX and "\x00" not in value
    return math.isfinite(value)


def _readable(rejected: RejectedConfig) -> RejectedConfig:
    """A device's reasons, however it words them, cut to what is kept."""
    errors = {
        key[:SETTING_KEY_CHARS_MAX].replace("\x00", ""): why[:SETTING_TEXT_CHARS_MAX].replace("\x00", "")
        for key, why in list(rejected.errors.items())[:SETTINGS_PER_DEVICE_MAX]
    }
    return RejectedConfig(rejected.version, errors)


def _judged(state: ConfigState, settings: tuple[Setting, ...] | None, now: UnixMs) -> ConfigState:
    status = judge(state, settings)
    if status == state.status:
        return state
    return msgspec.structs.replace(state, status=status, status_at=now)


def _inferred(key: str, value: ConfigValue) -> Setting:
    kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return Setting(key, kind, label_fr=key, label_en=key, default=value)  # type: ignore[arg-type]
