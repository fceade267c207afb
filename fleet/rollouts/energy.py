"""What a rollout does to the yield: its canaries against their neighbours, now and in the same hours before.

Both change with sun, cloud and season. Neighbours under the same sky change alike, so how the canaries stand to them tells
what the rollout did; and the same hours, because roofs that look east and west differ at noon and agree in the evening.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from fleet.rollouts.plan import EnergyOutcome
from fleet.telemetry import UnixMs

EnergyVerdict = Literal["unknown", "fine", "dropped"]
EnergyLack = Literal["neighbours", "canaries", "sun_since", "sun_before", "canaries_before"]
_OF_BEFORE: Final = ("sun_before", "canaries_before")


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
    lacks       what keeps it unknown: neighbours or canaries that tell anything, sun since or before, or canaries that
                produced before. None also in what older releases stored
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
    lacks: EnergyLack | None = None

    @property
    def asks_for_another_day(self) -> bool:
        """Whether an earlier day to compare with might tell it."""
        return self.lacks in _OF_BEFORE


def energy_finding(limit: EnergyOutcome, before: Sequence[Slice], after: Sequence[Slice], now: UnixMs) -> EnergyFinding:
    """A difference of differences, as a ratio. Unknown until both times had the sun that `limit` asks for."""
    canary_before, neighbour_before = _yields(before)
    canary_after, neighbour_after = _yields(after)
    lacks = _lack(limit.min_wh_per_w, after, neighbour_after, neighbour_before, canary_before)
    change_pct = None
    if lacks is None:
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
        lacks,
    )


def _lack(
    min_wh_per_w: float, after: Sequence[Slice], neighbour_after: float, neighbour_before: float, canary_before: float
) -> EnergyLack | None:
    canaries, neighbours = any(each.canaries for each in after), any(each.neighbours for each in after)
    if canaries != neighbours:
        return "neighbours" if canaries else "canaries"
    if neighbour_after < min_wh_per_w:
        return "sun_since"
    if neighbour_before < min_wh_per_w:
        return "sun_before"
    return "canaries_before" if canary_before < min_wh_per_w else None


def _yields(slices: Sequence[Slice]) -> tuple[float, float]:
    """Wh per installed W of the canaries and of their neighbours. A device that says nothing is judged by its silence."""
    both = [each for each in slices if each.canaries and each.neighbours]
    return sum(each.canary_w_per_w for each in both) / 4.0, sum(each.neighbour_w_per_w for each in both) / 4.0
