"""A device's configuration, its history and its journal as the API tells them."""

from typing import TypeVar

import msgspec

from fleet.config_diff import differences, origins_of, wished
from fleet.config_limits import beyond_limits, held
from fleet.config_wishes import defaults_in, inherited
from fleet.configuration import ChangeKind, ConfigState, ConfigStatus, Layer, Origin, OriginKind, Values, drift
from fleet.device_setting import Setting, SettingProblem
from fleet.order_messages import ConfigValue, RejectedConfig
from fleet.storage.configs import ChangeRow, DeviceConfig
from fleet.telemetry import UnixMs

T = TypeVar("T")


class Versioned(msgspec.Struct, frozen=True):
    version: int
    values: Values


class ReportedView(msgspec.Struct, frozen=True):
    """version: of what it was told; at: when it said so."""

    version: int
    values: Values
    at: UnixMs


class OriginView(msgspec.Struct, frozen=True):
    """Where a value comes from. name: the group's, or that of a rollout to no saved group; rollout: the id of the one that
    brought it; saved_group: the group's id.
    """

    kind: OriginKind
    name: str | None = None
    rollout: str | None = None
    saved_group: str | None = None


class Drifted(msgspec.Struct, frozen=True):
    wished: ConfigValue | None
    reported: ConfigValue | None


class ConfigView(msgspec.Struct, frozen=True):
    """desired: version 0 with the profile's defaults while nobody has wished anything.

    inherited: what the device would run without values of its own; own: those. drift: what it runs that was not wished.
    changed_by: a name, where you may know it. beyond_limits: what is wished and goes beyond the profile's limits by now;
    held: for that reason the version is not sent.
    """

    desired: Versioned
    reported: ReportedView | None
    status: ConfigStatus
    status_at: UnixMs | None
    sent_at: UnixMs | None
    rejected: RejectedConfig | None
    drift: dict[str, Drifted]
    own: Values
    inherited: Values
    origins: dict[str, OriginView]
    changed_at: UnixMs | None
    changed_by: str | None
    change: ChangeKind | None
    why: str
    settings: tuple[Setting, ...]
    beyond_limits: list[SettingProblem]
    held: bool


class Step(msgspec.Struct, frozen=True):
    before: ConfigValue | None
    after: ConfigValue | None


class ChangeView(msgspec.Struct, frozen=True):
    """One version. changes: what it changed in the one before it. person: a name, where you may know it."""

    version: int
    at: UnixMs
    kind: ChangeKind
    person_id: str | None
    person: str | None
    rollout: str | None
    rollout_name: str | None
    why: str
    changes: dict[str, Step]
    values: Values


def config_view(found: DeviceConfig) -> ConfigView:
    state, desired, said = found.state, found.state.desired, found.state.reported
    layers = desired.layers if desired is not None else ()
    return ConfigView(
        desired=current(found),
        reported=None if said is None else ReportedView(said.version, said.values, said.at),
        status=state.status,
        status_at=state.status_at or None,
        sent_at=state.sent_at,
        rejected=said.rejected if said is not None and state.status == "rejected" else None,
        drift={key: Drifted(*each) for key, each in in_order(drift(state, found.settings), found.settings).items()},
        own=desired.own if desired is not None else {},
        inherited=inherited(found.settings, layers)[0],
        origins=origins(state, found.settings),
        changed_at=desired.at if desired is not None else None,
        changed_by=found.person,
        change=desired.kind if desired is not None else None,
        why=desired.why if desired is not None else "",
        settings=found.settings,
        beyond_limits=beyond_limits(found.settings, wished(state, found.settings)),
        held=bool(held(state, found.settings)),
    )


def current(found: DeviceConfig) -> Versioned:
    return Versioned(found.state.version, wished(found.state, found.settings))


def origins(state: ConfigState, settings: tuple[Setting, ...]) -> dict[str, OriginView]:
    return {key: origin_view(each, state) for key, each in origins_of(state, settings).items()}


def origin_view(origin: Origin, state: ConfigState) -> OriginView:
    """The layer of a rollout to no saved group has that rollout for its source."""
    layers: tuple[Layer, ...] = state.desired.layers if state.desired is not None else ()
    layer = next((each for each in layers if each.source == origin.source), None) if origin.kind == "group" else None
    if layer is None:
        return OriginView(origin.kind)
    return OriginView(origin.kind, layer.name, layer.rollout, layer.source if layer.source != layer.rollout else None)


def change_view(row: ChangeRow, settings: tuple[Setting, ...]) -> ChangeView:
    """settings: the first version changed their defaults, as far as they were there; of those that it told, nothing."""
    desired = row.desired
    before = row.before
    if before is None:
        defaults = inherited(settings, ())[0] | defaults_in(desired)
        before = {key: value for key, value in defaults.items() if key in desired.values}
    return ChangeView(
        version=desired.version,
        at=desired.at,
        kind=desired.kind,
        person_id=desired.person_id,
        person=row.person,
        rollout=desired.rollout,
        rollout_name=row.rollout,
        why=desired.why,
        changes={key: Step(*each) for key, each in in_order(differences(before, desired.values), settings).items()},
        values=desired.values,
    )


def in_order(by_key: dict[str, T], settings: tuple[Setting, ...]) -> dict[str, T]:
    """As the settings are; what they do not know comes last. The database keeps no order of keys."""
    places = {setting.key: place for place, setting in enumerate(settings)}
    return dict(sorted(by_key.items(), key=lambda each: places.get(each[0], len(places))))
