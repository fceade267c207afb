"""Rollouts in words and as a form: no state, reason or problem without words; a plan survives its form."""

from dataclasses import dataclass
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.limits import ROLLOUT_FOLLOWED_DAYS
from fleet.rollouts.energy import EnergyFinding, EnergyLack
from fleet.rollouts.lifecycle import RETURNED_STATES, STATES, TARGET_STATES, Stop, StopCode
from fleet.rollouts.outcome_words import lack_said, outcomes_said
from fleet.rollouts.plan import FAULT_KINDS, EnergyOutcome, RolloutPlan, SolarWindow, Threshold, Wave
from fleet.targets import TargetQuery
from tests.box_profile import PROFILE
from web import rollout_texts
from web.language import Language
from web.pages import rollout_words
from web.pages.rollout_form import PLAN_FIELDS, PRESETS, fields_of_plan, plan_in, preset_of
from web.rollout_texts import SLICES, Slice

LANGUAGES: tuple[Language, ...] = ("fr", "en")
NOW = 1_763_800_000_000
NARROW = "\u202f"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_has_words_and_a_shape(language: Language) -> None:
    assert len({rollout_words.state(state, language).icon for state in STATES}) == len(STATES)
    texts = {rollout_texts.target_state(state, language) for state in TARGET_STATES}
    assert len(texts) == len(TARGET_STATES), "no two are called the same"
    for state in TARGET_STATES:
        assert rollout_texts.target_meaning(state, language).endswith(".")
        assert rollout_words.target(state, None, NOW, language).icon
    assert sorted(state for states in SLICES.values() for state in states) == sorted(TARGET_STATES)
    assert {rollout_texts.slice_name(code, 2, language) for code in get_args(Slice)}.isdisjoint({""})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("code", get_args(StopCode))
def test_every_reason_to_stop_is_a_sentence(code: StopCode, state: str, language: Language) -> None:
    for wave in (0, 2):
        found = Stop(code, NOW, wave, 2, 5, 40.0, 10.0, "otto", "bad value" if code == "person" else "")
        said = rollout_texts.stop(found, state, "Otto", language)  # type: ignore[arg-type]
        assert "{" not in said
        assert said[0].isupper()
        if code == "person":
            assert "Otto" in said
            assert said.endswith("bad value")
            assert rollout_texts.stop(found, state, None, language) != said  # type: ignore[arg-type]


