"""What a rollout would do before it begins: whom it means and in which waves, who is left out and why, what changes."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from fleet.config_diff import differences
from fleet.configuration import Values, settings_of
from fleet.device_setting import Setting, check_values, defaults_of, refusal
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import BULK_TARGETS_MAX, CONFIRM_TARGETS, GROUP_PREVIEW_DEVICES
from fleet.order_messages import ConfigValue
from fleet.rollouts.plan import RolloutPlan, wave_sizes
from fleet.storage import groups, own_values, profile_versions, targets
from fleet.storage.database import Connection
from fleet.storage.groups import GroupRow
from fleet.storage.profile_versions import ProfileRow
from fleet.targets import TargetDevice, TargetQuery
from web.errors import ConfirmNeeded


class OnSite(msgspec.Struct, frozen=True):
    """A device that was changed on site."""

    site: SiteId
    site_name: str
    device: DeviceId
    name: str


class KeepsOwn(OnSite, frozen=True):
    """A device whose own values under these keys stay in force."""

    keys: list[str]


class ValueDiff(msgspec.Struct, frozen=True):
    """before: of the group's template, else the profile's default. after null: no longer in the template."""

    key: str
    before: ConfigValue | None
    after: ConfigValue | None


class Aim(msgspec.Struct, frozen=True):
    """skipped: reason → devices that the query means and that are left out. everything: nothing was asked of the devices but
    their profile. drifted: those that were changed on site.
    """

    profile: ProfileRow
    group: GroupRow | None
    query: TargetQuery
    targets: list[TargetDevice]
    skipped: dict[str, int]
    everything: bool
    drifted: list[TargetDevice]

    def by(self, plan: RolloutPlan) -> "Aim":
        """Without those that were changed on site, unless the plan overwrites that."""
        if plan.overwrite_drift or not self.drifted:
            return self
        spared = {each.device for each in self.drifted}
        left = [each for each in self.targets if each.device not in spared]
        return msgspec.structs.replace(self, targets=left, skipped=self.skipped | {"drifted": len(spared)})

    @property
    def settings(self) -> tuple[Setting, ...]:
        return settings_of(self.profile.definition)

    @property
    def must_confirm(self) -> bool:
        return self.everything or len(self.targets) > CONFIRM_TARGETS

    def check_count(self, confirm_count: int | None) -> None:
        """Raises BadInput (empty_selection), ConfirmNeeded (confirm_needed)."""
        count = len(self.targets)
        if not count:
            why = ", ".join(f"{reason}: {devices}" for reason, devices in sorted(self.skipped.items()))
            raise BadInput("empty_selection", f"no device is meant ({why or 'nothing matches'})")
        if confirm_count != count and (self.must_confirm or confirm_count is not None):
            raise ConfirmNeeded(count)


class Preview(msgspec.Struct, frozen=True):
    """As of now; who is meant is found anew when the rollout is made.

    offline: get it when they return. keep_own: how many; keepers: some of them. must_confirm: it is only made with
    confirm_count = devices. drifted: how many that are meant were changed on site, drifters some of them: they are left out
    (skipped), or what was changed there is overwritten (plan.overwrite_drift).
    """

    devices: int
    must_confirm: bool
    waves: list[int]
    offline: int
    skipped: dict[str, int]
    keep_own: int
    keepers: list[KeepsOwn]
    changes: list[ValueDiff]
    drifted: int
    drifters: list[OnSite]


async def aim(connection: Connection, profile_id: str, group_id: str | None, query: TargetQuery | None) -> Aim:
    """Raises NotFound (unknown_profile, unknown_group), BadInput (bad_target, too_many_targets)."""
    profile = await profile_versions.profile(connection, profile_id)
    if (group_id is None) == (query is None):
        raise BadInput("bad_target", "name either a group or a query")
    group = await groups.group(connection, group_id) if group_id is not None else None
    asked = group.query if group is not None else query or TargetQuery()
    found = await _of_profile(connection, asked, profile.id)
    if len(found) > BULK_TARGETS_MAX:
        raise BadInput("too_many_targets", f"more than {BULK_TARGETS_MAX} devices are meant: narrow the selection")
    skipped = Counter(reason for each in found if (reason := _left_out(each)) is not None)
    if others := await targets.count(connection, asked) - len(found):
        skipped["other_profile"] = others
    meant = [each for each in found if _left_out(each) is None]
    everything = msgspec.structs.replace(asked, profiles=(), kinds=()).is_everything
    drifted = [each for each in meant if each.config == "drifted"]
    return Aim(profile, group, asked, meant, dict(skipped), everything, drifted)


def check_rollout_values(settings: tuple[Setting, ...], values: Mapping[str, ConfigValue]) -> None:
    """Whether a device without values of its own could run them. Raises BadInput (no_values), RefusedValues (bad_config)."""
    if not values:
        raise BadInput("no_values", "say at least one value that shall change")
    defaults = defaults_of(settings)
    problems = check_values(settings, {**defaults, **values}, defaults)
    if problems:
        raise refusal("bad_config", problems)


async def preview(connection: Connection, aimed: Aim, values: Values, plan: RolloutPlan) -> Preview:
    """aimed: by this plan."""
    keeps = await own_values.keepers(connection, [each.device for each in aimed.targets], list(values))
    first = [each for each in aimed.targets if each.device in keeps][:GROUP_PREVIEW_DEVICES]
    return Preview(
        devices=len(aimed.targets),
        must_confirm=aimed.must_confirm,
        waves=wave_sizes(plan, len(aimed.targets)),
        offline=sum(not each.online for each in aimed.targets),
        skipped=aimed.skipped,
        keep_own=len(keeps),
        keepers=[KeepsOwn(each.site, each.site_name, each.device, each.name, keeps[each.device]) for each in first],
        changes=changes(aimed, values),
        drifted=len(aimed.drifted),
        drifters=[
            OnSite(each.site, each.site_name, each.device, each.name) for each in aimed.drifted[:GROUP_PREVIEW_DEVICES]
        ],
    )


def changes(aimed: Aim, values: Values) -> list[ValueDiff]:
    """In the settings' order: what these values change of the group's template, or of the profile's defaults."""
    order = [setting.key for setting in aimed.settings]
    defaults = defaults_of(aimed.settings)
    template = aimed.group.values if aimed.group is not None else {}
    before = {key: defaults[key] for key in values if key in defaults} | template
    found = differences(before, values)
    return [
        ValueDiff(key, *found[key])
        for key in sorted(found, key=lambda each: order.index(each) if each in order else len(order))
    ]


async def _of_profile(connection: Connection, asked: TargetQuery, profile_id: str) -> list[TargetDevice]:
    """One more than there may be, if there are more."""
    if asked.profiles and profile_id not in asked.profiles:
        return []
    narrowed = msgspec.structs.replace(asked, profiles=(profile_id,))
    return await targets.matching(connection, narrowed, limit=BULK_TARGETS_MAX + 1)


def _left_out(target: TargetDevice) -> str | None:
    if target.gateway is not None:
        return "behind_gateway"
    return "device_revoked" if target.revoked else None
