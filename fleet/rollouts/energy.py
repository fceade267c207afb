"""What a rollout does to the yield: its canaries against their neighbours, now and in the same hours before.

Both change with sun, cloud and season. Neighbours under the same sky change alike, so how the canaries stand to them tells
what the rollout did; and the same hours, because roofs that look east and west differ at noon and agree in the evening.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from fleet.rollouts.plan import EnergyOutcome
from fleet.telemetry import UnixMs

EnergyVerdict = Literal["unknown", "fine", "dropped"]


class Slice(msgspec.Struct, frozen=True):
    """A quarter of an hour: mean power per installed W of those that told any; 0 devices told none."""

    at: UnixMs
    canaries: int
    canary_w_per_w: float
    neighbours: int
    neighbour_w_per_w: float


class EnergyFinding(msgspec.Struct, frozen=True):
    """Yields in Wh per installed W, over the slices in which both sides told something.

    change_pct  how much more the canaries yielded than their neighbours let expect; None while unknown
    """

    verdict: EnergyVerdict
    at: UnixMs
    change_pct: float | None
    canaries: int
    neighbours: int
    canary_before_wh_per_w: float
    canary_after_wh_per_w: float
    neighbour_before_wh_per_w: float
    neighbour_after_wh_per_w: float


def energy_finding(limit: EnergyOutcome, before: Sequence[Slice], after: Sequence[Slice], now: UnixMs) -> EnergyFinding:
    """A difference of differences, as a ratio. Unknown until both times had the sun that `limit` asks for."""
    canary_before, neighbour_before = _yields(before)
    canary_after, neighbour_after = _yields(after)
    change_pct = None
    if min(neighbour_before, neighbour_after, canary_before) >= limit.min_wh_per_w:
        expected = canary_before / neighbour_before * neighbour_after
        change_pct = (canary_after / expected - 1.0) * 100.0
    verdict: EnergyVerdict = "unknown"
    if change_pct is not None:
        verdict = "dropped" if change_pct <= -limit.drop_pct else "fine"
    return EnergyFinding(
        verdict,
        now,
        change_pct,
        max((each.canaries for each in after), default=0),
        max((each.neighbours for each in after), default=0),
        canary_before,
        canary_after,
        neighbour_before,
        neighbour_after,
    )


def _yields(slices: Sequence[Slice]) -> tuple[float, float]:
    """Wh per installed W of the canaries and of their neighbours. A device that says nothing is judged by its silence."""
    both = [each for each in slices if each.canaries and each.neighbours]
    return sum(each.canary_w_per_w for each in both) / 4.0, sum(each.neighbour_w_per_w for each in both) / 4.0
