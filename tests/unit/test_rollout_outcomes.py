"""Waves that have shown nothing yet, and outcomes that come after the end."""

import msgspec
import pytest

from fleet.rollouts.board import next_step
from fleet.rollouts.lifecycle import Stop, TargetState
from fleet.rollouts.plan import EnergyOutcome, RolloutPlan, SolarWindow, Threshold
from tests.rollout_cases import NOW, TWO_WAVES, finding, kind, made


@pytest.mark.parametrize("nobody", ["away", "absent", "skipped", "rejected", "gone"])
def test_a_wave_of_which_nobody_is_done_is_not_over(nobody: TargetState) -> None:
    plan = RolloutPlan(waves=TWO_WAVES, observe_s=60.0)
    for wave in (0, 1):
        rollout = msgspec.structs.replace(made(plan, wave=wave), wave_at=NOW - 300_000)
        tally = {wave: {nobody: 2}, 1 - wave: {"done": 100}}
        step = next_step(rollout, tally, None, NOW)
        assert step is not None
        assert step.stop is not None
        assert (step.kind, step.stop.code, step.stop.wave, step.stop.of) == ("pause", "no_outcome", wave, 2)
        assert step.stop.count == (2 if nobody in ("away", "absent") else 0)
        assert step.stop.outcomes == {nobody: 2}
        if nobody in ("away", "absent"):
            assert next_step(rollout, tally, None, NOW - 1) is None, "they may be there in a moment"
        assert kind(rollout, {**tally, wave: {nobody: 2, "done": 1}}) == "settle"


def test_with_a_window_a_wave_waits_a_day_for_somebody_to_be_there() -> None:
    rollout = made(RolloutPlan(waves=TWO_WAVES, window=SolarWindow(5.0)))
    tally = {0: {"absent": 5}, 1: {"waiting": 5}}
    tomorrow = (rollout.wave_at or 0) + 86_400_000
    assert next_step(rollout, tally, None, tomorrow - 1) is None
    assert kind(rollout, tally, tomorrow) == "pause"


def test_a_wave_of_which_nobody_is_done_goes_on_once_somebody_lets_it() -> None:
    """It is watched then, as any other; and the next one is looked at as strictly."""
    rollout = made(RolloutPlan(waves=TWO_WAVES, observe_s=60.0))
    resumed = msgspec.structs.replace(rollout, stopped=Stop("no_outcome", NOW, 0))
    tally = {0: {"away": 5}, 1: {"waiting": 5}}
    assert kind(resumed, tally) == "settle"
    settled = msgspec.structs.replace(resumed, settled_at=NOW)
    assert next_step(settled, tally, None, NOW + 59_999) is None
    assert kind(settled, tally, NOW + 60_000) == "advance"
    assert kind(msgspec.structs.replace(resumed, wave=1), {0: {"away": 5}, 1: {"away": 5}}) == "pause"


def test_waiting_for_the_sun_and_for_an_outcome_do_not_take_turns() -> None:
    plan = RolloutPlan(waves=TWO_WAVES, observe_s=0.0, energy=EnergyOutcome(5.0, wait_max_s=60.0))
    rollout = made(plan, settled_at=NOW - 60_000)
    resumed = msgspec.structs.replace(rollout, stopped=Stop("no_outcome", NOW, 0))
    assert kind(resumed, {0: {"away": 5}}, energy=finding("unknown", None)) == "pause", "its yield is another question"
    again = msgspec.structs.replace(rollout, stopped=Stop("energy_unknown", NOW, 0))
    assert kind(again, {0: {"away": 5}}, energy=finding("unknown", None)) == "advance"


@pytest.mark.parametrize(("returns", "kind"), [(True, "recall"), (False, "fail")])
def test_who_answers_after_the_end_is_judged_as_the_others_were(returns: bool, kind: str) -> None:
    plan = RolloutPlan(abort_at=(Threshold("rejected", 10.0, 3),), return_on_abort=returns)
    over = made(plan, state="completed", wave=4)
    assert next_step(over, {0: {"done": 28, "rejected": 3, "away": 9}}, None, NOW) is None
    step = next_step(over, {0: {"done": 27, "rejected": 3, "away": 9}}, None, NOW)
    assert step is not None
    assert step.stop is not None
    assert (step.kind, step.stop.code, step.stop.count, step.stop.of) == (kind, "rejected", 3, 30)
