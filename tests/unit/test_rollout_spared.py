"""The version that spares what was changed on site takes the place of the one that a rollout has told, or given back: a
device has taken that once it runs this one.
"""

from typing import Final

import pytest

from fleet.configuration import Change
from fleet.device_orders import DeviceOrders
from fleet.ids import device_id, site_id
from fleet.order_messages import ReportedConfig
from fleet.rollouts.facts import Judgement, TargetFacts, judge
from fleet.rollouts.lifecycle import Target, TargetState
from fleet.rollouts.plan import RolloutPlan
from tests.device_config import PROFILE, change, desired_of, layer, said
from tests.rollout_cases import NOW, made

SITE, DEVICE = site_id("s"), device_id("d")
BRINGS: Final = change("rollout", source="g", layer=layer("g", report_interval_s=12.0), rollout="r-g")
RETURNS: Final = change("rollout_return", source="g", rollout="r-g")
SOMEBODY: Final = change("set", own={"limit_pct": 60.0})


@pytest.mark.parametrize(("wishes", "state"), [([BRINGS], "away"), ([BRINGS, RETURNS], "returned")])
def test_it_has_taken_what_it_was_told_once_it_runs_that(wishes: list[Change], state: TargetState) -> None:
    mine, told = told_while_away(wishes)
    mine.report(said(0, limit_pct=45.0), PROFILE, there=True, now=3)
    assert (mine.config.version, mine.config.status) == (told + 1, "applying")
    assert judged(mine, told, state) == (None if state == "returned" else Judgement("come"))
    runs = desired_of(mine.config).values
    untaken = mine.config
    mine.report(ReportedConfig(told + 1, runs | {"report_interval_s": 99.0}), PROFILE, there=True, now=4)
    assert mine.config.status == "drifted"
    assert judged(mine, told, state) == Judgement("reject", "drifted")
    mine.config = untaken
    mine.report(ReportedConfig(told + 1, runs), PROFILE, there=True, now=4)
    assert judged(mine, told, state) == Judgement("report")


def test_what_somebody_else_has_wished_since_it_need_not_run() -> None:
    mine, told = told_while_away([BRINGS])
    mine.report(ReportedConfig(told, desired_of(mine.config).values), PROFILE, there=True, now=3)
    mine.wish(SOMEBODY, None, PROFILE, there=True, now=4)
    assert mine.config.version == told + 1
    assert judged(mine, told, "pending") == Judgement("report")


def told_while_away(wishes: list[Change]) -> tuple[DeviceOrders, int]:
    """And the version that it was told."""
    mine = DeviceOrders(SITE, DEVICE, now=0)
    mine.report(said(0), PROFILE, there=True, now=1)
    for wish in wishes:
        mine.wish(wish, None, PROFILE, there=False, now=2)
    return mine, mine.config.version


def judged(mine: DeviceOrders, told: int, state: TargetState) -> Judgement | None:
    target = Target(SITE, DEVICE, 0, state, NOW, NOW, told, False)
    in_force, reported = desired_of(mine.config), mine.config.reported
    facts = TargetFacts(
        DEVICE, True, True, False, NOW, any(each.rollout == "r-g" for each in in_force.layers), in_force.version,
        mine.config.status, reported and reported.version, None, "", None,
        given_back=in_force.kind == "rollout_return", ours=in_force.rollout == "r-g",
    )  # fmt: skip
    return judge(made(RolloutPlan()), target, facts, NOW)
