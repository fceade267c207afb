"""What somebody has changed on site, and what a device runs of defaults that were edited since: spared, and told apart."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.config_diff import origins_of, preview, wished
from fleet.config_wishes import plan, sparing
from fleet.configuration import Change, ConfigState, Values, adopted, drift, judge, reported, sent
from fleet.device_orders import DeviceOrders
from fleet.errors import Conflict
from fleet.ids import device_id, site_id
from fleet.limits import CONFIG_SPARED_PER_DAY
from fleet.order_messages import RejectedConfig, ReportedConfig
from fleet.storage.configs import ChangeRow
from tests.device_config import DEFAULTS, PROFILE, SETTINGS, after, change, desired_of, layer, said, setting
from web.config_views import change_view

EDITED = tuple(msgspec.structs.replace(each, default=30.0) if each.key == "limit_pct" else each for each in SETTINGS)
BRINGS: Change = change("rollout", source="g", layer=layer("g", report_interval_s=12.0), rollout="r-g")
RETURNS: Change = change("rollout_return", source="g", rollout="r-g")


def obeyed(state: ConfigState, **values: Any) -> ConfigState:
    """It runs what it was told, but for `values`."""
    return reported(sent(state, 1), ReportedConfig(state.version, desired_of(state).values | values), SETTINGS, 1)


# Nobody has ever wished anything of it


def test_a_rollout_leaves_a_default_that_was_edited_since() -> None:
    state = reported(ConfigState(), said(0), SETTINGS, 1)
    for over in (False, True):
        made = plan(state, msgspec.structs.replace(BRINGS, overwrite_drift=over), EDITED, None, 2)
        assert made is not None
        assert made.values == DEFAULTS | {"report_interval_s": 12.0}
        assert made.own == {}
        told = adopted(state, made, 2)
        back = plan(told, RETURNS, EDITED, None, 3)
        assert back is not None
        assert back.values == DEFAULTS
        (first,) = change_view(ChangeRow(made, None, None, None), EDITED).changes
        assert first == "report_interval_s", "what it leaves it has not changed"


def test_an_edited_default_is_nothing_that_somebody_changed_on_site() -> None:
    """Whatever the device says meanwhile, and whatever else of it is only shown."""
    shown = setting("serial", "a", "text", read_only=True)
    state = reported(ConfigState(), said(0, serial="a"), (*SETTINGS, shown), 1)
    assert reported(state, said(0, serial="a"), (*EDITED, shown), 2) is state
    settings = (*EDITED, msgspec.structs.replace(shown, default="b"))
    state = reported(state, said(0, serial="b"), settings, 3)
    assert state.status == "in_sync"
    assert wished(state, settings)["limit_pct"] == 100.0
    assert origins_of(state, settings)["limit_pct"].kind == "former_profile"
    by_hand, _ = preview(state, settings, {"export": True})
    assert [(each.key, each.before, each.after) for each in by_hand] == [("limit_pct", 100.0, 30.0), ("export", False, True)]
    newer = reported(state, said(0, serial="b", limit_pct=30.0), settings, 4)
    assert newer.status == "in_sync", "it runs the profile's default of now"
    changed = reported(state, said(0, serial="b", limit_pct=45.0), settings, 4)
    assert changed.status == "drifted"
    with pytest.raises(Conflict, match="drifted"):
        plan(changed, BRINGS, settings, None, 5)


def test_the_default_comes_to_what_was_changed_on_site() -> None:
    state = reported(ConfigState(), said(0, limit_pct=30.0), SETTINGS, 1)
    assert state.status == "drifted"
    later = reported(state, said(0, limit_pct=30.0), EDITED, 2)
    assert (later.status, later.status_at, later.revision) == ("in_sync", 2, state.revision + 1)
    assert later.reported == state.reported, "it says what it said before"
    assert reported(later, said(0, limit_pct=30.0), EDITED, 3) is later


def test_a_former_default_beyond_the_limits_of_now_gives_way() -> None:
    state = reported(ConfigState(), said(0), SETTINGS, 1)
    tight = tuple(msgspec.structs.replace(each, maximum=70) if each.key == "limit_pct" else each for each in EDITED)
    made = plan(state, BRINGS, tight, None, 2)
    assert made is not None
    assert made.values["limit_pct"] == 30.0


@given(
    ran=st.fixed_dictionaries({}, optional={"report_interval_s": st.just(20.0), "limit_pct": st.just(40.0)}),
    brought=st.fixed_dictionaries({}, optional={"report_interval_s": st.just(5.0), "export": st.booleans()}),
)
def test_the_first_rollout_changes_what_it_names_and_nothing_else(ran: Values, brought: Values) -> None:
    """Whatever the defaults were when the device took them."""
    then = tuple(msgspec.structs.replace(each, default=ran.get(each.key, each.default)) for each in SETTINGS)
    state = reported(ConfigState(), said(0, **ran), then, 1)
    wish = change("rollout", source="g", layer=layer("g", **brought), rollout="r-g")
    made = plan(state, wish, SETTINGS, None, 2)
    assert made is not None
    assert made.values == DEFAULTS | ran | brought


# Accepted, or overwritten


def drifted_from_a_former_default(**on_site: Any) -> ConfigState:
    """Told the interval by a rollout; then the default of the limit was edited, then somebody came."""
    return reported(obeyed(after(ConfigState(), BRINGS)), said(1, **{"report_interval_s": 12.0, **on_site}), EDITED, 2)


def test_what_is_wished_is_sent_again_as_it_was_wished() -> None:
    state = drifted_from_a_former_default(report_interval_s=99.0)
    assert drift(state, EDITED) == {"report_interval_s": (12.0, 99.0)}
    settings = (*EDITED, setting("colour", "blue", "text"))
    state = reported(state, said(1, report_interval_s=99.0, colour="red"), settings, 3)
    again = plan(state, change("overwrite"), settings, None, 4)
    assert again is not None
    assert again.values == wished(state, settings) == DEFAULTS | {"report_interval_s": 12.0}


def test_accepting_makes_nothing_its_own_but_what_was_changed() -> None:
    state = drifted_from_a_former_default(report_interval_s=99.0)
    taken = plan(state, change("accept_drift"), EDITED, None, 3)
    assert taken is not None
    assert (taken.own, taken.values) == ({"report_interval_s": 99.0}, DEFAULTS | {"report_interval_s": 99.0})
    later = plan(adopted(state, taken, 3), change("rollout", source="h", layer=layer("h", limit_pct=50.0)), EDITED, None, 4)
    assert later is not None
    assert later.values["limit_pct"] == 50.0


def test_what_was_changed_to_the_default_of_now_is_accepted_as_that() -> None:
    state = drifted_from_a_former_default(limit_pct=30.0)
    taken = plan(state, change("accept_drift"), EDITED, None, 3)
    assert taken is not None
    assert (taken.own, taken.values) == ({}, DEFAULTS | {"report_interval_s": 12.0, "limit_pct": 30.0})


# Changed between the telling and the taking


def told_while_away(wish: Change = BRINGS) -> DeviceOrders:
    mine = DeviceOrders(site_id("s"), device_id("d"), now=0)
    mine.report(said(0), PROFILE, there=True, now=1)
    mine.wish(wish, None, PROFILE, there=False, now=2)
    assert mine.config.status == "pending"
    return mine


def test_what_was_changed_while_it_was_away_becomes_its_own() -> None:
    mine = told_while_away()
    step = mine.report(said(0, limit_pct=45.0), PROFILE, there=True, now=3)
    assert step is not None
    assert step.desired == mine.config.desired == desired_of(mine.config)
    assert (step.desired.version, step.desired.kind, step.desired.rollout) == (2, "rollout", "r-g")
    assert step.desired.layers == (BRINGS.layer,)
    assert step.desired.own == {"limit_pct": 45.0}
    assert step.config_out is not None
    assert step.config_out.values == DEFAULTS | {"limit_pct": 45.0, "report_interval_s": 12.0}
    assert [receipt.kind for receipt in step.receipts] == ["config.reported", "config.desired", "config.sent"]
    assert mine.report(said(0, limit_pct=45.0), PROFILE, there=True, now=4) is None
    mine.report(ReportedConfig(2, step.config_out.values), PROFILE, there=True, now=5)
    assert mine.config.status == "in_sync"


def test_so_it_does_when_the_telling_was_faster_than_its_report() -> None:
    mine = told_while_away()
    assert mine.returned(PROFILE, 3).config_out is not None
    step = mine.report(said(0, limit_pct=45.0), PROFILE, there=True, now=4)
    assert step is not None
    assert step.config_out is not None
    assert step.config_out.version == 2
    assert step.config_out.values["limit_pct"] == 45.0


def test_it_keeps_what_somebody_set_of_what_the_rollout_names() -> None:
    """As it keeps any value of its own."""
    mine = told_while_away()
    mine.report(said(0, report_interval_s=99.0), PROFILE, there=True, now=3)
    assert desired_of(mine.config).values["report_interval_s"] == 99.0
    assert desired_of(mine.config).layers == (BRINGS.layer,)


def test_nothing_is_made_its_own_that_nobody_has_changed() -> None:
    away = told_while_away()
    away.report(said(0, RejectedConfig(1, {"report_interval_s": "no"})), PROFILE, there=True, now=3)
    assert (away.config.version, away.config.status) == (1, "rejected")
    half = told_while_away()
    half.report(said(0, report_interval_s=12.0, seen=1.0), PROFILE, there=True, now=3)
    assert half.config.version == 1, "it is taking the new one"
    wished_by_hand = told_while_away(change("set", own={"report_interval_s": 12.0}))
    wished_by_hand.report(said(0, limit_pct=45.0), PROFILE, there=True, now=3)
    assert wished_by_hand.config.version == 1, "somebody has looked at this device, and wished this"
    state = obeyed(after(obeyed(after(ConfigState(), change("set", own={"limit_pct": 50.0}))), BRINGS))
    assert sparing(state, ReportedConfig(1, DEFAULTS), SETTINGS, 3) is None, "of another version than it said last"


def test_what_the_profile_does_not_allow_is_not_kept() -> None:
    mine = told_while_away()
    step = mine.report(said(0, limit_pct=450.0), PROFILE, there=True, now=3)
    assert step is not None
    assert step.desired is None
    assert step.config_out is not None
    assert step.config_out.values["limit_pct"] == 100.0


def test_a_device_that_flaps_makes_so_many_versions_a_day_and_no_more() -> None:
    mine, day_ms = told_while_away(), 86_400_000
    for day in range(1, 4):
        for number in range(10 * round(CONFIG_SPARED_PER_DAY)):
            mine.report(said(0, limit_pct=float(number % 50)), PROFILE, there=False, now=day * day_ms + number * 60_000)
        assert mine.config.version == 1 + day * CONFIG_SPARED_PER_DAY


def test_one_that_refuses_is_not_told_again_for_what_changes_on_it() -> None:
    """Nothing of that is about to be overwritten."""
    mine, no = told_while_away(), RejectedConfig(1, {"report_interval_s": "no"})
    for number in range(3):
        step = mine.report(said(0, no, limit_pct=45.0 + number), PROFILE, there=True, now=3 + number)
        assert step is not None
        assert (step.desired, step.config_out) == (None, None)
    assert (mine.config.version, mine.config.status) == (1, "rejected")
    step = mine.report(said(0, limit_pct=50.0), PROFILE, there=True, now=7)
    assert step is not None
    assert step.config_out is not None, "it says no more that it refused it, and is told it again"
    assert step.config_out.values["limit_pct"] == 50.0


def test_what_was_changed_on_one_that_refuses_is_kept_when_it_is_given_back_what_it_had() -> None:
    before = obeyed(after(ConfigState(), change("set", own={"export": True})))
    asked = after(before, BRINGS)
    no = RejectedConfig(2, {"report_interval_s": "no"})
    state = reported(sent(asked, 2), ReportedConfig(1, desired_of(before).values | {"limit_pct": 45.0}, no), SETTINGS, 2)
    assert state.status == "rejected"
    back = plan(state, RETURNS, SETTINGS, before.desired, 3)
    assert back is not None
    assert (back.values, back.own) == (DEFAULTS | back.own, {"export": True, "limit_pct": 45.0})


def test_what_a_device_never_took_is_no_change_on_site() -> None:
    """It refused what somebody wished, and then what a rollout brought: it runs neither."""
    before = after(obeyed(after(ConfigState(), change("set", own={"limit_pct": 60.0}))), change("set", own={"export": True}))
    no = RejectedConfig(3, {"export": "no"})
    state = reported(sent(after(before, BRINGS), 2), said(1, no, limit_pct=60.0), SETTINGS, 2)
    back = plan(state, RETURNS, SETTINGS, before.desired, 3)
    assert back is not None
    assert (back.values, back.own) == (DEFAULTS | {"export": True}, {"export": True})


# Changed after the taking


def test_a_return_leaves_what_was_changed_on_site_meanwhile() -> None:
    before = obeyed(after(ConfigState(), change("set", own={"export": True})))
    state = obeyed(after(before, BRINGS), limit_pct=45.0)
    assert state.status == "drifted"
    back = plan(state, RETURNS, SETTINGS, before.desired, 3)
    assert back is not None
    assert back.values == DEFAULTS | {"export": True, "limit_pct": 45.0}
    assert back.own == {"export": True, "limit_pct": 45.0}, "nobody takes it for a default, and no rollout overwrites it"


def test_the_journal_says_what_was_kept_as_somebody_set_it() -> None:
    """Or as the device has set it itself, when it took what the rollout brought: nobody can tell the two apart."""
    mine = told_while_away()
    step = mine.report(said(0, export=True), PROFILE, there=True, now=3)
    assert step is not None
    assert [each.detail.get("kept") for each in step.receipts if each.kind == "config.desired"] == [{"export": True}]
    runs = desired_of(mine.config).values | {"limit_pct": 45.0}
    mine.report(ReportedConfig(2, runs), PROFILE, there=True, now=4)
    back = mine.wish(RETURNS, None, PROFILE, there=True, now=5)
    assert back is not None
    assert back.receipts[0].detail["kept"] == {"limit_pct": 45.0}
    by_hand = mine.wish(change("set", own={"limit_pct": 50.0}), None, PROFILE, there=True, now=6)
    assert by_hand is not None
    assert "kept" not in by_hand.receipts[0].detail


def test_a_return_gives_back_what_it_names_whatever_became_of_it() -> None:
    state = obeyed(after(ConfigState(), BRINGS), report_interval_s=99.0, limit_pct=450.0)
    back = plan(state, RETURNS, SETTINGS, None, 3)
    assert back is not None
    assert (back.values, back.own) == (DEFAULTS, {}), "and what the profile does not allow is not kept"


def test_a_return_to_one_that_took_nothing_yet_waits_with_it() -> None:
    """Its own value comes by what it says when it is back, as with the rollout."""
    mine = told_while_away()
    mine.wish(RETURNS, None, PROFILE, there=False, now=3)
    step = mine.report(said(0, limit_pct=45.0), PROFILE, there=True, now=4)
    assert step is not None
    assert step.config_out is not None
    assert step.config_out.values == DEFAULTS | {"limit_pct": 45.0}
    assert desired_of(mine.config).kind == "rollout_return"


def test_the_settings_that_are_compared_are_the_profiles() -> None:
    """A device may report what no profile knows; that is nothing to be told."""
    assert judge(reported(ConfigState(), said(0, noise=1.0), SETTINGS, 1), SETTINGS) == "in_sync"
    mine = told_while_away()
    mine.report(said(0, noise=1.0), PROFILE, there=True, now=3)
    mine.report(said(0, noise=2.0), PROFILE, there=True, now=4)
    assert mine.config.version == 1
