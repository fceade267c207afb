"""What happens to a target whose turn it is: told, or not yet."""

import msgspec

from fleet.rollouts.lifecycle import Rollout, Target, TargetEvent


class Turn(msgspec.Struct, frozen=True):
    """What is known of it now.

    registered   it can be told something: not retired, not revoked, not behind a gateway
    there        connected, and heard of
    is_open      its window is, or there is none
    is_overtaken a later rollout has told it something that this one would undo
    """

    registered: bool
    there: bool
    is_open: bool
    is_overtaken: bool


def turn(rollout: Rollout, target: Target, known: Turn) -> TargetEvent:
    """Always a move that TARGET_MOVES has.

    With a window, who is not there is not told: its twin would tell it whenever it returns, be it at noon. It is absent
    then, and its wave goes on without it. Back while its window is shut, it is waited for again if its wave is at work.
    """
    if not known.registered:
        return "vanish"
    if known.is_overtaken and target.state == "absent":
        return "overrule"
    if rollout.plan.window is None:
        return "tell"
    if not known.there:
        return "miss"
    if known.is_open:
        return "tell"
    is_at_work = rollout.state == "running" and target.wave >= rollout.wave
    return "hold" if target.state != "absent" or is_at_work else "miss"
