"""The settings and commands of device profiles: those that are shipped, and which ones operations may write."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.limits import AGENT_REPORT_INTERVAL_MAX_S, AGENT_REPORT_INTERVAL_MIN_S
from fleet.command_catalog import CATALOG, commands_of
from fleet.configuration import settings_of
from fleet.device_setting import Choice, Setting, check_values, defaults_of
from fleet.errors import BadInput
from fleet.profile_changes import check_profile
from fleet.profiles import DeviceProfile, shipped
from web.pages.profiles import definition_of, typed_of

PROFILES = {profile.id: profile for profile in shipped()}
TOLD = [profile for profile in shipped() if profile.settings or profile.commands]


def setting(key: str = "limit_w", **fields: Any) -> Setting:
    made = Setting(key, "number", "Limite", "Limit", 5.0, unit="W", minimum=0, maximum=10)
    return msgspec.structs.replace(made, **fields)


def profile(*settings: Setting, **fields: Any) -> DeviceProfile:
    return msgspec.structs.replace(PROFILES["meter"], settings=settings, **fields)


# Those that are shipped


@pytest.mark.parametrize("each", TOLD, ids=lambda each: each.id)
def test_what_is_shipped_has_words_in_both_languages_and_agrees_with_the_agent(each: DeviceProfile) -> None:
    check_profile(each)
    known = {setting.key: setting for setting in settings_of(each)}
    interval = known["report_interval_s"]
    assert (interval.minimum, interval.maximum) == (AGENT_REPORT_INTERVAL_MIN_S, AGENT_REPORT_INTERVAL_MAX_S)
    for one in each.settings:
        assert one.label_fr != one.label_en or one.key == "", one.key
        assert bool(one.help_fr) == bool(one.help_en)
        assert one.unit or one.kind == "boolean"
    assert [spec.name for spec in commands_of(each)] == list(each.commands)
    if "set_power_limit" in each.commands:
        assert "active_power_limit_pct" in known


def test_the_grid_code_binds_the_voltage_at_which_an_inverter_leaves() -> None:
    settings = settings_of(PROFILES["inverter"])
    for volts, code in ((252.9, "grid_code"), (253, None), (264.5, None), (265, "grid_code"), (277, "out_of_range")):
        found = check_values(settings, {"overvoltage_trip_v": volts})
        assert [problem.code for problem in found] == ([code] if code else [])


def test_a_limit_of_the_export_is_one_only_while_it_is_switched_on() -> None:
    settings = settings_of(PROFILES["inverter"])
    assert [problem.code for problem in check_values(settings, {"export_limit_w": 500})] == ["needs"]
    assert check_values(settings, {"export_limit_enabled": True, "export_limit_w": 500}) == []


def test_a_batterys_reserve_stays_below_what_it_is_charged_to() -> None:
    settings = settings_of(PROFILES["battery"])
    told = {"battery_reserve_pct": 60, "battery_full_pct": 60}
    assert [problem.code for problem in check_values(settings, told)] == ["not_below"]
    assert check_values(settings, told | {"battery_full_pct": 61}) == []


# Those that operations write


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ((setting(), setting()), "'limit_w' stands in it twice"),
        ((setting("Limit"),), "'Limit': a key has a-z"),
        ((setting("9w"),), "'9w': a key"),
        ((setting("a" * 81),), "a key has"),
        ((setting("input.x"),), "'input.x': a key"),
        ((setting(label_fr=" "),), "'limit_w': it needs a label"),
        ((setting(label_en="x" * 81),), "'limit_w': it needs a label"),
        ((setting(help_fr="x" * 301),), "'limit_w': its help"),
        ((setting(minimum=11),), "'limit_w': a minimum is above"),
        ((setting(grid_minimum=3, grid_maximum=2, grid_code="x"),), "'limit_w': a minimum is above"),
        ((setting(grid_maximum=11, grid_code="x"),), "'limit_w': the grid code's bounds"),
        ((setting(grid_minimum=-1, grid_code="x"),), "'limit_w': the grid code's bounds"),
        ((setting(grid_maximum=9),), "'limit_w': grid_code must say"),
        ((setting(minimum=float("nan")),), "'limit_w': a minimum is above"),
        ((setting(default=11.0),), "'limit_w': its default is not allowed: out_of_range (0 … 10 W)"),
        ((setting(default=5.0, grid_maximum=4, grid_code="x"),), "'limit_w': its default is not allowed: grid_code"),
        ((setting(default="5"),), "'limit_w': its default is not allowed: wrong_type"),
        ((setting(kind="integer", default=1.5),), "'limit_w': its default is not allowed: wrong_type"),
        ((setting(kind="boolean", default=True),), "'limit_w': only numbers have bounds"),
        ((setting(kind="choice", default="a", minimum=None, maximum=None),), "'limit_w': a choice has choices"),
        ((setting(choices=(Choice("a", "a", "a"),)),), "'limit_w': a choice has choices"),
        (
            (setting(kind="choice", default="a", minimum=None, maximum=None, choices=(Choice("a", "a", "a"),) * 2),),
            "'limit_w': a choice has choices, each once",
        ),
        (
            (setting(kind="choice", default="b", minimum=None, maximum=None, choices=(Choice("a", "a", "a"),)),),
            "'limit_w': its default is not allowed: not_a_choice (a)",
        ),
        (
            (setting(kind="choice", default="a", minimum=None, maximum=None, choices=(Choice("a", "", "a"),)),),
            "'limit_w': it needs a label",
        ),
        ((setting(needs={"nothing": True}),), "'limit_w': it needs 'nothing', which is no setting"),
        ((setting(), setting("b_w", needs={"limit_w": 11})), "'b_w': 'limit_w' cannot be what it needs"),
        ((setting(needs={"limit_w": 5}),), "'limit_w' needs itself"),
        ((setting("a_w", needs={"b_w": 5}), setting("b_w", needs={"a_w": 5})), "needs itself in the end"),
        ((setting(below="nothing"),), "'limit_w': it must stay below 'nothing'"),
        ((setting(below="limit_w"),), "'limit_w': it must stay below 'limit_w'"),
        ((setting(below="b"), setting("b", kind="text", default="", minimum=None, maximum=None)), "only a number"),
        ((setting(below="b_w"), setting("b_w")), "'limit_w': its default is not allowed: not_below"),
        (tuple(setting(f"k{number}_w") for number in range(101)), "more than 100 settings"),
    ],
)  # fmt: skip
def test_an_unsound_setting_is_refused_by_its_name(settings: tuple[Setting, ...], named: str) -> None:
    with pytest.raises(BadInput, match="bad_profile") as raised:
        check_profile(profile(*settings))
    assert named in raised.value.detail


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"commands": ("dance",)}, "there is no command ['dance']; there are blink"),
        ({"commands": ("blink", "blink")}, "a command stands in it twice"),
        ({"default_config": {"Limit": 1}}, "default_config 'Limit'"),
        ({"default_config": {"limit_w": 11}}, "'limit_w': its default is not allowed"),
    ],
)
def test_unsound_commands_and_defaults_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match="bad_profile") as raised:
        check_profile(profile(setting(), **fields))
    assert named in raised.value.detail


def test_what_is_sound_is_taken() -> None:
    check_profile(
        profile(
            setting("limit_enabled", kind="boolean", default=False, minimum=None, maximum=None),
            setting("limit_w", needs={"limit_enabled": True}, below="rated_w"),
            setting("rated_w", default=9.0, read_only=True),
            setting(
                "mode", kind="choice", default="a", minimum=None, maximum=None,
                choices=(Choice("a", "un", "one"), Choice("b", "deux", "two")),
            ),
            commands=tuple(CATALOG),
            default_config={"limit_w": 5.0, "older": 1.0},
        )
    )  # fmt: skip


# The form of the back office: JSON, as it was written


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("settings", "[", "settings: "),
        ("settings", "{}", "settings: it is a list"),
        ("settings", "[1]", "setting 'no. 1'"),
        ("settings", '[{"key": "a_w", "kind": "number"}]', "setting 'a_w': Object missing required field `label_fr`"),
        ("settings", '[{"key": "a_w", "kind": "steam", "label_fr": "a", "label_en": "a", "default": 1}]', "setting 'a_w'"),
        ("settings", '[{"key": "a_w", "colour": 1}]', "setting 'a_w'"),
        ("settings", '[{"key": "a_w", "default": NaN}]', "NaN is no number"),
        ("settings", "[" * 100_000, "settings: "),
        ("default_config", '{\n"a": 1,\n}', "default_config: "),
        ("default_config", "[1]", "default_config"),
    ],
)
def test_json_that_is_none_is_told_with_its_place(field: str, typed: str, said: str) -> None:
    with pytest.raises(BadInput, match="bad_profile") as raised:
        definition_of(msgspec.structs.replace(typed_of(PROFILES["meter"]), **{field: typed}))
    assert said in raised.value.detail


_NUMBERS = st.none() | st.floats(-1e6, 1e6)
_SETTING = st.builds(
    Setting,
    key=st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True),
    kind=st.sampled_from(["number", "integer", "boolean", "text"]),
    label_fr=st.text(min_size=1, max_size=5),
    label_en=st.text(min_size=1, max_size=5),
    default=st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    minimum=_NUMBERS,
    maximum=_NUMBERS,
    read_only=st.booleans(),
    help_en=st.text(max_size=5),
)


@given(st.lists(_SETTING, max_size=3).map(tuple))
def test_a_definition_comes_out_of_its_form_as_it_went_in_and_what_is_sound_can_be_told(
    settings: tuple[Setting, ...],
) -> None:
    made = profile(*settings)
    assert definition_of(typed_of(made)).settings == settings
    try:
        check_profile(made)
    except BadInput:
        return
    assert check_values(settings, defaults_of(settings)) == []
