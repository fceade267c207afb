"""Rollouts that stand somewhere, for tests of what they do next."""

from fleet.rollouts.board import next_step
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.lifecycle import Rollout
from fleet.rollouts.plan import RolloutPlan, Wave
from fleet.targets import TargetQuery

NOW = 1_790_000_000_000
TWO_WAVES = (Wave(count=5), Wave(percent=100.0))


def made(plan: RolloutPlan, state: str = "running", wave: int = 0, settled_at: int | None = None) -> Rollout:
    return Rollout(
        "r", "r", "inverter", None, None, TargetQuery(), {"a": 1.0}, plan, "", state, wave, NOW - 1_000_000, settled_at,  # type: ignore[arg-type]
        None, None, {}, 10, 1, NOW, None, None,
    )  # fmt: skip


def finding(verdict: str, change_pct: float | None) -> EnergyFinding:
    return EnergyFinding(verdict, NOW, change_pct, 5, 20, 1.0, 1.0, 1.0, 1.0)  # type: ignore[arg-type]


def kind(rollout: Rollout, tally: object, now: int = NOW, energy: EnergyFinding | None = None) -> str | None:
    step = next_step(rollout, tally, energy, now)  # type: ignore[arg-type]
    return step and step.kind
