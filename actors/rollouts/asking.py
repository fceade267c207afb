"""What the twins are asked for a target, and what their answer makes of it."""

import msgspec

from fleet.configuration import Change
from fleet.orders import ConfigAnswer, ConfigWish, OrderProblem
from fleet.rollouts.lifecycle import Rollout, Target, TargetEvent, move_target
from fleet.storage.rollout_targets import TargetMove

_GONE = frozenset(("unknown_site", "unknown_device", "device_revoked", "behind_gateway"))


def bringing(rollout: Rollout, target: Target) -> ConfigWish:
    """Asked twice, it changes nothing the second time: the layer is the same."""
    change = Change(
        "rollout",
        why=rollout.name,
        source=rollout.source,
        layer=rollout.layer(),
        rollout=rollout.id,
        overwrite_drift=rollout.plan.overwrite_drift,
    )
    return ConfigWish(target.site, target.device, change, only_if_there=rollout.plan.window is not None)


def returning(rollout: Rollout, target: Target) -> ConfigWish:
    """Its layer gives way to what the device had; where something else has taken its place already, nothing changes."""
    had = target.before
    change = Change(
        "rollout_return",
        why=rollout.name,
        source=rollout.source,
        layer=had.layer() if had is not None else None,
        below=had.below if had is not None else (),
        rollout=rollout.id,
    )
    return ConfigWish(target.site, target.device, change)


def after_bringing(target: Target, answer: ConfigAnswer) -> TargetMove | None:
    """None: the twin could not say; it is asked again."""
    if answer.problem is not None:
        return _refused(target, answer.problem)
    was_there = answer.there and target.was_there is not False
    return _moved(target, "store" if was_there else "store_away", answer, was_there=was_there)


def after_returning(target: Target, answer: ConfigAnswer) -> TargetMove | None:
    """As after_bringing."""
    return _moved(target, "restore", answer) if answer.problem is None else _refused(target, answer.problem)


def after_taking_back(target: Target, answer: ConfigAnswer) -> TargetMove | None:
    """As after_bringing, of one whose telling broke off before its rollout was aborted."""
    begun = msgspec.structs.replace(target, state=move_target(target.state, "return"))
    move = after_returning(begun, answer)
    return None if move is None else msgspec.structs.replace(move, was=target.state)


def _moved(target: Target, event: TargetEvent, answer: ConfigAnswer, *, was_there: bool | None = None) -> TargetMove:
    state = move_target(target.state, event)
    return TargetMove(target.device, target.state, state, version=answer.version, was_there=was_there)


def _refused(target: Target, problem: OrderProblem) -> TargetMove | None:
    if problem.kind == "Unavailable":
        return None
    if problem.code == "device_away":  # it left between the look and the asking: its window may be shut when it returns
        return TargetMove(target.device, target.state, move_target(target.state, "miss"))
    is_gone = problem.kind == "NotFound" or problem.code in _GONE
    state = move_target(target.state, "vanish" if is_gone else "refuse")
    return TargetMove(target.device, target.state, state, f"{problem.code}: {problem.detail}"[:500])
