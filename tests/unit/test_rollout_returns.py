"""What a device makes of what it is given back: nothing is as before until it has said so."""

import msgspec
import pytest

from fleet.ids import DeviceId, SiteId
from fleet.rollouts.facts import TargetFacts, judge
from fleet.rollouts.lifecycle import Target, TargetState
from fleet.rollouts.plan import RolloutPlan
from tests.rollout_cases import NOW, made

# Told version 7, and given back what it had as version 8, which it has not reported yet.
_FACTS = TargetFacts(DeviceId("d"), True, True, False, None, False, 8, "applying", 7, None, "", None)
_SAID = {"status": "in_sync", "reported_version": 8}
_GONE = {"there": False, "heard_at": NOW - 180_000}


@pytest.mark.parametrize(
    ("state", "facts", "event"),
    [
        ("returned", {}, None),
        ("returned", _SAID, "report"),
        ("returned", {"status": "rejected", "rejected_version": 8}, "reject"),
        ("returned", {"status": "rejected", "rejected_version": 7}, None),
        ("returned", {"status": "drifted", "reported_version": 8}, "reject"),
        ("returned", _GONE, "silence"),
        ("returned", _GONE | {"heard_at": NOW - 179_000}, None),
        ("returned", _GONE | {"asleep": True}, None),
        ("returned", {"alert": "total_outage"}, None),
        ("returned", {"registered": False}, "vanish"),
        ("returned", {"version": 9}, "overrule"),
        ("returned", {"version": 9, "given_back": True}, None),  # with what was changed on site before it took that
        ("returned", {"version": 9, "given_back": True, "status": "in_sync", "reported_version": 9}, "report"),
        ("returned", {"version": 9, "given_back": True, "status": "rejected", "rejected_version": 9}, "reject"),
        ("returned", {"version": 9, "holds": True}, None),  # what it was told came through late
        ("return_unanswered", {}, None),
        ("return_unanswered", _GONE, None),
        ("return_unanswered", _SAID, "report"),
        ("return_unanswered", {"status": "rejected", "rejected_version": 8}, "reject"),
        ("return_rejected", {"status": "rejected", "rejected_version": 8}, None),
        ("return_rejected", _SAID, "report"),
        ("return_rejected", {"version": 9}, "overrule"),
        ("restored", {"status": "drifted", "reported_version": 8}, None),
        ("restored", {"version": 9}, None),
    ],
)
def test_what_becomes_of_one_that_was_given_back_what_it_had(
    state: TargetState, facts: dict[str, object], event: str | None
) -> None:
    assert _judged(_target(state), facts) == event


def test_one_that_is_there_has_its_time_to_answer_from_when_it_came() -> None:
    given = msgspec.structs.replace(_target("returned"), state_at=NOW - 300_000)
    assert _judged(given, {}) == "time_out"
    assert _judged(given, {"alert": "total_outage"}) == "time_out"
    assert _judged(given, {"heard_at": NOW - 299_000}) is None, "it was away, and is there since"


def test_one_that_was_away_all_the_time_is_missed_by_nobody() -> None:
    given = msgspec.structs.replace(_target("returned"), was_there=False)
    assert _judged(given, _GONE) is None


def test_one_that_was_never_told_anything_has_nothing_to_confirm() -> None:
    given = msgspec.structs.replace(_target("returned"), version=0)
    assert _judged(given, {"version": 0, "status": "unknown", "reported_version": None}) == "report"


def _target(state: TargetState) -> Target:
    return Target(SiteId("s"), DeviceId("d"), 0, state, NOW - 250_000, NOW - 400_000, 8, True)


def _judged(target: Target, facts: dict[str, object]) -> str | None:
    judgement = judge(made(RolloutPlan(), state="aborted"), target, msgspec.structs.replace(_FACTS, **facts), NOW)
    return judgement and judgement.event
