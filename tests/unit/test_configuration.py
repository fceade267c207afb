"""A device's configuration: layers, what a wish makes of it, and how desired and reported stand to each other."""

import itertools
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.configuration import (
    STATUSES,
    Change,
    ConfigState,
    Desired,
    Layer,
    Origin,
    Reported,
    Values,
    adopted,
    drift,
    inherited,
    interval_s,
    is_due,
    judge,
    merged,
    plan,
    reported,
    returned,
    same_values,
    sent,
    settings_of,
)
from fleet.errors import BadInput, Conflict
from fleet.limits import (
    CONFIG_LAYERS_MAX,
    CONFIG_RESEND_S,
    CONFIG_VERSION_AHEAD_MAX,
    SETTING_KEY_CHARS_MAX,
    SETTING_TEXT_CHARS_MAX,
    SETTINGS_PER_DEVICE_MAX,
)
from fleet.profiles import DeviceProfile
from fleet.remote import RejectedConfig, ReportedConfig
from fleet.setting import RefusedValues, Setting


def setting(key: str, default: Any, kind: Any = "number", **fields: Any) -> Setting:
    return Setting(key, kind, key, key, default, **fields)


SETTINGS = (
    setting("report_interval_s", 10.0, minimum=1, maximum=3_600),
    setting("limit_pct", 100.0, minimum=0, maximum=100, grid_maximum=100),
    setting("export", False, "boolean"),
)
DEFAULTS: Values = {"report_interval_s": 10.0, "limit_pct": 100.0, "export": False}
PROFILE = DeviceProfile("p", "inverter", "p", "p", (), (), 10, settings=SETTINGS)


def change(kind: Any, **fields: Any) -> Change:
    return Change(kind, **fields)


def after(state: ConfigState, wish: Change, earlier: Desired | None = None, now: int = 1) -> ConfigState:
    made = plan(state, wish, SETTINGS, earlier, now)
    assert made is not None
    return adopted(state, made, now)


def said(version: int, rejected: RejectedConfig | None = None, **values: Any) -> ReportedConfig:
    return ReportedConfig(version, DEFAULTS | values, rejected)


def desired_of(state: ConfigState) -> Desired:
    assert state.desired is not None
    return state.desired


def layer(source: str, **values: Any) -> Layer:
    return Layer(source, source.upper(), f"r-{source}", values)


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


def test_a_group_has_one_layer_and_there_are_not_many() -> None:
    state = ConfigState()
    for number in range(CONFIG_LAYERS_MAX):
        state = after(state, change("rollout", source=f"g{number}", layer=layer(f"g{number}", limit_pct=float(number))))
    state = after(state, change("rollout", source="g0", layer=layer("g0", limit_pct=77.0)))
    assert [each.source for each in desired_of(state).layers][-1] == "g0"
    assert desired_of(state).values["limit_pct"] == 77.0
    assert plan(state, change("rollout", source="g0", layer=layer("g0", limit_pct=77.0)), SETTINGS, None, 1) is None
    with pytest.raises(BadInput, match="too_many_layers"):
        plan(state, change("rollout", source="new", layer=layer("new")), SETTINGS, None, 1)


def test_drift_is_accepted_or_overwritten_and_only_drift() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    for kind in ("accept_drift", "overwrite"):
        with pytest.raises(Conflict, match="not_drifted"):
            plan(state, change(kind), SETTINGS, None, 1)
    drifted = reported(state, said(1, limit_pct=50.0, report_interval_s=30.0), SETTINGS, 2)
    assert drifted.status == "drifted"
    accepted = desired_of(after(drifted, change("accept_drift")))
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


# What a device says


def test_garbage_is_refused_and_changes_nothing() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    for version in (-1, 1 + CONFIG_VERSION_AHEAD_MAX + 1, 10**30):
        with pytest.raises(BadInput, match="bad_version"):
            reported(state, ReportedConfig(version, {}), SETTINGS, 2)
        with pytest.raises(BadInput, match="bad_version"):
            reported(state, ReportedConfig(0, {}, RejectedConfig(version, {})), SETTINGS, 2)
    for values in (
        {f"k{number}": 1.0 for number in range(SETTINGS_PER_DEVICE_MAX + 1)},
        {"note": "x" * (SETTING_TEXT_CHARS_MAX + 1)},
        {"note": "a\0b"},
        {"a\0b": 1.0},
        {"k" * (SETTING_KEY_CHARS_MAX + 1): 1.0},
        {"limit_pct": math.nan},
        {"limit_pct": math.inf},
    ):
        with pytest.raises(BadInput, match="bad_report"):
            reported(state, ReportedConfig(1, values), SETTINGS, 2)


def test_a_devices_reasons_are_kept_however_it_words_them() -> None:
    wordy = {f"k{number}\0" + "k" * 200: "no\0 " + "x" * 5_000 for number in range(SETTINGS_PER_DEVICE_MAX + 50)}
    state = sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 2)
    state = reported(state, said(0, RejectedConfig(1, wordy)), SETTINGS, 3)
    assert state.status == "rejected"
    assert state.reported is not None
    assert state.reported.rejected is not None
    errors = state.reported.rejected.errors
    assert len(errors) == SETTINGS_PER_DEVICE_MAX
    assert max(map(len, errors)) <= SETTING_KEY_CHARS_MAX
    assert max(map(len, errors.values())) <= SETTING_TEXT_CHARS_MAX
    assert "\0" not in "".join((*errors, *errors.values()))
    assert reported(state, said(0, RejectedConfig(1, wordy)), SETTINGS, 4) is state  # nothing new


