"""A device's configuration: what it shall run, what it says it runs, and how the two stand to each other.

What a wish makes of it is in fleet.config_wishes. Versions are the device's, and only grow.
"""

import math
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from fleet.device_setting import Setting, defaults_of, is_same
from fleet.errors import BadInput
from fleet.limits import (
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
OriginKind = Literal["profile", "former_profile", "group", "device"]
_INTERVAL: Final = "report_interval_s"
_SWITCHES: Final = "input."  # what an agent reports of its inputs: they are its own, no profile knows them


class Layer(msgspec.Struct, frozen=True):
    """What a rollout has brought to a device. source: of the group, or of a rollout to no saved group."""

    source: str
    name: str
    rollout: str
    values: Values


class Origin(msgspec.Struct, frozen=True):
    """Where a value comes from. former_profile: a default that was edited since. source, name: of the group's layer."""

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
    overwrite_drift  rollout: also a device that was changed on site
    reported_at accept_drift: when the device said what is accepted; None: whatever it says now

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
    overwrite_drift: bool = False
    reported_at: UnixMs | None = None


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
    """After a device's `up/config`; the same object when that says nothing new, and means nothing new.

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
    if state.desired is None and state.status == "in_sync" and known is not None:
        settings = _as_run(settings, known.values, said.values)
    if (
        known is not None
        and known.version == said.version
        and same_values(known.values, said.values)
        and known.rejected == rejected
    ):  # of one that was changed on site, the defaults may have come to that since
        judged = _judged(state, settings, now)
        return state if judged is state else msgspec.structs.replace(judged, revision=state.revision + 1)
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
        wanted = known_values(defaults_of(settings or ()), set(said.values))
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
    wanted = state.desired.values if state.desired is not None else known_values(defaults_of(settings), set(said))
    return {key: (value, said.get(key)) for key, value in wanted.items() if not is_same(value, said.get(key))}


def same_values(one: Mapping[str, ConfigValue], other: Mapping[str, ConfigValue]) -> bool:
    return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())


def known_values(values: Mapping[str, ConfigValue], known: set[str]) -> Values:
    """Those under keys that are known."""
    return {key: value for key, value in values.items() if key in known}


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


def _as_run(settings: tuple[Setting, ...], ran: Values, runs: Values) -> tuple[Setting, ...]:
    """Of a device that ran its profile's defaults as they were: what it has left as it was is one still, whatever the
    profile says now. Nobody has told it otherwise.
    """
    kept = {key for key, value in runs.items() if key in ran and is_same(value, ran[key])}
    return tuple(msgspec.structs.replace(each, default=runs[each.key]) if each.key in kept else each for each in settings)


def _inferred(key: str, value: ConfigValue) -> Setting:
    kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return Setting(key, kind, label_fr=key, label_en=key, default=value)  # type: ignore[arg-type]
