"""Values against their settings: every way in which one can be wrong, and what is said of it."""

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.command_catalog import CATALOG, checked, commands_of
from fleet.device_setting import (
    Choice,
    RefusedValues,
    Setting,
    SettingProblem,
    check_values,
    defaults_of,
    is_same,
    range_of,
    refusal,
)
from fleet.errors import BadInput
from fleet.limits import COMMAND_ARGS_BYTES_MAX, SETTING_TEXT_CHARS_MAX, SETTINGS_PER_DEVICE_MAX
from fleet.profiles import DeviceProfile


def setting(key: str, kind: Any = "number", default: Any = 0.0, **fields: Any) -> Setting:
    return Setting(key, kind, key, key, default, **fields)


INTERVAL = setting("report_interval_s", default=10.0, unit="s", minimum=1, maximum=3_600)
VOLTAGE = setting(
    "overvoltage_trip_v", default=253.0, unit="V", minimum=230, maximum=276, grid_minimum=253, grid_maximum=264.5,
    grid_code="EN 50549-1",
)  # fmt: skip
SETTINGS = (
    INTERVAL,
    VOLTAGE,
    setting("phases", "integer", 1, minimum=1, maximum=3),
    setting("export_limit_enabled", "boolean", False),
    setting("export_limit_w", default=0.0, unit="W", minimum=0, needs={"export_limit_enabled": True}),
    setting("reserve_pct", default=10.0, unit="%", minimum=0, maximum=100, below="full_pct"),
    setting("full_pct", default=95.0, unit="%", minimum=0, maximum=100),
    setting("mode", "choice", "auto", choices=(Choice("auto", "auto", "auto"), Choice("off", "arrêt", "off"))),
    setting("note", "text", ""),
    setting("rated_power_w", default=3_000.0, unit="W", read_only=True),
)


def problems(**values: Any) -> list[SettingProblem]:
    return check_values(SETTINGS, values)


def test_defaults_are_right() -> None:
    assert check_values(SETTINGS, defaults_of(SETTINGS)) == []
    assert check_values(SETTINGS, {}) == []


@pytest.mark.parametrize(
    ("values", "code", "allowed"),
    [
        ({"colour": "red"}, "unknown_key", "export_limit_enabled, export_limit_w, full_pct, mode"),
        ({"report_interval": 10}, "wrong_unit", "report_interval_s"),
        ({"report_interval_min": 1}, "wrong_unit", "report_interval_s"),
        ({"overvoltage_trip_pct": 110}, "wrong_unit", "overvoltage_trip_v"),
        ({"export_limit_kw": 3}, "wrong_unit", "export_limit_w"),
        ({"report_interval_s": "10"}, "wrong_type", "123 s"),
        ({"report_interval_s": True}, "wrong_type", "123 s"),
        ({"report_interval_s": math.nan}, "wrong_type", "123 s"),
        ({"report_interval_s": math.inf}, "wrong_type", "123 s"),
        ({"report_interval_s": -math.inf}, "wrong_type", "123 s"),
        ({"report_interval_s": 10**400}, "wrong_type", "123 s"),
        ({"report_interval_s": None}, "wrong_type", "123 s"),
        ({"report_interval_s": [10]}, "wrong_type", "123 s"),
        ({"report_interval_s": 0.5}, "out_of_range", "1 … 3600 s"),
        ({"report_interval_s": 3_600.1}, "out_of_range", "1 … 3600 s"),
        ({"phases": 1.5}, "wrong_type", "1, 2, 3 …"),
        ({"phases": 4}, "out_of_range", "1 … 3"),
        ({"phases": False}, "wrong_type", "123"),
        ({"export_limit_enabled": 1}, "wrong_type", "true, false"),
        ({"export_limit_enabled": "true"}, "wrong_type", "true, false"),
        ({"overvoltage_trip_v": 229}, "out_of_range", "230 … 276 V"),
        ({"overvoltage_trip_v": 277}, "out_of_range", "230 … 276 V"),
        ({"overvoltage_trip_v": 252.9}, "grid_code", "253 … 264.5 V (EN 50549-1)"),
        ({"overvoltage_trip_v": 264.6}, "grid_code", "253 … 264.5 V (EN 50549-1)"),
        ({"export_limit_w": 500}, "needs", "export_limit_enabled = true"),
        ({"export_limit_w": 500, "export_limit_enabled": False}, "needs", "export_limit_enabled = true"),
        ({"export_limit_w": -1, "export_limit_enabled": True}, "out_of_range", "≥ 0 W"),
        ({"reserve_pct": 95}, "not_below", "< full_pct = 95"),
        ({"reserve_pct": 50, "full_pct": 40}, "not_below", "< full_pct = 40"),
        ({"mode": "on"}, "not_a_choice", "auto, off"),
        ({"mode": True}, "not_a_choice", "auto, off"),
        ({"note": 1}, "wrong_type", '"…"'),
        ({"note": "x" * (SETTING_TEXT_CHARS_MAX + 1)}, "too_long", str(SETTING_TEXT_CHARS_MAX)),
        ({"note": "a\0b"}, "too_long", str(SETTING_TEXT_CHARS_MAX)),
        ({"rated_power_w": 9_000}, "read_only", ""),
    ],
)
def test_every_way_to_be_wrong(values: dict[str, Any], code: str, allowed: str) -> None:
    found = check_values(SETTINGS, values)
    assert [problem.code for problem in found] == [code]
    assert found[0].allowed.startswith(allowed)
    assert found[0].key in values