def test_a_report_that_says_nothing_new_is_the_same_object() -> None:
    state = reported(ConfigState(), said(0), SETTINGS, 1)
    assert reported(state, said(0), SETTINGS, 2) is state
    assert reported(state, said(0, report_interval_s=10), SETTINGS, 2) is state


def test_a_device_that_flaps_is_seen_each_time() -> None:
    state = sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 2)
    seen = []
    for number in range(6):
        state = reported(state, said(1, limit_pct=50.0 if number % 2 == 0 else 60.0), SETTINGS, 10 + number)
        seen.append((state.status, state.status_at, state.revision))
    assert [status for status, _, _ in seen] == ["in_sync", "drifted"] * 3
    assert [at for _, at, _ in seen] == [10, 11, 12, 13, 14, 15]
    assert [revision for _, _, revision in seen] == list(range(seen[0][2], seen[0][2] + 6))


def test_of_a_device_that_nobody_told_anything_only_what_it_says_counts() -> None:
    assert reported(ConfigState(), ReportedConfig(0, {}), SETTINGS, 1).status == "in_sync"
    assert reported(ConfigState(), ReportedConfig(0, {"limit_pct": 100.0, "own": "x"}), SETTINGS, 1).status == "in_sync"
    state = reported(ConfigState(), ReportedConfig(0, {"limit_pct": 90.0}), SETTINGS, 1)
    assert state.status == "drifted"
    assert drift(state, SETTINGS) == {"limit_pct": (100.0, 90.0)}


VERSIONS = (0, 1, 2, 3, 4)
_ROWS = list(itertools.product((True, False), (None, *VERSIONS), (None, 1, 2, 3), (0, 1, 2), (True, False)))


@pytest.mark.parametrize(("wished", "said_version", "rejected_version", "sent_version", "same"), _ROWS)
def test_every_way_in_which_desired_and_reported_can_stand(
    wished: bool, said_version: int | None, rejected_version: int | None, sent_version: int, same: bool
) -> None:
    """Desired is version 2, or nothing. The rules stand here once more, as sentences."""
    desired = Desired(2, DEFAULTS | {"limit_pct": 50.0}, {"limit_pct": 50.0}, (), 1, "set") if wished else None
    runs = (desired.values if desired else DEFAULTS) if same else DEFAULTS | {"limit_pct": 33.0}
    rejected = RejectedConfig(rejected_version, {}) if rejected_version is not None else None
    heard = Reported(said_version, dict(runs), 1, rejected) if said_version is not None else None
    status = judge(ConfigState(desired, heard, sent_version), SETTINGS)
    assert status in STATUSES
    if heard is None and not wished:
        expected = "unknown"  # nobody wished, nobody said
    elif heard is None:
        expected = "applying" if sent_version == 2 else "pending"
    elif not wished:
        expected = "in_sync" if same and heard.version == 0 else "drifted"  # no version was ever sent
    elif heard.version < 2:
        arrived = "applying" if sent_version == 2 else "pending"
        expected = "rejected" if rejected_version == 2 else arrived
    elif heard.version == 2:
        expected = "in_sync" if same else "drifted"
    else:
        expected = "drifted"  # never sent
    assert status == expected
    state = ConfigState(desired, heard, sent_version, status=status)
    assert bool(drift(state, SETTINGS)) == (status == "drifted" and not same)


def test_a_device_that_says_it_reports_more_rarely_is_waited_for_longer() -> None:
    def interval_of(**values: Any) -> float:
        return interval_s(PROFILE, reported(ConfigState(), ReportedConfig(0, values), SETTINGS, 1).reported)

    assert interval_s(PROFILE, None) == interval_of() == 10
    assert interval_of(report_interval_s=3_600.0) == 3_600
    assert interval_of(report_interval_s=1.0) == 10  # a device may be told to hurry; the profile's patience stays
    assert interval_of(report_interval_s=1e12) == 86_400
    for nonsense in (True, "soon", -5.0):
        assert interval_of(report_interval_s=nonsense) == 10


# When it is sent


def test_it_is_sent_at_once_then_with_growing_patience_and_at_once_when_the_device_returns() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    now = 1_000
    assert is_due(state, now)
    state = sent(state, now)
    assert (state.status, state.sent_version, state.sent_at) == ("applying", 1, now)
    revision = state.revision
    for wait_s in (*CONFIG_RESEND_S, CONFIG_RESEND_S[-1]):
        due = state.asked_at + round(wait_s * 1000)
        assert not is_due(state, due - 1)
        assert is_due(state, due)
        state = sent(state, due)
    assert (state.revision, state.sent_at) == (revision, now)  # repetitions are not stored
    assert is_due(returned(state), state.asked_at)
    state = reported(state, said(1, limit_pct=50.0), SETTINGS, due)
    assert state.status == "in_sync"
    assert not is_due(state, 10**12)
    lost = reported(state, said(0), SETTINGS, 10**9)  # its disk is gone
    assert lost.status == "applying"
    assert is_due(lost, 10**9)


def test_a_newer_wish_is_due_at_once_whatever_was_waited_for() -> None:
    state = sent(sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 5), 6)
    newer = after(state, change("set", own={"limit_pct": 60.0}))
    assert newer.status == "pending"
    assert is_due(newer, 6)


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
