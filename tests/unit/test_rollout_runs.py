"""Whole rollouts, by seeds: counts add up, limits hold, an abort gives everything back, whatever breaks off when."""

import msgspec
import pytest

from fleet.rollouts.plan import RolloutPlan, SolarWindow, Threshold, Wave
from tests.rollout_simulation import Simulation

WAVES = (Wave(count=10), Wave(percent=10.0), Wave(percent=50.0), Wave(percent=100.0))
PLAN = RolloutPlan(waves=WAVES, per_minute=300, observe_s=30.0, timeout_s=60.0, silent_after_s=20.0)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("crashes", [0.0, 0.02])
def test_every_live_device_is_reached_and_the_counts_are_exact(seed: int, crashes: float) -> None:
    run = Simulation(PLAN, 1_000, seed, offline=0.1, failing=0.01, crashes=crashes)
    run.run(1_500)
    assert run.rollout.state == "completed", run.rollout.stopped
    counts = run.counts()
    offline = sum(not thing.there for thing in run.things.values())
    failing = sum(thing.fails and thing.there for thing in run.things.values())
    assert counts == {"done": 1_000 - offline - failing, "away": offline, "rejected": failing}
    assert all(thing.holds and thing.tellings == 1 for thing in run.things.values()), "nobody is told twice"
    run.come()
    run.step()
    assert run.counts() == {"done": 1_000 - (failed := sum(t.fails for t in run.things.values())), "rejected": failed}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("crashes", [0.0, 0.05])
def test_an_abort_gives_everybody_back_what_they_had(seed: int, crashes: float) -> None:
    run = Simulation(PLAN, 1_000, seed, failing=0.3, crashes=crashes)
    run.run(1_500)
    assert run.rollout.state == "aborted"
    assert run.rollout.stopped is not None
    assert run.rollout.stopped.code == "rejected"
    assert run.rollout.stopped.wave <= 1, "long before most were told"
    assert not any(thing.holds for thing in run.things.values())
    run.step()
    counts = run.counts()
    assert set(counts) <= {"waiting", "restored", "returned"}
    for target in run.targets.values():
        assert target.state != "restored" or run.things[target.device].there, "who is away has confirmed nothing"
    assert counts["restored"] + counts["returned"] == len(run.told_at) < 150
    run.come()
    run.step()
    assert run.counts() == {"waiting": counts["waiting"], "restored": len(run.told_at)}
    assert all(thing.tellings in (0, 2) for thing in run.things.values()), "told once, and given back once"


@pytest.mark.parametrize("seed", range(10))
def test_devices_that_die_of_it_stop_it(seed: int) -> None:
    run = Simulation(PLAN, 500, seed, failing=0.0, dying=0.5)
    run.run(1_500)
    assert run.rollout.stopped is not None
    assert (run.rollout.state, run.rollout.stopped.code) == ("aborted", "went_silent")
    assert not any(thing.holds for thing in run.things.values())
    for _ in range(30):
        run.step()
    assert run.counts()["return_unanswered"] == len(run.told_at) - run.counts()["restored"] - run.counts()["returned"] > 1
    run.come()
    run.step()
    assert run.counts()["restored"] == len(run.told_at)


@pytest.mark.parametrize("seed", range(10))
def test_never_more_than_the_limit_in_any_minute(seed: int) -> None:
    plan = msgspec.structs.replace(PLAN, per_minute=97, observe_s=0.0, waves=(Wave(percent=100.0),))
    run = Simulation(plan, 500, seed, failing=0.0, crashes=0.1)
    run.run(1_500)
    assert run.rollout.state == "completed"
    assert max(sum(start <= at < start + 60_000 for at in run.told_at) for start in run.told_at) == 97
    assert run.told_at[-1] - run.told_at[0] <= 6 * 60_000, "and not much less either"


@pytest.mark.parametrize("paused_at", range(1, 125, 5))
def test_paused_anywhere_it_tells_nobody_until_it_goes_on(paused_at: int) -> None:
    run = Simulation(PLAN, 200, paused_at, failing=0.0, offline=0.0)
    run.run(paused_at)
    assert run.rollout.state == "running"
    run._take("pause", None)
    told = len(run.told_at)
    run.run(100)
    assert len(run.told_at) == told
    assert run.rollout.state == "paused"
    run._take("resume", None)
    run.run(500)
    assert run.rollout.state == "completed"
    assert run.counts() == {"done": 200}
    assert len(run.told_at) == len(set(run.targets)) == 200


