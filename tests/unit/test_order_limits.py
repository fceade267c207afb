"""What waits for a device when its profile's limits are tightened: held back, taken back, and said."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from fleet.commands import IssuedCommand
from fleet.config_limits import beyond_limits, held
from fleet.config_wishes import plan
from fleet.configuration import Change, Layer, settings_of
from fleet.device_orders import DeviceOrders
from fleet.device_setting import RefusedValues, Setting
from fleet.ids import device_id, site_id
from fleet.limits import COMMAND_RESEND_S, CONFIG_RESEND_S
from fleet.order_messages import CommandResult, ReportedConfig
from fleet.profiles import DeviceProfile
from tests import box_profile

SITE, DEVICE = site_id("s-1"), device_id("d-1")
HOUR_MS, NOW = 3_600_000, 1_800_000_000_000
RESENT = NOW + round(1000 * max(*CONFIG_RESEND_S, *COMMAND_RESEND_S))
LIMIT: Final = "active_power_limit_pct"


def allowing(most_pct: float) -> DeviceProfile:
    """The box, with what the grid code allows it."""
    settings = tuple(
        msgspec.structs.replace(each, grid_maximum=most_pct) if each.key == LIMIT else each
        for each in box_profile.PROFILE.settings
    )
    return msgspec.structs.replace(box_profile.PROFILE, settings=settings, commands=("set_power_limit", "blink"))


class Looked(tuple[Setting, ...]):
    """Settings that know how often somebody went through them."""

    looks = 0

    def __iter__(self) -> Iterator[Setting]:
        self.looks += 1
        return super().__iter__()


LOOSE, TIGHT = allowing(100.0), allowing(70.0)


def wishing(*, there: bool = False, **own: Any) -> DeviceOrders:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    mine.wish(Change("set", own=own), None, LOOSE, there=there, now=NOW)
    return mine


def runs(mine: DeviceOrders, profile: DeviceProfile = LOOSE) -> None:
    """The device obeys."""
    assert mine.config.desired is not None
    said = ReportedConfig(mine.config.version, mine.config.desired.values)
    mine.report(said, profile, there=True, now=NOW)


def limiting(number: int, pct: float) -> IssuedCommand:
    args = {LIMIT: pct, "duration_s": 60}
    return IssuedCommand(f"c{number}", SITE, DEVICE, number, "set_power_limit", args, "queued", NOW, NOW + HOUR_MS, 60.0)


# Configurations


def test_what_goes_beyond_the_limits_of_now_is_held_until_they_allow_it() -> None:
    mine = wishing(active_power_limit_pct=90.0)
    assert mine.returned(TIGHT, NOW).is_empty
    assert (mine.config.status, mine.config.sent_version) == ("pending", 0)
    assert [each.key for each in held(mine.config, settings_of(TIGHT))] == [LIMIT]
    assert mine.tell(LOOSE, there=True, now=NOW).config_out is not None, "it is allowed again"


def test_what_is_held_is_checked_once_and_not_in_every_round() -> None:
    mine, profile = wishing(active_power_limit_pct=90.0), msgspec.structs.replace(TIGHT, settings=Looked(TIGHT.settings))
    settings = profile.settings
    assert isinstance(settings, Looked)
    assert mine.returned(profile, NOW).is_empty
    looks = settings.looks
    for round_ms in range(500, 60_000, 500):
        assert mine.tell(profile, there=True, now=NOW + round_ms).is_empty
    assert settings.looks == looks
    mine.wish(Change("set", own={LIMIT: 60.0}), None, profile, there=True, now=NOW + HOUR_MS)
    assert mine.config.sent_version == 2, "another version is another matter"


def test_a_new_version_within_the_limits_is_told() -> None:
    mine = wishing(active_power_limit_pct=90.0)
    mine.wish(Change("set", own={LIMIT: 60.0}), None, TIGHT, there=False, now=NOW)
    out = mine.returned(TIGHT, NOW).config_out
    assert out is not None
    assert out.values[LIMIT] == 60.0


def test_what_was_sent_and_not_answered_is_not_sent_again() -> None:
    mine = wishing(there=True, active_power_limit_pct=90.0)
    assert mine.config.status == "applying"
    for step in (mine.tell(TIGHT, there=True, now=RESENT), mine.repeated(TIGHT, RESENT), mine.returned(TIGHT, RESENT)):
        assert step.config_out is None
    assert mine.repeated(LOOSE, RESENT).config_out is not None


def test_what_it_runs_already_holds_nothing_else_back() -> None:
    mine = wishing(there=True, active_power_limit_pct=90.0)
    runs(mine)
    mine.wish(Change("set", own={LIMIT: 90.0, "report_interval_s": 30}), None, LOOSE, there=False, now=NOW)
    assert held(mine.config, settings_of(TIGHT)) == []
    assert mine.returned(TIGHT, NOW).config_out is not None
    runs(mine)
    assert mine.config.status == "in_sync"
    assert mine.config.desired is not None
    assert [each.key for each in beyond_limits(settings_of(TIGHT), mine.config.desired.values)] == [LIMIT]


# Commands


def test_a_command_beyond_the_limits_of_now_is_taken_back_and_the_next_one_sent() -> None:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    for number, pct in ((1, 90.0), (2, 60.0)):
        mine.issue(limiting(number, pct), LOOSE, there=False, now=NOW)
    step = mine.returned(TIGHT, NOW)
    first, second = step.commands
    assert (first.id, first.state, first.detail) == (
        "c1",
        "cancelled",
        {"why": "beyond_limits", "problems": [{"key": LIMIT, "code": "grid_code", "allowed": "0 … 70 % (VDE-AR-N 4105)"}]},
    )
    assert (second.id, second.state, step.command_out) == ("c2", "sent", second.wire())
    assert [(each.kind, each.subject) for each in step.receipts] == [("command.cancelled", "c1"), ("command.sent", "c2")]
    assert step.receipts[0].detail == first.detail


def test_one_that_was_sent_and_not_answered_is_given_up_instead_of_sent_again() -> None:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    mine.issue(limiting(1, 90.0), LOOSE, there=True, now=NOW)
    assert mine.repeated(TIGHT, NOW).command_out is None
    assert mine.tell(TIGHT, there=True, now=NOW).is_empty, "its answer may be under way"
    step = mine.returned(TIGHT, NOW)
    assert step.command_out is None
    assert [(each.state, each.detail["why"]) for each in step.commands] == [("timed_out", "beyond_limits")]


def test_one_that_the_device_has_accepted_is_asked_after_all_the_same() -> None:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    mine.issue(limiting(1, 90.0), LOOSE, there=True, now=NOW)
    mine.answer(CommandResult("c1", "accepted"), TIGHT, there=True, now=NOW)
    assert mine.returned(TIGHT, NOW).command_out is not None


# What a rollout gives back


def bringing_interval(mine: DeviceOrders) -> Change:
    """Its return."""
    layer = Layer("g", "G", "r-1", {"report_interval_s": 20})
    mine.wish(Change("rollout", source="g", layer=layer, rollout="r-1"), None, LOOSE, there=True, now=NOW)
    runs(mine)
    return Change("rollout_return", source="g", rollout="r-1")


def test_a_return_is_not_refused_for_what_stays_as_it_is() -> None:
    mine = wishing(there=True, active_power_limit_pct=90.0)
    runs(mine)
    back = bringing_interval(mine)
    step = mine.wish(back, None, TIGHT, there=True, now=NOW)
    assert step is not None
    assert step.config_out is not None
    assert (step.config_out.values["report_interval_s"], step.config_out.values[LIMIT]) == (10, 90.0)


def test_a_return_beyond_the_limits_of_now_is_refused() -> None:
    mine = wishing(there=True, report_interval_s=10)
    had = Layer("g", "G", "r-0", {LIMIT: 90.0})
    for rollout, layer in (("r-0", had), ("r-1", Layer("g", "G", "r-1", {LIMIT: 60.0}))):
        mine.wish(Change("rollout", source="g", layer=layer, rollout=rollout), None, LOOSE, there=True, now=NOW)
        runs(mine)
    back = Change("rollout_return", source="g", layer=had, rollout="r-1")
    with pytest.raises(RefusedValues, match=f"{LIMIT}: grid_code"):
        mine.wish(back, None, TIGHT, there=True, now=NOW)


def test_a_return_that_makes_what_stays_impossible_is_refused() -> None:
    """The value is the same, and what is wrong with it is new."""
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    high = Layer("g", "G", "r-1", {"battery_high_pct": 95})
    mine.wish(Change("rollout", source="g", layer=high, rollout="r-1"), None, LOOSE, there=True, now=NOW)
    mine.wish(Change("set", own={"battery_low_pct": 92}), None, LOOSE, there=True, now=NOW)
    with pytest.raises(RefusedValues, match="battery_low_pct: not_below"):
        plan(mine.config, Change("rollout_return", source="g", rollout="r-1"), settings_of(LOOSE), None, NOW)
