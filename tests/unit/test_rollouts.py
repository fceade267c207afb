"""Rollouts: every state and every event; plans; what becomes of a target; what a rollout does next."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput, Conflict
from fleet.ids import DeviceId, SiteId
from fleet.rollouts.board import assigned, next_step, room
from fleet.rollouts.facts import TargetFacts, judge
from fleet.rollouts.lifecycle import (
    EVENTS,
    MOVES,
    RETURNED_STATES,
    STATES,
    TARGET_EVENTS,
    TARGET_MOVES,
    TARGET_STATES,
    Stop,
    Target,
    TargetEvent,
    TargetState,
    move,
    move_target,
)
from fleet.rollouts.plan import EnergyOutcome, RolloutPlan, SolarWindow, Threshold, Wave, wave_sizes
from fleet.rollouts.turn import Turn, turn
from fleet.targets import TargetDevice
from tests.rollout_cases import NOW, TWO_WAVES, finding, kind, made


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_every_move_of_a_rollout(state: str, event: str) -> None:
    wanted = {
        "running": {"pause": "paused", "return": "returning", "abort": "aborted", "complete": "completed"},
        "paused": {"resume": "running", "return": "returning", "abort": "aborted", "complete": "completed"},
        "returning": {"abort": "aborted"},
        "aborted": {},
        "completed": {"recall": "returning", "fail": "aborted"},
    }[state].get(event)
    if wanted is None:
        with pytest.raises(Conflict, match=f"{state} cannot {event}") as refused:
            move(state, event)  # type: ignore[arg-type]
        assert refused.value.code == "illegal_move"
    else:
        assert move(state, event) == wanted  # type: ignore[arg-type]


_TOLD = ("pending", "away", "done", "rejected", "timed_out", "silent", "alerted")
_TARGET_TABLE: dict[str, dict[str, str]] = {
    "waiting": {"hold": "held", "miss": "absent", "tell": "telling", "vanish": "gone"},
    "held": {"hold": "held", "miss": "absent", "tell": "telling", "vanish": "gone"},
    "absent": {
        "hold": "held", "miss": "absent", "tell": "telling", "vanish": "gone", "overrule": "overruled",
        "call_off": "waiting",
    },
    "telling": {
        "store": "pending", "store_away": "away", "refuse": "skipped", "miss": "absent", "return": "returning",
        "vanish": "gone", "overrule": "overruled",
    },
    "pending": {
        "report": "done", "reject": "rejected", "time_out": "timed_out", "silence": "silent", "alert": "alerted",
        "sleep": "away", "return": "returning", "restore": "returned", "overrule": "overruled", "vanish": "gone",
        "hold_back": "away",
    },
    "away": {
        "come": "pending", "report": "done", "reject": "rejected", "return": "returning", "restore": "returned",
        "overrule": "overruled", "vanish": "gone", "hold_back": "away",
    },
    "done": {"silence": "silent", "alert": "alerted", "return": "returning", "restore": "returned"},
    "rejected": {
        "report": "done", "return": "returning", "restore": "returned", "overrule": "overruled", "vanish": "gone",
    },
    "timed_out": {
        "report": "done", "reject": "rejected", "return": "returning", "restore": "returned", "overrule": "overruled",
        "vanish": "gone",
    },
    "silent": {
        "report": "done", "reject": "rejected", "return": "returning", "restore": "returned", "overrule": "overruled",
        "vanish": "gone",
    },
    "alerted": {"return": "returning", "vanish": "gone"},
    "skipped": {"rejoin": "waiting"},
    "returning": {
        "restore": "returned", "refuse": "not_returned", "vanish": "gone", "keep": "pending", "keep_away": "away",
    },
    "returned": {
        "report": "restored", "reject": "return_rejected", "time_out": "return_unanswered", "silence": "return_unanswered",
        "return": "returning", "overrule": "overruled", "vanish": "gone", "hold_back": "returned", "come": "returned",
    },
    "restored": {"return": "returning"},
    "return_rejected": {"report": "restored", "return": "returning", "overrule": "overruled", "vanish": "gone"},
    "return_unanswered": {
        "report": "restored", "reject": "return_rejected", "return": "returning", "overrule": "overruled", "vanish": "gone",
    },
    "not_returned": {},
    "overruled": {},
    "gone": {"rejoin": "waiting"},
}  # fmt: skip


@pytest.mark.parametrize(("state", "event"), list(product(TARGET_STATES, TARGET_EVENTS)))
def test_every_move_of_a_target(state: TargetState, event: TargetEvent) -> None:
    wanted = _TARGET_TABLE[state].get(event)
    if wanted is None:
        with pytest.raises(Conflict) as refused:
            move_target(state, event)
        assert refused.value.code == "illegal_move"
    else:
        assert move_target(state, event) == wanted


def test_the_tables_name_what_there_is_and_no_more() -> None:
    assert set(_TARGET_TABLE) == set(TARGET_STATES)
    assert {event for _, event in TARGET_MOVES} == set(TARGET_EVENTS)
    assert {event for _, event in MOVES} == set(EVENTS)
    assert {state for state in TARGET_STATES if (state, "return") in TARGET_MOVES} == {*_TOLD, "telling", *RETURNED_STATES}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"waves": ()}, "waves: 1 to 10, not 0"),
        ({"waves": (Wave(percent=100.0),) * 11}, "not 11"),
        ({"waves": (Wave(count=5),)}, "the last one reaches all"),
        ({"waves": (Wave(count=0), Wave(percent=100.0))}, "waves: count"),
        ({"waves": (Wave(count=5), Wave(count=5), Wave(percent=100.0))}, "waves: count: 6 to"),
        ({"waves": (Wave(percent=50.0), Wave(percent=50.0))}, "after 50 % comes more"),
        ({"waves": (Wave(percent=100.1),)}, "waves: percent"),
        ({"waves": (Wave(),)}, "not both"),
        ({"waves": (Wave(count=1, percent=100.0),)}, "not both"),
        ({"per_minute": 0}, "per_minute"),
        ({"per_minute": 1_000_000}, "per_minute"),
        ({"observe_s": -1.0}, "observe_s"),
        ({"observe_s": float("nan")}, "observe_s"),
        ({"timeout_s": 1.0}, "timeout_s"),
        ({"silent_after_s": float("inf")}, "silent_after_s"),
        ({"abort_at": (Threshold("rejected", 5.0), Threshold("rejected", 6.0))}, "one threshold of each kind"),
        ({"abort_at": (Threshold("rejected", 0.0),)}, "rejected: percent"),
        ({"abort_at": (Threshold("rejected", 5.0, 0),)}, "rejected: at_least"),
        ({"energy": EnergyOutcome(0.0)}, "energy: drop_pct"),
        ({"energy": EnergyOutcome(5.0, min_wh_per_w=0.0)}, "energy: min_wh_per_w"),
        ({"energy": EnergyOutcome(5.0, wait_max_s=1e9)}, "energy: wait_max_s"),
        ({"window": SolarWindow(max_share_of_peak_pct=0.0)}, "window: max_share_of_peak_pct"),
        ({"window": SolarWindow(from_hour=22.0)}, "need both"),
        ({"window": SolarWindow(from_hour=22.0, until_hour=25.0)}, "window: until_hour"),
        ({"window": SolarWindow(from_hour=5.0, until_hour=5.0)}, "never open"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        RolloutPlan(**change)  # type: ignore[arg-type]
    assert refused.value.code == "bad_plan"


def test_a_plan_goes_through_json() -> None:
    plan = RolloutPlan(energy=EnergyOutcome(5.0), window=SolarWindow(5.0, 22.0, 5.0), continuous=True)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=RolloutPlan) == plan


@given(st.integers(0, 3_000), st.integers(1, 50), st.lists(st.floats(0.1, 99.9), unique=True, max_size=8))
def test_waves_hold_every_device_once(devices: int, canaries: int, shares: list[float]) -> None:
    plan = RolloutPlan(waves=(Wave(count=canaries), *(Wave(percent=share) for share in sorted(shares)), Wave(percent=100.0)))
    sizes = wave_sizes(plan, devices)
    assert sum(sizes) == devices
    assert min(sizes) >= 0
    assert sizes[0] == min(canaries, devices)
    waves = assigned(plan, [_device(number) for number in range(devices)], "salt")
    assert [sum(wave == each for wave in waves.values()) for each in range(len(sizes))] == sizes


def test_canaries_are_drawn_from_those_that_are_there() -> None:
    devices = [_device(number, online=number % 10 == 0, health="asleep" if number == 0 else "ok") for number in range(100)]
    waves = assigned(RolloutPlan(waves=TWO_WAVES), devices, "salt")
    canaries = {device for device, wave in waves.items() if wave == 0}
    assert canaries <= {DeviceId(f"d-{number}") for number in range(10, 100, 10)}
    assert canaries != {device for device, wave in assigned(RolloutPlan(waves=TWO_WAVES), devices, "2").items() if wave == 0}
    third = RolloutPlan(waves=(Wave(count=20), Wave(percent=40.0), Wave(percent=100.0)))
    half = [_device(number, online=number % 2 == 0) for number in range(100)]
    second = [device for device, wave in assigned(third, half, "salt").items() if wave == 1]
    assert sum(int(device[2:]) % 2 for device in second) < 17, "12 or 13 are away, not all that the canaries were not"
    few = assigned(RolloutPlan(waves=TWO_WAVES), [_device(number, online=number < 2) for number in range(20)], "salt")
    assert {DeviceId("d-0"), DeviceId("d-1")} < {device for device, wave in few.items() if wave == 0}


@given(st.integers(1, 12_000), st.integers(0, 20_000))
def test_nobody_is_told_beyond_the_limit(per_minute: int, told: int) -> None:
    free = room(RolloutPlan(per_minute=per_minute), told)
    assert 0 <= free <= max(per_minute - told, 0)
    assert told >= per_minute or free > 0


@pytest.mark.parametrize(
    ("rejected", "done", "aborts"),
    [(1, 0, False), (2, 18, True), (2, 19, False), (3, 27, True), (3, 28, False), (0, 9, False)],
)
def test_a_threshold_is_reached_exactly_at_its_limit(rejected: int, done: int, aborts: bool) -> None:
    rollout = made(RolloutPlan(waves=TWO_WAVES, abort_at=(Threshold("rejected", 10.0, 2),)))
    step = next_step(rollout, {0: {"rejected": rejected, "done": done, "pending": 1, "away": 7}}, None, NOW)
    assert (step is not None) == aborts
    if step is not None and step.stop is not None:
        assert step.kind == "return"
        assert (step.stop.code, step.stop.count, step.stop.of) == ("rejected", rejected, rejected + done)


@pytest.mark.parametrize(
    ("state", "code"),
    [("rejected", "rejected"), ("timed_out", "timed_out"), ("silent", "went_silent"), ("alerted", "raised_alerts")],
)
def test_every_kind_of_fault_has_its_threshold(state: TargetState, code: str) -> None:
    plan = RolloutPlan(waves=TWO_WAVES, return_on_abort=False)
    step = next_step(made(plan), {0: {state: 3, "done": 2}}, None, NOW)
    assert step is not None
    assert step.stop is not None
    assert (step.kind, step.stop.code, step.stop.measured_pct) == ("abort", code, 60.0)
    paused = next_step(made(plan, state="paused"), {0: {state: 3, "done": 2}}, None, NOW)
    assert paused is not None, "a rollout that somebody has paused stops as well"


def test_a_rollout_goes_through_its_waves() -> None:
    plan = RolloutPlan(waves=TWO_WAVES, observe_s=60.0)
    rollout = made(plan)
    for blocking in ("waiting", "held", "telling", "pending"):
        assert next_step(rollout, {0: {blocking: 1, "done": 4}, 1: {"waiting": 5}}, None, NOW) is None
    tally = {0: {"away": 1, "done": 3, "skipped": 1}, 1: {"waiting": 5}}
    assert kind(rollout, tally) == "settle"
    settled = msgspec.structs.replace(rollout, settled_at=NOW - 59_999)
    assert next_step(settled, tally, None, NOW) is None
    assert kind(settled, tally, NOW + 1) == "advance"
    assert next_step(msgspec.structs.replace(settled, state="paused"), tally, None, NOW + 1) is None
    over = made(plan, wave=2)
    assert kind(over, {0: {"away": 1, "done": 4}, 1: {"done": 5}}) == "complete"
    assert next_step(over, {1: {"telling": 1, "done": 4}}, None, NOW) is None
    assert kind(made(plan, wave=1), {0: {"done": 5}}) == "advance", "a wave without devices is no wave"
    forever = made(msgspec.structs.replace(plan, continuous=True), wave=2)
    assert next_step(forever, {0: {"done": 5}}, None, NOW) is None


def test_a_return_is_over_when_nobody_has_anything_left_to_give_back() -> None:
    rollout = made(RolloutPlan(waves=TWO_WAVES), state="returning")
    for left in ("telling", "returning", *_TOLD):
        assert next_step(rollout, {0: {left: 1, "returned": 4}}, None, NOW) is None
    assert kind(rollout, {0: {"returned": 3, "gone": 1, "not_returned": 1}, 1: {"waiting": 9}}) == "abort"
    assert next_step(made(RolloutPlan(), state="aborted"), {0: {"rejected": 5}}, None, NOW) is None


def test_after_the_canaries_their_yield_decides() -> None:
    plan = RolloutPlan(waves=TWO_WAVES, observe_s=60.0, energy=EnergyOutcome(5.0, wait_max_s=3_600.0))
    rollout = made(plan, settled_at=NOW - 60_000)
    tally = {0: {"done": 5}, 1: {"waiting": 5}}
    assert next_step(rollout, tally, None, NOW) is None, "not looked at yet"
    assert kind(rollout, tally, energy=finding("fine", -4.9)) == "advance"
    assert next_step(rollout, tally, finding("unknown", None), NOW) is None
    dropped = next_step(rollout, tally, finding("dropped", -12.0), NOW)
    assert dropped is not None
    assert dropped.stop is not None
    assert (dropped.kind, dropped.stop.code, dropped.stop.measured_pct) == ("return", "energy", -12.0)
    later = NOW + 3_600_000
    unknown = next_step(rollout, tally, msgspec.structs.replace(finding("unknown", None), lacks="sun_before"), later)
    assert unknown is not None
    assert unknown.stop is not None
    assert (unknown.kind, unknown.stop.code, unknown.stop.lacks) == ("pause", "energy_unknown", "sun_before")
    resumed = msgspec.structs.replace(rollout, stopped=Stop("energy_unknown", later, 0))
    assert kind(resumed, tally, later, finding("unknown", None)) == "advance", "somebody let it go on"
    assert kind(msgspec.structs.replace(rollout, wave=1), {1: {"done": 5}}) == "advance", "only the canaries are compared"


def test_whom_a_window_keeps_waiting_does_not_keep_the_wave_unless_it_is_there() -> None:
    rollout = made(RolloutPlan(waves=TWO_WAVES))
    assert next_step(rollout, {0: {"held": 1, "absent": 2, "done": 2}}, None, NOW) is None
    assert kind(rollout, {0: {"absent": 2, "done": 3}, 1: {"waiting": 5}}) == "settle"
    assert kind(made(RolloutPlan(waves=TWO_WAVES), wave=2), {0: {"absent": 2, "done": 3}, 1: {"done": 5}}) == "complete"


@pytest.mark.parametrize(
    ("has_window", "state", "wave", "there", "is_open", "event"),
    [
        (False, "waiting", 1, False, True, "tell"),
        (True, "waiting", 1, True, True, "tell"),
        (True, "waiting", 1, True, False, "hold"),
        (True, "waiting", 1, False, True, "miss"),
        (True, "held", 1, False, False, "miss"),
        (True, "absent", 1, True, True, "tell"),
        (True, "absent", 1, True, False, "hold"),  # its wave is at work, and waits for it again
        (True, "absent", 0, True, True, "tell"),
        (True, "absent", 0, True, False, "miss"),  # its wave is over: nobody waits
    ],
)
def test_who_is_not_there_while_there_is_a_window_is_not_told(
    has_window: bool, state: TargetState, wave: int, there: bool, is_open: bool, event: str
) -> None:
    rollout = made(RolloutPlan(waves=TWO_WAVES, window=SolarWindow(5.0) if has_window else None), wave=1)
    target = Target(SiteId("s"), DeviceId("d"), wave, state, NOW)
    assert turn(rollout, target, Turn(True, there, is_open, False)) == event
    assert turn(rollout, target, Turn(False, there, is_open, False)) == "vanish"
    if state == "absent":
        assert turn(rollout, target, Turn(True, there, is_open, True)) == "overrule"
        over = msgspec.structs.replace(rollout, state="completed", wave=2)
        assert turn(over, target, Turn(True, True, False, False)) == "miss"


_FACTS = TargetFacts(DeviceId("d"), True, True, False, NOW, True, 7, "applying", 6, None, "", None)


@pytest.mark.parametrize(
    ("state", "facts", "event"),
    [
        ("pending", {}, None),
        ("pending", {"registered": False}, "vanish"),
        ("pending", {"holds": False}, "overrule"),
        *(
            (state, {"holds": False, "given_back": True}, "restore")  # by an ask that came through late
            for state in ("pending", "away", "done", "rejected", "timed_out", "silent")
        ),
        ("pending", {"given_back": True}, None),
        ("pending", {"status": "in_sync", "reported_version": 7}, "report"),
        ("pending", {"status": "applying", "version": 8, "reported_version": 7}, "report"),
        ("pending", {"status": "rejected", "rejected_version": 7}, "reject"),
        ("pending", {"status": "rejected", "rejected_version": 6}, None),
        ("pending", {"status": "drifted", "reported_version": 7}, "reject"),
        ("pending", {"status": "drifted", "reported_version": 6}, None),
        ("pending", {"there": False, "heard_at": NOW - 179_999}, None),
        ("pending", {"there": False, "heard_at": NOW - 180_000}, "silence"),
        ("pending", {"there": False, "asleep": True, "heard_at": NOW - 999_000}, "sleep"),
        ("pending", {"alert": "total_outage"}, "alert"),
        ("away", {}, "come"),
        ("away", {"there": False, "heard_at": None}, None),
        ("away", {"there": False, "alert": "total_outage"}, None),
        ("away", {"status": "in_sync", "reported_version": 7}, "report"),
        ("away", {"status": "rejected", "rejected_version": 7}, "reject"),
        ("done", {"status": "in_sync", "reported_version": 7}, None),
        ("done", {"status": "drifted", "reported_version": 7}, None),
        ("done", {"holds": False}, None),
        ("done", {"registered": False}, None),
        ("done", {"there": False, "heard_at": NOW - 180_000}, "silence"),
        ("done", {"alert": "total_outage"}, "alert"),
        ("silent", {"status": "in_sync", "reported_version": 7}, "report"),
        ("silent", {"there": False}, None),
        ("silent", {"there": False, "status": "in_sync", "reported_version": 7}, None),
        ("timed_out", {"status": "in_sync", "reported_version": 7}, "report"),
        ("rejected", {"status": "rejected", "rejected_version": 7}, None),
    ],
)
def test_what_becomes_of_a_target(state: TargetState, facts: dict[str, object], event: str | None) -> None:
    target = Target(SiteId("s"), DeviceId("d"), 0, state, NOW - 250_000, NOW - 250_000, 7, True)
    judgement = judge(made(RolloutPlan()), target, msgspec.structs.replace(_FACTS, **facts), NOW)
    assert (judgement and judgement.event) == event
    assert judgement is None or judgement.version == (7 if event == "restore" else None), "that is what it is to confirm"


def test_a_target_times_out_only_while_it_is_there() -> None:
    target = Target(SiteId("s"), DeviceId("d"), 0, "pending", NOW - 300_000, NOW - 900_000, 7, True)
    judgement = judge(made(RolloutPlan()), target, _FACTS, NOW)
    assert judgement is not None
    assert judgement.event == "time_out"
    assert judge(made(RolloutPlan()), target, _FACTS, NOW - 1) is None
    asleep = msgspec.structs.replace(_FACTS, there=False, asleep=True)
    slept = judge(made(RolloutPlan()), target, asleep, NOW)
    assert slept is not None
    assert slept.event == "sleep"


def test_who_is_done_is_watched_with_its_wave_and_for_its_own_time() -> None:
    target = Target(SiteId("s"), DeviceId("d"), 0, "done", NOW - 700_000, NOW - 900_000, 7, True)
    alerted = msgspec.structs.replace(_FACTS, alert="total_outage")
    assert judge(made(RolloutPlan()), target, alerted, NOW) is not None
    assert judge(made(RolloutPlan(), wave=1), target, alerted, NOW) is None
    assert judge(made(RolloutPlan(), wave=1), target, alerted, NOW - 200_000) is not None
    newcomer = msgspec.structs.replace(target, wave=4)
    assert judge(made(RolloutPlan(), wave=4), newcomer, alerted, NOW) is None


@given(
    st.sampled_from(TARGET_STATES), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from(["in_sync", "pending", "applying", "rejected", "drifted", "unknown"]),
    st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), st.none() | st.just("total_outage"),
)  # fmt: skip
def test_a_judgement_is_always_a_legal_move(
    state: TargetState, registered: bool, there: bool, asleep: bool, holds: bool, status: str,
    reported: int | None, rejected: int | None, alert: str | None,
) -> None:  # fmt: skip
    target = Target(SiteId("s"), DeviceId("d"), 0, state, NOW - 400_000, NOW - 400_000, 7, True)
    facts = TargetFacts(
        DeviceId("d"), registered, there, asleep, None, holds, 7, status, reported, rejected, "", alert  # type: ignore[arg-type]
    )  # fmt: skip
    judgement = judge(made(RolloutPlan()), target, facts, NOW)
    assert judgement is None or move_target(state, judgement.event)


def _device(number: int, *, online: bool = True, health: str = "ok") -> TargetDevice:
    name = DeviceId(f"d-{number}")
    return TargetDevice(
        SiteId("s"), name, name, "s", "inverter", "inverter", None, False, online, None, health, "in_sync", None, None  # type: ignore[arg-type]
    )  # fmt: skip
