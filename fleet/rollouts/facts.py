"""What is known of a target that was told, and what that means for it."""

from typing import Final

import msgspec

from fleet.configuration import ConfigStatus
from fleet.ids import DeviceId
from fleet.rollouts.lifecycle import RETURNED_STATES, TARGET_MOVES, Rollout, Target, TargetEvent
from fleet.telemetry import UnixMs

NOT_SENT: Final = "not_sent"  # the problem of a target that is there, and that the platform tells nothing for now


class TargetFacts(msgspec.Struct, frozen=True):
    """As of one look at the database.

    registered  it can still be told something: not retired, not revoked, not behind a gateway
    there       connected, and heard of; asleep: it is night, and it is one that sleeps
    heard_at    when it was last heard of; for one that is not there, about when it went
    holds       what the rollout brings is part of the configuration in force
    version     of that; status 'pending': it was not sent it yet, since it is not there, or since the profile's limits
                do not allow it (config_limits); reported_version, rejected_version, rejected_why: what the device says
    alert       the rule of an alert that it raised since it was told; None: none
    given_back  the configuration in force is what this rollout gave back
    ours        it is what this rollout told or gave back, maybe with what was changed on site before the device took it
    """

    device: DeviceId
    registered: bool
    there: bool
    asleep: bool
    heard_at: UnixMs | None
    holds: bool
    version: int
    status: ConfigStatus
    reported_version: int | None
    rejected_version: int | None
    rejected_why: str
    alert: str | None
    given_back: bool = False
    ours: bool = False


class Judgement(msgspec.Struct, frozen=True):
    """version: of the configuration that it is to confirm from now on, where that is another one."""

    event: TargetEvent
    problem: str = ""
    version: int | None = None


def judge(rollout: Rollout, target: Target, facts: TargetFacts, now: UnixMs) -> Judgement | None:
    """What has become of a target since it was told, or given back what it had; None: nothing new. Always a move that
    TARGET_MOVES has.
    """
    if target.state in RETURNED_STATES:
        judgements = (_of_later_change(target, facts), _of_return(target, facts), _of_answer(rollout, target, facts, now))
    else:
        judgements = (_of_registry(facts), _of_report(target, facts), _of_presence(rollout, target, facts, now))
    for judgement in judgements:
        if judgement is not None and (target.state, judgement.event) in TARGET_MOVES:
            return judgement
    return None


def gone_since(target: Target, facts: TargetFacts) -> UnixMs:
    """Of one that is not there: about when it went, and not before it was told."""
    return max(facts.heard_at or 0, target.told_at or target.state_at)


def is_wave_watched(rollout: Rollout, wave: int) -> bool:
    return rollout.state in ("running", "paused") and rollout.wave <= wave < len(rollout.plan.waves)


def _of_registry(facts: TargetFacts) -> Judgement | None:
    if not facts.registered:
        return Judgement("vanish")
    if facts.holds:
        return None
    return Judgement("restore", version=facts.version) if facts.given_back else Judgement("overrule")


def _of_report(target: Target, facts: TargetFacts) -> Judgement | None:
    if target.state == "silent" and not facts.there:  # what it had said before it went
        return None
    version = facts.version if facts.ours else target.version or 0
    reported = facts.reported_version is not None and facts.reported_version >= version
    if reported and (facts.status == "in_sync" or facts.version > version):  # with something newer wished since by
        return Judgement("report")  # somebody else, it has still said that it took this one
    if reported and facts.status == "drifted":
        return Judgement("reject", "drifted")
    if facts.status == "rejected" and facts.rejected_version is not None and facts.rejected_version >= version:
        return Judgement("reject", facts.rejected_why)
    return None


def _of_presence(rollout: Rollout, target: Target, facts: TargetFacts, now: UnixMs) -> Judgement | None:
    if not _is_watched(rollout, target, now):
        return None
    if facts.there:
        return _of_one_there(rollout, target, facts, now)
    if target.state == "away":
        return None
    if facts.asleep:
        return Judgement("sleep")
    return Judgement("silence") if now - gone_since(target, facts) >= rollout.plan.silent_after_s * 1000 else None


def _of_one_there(rollout: Rollout, target: Target, facts: TargetFacts, now: UnixMs) -> Judgement | None:
    if facts.alert is not None and target.state != "away":
        return Judgement("alert", facts.alert)
    if facts.status == "pending" and target.state in ("pending", "away"):
        return _of_unsent(rollout, target, facts, now)
    if target.state == "away":
        return Judgement("come")
    overdue = now - target.state_at >= rollout.plan.timeout_s * 1000
    return Judgement("time_out") if target.state == "pending" and overdue else None


def _of_unsent(rollout: Rollout, target: Target, facts: TargetFacts, now: UnixMs) -> Judgement | None:
    """Of one that is there and was not sent the newest version: it has failed at nothing. Said once, when that has lasted
    for as long as it would have had to answer.
    """
    is_said = target.state != "pending" and target.problem == NOT_SENT
    is_over = _waited_ms(target, facts, now) >= rollout.plan.timeout_s * 1000
    return Judgement("hold_back", NOT_SENT) if is_over and not is_said else None


def _waited_ms(target: Target, facts: TargetFacts, now: UnixMs) -> UnixMs:
    """For one that is there, from when it came. A wave waits for one that is pending: its time is no longer for a health
    that changes again and again.
    """
    if target.state == "pending":
        return now - target.state_at
    return now - max(target.state_at, facts.heard_at or 0)


def _of_later_change(target: Target, facts: TargetFacts) -> Judgement | None:
    """Of one that was given back what it had. Newer, and with what the rollout brought: its telling came through late; or
    given back as well: with what was changed on site before the device took that.
    """
    if not facts.registered:
        return Judgement("vanish")
    is_ours = facts.holds or facts.given_back
    return Judgement("overrule") if facts.version > (target.version or 0) and not is_ours else None


def _of_return(target: Target, facts: TargetFacts) -> Judgement | None:
    if not target.version:  # nobody has ever wished anything of it, so that it has nothing to confirm
        return Judgement("report")
    is_another = facts.version > target.version and not facts.given_back
    return None if is_another else _of_report(target, facts)


def _of_answer(rollout: Rollout, target: Target, facts: TargetFacts, now: UnixMs) -> Judgement | None:
    """Whether it has been waited for in vain: by who is there, from when it came; nobody waits for who never was."""
    if facts.there:
        if facts.status == "pending":
            return _of_unsent(rollout, target, facts, now)
        if target.problem == NOT_SENT:  # it is sent by now, and has its time from here on
            return Judgement("come")
        return Judgement("time_out") if _waited_ms(target, facts, now) >= rollout.plan.timeout_s * 1000 else None
    if facts.asleep or not target.was_there:
        return None
    return Judgement("silence") if now - gone_since(target, facts) >= rollout.plan.silent_after_s * 1000 else None


def _is_watched(rollout: Rollout, target: Target, now: UnixMs) -> bool:
    """One that is done is watched as long as its wave is, and at least for its own time."""
    if target.state != "done" or is_wave_watched(rollout, target.wave):
        return True
    return now - target.state_at < rollout.plan.observe_s * 1000