@pytest.mark.parametrize(
    "values",
    [
        {"report_interval_s": 1}, {"report_interval_s": 3_600.0}, {"phases": 3.0}, {"overvoltage_trip_v": 253},
        {"overvoltage_trip_v": 264.5}, {"export_limit_enabled": True, "export_limit_w": 500}, {"export_limit_w": 0},
        {"reserve_pct": 94.9}, {"mode": "off"}, {"note": "x" * SETTING_TEXT_CHARS_MAX}, {"rated_power_w": 3_000},
    ],
)  # fmt: skip
def test_what_is_right_is_taken(values: dict[str, Any]) -> None:
    assert check_values(SETTINGS, values) == []


def test_what_is_only_shown_may_be_repeated_as_it_is() -> None:
    assert check_values(SETTINGS, {"rated_power_w": 9_000.0}, {"rated_power_w": 9_000.0}) == []
    assert [problem.code for problem in check_values(SETTINGS, {"rated_power_w": 3_000}, {"rated_power_w": 9_000.0})] == [
        "read_only"
    ]


def test_each_key_has_one_problem_and_each_wrong_key_is_named() -> None:
    found = problems(report_interval_s=0, phases="two", colour="red", full_pct=50)
    assert [(problem.key, problem.code) for problem in found] == [
        ("report_interval_s", "out_of_range"),
        ("phases", "wrong_type"),
        ("colour", "unknown_key"),
    ]


def test_more_values_than_a_device_has_are_not_looked_at() -> None:
    many = {f"key{number}": 1.0 for number in range(SETTINGS_PER_DEVICE_MAX + 1)}
    assert check_values(SETTINGS, many) == [SettingProblem("", "too_many", str(SETTINGS_PER_DEVICE_MAX))]


def test_a_strange_key_is_told_in_short() -> None:
    (problem,) = check_values(SETTINGS, {"k" * 10_000: 1})
    assert len(problem.key) == 80
    assert len(problem.allowed) < 300


def test_numbers_are_the_same_by_value_and_booleans_are_none() -> None:
    assert is_same(1, 1.0)
    assert not is_same(1, True)
    assert not is_same(False, 0.0)
    assert not is_same("1", 1)
    assert is_same(None, None)


