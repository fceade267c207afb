"""A command's life: every state with every event, every answer of a device, every deadline."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.commands import (
    EVENT_OF,
    EVENTS,
    GIVEN_UP,
    MOVES,
    OPEN_STATES,
    REPEATS,
    STATES,
    CommandEvent,
    CommandState,
    IssuedCommand,
    move,
)
from fleet.errors import Conflict
from fleet.ids import device_id, site_id
from fleet.limits import COMMAND_ANSWER_GRACE_S, COMMAND_RESEND_S
from fleet.order_messages import CommandResult, CommandStatus

STATUSES: tuple[CommandStatus, ...] = ("accepted", "succeeded", "failed")
EXPIRES_AT = 10_000
RUN_S = 60.0
# The whole table, spelt out once more: state → event → state; what is missing is illegal.
EXPECTED: dict[CommandState, dict[CommandEvent, CommandState]] = {
    "queued": {"send": "sent", "expire": "expired", "cancel": "cancelled"},
    "sent": {"accept": "accepted", "succeed": "succeeded", "fail": "failed", "time_out": "timed_out"},
    "accepted": {"succeed": "succeeded", "fail": "failed", "time_out": "timed_out"},
    "succeeded": {},
    "failed": {},
    "timed_out": {},
    "expired": {},
    "cancelled": {},
}


def command(state: CommandState = "queued", **fields: Any) -> IssuedCommand:
    made = IssuedCommand(
        id="c-1", site=site_id("s-1"), device=device_id("d-1"), number=1, name="blink", args={}, state=state, created_at=0,
        expires_at=EXPIRES_AT, run_s=RUN_S,
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_every_state_and_every_event(state: CommandState, event: CommandEvent) -> None:
    before = command(state)
    after = EXPECTED[state].get(event)
    if after is None:
        with pytest.raises(Conflict, match="illegal_move"):
            move(state, event)
        with pytest.raises(Conflict, match="illegal_move"):
            before.moved(event, 5)
        assert before == command(state)  # nothing has changed
        return
    assert move(state, event) == after
    moved = before.moved(event, 5)
    assert (moved.state, moved.revision) == (after, before.revision + 1)
    assert (moved.ended_at is None) == (after in OPEN_STATES) == moved.is_open
    assert moved.sent_at == (5 if event == "send" else None)
    assert moved.accepted_at == (5 if event == "accept" else None)


def test_nothing_is_a_dead_end_but_the_ends() -> None:
    leaving = {state for state, _ in MOVES}
    assert leaving == OPEN_STATES
    assert set(STATES) - OPEN_STATES - {"succeeded", "failed"} == GIVEN_UP
    assert set(EVENT_OF) == set(STATUSES)
    assert not REPEATS & set(MOVES)
    reached, before = {"queued"}, set()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in MOVES.items() if state in before}
    assert reached == set(STATES)


@pytest.mark.parametrize(("state", "status"), list(itertools.product(STATES, STATUSES)))
def test_every_answer_in_every_state(state: CommandState, status: CommandStatus) -> None:
    before = command(state)
    result = CommandResult("c-1", status, {"of": status})
    event = EVENT_OF[status]
    if event in EXPECTED[state]:
        after = before.answered(result, 7)
        assert after is not None
        assert (after.state, after.detail) == (EXPECTED[state][event], {"of": status})
        assert after.late is None
    elif (state, event) in REPEATS:
        assert before.answered(result, 7) is None
    elif state in GIVEN_UP:
        after = before.answered(result, 7)
        assert after is not None
        assert after.late is not None
        assert (after.state, after.late.at, after.late.status, after.late.detail) == (state, 7, status, {"of": status})
        assert after.revision == before.revision + 1
    else:  # queued: nobody has been asked yet; succeeded and failed contradict each other
        assert state in ("queued", "succeeded", "failed")
        with pytest.raises(Conflict, match="illegal_move"):
            before.answered(result, 7)


@given(st.lists(st.sampled_from(STATUSES), max_size=8), st.sampled_from(sorted(GIVEN_UP)))
def test_late_answers_are_kept_once_and_the_last_word_stands(said: list[CommandStatus], state: CommandState) -> None:
    now, kept = command(state), []
    for status in said:
        after = now.answered(CommandResult("c-1", status), 7)
        if after is not None:
            kept.append(status)
            now = after
        assert now.state == state
    ends = [status for status in said if status != "accepted"]
    assert kept[-1:] == ends[:1] or (not ends and kept == ["accepted"][: len(said)])
    assert len(kept) <= 2
    assert now.revision == 1 + len(kept)


def test_an_acceptance_in_time_is_not_told_as_late() -> None:
    given_up = command("accepted", accepted_at=3).moved("time_out", 100_000)
    assert given_up.answered(CommandResult("c-1", "accepted"), 100_001) is None
    late = given_up.answered(CommandResult("c-1", "succeeded"), 100_002)
    assert late is not None
    assert late.state == "timed_out"


@given(st.lists(st.sampled_from([*EVENTS, *STATUSES]), max_size=12))
def test_whatever_happens_it_ends_once_and_revisions_only_grow(happens: list[str]) -> None:
    now, ended = command(), 0
    for at, what in enumerate(happens, 1):
        before = now
        try:
            told = now.answered(CommandResult("c-1", what), at) if what in STATUSES else now.moved(what, at)  # type: ignore[arg-type]
            now = told or now
        except Conflict:
            assert now is before
        assert now.revision == before.revision + (now is not before)
        ended += before.is_open and not now.is_open
        if not before.is_open:
            assert (now.state, now.ended_at, now.detail) == (before.state, before.ended_at, before.detail)
    assert ended <= 1


@pytest.mark.parametrize("state", STATES)
def test_every_deadline(state: CommandState) -> None:
    ends = {
        "queued": ("expire", EXPIRES_AT),
        "sent": ("time_out", EXPIRES_AT + round(COMMAND_ANSWER_GRACE_S * 1000)),
        "accepted": ("time_out", 4_000 + round(RUN_S * 1000)),
    }
    waiting = command(state, accepted_at=4_000)
    if state not in ends:
        assert waiting.overdue(10**15) is None
        return
    event, at = ends[state]
    assert waiting.overdue(at) is None
    assert waiting.overdue(at + 1) == event
    assert (state, event) in MOVES  # what is overdue can always be ended


def test_silence_is_met_with_growing_patience_and_an_end() -> None:
    at = 1_000
    now = command().moved("send", at)
    for number, wait_s in enumerate(COMMAND_RESEND_S, 1):
        assert now.asked == number
        due = now.asked_at + round(wait_s * 1000)
        assert now.silence(due - 1) == "wait"
        said = now.silence(due)
        assert said == ("again" if number < len(COMMAND_RESEND_S) else "give_up")
        now = msgspec.structs.replace(now, asked_at=due, asked=number + 1)
    assert msgspec.structs.replace(now, asked=0, asked_at=0).silence(10**12) == "again"  # a device that has come back
    assert now.silence(0) == "wait"  # a clock that went back


def test_what_goes_over_the_wire_is_the_command() -> None:
    wire = command(args={"a": 1}).wire()
    assert (wire.id, wire.name, wire.expires_at, wire.args) == ("c-1", "blink", EXPIRES_AT, {"a": 1})
