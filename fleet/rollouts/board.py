"""What a rollout does next: pure decisions over how many of its targets are in which state."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from fleet.ids import DeviceId
from fleet.limits import ROLLOUT_TOLD_AT_ONCE_MAX, ROLLOUT_WINDOW_WAIT_S
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.lifecycle import FAULT_OF, TOLD_STATES, Rollout, RolloutEvent, Stop, StopCode, TargetState
from fleet.rollouts.plan import RolloutPlan, wave_sizes
from fleet.targets import TargetDevice
from fleet.telemetry import UnixMs

Tally = Mapping[int, Mapping[TargetState, int]]  # wave → state → devices

# What a stop is called that comes after the end.
_LATE: Final[Mapping[RolloutEvent, RolloutEvent]] = {"return": "recall", "abort": "fail"}
_UNTOLD: tuple[TargetState, ...] = ("waiting", "held", "telling")


class Step(msgspec.Struct, frozen=True):
    """settle: the wave has all its outcomes, and is watched from now on. advance: to the next one. The others are moves."""

    kind: Literal["settle", "advance"] | RolloutEvent
    stop: Stop | None = None


def totals(tally: Tally) -> dict[TargetState, int]:
    counts: dict[TargetState, int] = {}
    for states in tally.values():
        for state, devices in states.items():
            counts[state] = counts.get(state, 0) + devices
    return counts


def next_step(rollout: Rollout, tally: Tally, energy: EnergyFinding | None, now: UnixMs) -> Step | None:
    """None: to wait, or to tell whose turn it is.

    energy: as of now; None: not looked at, which `needs_energy` says when to do.
    """
    if rollout.state == "returning":
        counts = totals(tally)
        is_over = not any(counts.get(state) for state in ("telling", "returning", *TOLD_STATES))
        return Step("abort", rollout.stopped) if is_over else None
    if rollout.state == "aborted":
        return None
    stop = _fault_stop(rollout, tally, now) or _energy_stop(rollout, energy, now)
    if stop is not None:
        event = stopping(rollout, tally)
        return Step(_LATE[event] if rollout.state == "completed" else event, stop)
    return _wave_step(rollout, tally, energy, now) if rollout.state == "running" else None


def stopping(rollout: Rollout, tally: Tally) -> Literal["return", "abort"]:
    """Which move an abort is."""
    counts = totals(tally)
    touched = any(counts.get(state) for state in ("telling", *TOLD_STATES))
    return "return" if rollout.plan.return_on_abort and touched else "abort"


def needs_energy(rollout: Rollout, now: UnixMs) -> bool:
    """Whether the yield has to be looked at before the next step."""
    return (
        rollout.plan.energy is not None
        and rollout.state in ("running", "paused")
        and rollout.wave == 0
        and rollout.settled_at is not None
        and now - rollout.settled_at >= rollout.plan.observe_s * 1000
    )


def room(plan: RolloutPlan, told_in_last_minute: int) -> int:
    """How many may be told now. At most twice the even pace, so that a minute's devices are not told in its first second."""
    return max(min(plan.per_minute - told_in_last_minute, -(-plan.per_minute // 30), ROLLOUT_TOLD_AT_ONCE_MAX), 0)


def assigned(plan: RolloutPlan, devices: Iterable[TargetDevice], salt: str) -> dict[DeviceId, int]:
    """Device → wave. The canaries are drawn from those that are there, since the others could tell nothing for days; who
    else comes when is drawn by lot, the same for the same salt.
    """
    there: list[DeviceId] = []
    away: list[DeviceId] = []
    for device in sorted(devices, key=lambda each: _lot(salt, each.device)):
        (there if device.online and device.health not in ("offline", "asleep") else away).append(device.device)
    sizes = wave_sizes(plan, len(there) + len(away))
    canaries = there[: sizes[0]]
    canaries += away[: sizes[0] - len(canaries)]
    chosen = set(canaries)
    others = sorted(  # drawn anew: by the same lots the second wave would begin with those that the first passed over
        (device for device in (*there, *away) if device not in chosen), key=lambda device: _lot(f"{salt} others", device)
    )
    waves = [wave for wave, size in enumerate(sizes) for _ in range(size)]
    return dict(zip((*canaries, *others), waves, strict=True))


def _lot(salt: str, device: DeviceId) -> bytes:
    return hashlib.sha256(f"{salt} {device}".encode()).digest()


def _fault_stop(rollout: Rollout, tally: Tally, now: UnixMs) -> Stop | None:
    counts = totals(tally)
    faults = {kind: counts.get(state, 0) for state, kind in FAULT_OF.items()}
    judged = counts.get("done", 0) + sum(faults.values())
    for threshold in rollout.plan.abort_at:
        count = faults[threshold.kind]
        if threshold.is_reached(count, judged):
            return Stop(threshold.kind, now, rollout.wave, count, judged, count * 100 / judged, threshold.percent)
    return None


def _energy_stop(rollout: Rollout, energy: EnergyFinding | None, now: UnixMs) -> Stop | None:
    limit = rollout.plan.energy
    if limit is None or energy is None or energy.verdict != "dropped" or not needs_energy(rollout, now):
        return None
    return Stop("energy", now, rollout.wave, of=energy.canaries, measured_pct=energy.change_pct, limit_pct=-limit.drop_pct)


def _wave_step(rollout: Rollout, tally: Tally, energy: EnergyFinding | None, now: UnixMs) -> Step | None:
    if rollout.waves_are_over:
        return None if rollout.plan.continuous or _untold(tally, rollout.wave) else Step("complete")
    here = tally.get(rollout.wave, {})
    if not any(here.values()):
        return Step("advance")
    if here.get("pending") or _untold(tally, rollout.wave):
        return None
    if not here.get("done") and not _was_waived(rollout, "no_outcome", "energy_unknown"):
        return _without_outcome(rollout, here, now)
    return Step("settle") if rollout.settled_at is None else _after_watching(rollout, energy, now)


def _without_outcome(rollout: Rollout, here: Mapping[TargetState, int], now: UnixMs) -> Step | None:
    """Of a wave of which nobody is done: it has shown nothing, and what comes after it would be told blindly. Those that
    are not there are given the time that one has to answer, with a window a day. Then somebody has to decide.
    """
    missing = here.get("away", 0) + here.get("absent", 0)
    patience_s = rollout.plan.timeout_s if rollout.plan.window is None else ROLLOUT_WINDOW_WAIT_S
    if missing and now - (rollout.wave_at or now) < patience_s * 1000:
        return None
    outcomes = {state: devices for state, devices in here.items() if devices}
    return Step("pause", Stop("no_outcome", now, rollout.wave, missing, sum(here.values()), outcomes=outcomes))


def _after_watching(rollout: Rollout, energy: EnergyFinding | None, now: UnixMs) -> Step | None:
    watched_ms = now - (rollout.settled_at or now)
    if watched_ms < rollout.plan.observe_s * 1000:
        return None
    limit = rollout.plan.energy
    if limit is None or rollout.wave > 0 or _was_waived(rollout, "energy_unknown"):
        return Step("advance")
    if energy is None or energy.verdict == "dropped":
        return None
    if energy.verdict == "fine":
        return Step("advance")
    if watched_ms < limit.wait_max_s * 1000:
        return None
    return Step("pause", Stop("energy_unknown", now, rollout.wave, of=energy.canaries, lacks=energy.lacks))


def _untold(tally: Tally, wave: int) -> bool:
    """Whether anybody of this wave or an earlier one is still to be told."""
    return any(states.get(state) for each, states in tally.items() if each <= wave for state in _UNTOLD)


def _was_waived(rollout: Rollout, *codes: StopCode) -> bool:
    """It had paused in this wave for want of what would let it go on, and somebody let it go on."""
    return rollout.stopped is not None and rollout.stopped.code in codes and rollout.stopped.wave == rollout.wave
