"""To whom one command for many goes: whom the selection means, who of these can be told it, and who cannot and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fleet import command_catalog
from fleet.command_catalog import CommandSpec
from fleet.device_setting import RefusedValues
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import BULK_TARGETS_MAX, CONFIRM_TARGETS
from fleet.order_messages import ConfigValue
from fleet.profiles import DeviceProfile
from fleet.storage import commands as stored
from fleet.storage import groups
from fleet.storage.database import Connection
from fleet.storage.targets import matching, named
from fleet.targets import TargetDevice, TargetQuery
from web.errors import ConfirmNeeded
from web.groups import parse_group


class Selection(TargetQuery, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A query for devices, or a group and nothing else: those that the group means when it is asked."""

    group: str | None = None


class Addressed(msgspec.Struct, frozen=True):
    """args: with the defaults of the device's own profile."""

    site: SiteId
    device: DeviceId
    spec: CommandSpec
    args: dict[str, ConfigValue]


class Plan(msgspec.Struct, frozen=True):
    """skipped: reason → devices. refusal: what its arguments are refused for, by some profile. everything: nothing was asked
    of the devices.
    """

    addressed: list[Addressed]
    skipped: dict[str, int]
    everything: bool
    refusal: RefusedValues | None = None

    @property
    def must_confirm(self) -> bool:
        return self.everything or len(self.addressed) > CONFIRM_TARGETS

    def check(self, confirm_count: int | None) -> None:
        """Raises BadInput (empty_selection), RefusedValues (bad_args), ConfirmNeeded (confirm_needed)."""
        count = len(self.addressed)
        if not count:
            if self.refusal is not None:
                raise self.refusal
            why = ", ".join(f"{reason}: {devices}" for reason, devices in sorted(self.skipped.items()))
            raise BadInput("empty_selection", f"no device can be given this command ({why or 'nothing matches'})")
        if confirm_count != count and (self.must_confirm or confirm_count is not None):
            raise ConfirmNeeded(count)


async def query_of(connection: Connection, selection: Selection) -> TargetQuery:
    """Raises BadInput (bad_query), NotFound (unknown_group)."""
    query = TargetQuery(**{field: getattr(selection, field) for field in TargetQuery.__struct_fields__})
    if selection.group is None:
        return query
    if not query.is_everything:
        raise BadInput("bad_query", "say either a group or what the devices have in common, not both")
    return (await groups.group(connection, parse_group(selection.group))).query


async def plan(connection: Connection, query: TargetQuery, name: str, args: Mapping[str, Any]) -> Plan:
    """Raises BadInput (too_many_targets)."""
    targets = await matching(connection, query, limit=BULK_TARGETS_MAX + 1)
    if len(targets) > BULK_TARGETS_MAX:
        raise BadInput("too_many_targets", f"more than {BULK_TARGETS_MAX} devices are meant: narrow the selection")
    only_named = bool(query.devices) and query == TargetQuery(devices=query.devices)
    unknown = len(set(query.devices)) - len(targets) if only_named else 0
    planned = await _plan(connection, targets, unknown, name, args)
    return msgspec.structs.replace(planned, everything=query.is_everything)


async def plan_again(connection: Connection, devices: Sequence[DeviceId], name: str, args: Mapping[str, Any]) -> Plan:
    """For those that it was planned for before; who cannot be told it any more is skipped."""
    targets = await named(connection, devices)
    return await _plan(connection, targets, len(devices) - len(targets), name, args)


async def _plan(
    connection: Connection, targets: Sequence[TargetDevice], unknown: int, name: str, args: Mapping[str, Any]
) -> Plan:
    """unknown: devices that were named and are not there."""
    profiles = await stored.profiles(connection, {target.profile for target in targets})
    skipped = Counter({"unknown_device": unknown} if unknown else {})
    fits: dict[str, tuple[CommandSpec, dict[str, ConfigValue]]] = {}
    misfits: dict[str, BadInput] = {}
    for profile in profiles.values():
        try:
            fits[profile.id] = command_catalog.checked(profile, name, args)
        except BadInput as error:
            misfits[profile.id] = error
    addressed = []
    for target in targets:
        reason = _reason(target, profiles, misfits)
        if reason is not None:
            skipped[reason] += 1
        else:
            addressed.append(Addressed(target.site, target.device, *fits[target.profile]))
    refusal = next((each for each in misfits.values() if isinstance(each, RefusedValues)), None)
    return Plan(addressed, dict(skipped), everything=False, refusal=refusal)


def _reason(target: TargetDevice, profiles: Mapping[str, DeviceProfile], misfits: Mapping[str, BadInput]) -> str | None:
    """Why this device is not told; None: it is."""
    if target.gateway is not None:
        return "behind_gateway"
    if target.revoked:
        return "device_revoked"
    if target.profile not in profiles:
        return "unknown_command"
    return misfits[target.profile].code if target.profile in misfits else None
