"""A rollout as API and pages tell of it: with names, wave by wave, and why it stopped in the reader's words. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from fleet.rollouts.board import Tally
from fleet.rollouts.lifecycle import MOVES, Rollout, RolloutEvent, TargetState
from fleet.rollouts.plan import wave_sizes
from fleet.storage.rollouts import RolloutRow
from web import rollout_texts
from web.language import Language

RolloutAction = Literal["pause", "resume", "abort", "end"]

_EVENTS: Mapping[RolloutAction, RolloutEvent] = {"pause": "pause", "resume": "resume", "abort": "abort", "end": "complete"}


class WaveView(msgspec.Struct, frozen=True):
    """planned: devices that the plan gives it. counts: target state → devices. After the plan's waves come, as a last one,
    those that joined the group later.
    """

    wave: int
    state: Literal["over", "at_work", "to_come"]
    planned: int
    devices: int
    counts: dict[TargetState, int]


class RolloutView(Rollout, frozen=True, kw_only=True):
    """creator, stopper: names. reason: why it stopped, as a sentence; null while it has not. actions: possible now."""

    creator: str | None
    stopper: str | None
    reason: str | None
    actions: list[RolloutAction]


class RolloutDetail(RolloutView, frozen=True, kw_only=True):
    waves: list[WaveView]


def rollout_view(row: RolloutRow, language: Language) -> RolloutView:
    return RolloutView(**_facts(row, language))


def rollout_detail(row: RolloutRow, tally: Tally, language: Language) -> RolloutDetail:
    return RolloutDetail(**_facts(row, language), waves=waves_of(row.rollout, tally))


def waves_of(rollout: Rollout, tally: Tally) -> list[WaveView]:
    planned_all = sum(sum(states.values()) for wave, states in tally.items() if wave < len(rollout.plan.waves))
    sizes = wave_sizes(rollout.plan, planned_all)
    if tally.get(len(sizes)):
        sizes.append(0)
    return [
        WaveView(
            wave,
            "over" if rollout.ended_at or wave < rollout.wave else "at_work" if wave == rollout.wave else "to_come",
            size,
            sum(tally.get(wave, {}).values()),
            dict(tally.get(wave, {})),
        )
        for wave, size in enumerate(sizes)
    ]


def actions_of(rollout: Rollout) -> list[RolloutAction]:
    return [
        action
        for action, event in _EVENTS.items()
        if (rollout.state, event) in MOVES and (action != "end" or rollout.waves_are_over)
    ]


def _facts(row: RolloutRow, language: Language) -> dict[str, Any]:
    rollout = row.rollout
    reason = None
    if rollout.stopped is not None:
        reason = rollout_texts.stop(rollout.stopped, rollout.state, row.stopper, language)
    return {
        **msgspec.structs.asdict(rollout),
        "creator": row.creator,
        "stopper": row.stopper,
        "reason": reason,
        "actions": actions_of(rollout),
    }
