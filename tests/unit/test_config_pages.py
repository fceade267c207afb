"""Configurations in words and as a form, and what a change would change, without a server."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.config_diff import differences, preview
from fleet.config_wishes import plan
from fleet.configuration import STATUSES, Change, ChangeKind, ConfigState, Layer, Values, adopted
from fleet.device_setting import ProblemCode, Setting, SettingProblem, refusal
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import ConfigValue
from fleet.orders import OrderProblem
from fleet.storage.configs import DeviceConfig
from tests.box_profile import DEFAULTS, PROFILE
from web.config_changes import proposed
from web.config_views import ConfigView, OriginView, config_view
from web.errors import Elsewhere, Stale, problem_of, problem_response
from web.if_match import seen_version
from web.language import Language
from web.pages import config_words, setting_words
from web.pages.config_form import fields_of_settings, own_of, typed_in, typed_of
from web.pages.setting_form import spelt
from web.setting_texts import device_refusal, setting_message

LANGUAGES: tuple[Language, ...] = ("fr", "en")
SETTINGS = PROFILE.settings
NOW = 1_763_800_000_000
GROUP = Layer("group-1", "Drôme", "rollout-1", {"report_interval_s": 60})


def state_of(own: Values, layers: tuple[Layer, ...] = ()) -> ConfigState:
    """After these have come, one after the other."""
    state = ConfigState()
    changes = [Change("rollout", source=layer.source, layer=layer) for layer in layers]
    for change in [*changes, Change("set", own=own)]:
        desired = plan(state, change, SETTINGS, None, NOW)
        state = adopted(state, desired, NOW) if desired is not None else state
    return state


def view_of(state: ConfigState) -> ConfigView:
    return config_view(DeviceConfig(SiteId("s-1"), DeviceId("d-1"), SETTINGS, state, None, None))


def test_a_problem_is_said_in_french_as_numbers_are_read_there() -> None:
    said = setting_message(SettingProblem("a_v", "grid_code", "253 … 264.5 V (EN 50549-1, 1.10 Un)"), "fr")
    assert said == ("Le raccordement au réseau ne le permet pas\u202f; permis\u00a0: 253 … 264,5 V (EN 50549-1, 1.10 Un).")


def test_a_devices_refusal_is_said_in_words_where_it_has_some() -> None:
    assert device_refusal("read_only", "fr") == "Ce réglage se lit seulement\u00a0: laissez-le tel qu’il est."
    assert device_refusal("out_of_range: 1 … 10 s", "en") == "Beyond the device's limits; allowed: 1 … 10 s."
    for own_words in ("no relay", "grid_code", "", "relay: open", "Read_only"):
        assert device_refusal(own_words, "en") == own_words


@pytest.mark.parametrize("saved", [True, False])
def test_a_rollout_to_no_saved_group_is_not_called_a_group(saved: bool) -> None:
    layer = GROUP if saved else Layer("rollout-1", "Moins de données", "rollout-1", {"report_interval_s": 60})
    state = state_of({}, (layer,))
    origin = view_of(state).origins["report_interval_s"]
    (change,) = proposed(state, preview(state, SETTINGS, {"report_interval_s": 5})[0])
    assert (change.origin_before, change.origin_after) == (origin, OriginView("device"))
    assert origin.saved_group == ("group-1" if saved else None)
    assert config_words.origin(origin, "fr") == (
        "Groupe «\u00a0Drôme\u00a0»" if saved else "Déploiement «\u00a0Moins de données\u00a0»"
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", get_args(ProblemCode))
def test_every_problem_is_said_with_what_would_be_right(code: ProblemCode, language: Language) -> None:
    said = setting_message(SettingProblem("a_s", code, "1 … 10 s"), language)
    other = setting_message(SettingProblem("a_s", code, "1 … 10 s"), "en" if language == "fr" else "fr")
    assert said != other
    assert code not in said
    assert "%" not in said
    assert code == "read_only" or "1 … 10 s" in said
    assert setting_message(SettingProblem("a_s", code), language)


def test_people_read_the_names_of_settings_and_programs_their_keys() -> None:
    problem = SettingProblem("export_limit_w", "needs", "export_limit_on = true")
    assert "export_limit_on = true" in setting_message(problem, "fr")
    assert "« Limiter l’injection » = activé" in setting_message(problem, "fr", {"export_limit_on": "Limiter l’injection"})


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_stand_for_every_code_of_a_configuration(language: Language) -> None:
    looks = [config_words.status(status, language) for status in STATUSES]
    assert len({look.text for look in looks}) == len({look.icon for look in looks}) == len(STATUSES)
    assert all("_" not in config_words.change(kind, language) for kind in get_args(ChangeKind))
    assert config_words.receipt("config.sent", language) != "config.sent"
    assert config_words.receipt("something.new", language) == "something.new"


def test_values_as_people_read_them() -> None:
    by_key = {setting.key: setting for setting in SETTINGS}
    assert setting_words.value(by_key["export_limit_w"], 3000, "fr") == "3\u202f000\u00a0W"
    assert setting_words.value(by_key["active_power_limit_pct"], 62.5, "fr") == "62,5\u00a0%"
    assert setting_words.value(by_key["mode"], "island", "en") == "Islanded"
    assert setting_words.value(by_key["mode"], "gone", "en") == "gone"
    assert [setting_words.value(None, each, "fr") for each in (True, None, "", 1.5)] == ["activé", "—", "(vide)", "1,5"]
    assert setting_words.name_of("input.meter", "fr") == "Entrée «\u00a0meter\u00a0»"
    assert setting_words.limits(by_key["export_limit_w"], "fr") == "0\u00a0…\u00a036\u202f000\u00a0W"
    grid = setting_words.grid_limits(by_key["active_power_limit_pct"], "fr")
    assert grid.replace("\u00a0", " ") == "Raccordement : 0 … 70 % (VDE-AR-N 4105)"


def test_a_form_that_is_sent_as_it_came_changes_nothing() -> None:
    for state in (ConfigState(), state_of({"mode": "island", "battery_low_pct": 20}, (GROUP,))):
        view = view_of(state)
        own, errors = own_of(typed_of(view.own, view), view)
        assert (own, errors) == (view.own, {})
        assert preview(state, SETTINGS, own) == ([], [])
        own, errors = own_of(typed_in({}, view), view)
        assert (own, errors) == (view.own, {}), "what is not in the form stays as it is"


def test_a_value_goes_back_to_what_is_inherited() -> None:
    state = state_of({"mode": "island", "report_interval_s": 5}, (GROUP,))
    view = view_of(state)
    assert (view.inherited["report_interval_s"], view.origins["report_interval_s"].kind) == (60, "device")
    own, _ = own_of(typed_in({"inherit.report_interval_s": "yes", "v.report_interval_s": "5"}, view), view)
    assert own == {"mode": "island"}
    typed, _ = own_of(typed_in({"v.report_interval_s": "60"}, view), view)
    assert typed == own, "typing what is inherited is the same"
    (change,) = preview(state, SETTINGS, own)[0]
    assert (change.before, change.after) == (5, 60)
    assert (change.origin_after and change.origin_after.name) == "Drôme"


@pytest.mark.parametrize(
    ("key", "text"),
    [("report_interval_s", ""), ("report_interval_s", "ten"), ("report_interval_s", "1,5"), ("export_limit_w", "nan")],
)
def test_what_cannot_be_read_is_said_beside_its_field(key: str, text: str) -> None:
    view = view_of(ConfigState())
    typed = typed_in({f"v.{key}": text}, view)
    _, errors = own_of(typed, view)
    assert list(errors) == [key]
    (field,) = (each for each in fields_of_settings(view, typed, errors, (), "fr") if each.error)
    assert (field.setting.key, field.text) == (key, text)


def test_fields_know_their_limits_and_why_they_have_no_effect() -> None:
    fields = {each.setting.key: each for each in fields_of_settings(view_of(ConfigState()), None, {}, (), "fr")}
    assert fields["active_power_limit_pct"].attributes == 'step="any" min="0" max="70"'
    assert fields["report_interval_s"].attributes == 'step="1" min="1" max="3600"'
    assert fields["export_limit_w"].idle == "Limiter l’injection = activé"
    assert fields["mode"].idle == ""


def test_what_goes_beyond_the_limits_of_now_is_marked() -> None:
    state = state_of({"active_power_limit_pct": 60.0})
    tight = tuple(
        msgspec.structs.replace(each, grid_maximum=50.0, default=50.0) if each.key == "active_power_limit_pct" else each
        for each in SETTINGS
    )
    view = config_view(DeviceConfig(SiteId("s-1"), DeviceId("d-1"), tight, state, None, None))
    assert (view.held, [(each.key, each.code) for each in view.beyond_limits]) == (
        True,
        [("active_power_limit_pct", "grid_code")],
    )
    marked = {each.setting.key: each.beyond for each in fields_of_settings(view, None, {}, (), "fr") if each.beyond}
    assert list(marked) == ["active_power_limit_pct"]
    assert "0 … 50 %" in marked["active_power_limit_pct"]
    assert (view_of(state).held, view_of(state).beyond_limits) == (False, [])


VALUES: dict[str, st.SearchStrategy[ConfigValue]] = {
    "report_interval_s": st.integers(1, 3_600), "active_power_limit_pct": st.floats(0, 70), "export_limit_on": st.just(True),
    "battery_low_pct": st.integers(0, 89), "mode": st.sampled_from(["auto", "island"]), "name": st.text("abc é", max_size=9),
}  # fmt: skip


@given(before=st.fixed_dictionaries({}, optional=VALUES), after=st.fixed_dictionaries({}, optional=VALUES))
def test_a_preview_says_what_the_change_then_does(before: Values, after: Values) -> None:
    state = state_of(before, (GROUP,))
    changes, problems = preview(state, SETTINGS, after)
    assert problems == []
    desired = plan(state, Change("set", own=after), SETTINGS, None, NOW)
    was = state.desired.values if state.desired is not None else DEFAULTS
    now = desired.values if desired is not None else was
    assert {change.key: (change.before, change.after) for change in changes} == differences(was, now)


@given(number=st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6).map(lambda value: round(value, 6))))
def test_a_number_that_a_form_shows_is_read_back(number: float) -> None:
    setting = Setting("x", "number", "x", "x", 0.0)
    profile = msgspec.structs.replace(PROFILE, settings=(setting,))
    view = config_view(DeviceConfig(SiteId("s"), DeviceId("d"), profile.settings, ConfigState(), None, None))
    own, errors = own_of(typed_in({"v.x": spelt(number)}, view), view)
    assert errors == {}
    assert own.get("x", 0.0) == number


@pytest.mark.parametrize(("given_tag", "version"), [('"3"', 3), ("3", 3), ('W/"12"', 12), (' "0" ', 0)])
def test_the_version_that_was_seen(given_tag: str, version: int) -> None:
    assert seen_version(given_tag) == version


@pytest.mark.parametrize("given_tag", [None, "", "*", '"x"', '"-1"', '"1", "2"', '"' + "9" * 16 + '"', '"٣"'])
def test_a_version_that_is_none(given_tag: str | None) -> None:
    with pytest.raises(BadInput, match="version_needed"):
        seen_version(given_tag)


def test_a_stale_version_carries_the_one_in_force() -> None:
    problem = problem_of(Stale("stale_version", "it is at 4", 4, {"version": 4}), "fr")
    assert (problem.status, problem.version, problem.desired) == (412, 4, {"version": 4})
    assert problem_response(problem).headers["ETag"] == '"4"'
    assert b'"version":4' in msgspec.json.encode(problem)
    assert problem_of(BadInput("bad_id", "x"), "fr").version is None


def test_refused_values_speak_the_readers_language() -> None:
    error: Exception = refusal("bad_config", [SettingProblem("a_s", "out_of_range", "1 … 10 s")])
    french, english = problem_of(error, "fr"), problem_of(error, "en")
    assert (french.status, french.code, [each.field for each in french.errors]) == (422, "bad_config", ["a_s"])
    assert french.errors != english.errors
    told = OrderProblem("RefusedValues", "bad_args", "x", (SettingProblem("a_s", "too_long", "200"),)).error()
    assert [each.field for each in problem_of(told, "fr").errors] == ["a_s"], "a shard's refusal as well"


def test_a_gateway_is_named_to_every_reader() -> None:
    for language in LANGUAGES:
        assert "gw-1" in problem_of(Elsewhere("behind_gateway", "turn to gw-1", "gw-1"), language).detail
