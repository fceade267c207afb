"""A device's configuration: layers, and what a wish makes of it; versions only grow, whatever happens."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.config_wishes import inherited, merged, plan
from fleet.configuration import (
    Change,
    ConfigState,
    Desired,
    Origin,
    adopted,
    drift,
    is_due,
    judge,
    reported,
    returned,
    same_values,
    sent,
    settings_of,
)
from fleet.device_setting import RefusedValues
from fleet.errors import Conflict
from fleet.limits import (
    CONFIG_LAYERS_MAX,
)
from fleet.order_messages import RejectedConfig, ReportedConfig
from fleet.rollouts.lifecycle import former
from tests.device_config import DEFAULTS, PROFILE, SETTINGS, after, change, desired_of, layer, said, setting

# What there is to set


def test_older_definitions_and_switches_are_settings_as_well() -> None:
    profile = msgspec.structs.replace(PROFILE, default_config={"limit_pct": 80.0, "colour": "red", "beep": True})
    known = {each.key: each for each in settings_of(profile, {"input.sunspec": False, "input.x": "text", "other": 1.0})}
    assert list(known) == ["report_interval_s", "limit_pct", "export", "colour", "beep", "input.sunspec"]
    assert known["limit_pct"].default == 80.0  # the profile's own default goes before the setting's
    assert known["limit_pct"].maximum == 100
    assert (known["colour"].kind, known["beep"].kind) == ("text", "boolean")
    assert (known["input.sunspec"].kind, known["input.sunspec"].default) == ("boolean", True)


def test_what_is_only_shown_is_what_the_device_says_and_never_told() -> None:
    profile = msgspec.structs.replace(PROFILE, settings=(*SETTINGS, setting("rated_power_w", 3_000.0, read_only=True)))
    known = settings_of(profile, {"rated_power_w": 9_000.0})
    assert known[-1].default == 9_000.0
    state = reported(ConfigState(), said(0, rated_power_w=9_000.0), known, 1)
    assert state.status == "in_sync"
    made = plan(state, change("set", own={"limit_pct": 50.0, "rated_power_w": 9_000.0}), known, None, 2)
    assert made is not None
    assert made.values == DEFAULTS | {"limit_pct": 50.0}
    assert made.own == {"limit_pct": 50.0}
    with pytest.raises(RefusedValues) as raised:
        plan(state, change("set", own={"rated_power_w": 1.0}), known, None, 2)
    assert [problem.code for problem in raised.value.problems] == ["read_only"]
    state = adopted(state, made, 2)
    state = reported(state, said(1, rated_power_w=9_500.0, limit_pct=40.0), known, 3)
    assert drift(state, known) == {"limit_pct": (50.0, 40.0)}
    accepted = plan(state, change("accept_drift"), known, None, 4)
    assert accepted is not None
    assert accepted.own == {"limit_pct": 40.0}


# Layers and where values come from


def test_the_newest_group_wins_and_the_device_itself_before_all() -> None:
    layers = (layer("a", report_interval_s=20.0, limit_pct=90.0), layer("b", limit_pct=80.0, gone=1.0))
    values, origins = merged(SETTINGS, layers, {"export": True})
    assert values == {"report_interval_s": 20.0, "limit_pct": 80.0, "export": True}
    assert origins == {
        "report_interval_s": Origin("group", "a", "A"),
        "limit_pct": Origin("group", "b", "B"),
        "export": Origin("device"),
    }
    assert inherited(SETTINGS, ())[0] == DEFAULTS
    assert set(inherited(SETTINGS, ())[1].values()) == {Origin("profile")}


# What a wish makes


def test_own_values_that_it_would_inherit_are_inherited() -> None:
    state = after(ConfigState(), change("set", own={"report_interval_s": 10, "limit_pct": 50.0}, why="test", person_id="p"))
    made = desired_of(state)
    assert (made.version, made.own, made.why, made.person_id) == (1, {"limit_pct": 50.0}, "test", "p")
    assert made.values == DEFAULTS | {"limit_pct": 50.0}
    assert plan(state, change("set", own={"limit_pct": 50}), SETTINGS, None, 2) is None  # nothing would change
    assert desired_of(after(state, change("set", own={}))).values == DEFAULTS


@pytest.mark.parametrize("kind", ["set", "return", "accept_drift", "overwrite", "rollout", "rollout_return"])
def test_a_stale_version_is_refused_whatever_the_wish(kind: Any) -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    for expected in (0, 2):
        with pytest.raises(Conflict, match="stale_version"):
            plan(state, change(kind, expected=expected, own={}), SETTINGS, None, 2)


def test_wrong_values_are_refused_key_by_key() -> None:
    with pytest.raises(RefusedValues, match="bad_config") as raised:
        plan(ConfigState(), change("set", own={"limit_pct": 101.0, "colour": "red"}), SETTINGS, None, 1)
    assert {problem.key: problem.code for problem in raised.value.problems} == {
        "limit_pct": "out_of_range",
        "colour": "unknown_key",
    }
    with pytest.raises(RefusedValues):
        plan(ConfigState(), change("rollout", source="a", layer=layer("a", limit_pct=-1.0)), SETTINGS, None, 1)


def test_an_earlier_version_comes_back_with_its_layers() -> None:
    first = after(ConfigState(), change("rollout", source="a", layer=layer("a", limit_pct=70.0)))
    second = after(first, change("set", own={"report_interval_s": 5.0}))
    third = after(second, change("rollout_return", source="a"))
    assert desired_of(third).values == DEFAULTS | {"report_interval_s": 5.0}
    back = desired_of(after(third, change("return", version=1), desired_of(first)))
    assert (back.version, back.values, back.layers) == (4, desired_of(first).values, desired_of(first).layers)
    with pytest.raises(Conflict, match="unknown_version"):
        plan(third, change("return", version=9), SETTINGS, None, 1)
    assert plan(third, change("return", version=3), SETTINGS, desired_of(third), 1) is None


def test_a_rollout_that_goes_again_leaves_nothing_behind() -> None:
    """Also where it brought what the device had as its own."""
    before = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    during = after(before, change("rollout", source="a", layer=layer("a", limit_pct=50.0, report_interval_s=5.0)))
    assert desired_of(during).own == {"limit_pct": 50.0}
    again = after(during, change("rollout_return", source="a"))
    assert (desired_of(again).own, desired_of(again).values) == (desired_of(before).own, desired_of(before).values)
    assert plan(again, change("rollout_return", source="a"), SETTINGS, None, 1) is None


def test_what_a_rollout_gives_back_goes_where_it_stood() -> None:
    """Not to the end, where it would win over what another group brought since."""
    state = after(ConfigState(), change("rollout", source="a", layer=layer("a", limit_pct=70.0)))
    before = state = after(state, change("rollout", source="b", layer=layer("b", limit_pct=60.0)))
    had = former(desired_of(state).layers, "a")
    assert had is not None
    state = after(state, change("rollout", source="a", layer=layer("a", limit_pct=50.0)))
    state = after(state, change("rollout", source="c", layer=layer("c", report_interval_s=5.0)))
    assert desired_of(state).values["limit_pct"] == 50.0
    back = change("rollout_return", source="a", layer=had.layer(), below=had.below)
    state = after(state, back)
    assert [each.source for each in desired_of(state).layers] == ["a", "b", "c"]
    assert desired_of(state).values["limit_pct"] == desired_of(before).values["limit_pct"] == 60.0
    assert plan(state, back, SETTINGS, None, 1) is None, "asked twice, it changes nothing"


def test_what_is_given_back_stays_below_what_came_meanwhile() -> None:
    for between in ([], ["b"]):
        state = ConfigState()
        for source in ("b", "a"):
            state = after(state, change("rollout", source=source, layer=layer(source, limit_pct=70.0)))
        had = former(desired_of(state).layers, "a")
        assert had is not None
        state = after(state, change("rollout", source="a", layer=layer("a", limit_pct=50.0)))
        for source in between:
            state = after(state, change("rollout", source=source, layer=layer(source, limit_pct=20.0)))
        state = after(state, change("rollout_return", source="a", layer=had.layer(), below=had.below))
        assert [each.source for each in desired_of(state).layers] == (["a", "b"] if between else ["b", "a"])
    assert former((), "a") is None


def test_a_rollout_that_asks_again_does_not_come_out_on_top() -> None:
    first = change("rollout", source="a", layer=layer("a", limit_pct=70.0))
    state = after(after(ConfigState(), first), change("rollout", source="b", layer=layer("b", limit_pct=60.0)))
    assert plan(state, first, SETTINGS, None, 1) is None


def test_a_wish_of_the_release_before_is_understood() -> None:
    """Between processes a wish goes by the order of its fields: what is new stands last."""
    before = ("kind", "why", "person_id", "expected", "own", "version", "source", "layer", "rollout")
    assert Change.__struct_fields__[: len(before)] == before


def test_a_rollout_takes_away_only_what_it_brought() -> None:
    state = after(ConfigState(), change("rollout", source="a", layer=layer("a", limit_pct=70.0)))
    rollout = desired_of(state).layers[0].rollout
    assert plan(state, change("rollout_return", source="a", rollout="another"), SETTINGS, None, 1) is None
    assert desired_of(after(state, change("rollout_return", source="a", rollout=rollout))).layers == ()


def test_a_group_has_one_layer_and_there_are_not_many() -> None:
    state = ConfigState()
    for number in range(CONFIG_LAYERS_MAX):
        state = after(state, change("rollout", source=f"g{number}", layer=layer(f"g{number}", limit_pct=float(number))))
    state = after(state, change("rollout", source="g0", layer=layer("g0", limit_pct=77.0)))
    assert [each.source for each in desired_of(state).layers][-1] == "g0"
    assert desired_of(state).values["limit_pct"] == 77.0
    assert plan(state, change("rollout", source="g0", layer=layer("g0", limit_pct=77.0)), SETTINGS, None, 1) is None
    state = after(state, change("rollout", source="new", layer=layer("new", limit_pct=78.0)))
    assert len(desired_of(state).layers) == CONFIG_LAYERS_MAX, "the oldest that others cover has made room"


def test_drift_is_accepted_or_overwritten_and_only_drift() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    for kind in ("accept_drift", "overwrite"):
        with pytest.raises(Conflict, match="not_drifted"):
            plan(state, change(kind), SETTINGS, None, 1)
    drifted = reported(state, said(1, limit_pct=50.0, report_interval_s=30.0), SETTINGS, 2)
    assert drifted.status == "drifted"
    with pytest.raises(Conflict, match="stale_report"):
        plan(drifted, change("accept_drift", reported_at=1), SETTINGS, None, 3)
    accepted = desired_of(after(drifted, change("accept_drift", reported_at=2)))
    assert (accepted.version, accepted.own) == (2, {"limit_pct": 50.0, "report_interval_s": 30.0})
    over = desired_of(after(drifted, change("overwrite")))
    assert (over.version, over.values) == (2, desired_of(state).values)


def test_what_a_device_rejected_can_be_told_again() -> None:
    state = sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 2)
    state = reported(state, said(0, RejectedConfig(1, {"limit_pct": "no"})), SETTINGS, 3)
    assert state.status == "rejected"
    assert not is_due(state, 10**9)
    assert not is_due(returned(state), 10**9)
    again = after(state, change("overwrite"))
    assert (again.version, again.status) == (2, "pending")


def test_drift_to_a_version_that_was_never_sent_ends_with_a_newer_one() -> None:
    state = reported(after(ConfigState(), change("set", own={"limit_pct": 50.0})), said(7, limit_pct=50.0), SETTINGS, 2)
    assert state.status == "drifted"
    assert drift(state, SETTINGS) == {}  # its values are right
    for kind in ("accept_drift", "overwrite"):
        ended = after(state, change(kind))
        assert ended.version == 8
        assert reported(sent(ended, 3), said(8, limit_pct=50.0), SETTINGS, 4).status == "in_sync"


def test_what_the_profile_no_longer_knows_is_left_out_of_what_comes_next() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0, "export": True}))
    fewer = SETTINGS[:2]
    for wish in (
        change("rollout", source="a", layer=layer("a", report_interval_s=5.0)),
        change("return", version=1),
    ):
        made = plan(state, wish, fewer, state.desired, 2)
        assert made is not None
        assert made.own == {"limit_pct": 50.0}
        assert "export" not in made.values


# Whatever happens

_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "report_interval_s": st.floats(1, 3_600),
        "limit_pct": st.floats(0, 100),
        "export": st.booleans(),
    },
)
_WISH = st.one_of(
    _VALUES.map(lambda own: change("set", own=own)),
    st.builds(
        lambda name, values: change("rollout", source=name, layer=layer(name, **values)), st.sampled_from("ab"), _VALUES
    ),
    st.sampled_from("ab").map(lambda name: change("rollout_return", source=name)),
    st.sampled_from([change("accept_drift"), change("overwrite"), change("return", version=1)]),
)
_REPORT = st.builds(lambda ahead, values, rejects: (ahead, values, rejects), st.integers(-2, 2), _VALUES, st.booleans())


@given(st.lists(st.one_of(_WISH, _REPORT, st.just("send"), st.just("obey")), max_size=20))
def test_versions_only_grow_and_a_report_of_what_was_sent_ends_in_sync(happens: list[Any]) -> None:
    state, history = ConfigState(), dict[int, Desired]()
    for now, what in enumerate(happens, 1):
        before = state
        if isinstance(what, Change):
            try:
                made = plan(state, what, SETTINGS, history.get(what.version or 0), now)
            except Conflict:
                continue
            if made is not None:
                assert made.version > before.version
                assert before.reported is None or made.version > before.reported.version
                history[made.version] = made
                state = adopted(state, made, now)
                assert state.status == "pending"
        elif what == "send":
            state = sent(state, now) if is_due(state, 10**9 + now) else state
        elif what == "obey" and state.desired is not None:
            state = reported(sent(state, now), ReportedConfig(state.version, state.desired.values), SETTINGS, now)
            assert state.status == "in_sync"
            assert drift(state, SETTINGS) == {}
        elif isinstance(what, tuple):
            ahead, values, rejects = what
            rejected = RejectedConfig(state.version, {}) if rejects else None
            state = reported(state, said(max(state.version + ahead, 0), rejected, **values), SETTINGS, now)
            assert state.reported is not None
            wished = state.desired.values if state.desired is not None else DEFAULTS
            if state.reported.version == state.version:
                assert (state.status == "drifted") == (not same_values(wished, state.reported.values))
        assert state.version >= before.version
        assert state.revision >= before.revision
        assert state.status == judge(state, SETTINGS)
        assert (state.status_at == before.status_at) == (state.status == before.status) or state.status_at == now


def test_a_device_whose_software_is_older_is_not_told_what_it_does_not_know() -> None:
    knows_less = {key: value for key, value in DEFAULTS.items() if key != "export"}
    state = reported(ConfigState(), ReportedConfig(0, knows_less), SETTINGS, 1)
    assert desired_of(after(state, change("set", own={"limit_pct": 50.0}))).values == knows_less | {"limit_pct": 50.0}
    wished = desired_of(after(state, change("set", own={"export": True})))
    assert wished.values["export"] is True  # whoever wishes it hears the device's own refusal