def test_a_stop_in_french() -> None:
    two = Stop("rejected", NOW, 0, 2, 5, 40.0, 10.0)
    assert rollout_texts.stop(two, "aborted", None, "fr") == (
        f"Arrêté de lui-même\u00a0: 2 témoins sur 5 ont refusé ces valeurs (40{NARROW}%, limite 10{NARROW}%)."
    )
    one = Stop("timed_out", NOW, 1, 1, 9, 100 / 9, 10.0)
    assert rollout_texts.stop(one, "returning", None, "fr") == (
        f"Arrêté de lui-même\u00a0: 1 appareil sur 9 n’a pas répondu à temps (11,1{NARROW}%, limite 10{NARROW}%)."
    )
    energy = Stop("energy", NOW, 0, of=3, measured_pct=-31.2, limit_pct=-10.0)
    assert rollout_texts.stop(energy, "returning", None, "fr") == (
        f"Arrêté de lui-même\u00a0: les témoins produisent 31,2{NARROW}% de moins que leurs voisins ne le laissent attendre"
        f" (limite 10{NARROW}%)."
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wave_without_an_outcome_says_what_can_be_done_while_it_is_paused(language: Language) -> None:
    found = Stop("no_outcome", NOW, 0, 4, 5)
    paused = rollout_texts.stop(found, "paused", None, language)
    assert ("4 sur 5" if language == "fr" else "4 of 5") in paused
    assert ("créneau solaire" if language == "fr" else "solar window") in paused
    later = rollout_texts.stop(found, "completed", None, language)
    assert ("créneau solaire" if language == "fr" else "solar window") not in later


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lacks", get_args(EnergyLack))
def test_a_yield_that_cannot_be_compared_says_what_was_missing(lacks: EnergyLack, language: Language) -> None:
    why = lack_said(lacks, language)
    stopped = rollout_texts.stop(Stop("energy_unknown", NOW, 0, of=3, lacks=lacks), "paused", None, language)
    assert f"({why})" in stopped
    assert why in rollout_words.energy(EnergyFinding("unknown", NOW, None, 3, 0, 0.0, 0.0, 0.0, 0.0, lacks), language)
    assert "()" not in rollout_texts.stop(Stop("energy_unknown", NOW, 0, of=3), "paused", None, language), "of old releases"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wave_that_refused_is_not_said_to_sleep(language: Language) -> None:
    refused = Stop("no_outcome", NOW, 0, 0, 2, outcomes={"rejected": 2})
    said = rollout_texts.stop(refused, "paused", None, language)
    assert ("refus : 2 sur 2" if language == "fr" else "refused: 2 of 2") in said
    assert ("dorment" if language == "fr" else "sleep") not in said
    both = Stop("no_outcome", NOW, 0, 1, 3, outcomes={"timed_out": 2, "absent": 1})
    said = rollout_texts.stop(both, "paused", None, language)
    assert ("hors ligne ou endormis : 1 sur 3" if language == "fr" else "offline or asleep: 1 of 3") in said
    assert ("sans réponse : 2 sur 3" if language == "fr" else "no answer: 2 of 3") in said
    stored = Stop("no_outcome", NOW, 0, 0, 2)  # by an older release
    assert "0" not in rollout_texts.stop(stored, "paused", None, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_that_a_wave_can_end_in_is_named(language: Language) -> None:
    over = set(TARGET_STATES) - {"waiting", "held", "telling", "pending", "done", "returning", "not_returned"}
    for state in over - RETURNED_STATES:
        assert outcomes_said(Stop("no_outcome", NOW, 0, 0, 7, outcomes={state: 7}), language).count("7") == 2


@dataclass
class Broken:
    """A plan that is refused, and the field of it that is to be named."""

    field: str
    plan: dict[str, object]


BROKEN = [
    Broken("waves", {"waves": ()}),
    Broken("waves", {"waves": (Wave(count=5),)}),
    Broken("waves", {"waves": (Wave(percent=50.0), Wave(percent=20.0), Wave(percent=100.0))}),
    Broken("waves", {"waves": (Wave(count=0), Wave(percent=100.0))}),
    Broken("per_minute", {"per_minute": 0}),
    Broken("observe_s", {"observe_s": -1.0}),
    Broken("timeout_s", {"timeout_s": 1.0}),
    Broken("silent_after_s", {"silent_after_s": 1.0}),
    Broken("abort_at", {"abort_at": (Threshold("rejected", 1.0), Threshold("rejected", 2.0))}),
    *(Broken(kind, {"abort_at": (Threshold(kind, 0.0),)}) for kind in FAULT_KINDS),
    *(Broken(kind, {"abort_at": (Threshold(kind, 5.0, 0),)}) for kind in FAULT_KINDS),
    Broken("energy", {"energy": EnergyOutcome(0.0)}),
    Broken("energy", {"energy": EnergyOutcome(10.0, 99.0)}),
    Broken("energy", {"energy": EnergyOutcome(10.0, wait_max_s=1.0)}),
    Broken("window", {"window": SolarWindow(0.0)}),
    Broken("window", {"window": SolarWindow(from_hour=3.0)}),
    Broken("window", {"window": SolarWindow(from_hour=3.0, until_hour=3.0)}),
    Broken("window", {"window": SolarWindow(from_hour=3.0, until_hour=25.0)}),
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_every_problem_of_a_plan_has_words(broken: Broken) -> None:
    with pytest.raises(BadInput) as raised:
        RolloutPlan(**broken.plan)  # type: ignore[arg-type]
    assert raised.value.detail.startswith(broken.field)
    french = rollout_texts.plan_problem(raised.value.detail, "fr")
    english = rollout_texts.plan_problem(raised.value.detail, "en")
    assert len({french, english, raised.value.detail}) == 3
    assert not set("{}_") & set(french + english)


def test_a_problem_without_words_is_told_as_it_is() -> None:
    assert rollout_texts.plan_problem("a new rule", "fr") == "a new rule"


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(round(low * 10), round(high * 10)).map(lambda tenths: tenths / 10)


@st.composite
def plans(draw: st.DrawFn) -> RolloutPlan:
    counts = sorted(draw(st.sets(st.integers(1, 50), max_size=2)))
    shares = sorted(draw(st.sets(numbers(1, 99), max_size=3)))
    energy = draw(st.none() | st.builds(EnergyOutcome, numbers(1, 100), numbers(0.1, 10), st.just(7_200.0)))
    hours = draw(st.none() | st.sampled_from([(22.0, 5.0), (0.0, 24.0), (6.5, 7.0)]))
    share = draw(st.none() | numbers(0.1, 100))
    return RolloutPlan(
        waves=(*(Wave(count=each) for each in counts), *(Wave(percent=each) for each in shares), Wave(percent=100.0)),
        per_minute=draw(st.integers(1, 12_000)),
        observe_s=60.0 * draw(st.integers(0, 600)),
        timeout_s=60.0 * draw(st.integers(1, 600)),
        silent_after_s=60.0 * draw(st.integers(1, 600)),
        abort_at=tuple(
            Threshold(kind, draw(numbers(0.1, 100)), draw(st.integers(1, 99))) for kind in FAULT_KINDS if draw(st.booleans())
        ),
        energy=energy,
        return_on_abort=draw(st.booleans()),
        continuous=draw(st.booleans()),
        window=SolarWindow(share, *hours) if hours else SolarWindow(share) if share is not None else None,
    )


@given(plans())
def test_a_plan_comes_back_out_of_its_form(plan: RolloutPlan) -> None:
    assert plan_in(fields_of_plan(plan)) == (plan, {}, "")
    for language in LANGUAGES:
        lines = rollout_words.plan(plan, language)
        assert all(line.title and line.text for line in lines)


def test_the_ready_made_plans_are_recognised() -> None:
    for name, plan in PRESETS.items():
        assert preset_of(plan) == name
        assert plan_in(fields_of_plan(plan))[0] == plan
        assert set(fields_of_plan(plan)) == set(PLAN_FIELDS)
    assert preset_of(RolloutPlan(per_minute=7)) is None
    assert preset_of(None) is None


def test_the_careful_plan_stops_at_two_of_its_canaries_and_rarely_by_chance() -> None:
    thresholds = PRESETS["prudent"].abort_at
    assert {each.kind for each in thresholds} == set(FAULT_KINDS)
    for each in thresholds:
        assert each.is_reached(2, 3)
        assert not each.is_reached(1, 3)
        assert _chance_of_abort(each, devices=1_000, failing=0.01) < 0.07
        assert _chance_of_abort(each, devices=1_000, failing=0.2) > 0.99


def _chance_of_abort(threshold: Threshold, devices: int, failing: float) -> float:
    """That it is reached by any of so many devices' outcomes, one after the other."""
    chances, reached = {0: 1.0}, 0.0  # faults so far → how likely
    for judged in range(1, devices + 1):
        after: dict[int, float] = {}
        for faults, chance in chances.items():
            for more, share in ((0, 1.0 - failing), (1, failing)):
                after[faults + more] = after.get(faults + more, 0.0) + chance * share
        reached += sum(chance for faults, chance in after.items() if threshold.is_reached(faults, judged))
        chances = {faults: chance for faults, chance in after.items() if not threshold.is_reached(faults, judged)}
    return reached


@pytest.mark.parametrize(
    ("field", "text", "wrong"),
    [
        ("waves", "five", "waves"), ("waves", "", "waves"), ("waves", "5, 10 %", "waves"), ("waves", "2.5, 100 %", "waves"),
        ("per_minute", "", "per_minute"), ("per_minute", "0", "per_minute"), ("observe_min", "x", "observe_min"),
        ("timeout_min", "0", "timeout_min"), ("silent_min", "0", "silent_min"), ("rejected_pct", "101", "rejected_pct"),
        ("raised_alerts_least", "-1", "raised_alerts_least"), ("energy_drop_pct", "200", "energy_drop_pct"),
        ("window_share_pct", "0", "window_share_pct"), ("window_from", "3", "window_from"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_field(field: str, text: str, wrong: str) -> None:
    plan, errors, _ = plan_in(fields_of_plan(RolloutPlan()) | {field: text})
    assert plan is None
    assert list(errors) == [wrong]


@given(st.dictionaries(st.sampled_from(PLAN_FIELDS), st.text(max_size=12)))
def test_whatever_is_typed_is_a_plan_or_a_complaint(typed: dict[str, str]) -> None:
    plan, errors, _ = plan_in(typed)
    assert (plan is None) == bool(errors)


def test_a_bar_adds_up() -> None:
    counts = {state: number for number, state in enumerate(TARGET_STATES, 1)}
    pieces = rollout_words.bar(counts, None, NOW, "fr")
    assert sum(piece.devices for piece in pieces) == sum(counts.values())
    assert sum(piece.width for piece in pieces) == pytest.approx(100.0)
    assert rollout_words.bar({}, None, NOW, "fr") == []
    (alone,) = rollout_words.bar({"waiting": 2}, NOW, NOW, "fr")
    assert alone.name == "non atteints", "what was to come when it ended never does"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_nobody_looks_at_any_more_is_not_under_way(language: Language) -> None:
    """An older release's returns were never confirmed, and a device may stay away for longer than it is waited for."""
    at_last = NOW + ROLLOUT_FOLLOWED_DAYS * 86_400_000
    seen = []
    for now in (at_last - 1, at_last):
        (piece,) = rollout_words.bar({"returned": 12}, NOW, now, language)
        look = rollout_words.target("returned", NOW, now, language)
        seen.append((piece.name, look.text, rollout_words.meaning("returned", NOW, now, language)))
    assert seen[0] == (
        rollout_texts.slice_name("under_way", 12, language),
        rollout_texts.target_state("returned", language),
        rollout_texts.target_meaning("returned", language),
    )
    assert seen[1][:2] == (("non confirmés", "Non confirmé") if language == "fr" else ("not confirmed", "Not confirmed"))
    assert seen[1][2] not in (seen[0][2], "")
    (done,) = rollout_words.bar({"done": 12}, NOW, at_last, language)
    assert done.name == rollout_texts.slice_name("done", 12, language)


def test_what_the_canaries_yielded_and_why_a_device_was_left_out() -> None:
    found = EnergyFinding("dropped", NOW, -31.2, 3, 12, 1.0, 0.6, 1.0, 0.9)
    assert "31,2" in rollout_words.energy(found, "fr")
    assert "less" in rollout_words.energy(found, "en")
    unknown = EnergyFinding("unknown", NOW, None, 3, 0, 0.0, 0.0, 0.0, 0.0)
    assert rollout_words.energy(unknown, "en").startswith("Too little")
    assert rollout_words.problem("alerted", "device_offline", "fr") == "Appareil hors ligne"
    assert rollout_words.problem("rejected", "drifted", "en") == "runs other values than these"
    assert rollout_words.problem("rejected", "interval: too short", "fr") == "interval: too short"
    assert rollout_words.problem("rejected", "mode: read_only; a: b", "en") == "mode: read_only; a: b"
    settings = {each.key: each for each in PROFILE.settings}
    refused = rollout_words.problem("rejected", "mode: read_only; a_s: out_of_range: 1 … 9 s", "en", settings)
    assert refused.startswith("Mode: This setting can only be read")
    assert refused.endswith(" a_s: Beyond the device's limits; allowed: 1 … 9 s.")
    assert rollout_words.problem("skipped", "bad_config: x", "fr") == "Configuration refusée (x)"
    assert rollout_words.problem("skipped", "too_many_layers", "en") == "Too many groups"
    assert rollout_words.query(TargetQuery(profiles=("gateway",)), "en") == "every device of the profile"
    for reason in ("other_profile", "behind_gateway", "device_revoked"):
        assert rollout_words.skipped(reason, "fr") != reason
