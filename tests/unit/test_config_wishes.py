"""What a rollout leaves as it is: what was changed on site, former defaults, what a person put back; and how many stay."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.config_diff import origins_of, preview, wished
from fleet.config_wishes import plan
from fleet.configuration import ConfigState, Values, adopted, reported, sent
from fleet.device_setting import RefusedValues, Setting
from fleet.errors import Conflict
from fleet.limits import CONFIG_LAYERS_MAX
from fleet.order_messages import ReportedConfig
from fleet.rollouts.lifecycle import former
from tests.device_config import DEFAULTS, SETTINGS, after, change, desired_of, layer, said, setting


def defaults_edited(**defaults: Any) -> tuple[Setting, ...]:
    """As SETTINGS, after somebody edited the profile."""
    return tuple(msgspec.structs.replace(each, default=defaults.get(each.key, each.default)) for each in SETTINGS)


def obeyed(state: ConfigState) -> ConfigState:
    return reported(sent(state, 1), ReportedConfig(state.version, desired_of(state).values), SETTINGS, 1)


def loose(rollout: str, **values: Any) -> Any:
    """A wish of a rollout to no saved group."""
    brought = msgspec.structs.replace(layer(rollout, **values), rollout=rollout)
    return change("rollout", source=rollout, layer=brought, rollout=rollout)


# However many there were


def test_there_is_always_room_for_one_more_rollout() -> None:
    """What later ones cover goes, and nothing of what is in force changes by that."""
    state = ConfigState()
    for number in range(3 * CONFIG_LAYERS_MAX):
        state = after(state, loose(f"r{number}", limit_pct=float(number)))
    layers = desired_of(state).layers
    assert len(layers) == CONFIG_LAYERS_MAX
    assert [each.source for each in layers] == [f"r{number}" for number in range(20, 30)], "the oldest went"
    state = after(state, change("rollout", source="g", layer=layer("g", report_interval_s=5.0)))
    assert desired_of(state).values == DEFAULTS | {"limit_pct": 29.0, "report_interval_s": 5.0}


def test_rollouts_to_no_group_make_room_before_groups_do() -> None:
    state = after(ConfigState(), change("rollout", source="g", layer=layer("g", limit_pct=70.0)))
    for number in range(CONFIG_LAYERS_MAX):
        state = after(state, loose(f"r{number}", limit_pct=float(number)))
    assert [each.source for each in desired_of(state).layers] == ["g", *(f"r{number}" for number in range(1, 10))]


def test_what_nothing_else_sets_never_makes_room() -> None:
    """One for each setting at the most, so their number has an end all the same."""
    settings = tuple(setting(f"k{number}", 0.0) for number in range(2 * CONFIG_LAYERS_MAX))
    state = ConfigState()
    for turn in (1.0, 2.0):
        for each in settings:
            made = plan(state, loose(f"{each.key}-{turn}", **{each.key: turn}), settings, None, 1)
            assert made is not None
            state = adopted(state, made, 1)
            assert len(made.layers) <= len(settings) + 1
    assert desired_of(state).values == {each.key: 2.0 for each in settings}


def test_what_only_the_new_one_covers_comes_back_with_its_return() -> None:
    state = ConfigState()
    for number in range(CONFIG_LAYERS_MAX):
        keys = {"limit_pct": 10.0} if number == 0 else {"report_interval_s": 10.0 + number}
        state = after(state, loose(f"r{number}", **keys))
    before = desired_of(state).values
    state = after(state, loose("new", limit_pct=99.0))
    state = after(state, change("rollout_return", source="new", rollout="new"))
    assert desired_of(state).values == before


# What was changed on site


def test_a_rollout_spares_what_was_changed_on_site() -> None:
    told = obeyed(after(ConfigState(), change("set", own={"limit_pct": 60.0})))
    drifted = reported(told, said(1, limit_pct=45.0), SETTINGS, 2)
    never_told = reported(ConfigState(), said(0, limit_pct=45.0), SETTINGS, 2)
    for state in (drifted, never_told):
        wish = change("rollout", source="a", layer=layer("a", report_interval_s=12.0), rollout="r-a")
        with pytest.raises(Conflict, match="drifted"):
            plan(state, wish, SETTINGS, None, 3)
        over = plan(state, msgspec.structs.replace(wish, overwrite_drift=True), SETTINGS, None, 3)
        assert over is not None
        assert over.values["report_interval_s"] == 12.0


def test_what_drifts_from_a_rollout_can_be_told_again_and_returned() -> None:
    """An ask whose answer got lost is repeated, whatever the device has made of it since."""
    wish = loose("r", limit_pct=60.0)
    state = obeyed(after(ConfigState(), wish))
    state = reported(state, said(1, limit_pct=45.0), SETTINGS, 2)
    assert state.status == "drifted"
    assert plan(state, wish, SETTINGS, None, 3) is None
    back = after(state, change("rollout_return", source="r", rollout="r"))
    assert desired_of(back).values == DEFAULTS


# Defaults that were edited since


def test_an_edited_default_does_not_ride_along() -> None:
    told = obeyed(after(ConfigState(), change("set", own={"export": True})))
    edited = defaults_edited(limit_pct=30.0, report_interval_s=20.0)
    made = plan(told, loose("r", report_interval_s=12.0), edited, None, 2)
    assert made is not None
    assert made.values == DEFAULTS | {"export": True, "report_interval_s": 12.0}
    state = adopted(told, made, 2)
    back = plan(state, change("rollout_return", source="r", rollout="r"), edited, told.desired, 3)
    assert back is not None
    assert back.values == desired_of(told).values, "also the default of what the rollout named"
    again = plan(state, change("return", version=1), edited, told.desired, 3)
    assert again is not None
    assert again.values == desired_of(told).values
    by_hand = plan(state, change("set", own={"export": True}), edited, None, 3)
    assert by_hand is not None
    assert by_hand.values["limit_pct"] == 30.0, "a person has seen it in the preview"


def test_a_former_default_that_is_allowed_no_more_gives_way() -> None:
    told = obeyed(after(ConfigState(), change("set", own={"export": True})))
    stricter = tuple(
        msgspec.structs.replace(each, default=70.0, maximum=70) if each.key == "limit_pct" else each for each in SETTINGS
    )
    made = plan(told, loose("r", report_interval_s=12.0), stricter, None, 2)
    assert made is not None
    assert made.values["limit_pct"] == 70.0
    with pytest.raises(RefusedValues):
        plan(told, loose("r", limit_pct=90.0), stricter, None, 2)


def test_a_setting_that_is_new_in_the_profile_does_not_ride_along_either() -> None:
    told = obeyed(after(ConfigState(), change("set", own={"export": True})))
    state = reported(told, said(1, export=True, colour="red"), SETTINGS, 2)
    made = plan(state, loose("r", report_interval_s=12.0), (*SETTINGS, setting("colour", "blue", "text")), None, 3)
    assert made is not None
    assert "colour" not in made.values


def test_what_a_groups_template_no_longer_names_is_told_anew() -> None:
    state = after(ConfigState(), change("rollout", source="g", layer=layer("g", limit_pct=60.0, report_interval_s=5.0)))
    anew = msgspec.structs.replace(layer("g", report_interval_s=6.0), rollout="later")
    made = plan(state, change("rollout", source="g", layer=anew, rollout="later"), SETTINGS, None, 2)
    assert made is not None
    assert made.values == DEFAULTS | {"report_interval_s": 6.0}


def test_the_page_says_where_a_former_default_comes_from() -> None:
    told = obeyed(after(ConfigState(), change("set", own={"export": True})))
    edited = defaults_edited(limit_pct=30.0)
    assert wished(told, edited)["limit_pct"] == 100.0
    assert origins_of(told, edited)["limit_pct"].kind == "former_profile"
    assert origins_of(told, edited)["report_interval_s"].kind == "profile"
    assert origins_of(told, SETTINGS)["limit_pct"].kind == "profile"
    changes, _ = preview(told, edited, {"export": True})
    assert [(each.key, each.before, each.after) for each in changes] == [("limit_pct", 100.0, 30.0)]
    assert changes[0].origin_before is not None
    assert (changes[0].origin_before.kind, changes[0].origin_after) == (
        "former_profile",
        origins_of(ConfigState(), edited)["limit_pct"],
    )


_VALUES: Any = st.fixed_dictionaries(
    {},
    optional={
        "report_interval_s": st.sampled_from([5.0, 6.0, 7.0]),
        "limit_pct": st.sampled_from([40.0, 50.0, 60.0]),
        "export": st.booleans(),
    },
)


@given(
    own=_VALUES,
    brought=st.lists(_VALUES, max_size=12),
    edited=st.fixed_dictionaries({}, optional={"report_interval_s": st.just(20.0), "limit_pct": st.just(30.0)}),
    last=_VALUES,
)
def test_a_rollout_changes_what_it_names_and_its_return_brings_that_back(
    own: Values, brought: list[Values], edited: Values, last: Values
) -> None:
    """Whatever came before it, and whatever became of the profile's defaults."""
    state = after(ConfigState(), change("set", own=own | {"export": True}))
    for number, values in enumerate(brought):
        made = plan(state, loose(f"r{number}", **values), SETTINGS, None, 1)
        state = state if made is None else adopted(state, made, 1)
    settings = defaults_edited(**edited)
    before = desired_of(state)
    made = plan(state, loose("last", **last), settings, None, 2)
    assert made is not None
    assert {key for key in made.values if made.values[key] != before.values[key]} <= set(last)
    state = adopted(state, made, 2)
    back = plan(state, change("rollout_return", source="last", rollout="last"), settings, before, 3)
    assert back is not None
    assert back.values == before.values


# What a person put back


def test_a_return_leaves_what_a_person_put_back() -> None:
    """Back to a version without any layer of the group: there is nothing of the rollout's left to take away."""
    first = after(ConfigState(), change("set", own={"report_interval_s": 5.0}))
    state = after(first, change("rollout", source="g", layer=layer("g", limit_pct=70.0)))
    had = former(desired_of(state).layers, "g")
    assert had is not None
    second = msgspec.structs.replace(layer("g", limit_pct=50.0), rollout="second")
    state = after(state, change("rollout", source="g", layer=second, rollout="second"))
    state = after(state, change("return", version=1), first.desired)
    back = change("rollout_return", source="g", layer=had.layer(), below=had.below, rollout="second")
    assert plan(state, back, SETTINGS, first.desired, 9) is None
