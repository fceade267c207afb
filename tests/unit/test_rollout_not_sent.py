"""A target that the platform sends nothing, because its profile's limits were tightened meanwhile, has failed at nothing."""

from typing import Final

import msgspec
import pytest

from fleet.configuration import Change, Layer
from fleet.device_orders import DeviceOrders
from fleet.ids import device_id, site_id
from fleet.order_messages import ReportedConfig
from fleet.profiles import DeviceProfile
from fleet.rollouts.board import next_step
from fleet.rollouts.facts import NOT_SENT, Judgement, TargetFacts, judge
from fleet.rollouts.lifecycle import Target, TargetState, move_target
from fleet.rollouts.plan import RolloutPlan, Threshold, Wave
from tests import box_profile
from tests.rollout_cases import NOW, made
from web import rollout_texts
from web.language import Language
from web.pages import rollout_words

SITE, DEVICE = site_id("s-1"), device_id("d-1")
LIMIT: Final = "active_power_limit_pct"
PLAN = RolloutPlan(waves=(Wave(percent=100.0),), abort_at=(Threshold("timed_out", 10.0, 1),))
TIME_MS = round(PLAN.timeout_s * 1000)


def allowing(most_pct: float) -> DeviceProfile:
    settings = tuple(
        msgspec.structs.replace(each, grid_maximum=most_pct) if each.key == LIMIT else each
        for each in box_profile.PROFILE.settings
    )
    return msgspec.structs.replace(box_profile.PROFILE, settings=settings)


LOOSE, TIGHT = allowing(100.0), allowing(70.0)


def facts(mine: DeviceOrders, *, holds: bool, there: bool = True) -> TargetFacts:
    said = mine.config.reported.version if mine.config.reported is not None else None
    return TargetFacts(
        DEVICE, True, there, False, NOW, holds, mine.config.version, mine.config.status, said, None, "", None
    )  # fmt: skip


def moved(target: Target, judgement: Judgement | None, now: int) -> Target:
    assert judgement is not None
    state = move_target(target.state, judgement.event)
    return msgspec.structs.replace(target, state=state, state_at=now, problem=judgement.problem)


def told_while_away() -> DeviceOrders:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    layer = Layer("r-1", "R", "r-1", {LIMIT: 90.0})
    mine.wish(Change("rollout", source="r-1", layer=layer, rollout="r-1"), None, LOOSE, there=False, now=NOW)
    return mine


def test_one_that_comes_back_to_tighter_limits_neither_fails_nor_is_waited_for() -> None:
    mine, rollout = told_while_away(), made(PLAN)
    away = Target(SITE, DEVICE, 0, "away", NOW, NOW, mine.config.version, False)
    assert mine.returned(TIGHT, NOW).config_out is None
    assert judge(rollout, away, facts(mine, holds=True), NOW + TIME_MS - 1) is None, "it may be about to be sent"
    held = moved(away, judge(rollout, away, facts(mine, holds=True), NOW + TIME_MS), NOW + TIME_MS)
    assert (held.state, held.problem) == ("away", NOT_SENT)
    later = NOW + 10 * TIME_MS
    assert judge(rollout, held, facts(mine, holds=True), later) is None, "said once"
    step = next_step(rollout, {0: {"away": 3, "done": 1}}, None, later)
    assert step is not None
    assert step.kind == "settle"
    assert mine.tell(LOOSE, there=True, now=later).config_out is not None
    came = moved(held, judge(rollout, held, facts(mine, holds=True), later), later)
    assert (came.state, came.problem) == ("pending", "")
    assert judge(rollout, came, facts(mine, holds=True), later + TIME_MS - 1) is None, "it has its whole time to answer"
    assert judge(rollout, came, facts(mine, holds=True), later + TIME_MS) == Judgement("time_out")


def test_one_that_is_waited_for_is_no_longer_when_nothing_was_sent() -> None:
    """As rows of an older release have it: it was said to be there before it was told."""
    mine, rollout = told_while_away(), made(PLAN)
    pending = Target(SITE, DEVICE, 0, "pending", NOW, NOW, mine.config.version, True)
    assert judge(rollout, pending, facts(mine, holds=True), NOW + TIME_MS) == Judgement("hold_back", NOT_SENT)
    moody = msgspec.structs.replace(facts(mine, holds=True), heard_at=NOW + TIME_MS - 1)  # its health has just changed
    assert judge(rollout, pending, moody, NOW + TIME_MS - 1) is None
    assert judge(rollout, pending, moody, NOW + TIME_MS) == Judgement("hold_back", NOT_SENT)
    away = msgspec.structs.replace(pending, state="away")
    assert judge(rollout, away, moody, NOW + TIME_MS) is None, "it may have come just now"


def test_a_return_that_is_held_back_is_not_unanswered() -> None:
    mine, rollout = DeviceOrders(SITE, DEVICE, now=NOW), made(PLAN, state="aborted")
    had = Layer("g", "G", "r-0", {LIMIT: 90.0})
    for name, layer in (("r-0", had), ("r-1", Layer("g", "G", "r-1", {LIMIT: 60.0}))):
        mine.wish(Change("rollout", source="g", layer=layer, rollout=name), None, LOOSE, there=True, now=NOW)
        assert mine.config.desired is not None
        mine.report(ReportedConfig(mine.config.version, mine.config.desired.values), LOOSE, there=True, now=NOW)
    mine.wish(Change("rollout_return", source="g", layer=had, rollout="r-1"), None, LOOSE, there=False, now=NOW)
    assert mine.returned(TIGHT, NOW).config_out is None
    given = Target(SITE, DEVICE, 0, "returned", NOW, NOW, mine.config.version, True)
    later = NOW + TIME_MS
    held = moved(given, judge(rollout, given, facts(mine, holds=False), later), later)
    assert (held.state, held.problem) == ("returned", NOT_SENT)
    assert judge(rollout, held, facts(mine, holds=False), later + TIME_MS) is None
    later += TIME_MS
    assert mine.tell(LOOSE, there=True, now=later).config_out is not None
    sent = moved(held, judge(rollout, held, facts(mine, holds=False), later), later)
    assert (sent.state, sent.problem) == ("returned", "")
    assert judge(rollout, sent, facts(mine, holds=False), later + TIME_MS - 1) is None
    assert judge(rollout, sent, facts(mine, holds=False), later + TIME_MS) == Judgement("time_out")


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("state", ["away", "returned"])
def test_people_read_that_it_was_not_sent(state: TargetState, language: Language) -> None:
    plain, held = (rollout_words.target(state, None, NOW, language, problem) for problem in ("", NOT_SENT))
    assert plain.text != held.text
    meaning = rollout_texts.target_meaning(state, language, NOT_SENT)
    assert meaning != rollout_texts.target_meaning(state, language)
    assert "profil" in meaning
    assert rollout_words.problem(state, NOT_SENT, language) == "", "its name says it"