def test_ranges_read_as_people_write_them() -> None:
    assert range_of(1, 3_600, "s") == "1 … 3600 s"
    assert range_of(1, None, "") == "≥ 1"
    assert range_of(None, 5, "W") == "≤ 5 W"
    assert range_of(None, None, "W") == ""


def test_a_refusal_travels_between_processes_with_its_problems() -> None:
    error = refusal("bad_config", problems(report_interval_s=0, colour="red"))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert isinstance(again, RefusedValues)
    assert (again.code, again.detail, again.problems) == (error.code, error.detail, error.problems)
    assert "report_interval_s: out_of_range (1 … 3600 s)" in error.detail


_ANYTHING = st.one_of(
    st.booleans(), st.floats(), st.integers(), st.text(max_size=5), st.none(), st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from([*(each.key for each in SETTINGS), "colour", "report_interval_h"]), _ANYTHING))
def test_what_is_taken_keeps_to_every_bound_and_nothing_breaks(values: dict[str, Any]) -> None:
    found = check_values(SETTINGS, values)
    assert len({problem.key for problem in found}) == len(found)
    wrong = {problem.key for problem in found}
    for key in set(values) - wrong:
        value = values[key]
        if key == "report_interval_s":
            assert 1 <= value <= 3_600
            assert not isinstance(value, bool)
        if key == "overvoltage_trip_v":
            assert 253 <= value <= 264.5
        if key == "rated_power_w":
            assert value == 3_000
    assert {"colour", "report_interval_h"} & set(values) <= wrong


# Commands' arguments are checked by the same rules


def profile(*settings: Setting, commands: tuple[str, ...] = tuple(CATALOG)) -> DeviceProfile:
    return DeviceProfile("p", "inverter", "p", "p", (), (), 10, settings=settings, commands=commands)


def test_a_profile_knows_its_commands_and_no_others() -> None:
    assert [spec.name for spec in commands_of(profile(commands=("restart", "dance", "blink")))] == ["restart", "blink"]
    with pytest.raises(BadInput, match="unknown_command") as raised:
        checked(profile(commands=("blink",)), "restart", {})
    assert "known: blink" in raised.value.detail
    with pytest.raises(BadInput, match="known: none"):
        checked(profile(commands=()), "x" * 10_000, {})


def test_arguments_are_checked_and_filled_up() -> None:
    spec, args = checked(profile(), "set_power_limit", {"active_power_limit_pct": 50})
    assert spec.name == "set_power_limit"
    assert args == {"active_power_limit_pct": 50, "duration_s": 3_600}
    for bad in ({"active_power_limit_pct": 101}, {"duration_s": 1.5}, {"colour": "red"}, {"active_power_limit_kw": 3},
                {"duration_s": 10**400}, {"duration_s": None}):  # fmt: skip
        with pytest.raises(RefusedValues, match="bad_args"):
            checked(profile(), "set_power_limit", bad)
    with pytest.raises(BadInput, match="bad_args"):
        checked(profile(), "set_power_limit", {"x": "y" * COMMAND_ARGS_BYTES_MAX})


def test_an_argument_keeps_to_the_bounds_of_the_setting_of_its_name() -> None:
    limited = profile(
        setting("export_limit_enabled", "boolean", False),
        setting("active_power_limit_pct", default=100.0, unit="%", minimum=0, maximum=100, grid_maximum=70,
                grid_code="contract", needs={"export_limit_enabled": True}),
    )  # fmt: skip
    with pytest.raises(RefusedValues, match="grid_code"):
        checked(limited, "set_power_limit", {"active_power_limit_pct": 80})
    assert checked(limited, "set_power_limit", {"active_power_limit_pct": 70})[1]["active_power_limit_pct"] == 70


@pytest.mark.parametrize("name", list(CATALOG))
def test_every_command_goes_without_arguments_and_has_words(name: str) -> None:
    spec, args = checked(profile(), name, {})
    assert args == defaults_of(spec.args)
    assert spec.label_fr
    assert spec.label_en
    assert spec.run_s > 0