@pytest.mark.parametrize("aborted_at", range(1, 125, 5))
def test_aborted_anywhere_it_gives_everything_back(aborted_at: int) -> None:
    run = Simulation(PLAN, 200, aborted_at, failing=0.0, crashes=0.05)
    run.run(aborted_at)
    run._take("return", None)
    run.run(200)
    assert run.rollout.state == "aborted"
    assert not any(thing.holds for thing in run.things.values())
    run.come()
    run.step()
    assert run.counts()["restored"] == len(run.told_at)


@pytest.mark.parametrize("stopped_after", [0, 1, 2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("seed", range(5))
def test_when_nothing_more_is_given_back_the_others_keep_what_they_have(seed: int, stopped_after: int) -> None:
    run = Simulation(PLAN, 200, seed, failing=0.0, crashes=0.05)
    run.run(80)
    run._take("return", None)
    for _ in range(stopped_after):
        run.step()
    if run.rollout.state == "returning":
        run._take("abort", None)
    run.step()
    run.come()
    run.step()
    counts = run.counts()
    assert run.rollout.state == "aborted"
    assert set(counts) <= {"waiting", "done", "restored"}
    assert counts["done"] == sum(thing.holds for thing in run.things.values())
    assert counts["done"] + counts["restored"] == len(run.told_at)


@pytest.mark.parametrize("seed", range(5))
def test_at_night_only_the_canaries_are_told(seed: int) -> None:
    """Nobody is there; by day it goes on where it was, or stops at its canaries."""
    for failing, state in ((0.0, "completed"), (1.0, "aborted")):
        run = Simulation(PLAN, 200, seed, offline=1.0, failing=failing, crashes=0.02)
        run.run(1_000)
        assert (run.rollout.state, run.rollout.wave, len(run.told_at)) == ("paused", 0, 10)
        assert run.rollout.stopped is not None
        assert (run.rollout.stopped.code, run.rollout.stopped.count, run.rollout.stopped.of) == ("no_outcome", 10, 10)
        run.come()
        run.run(5)
        if failing == 0.0:
            assert (run.rollout.state, run.counts()["done"]) == ("paused", 10)
            run._take("resume", None)
        run.run(1_000)
        run.step()
        assert run.rollout.state == state
        assert run.counts() == ({"done": 200} if state == "completed" else {"restored": 10, "waiting": 190})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("returns", [True, False])
def test_those_that_come_after_the_end_and_refuse_stop_it(seed: int, returns: bool) -> None:
    plan = msgspec.structs.replace(PLAN, return_on_abort=returns)
    run = Simulation(plan, 200, seed, offline=0.4, failing=0.0, crashes=0.02)
    run.run(1_500)
    assert run.rollout.state == "completed"
    for thing in run.things.values():
        thing.fails = not thing.there
    late = run.come()
    for _ in range(100):
        run.step()
    assert run.rollout.state == "aborted"
    assert run.rollout.stopped is not None
    assert run.rollout.stopped.code == "rejected"
    assert run.counts() == ({"restored": 200} if returns else {"done": 200 - late, "rejected": late})


def test_few_that_fail_stop_nothing_below_the_minimum() -> None:
    plan = msgspec.structs.replace(PLAN, abort_at=(Threshold("rejected", 1.0, 3),))
    run = Simulation(plan, 200, 1, failing=0.0)
    for device in list(run.things)[:2]:
        run.things[device].fails = run.things[device].there = True
    run.run(1_000)
    assert run.rollout.state == "completed"
    assert run.counts()["rejected"] == 2


@pytest.mark.parametrize("seed", range(5))
def test_with_a_window_nobody_is_told_who_is_away_or_while_it_is_shut(seed: int) -> None:
    plan = msgspec.structs.replace(PLAN, window=SolarWindow(5.0), abort_at=())
    run = Simulation(plan, 100, seed, offline=0.2, failing=0.0, flapping=0.002)
    was_shut_in = set()
    for second in range(1_500):
        run.is_open = second // 100 % 3 == 2
        told, holders = len(run.told_at), {device for device, thing in run.things.items() if thing.holds}
        run.step()
        assert run.counts().total() == 100
        for device, thing in run.things.items():
            assert device in holders or not thing.holds or thing.there, "the twin of one that is away has nothing for it"
        if not run.is_open:
            assert len(run.told_at) == told
            was_shut_in.add(run.rollout.wave)
    assert run.rollout.state == "completed"
    assert len(was_shut_in) > 1
    run.come()
    run.is_open, run.flapping = True, 0.0
    for _ in range(300):
        run.step()
    assert run.counts() == {"done": 100}, "also those that were away until the waves were over"
    assert len(run.told_at) == 100
