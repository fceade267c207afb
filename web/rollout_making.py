"""Making rollouts and moving them: what the API and the pages' forms both do."""

import re
import time
from typing import Annotated, Final

import msgspec

from fleet.configuration import Values
from fleet.errors import Conflict, NotFound
from fleet.limits import BULK_TARGETS_MAX
from fleet.rollouts.board import stopping
from fleet.rollouts.lifecycle import Rollout, RolloutEvent, Stop
from fleet.rollouts.plan import RolloutPlan
from fleet.storage import audit, rollouts
from fleet.storage.database import Connection
from fleet.storage.rollouts import NewRollout
from fleet.targets import TargetQuery
from web.command_giving import new_id
from web.new_sites import LINE
from web.rollout_selection import Aim, aim, check_rollout_values
from web.rollout_views import RolloutAction
from web.visits import Visit

RolloutName = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=LINE)]
Why = Annotated[str, msgspec.Meta(max_length=300, pattern=LINE)]
ConfirmCount = Annotated[int, msgspec.Meta(ge=0, le=BULK_TARGETS_MAX)]
_ID: Final = re.compile(r"[0-9a-f]{24}")


class RolloutAim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either a group, whose template the values become, or a query. Of both, only devices of the profile are meant.

    values: all that the group's template shall hold afterwards; what it had before and they do not name goes.
    """

    profile: str
    values: Values
    group: str | None = None
    query: TargetQuery | None = None
    plan: RolloutPlan = RolloutPlan()


class RolloutForm(RolloutAim, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """confirm_count: so many devices you expect it to be for; needed for many, and held to whenever given."""

    name: RolloutName
    why: Why = ""
    confirm_count: ConfirmCount | None = None


def parse_rollout(text: str) -> str:
    """Raises NotFound: what cannot be an id names no rollout."""
    if not (text.isascii() and text.replace("-", "").isalnum() and len(text) <= 40):
        raise NotFound("unknown_rollout", "no such rollout")
    return text


def new_rollout_id() -> str:
    return new_id(time.time_ns() // 1_000_000)


async def aimed_at(connection: Connection, asked: RolloutAim) -> Aim:
    """Raises NotFound (unknown_profile, unknown_group), BadInput (bad_target, too_many_targets, no_values), RefusedValues
    (bad_config).
    """
    found = (await aim(connection, asked.profile[:40], asked.group, asked.query)).by(asked.plan)
    check_rollout_values(found.settings, asked.values)
    return found


async def make_rollout(visit: Visit, form: RolloutForm, address: str, *, rollout_id: str | None = None) -> str:
    """For ops and admins. It runs from when this returns; returns its id.

    rollout_id: of a form, which makes one rollout however often it is sent.
    Raises as aimed_at does, and BadInput (empty_selection), Conflict (confirm_needed, rollout_running), Forbidden.
    """
    wanted = rollout_id if rollout_id and _ID.fullmatch(rollout_id) else new_rollout_id()
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        if rollout_id is not None and await _is_made(connection, visit, wanted):
            return wanted
        found = await aimed_at(connection, form)
        found.check_count(form.confirm_count)
        new = NewRollout(
            wanted,
            form.name,
            found.profile.id,
            found.group.id if found.group is not None else None,
            found.query,
            form.values,
            form.plan,
            form.why,
            visit.person.id,
        )
        await rollouts.add_rollout(connection, new, found.targets)
        detail = {"name": form.name, "profile": new.profile, "group": new.group, "values": form.values}
        await audit.record(
            connection,
            "rollout.make",
            person_id=visit.person.id,
            subject=wanted,
            detail={**detail, "devices": len(found.targets), "why": form.why},
            address=address,
        )
    async with visit.enter() as connection:
        await rollouts.tell(connection, wanted)
    return wanted


async def move_rollout(
    visit: Visit,
    rollout_id: str,
    action: RolloutAction,
    address: str,
    *,
    returning: bool | None = None,
    why: str = "",
) -> None:
    """For ops and admins. returning: of an abort, whether what was changed is given back; None: as planned.

    Raises NotFound (unknown_rollout), Conflict (illegal_move, not_finished, stale_version), Forbidden (not_allowed).
    """
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        seen, event = await _moved(connection, visit.person.id, rollout_id, action, returning, why)
        await audit.record(
            connection,
            f"rollout.{action}",
            person_id=visit.person.id,
            subject=rollout_id,
            detail={"name": seen.name, "move": event, "why": why},
            address=address,
        )
    async with visit.enter() as connection:
        await rollouts.tell(connection, rollout_id)


async def _moved(
    connection: Connection, person_id: str, rollout_id: str, action: RolloutAction, returning: bool | None, why: str
) -> tuple[Rollout, RolloutEvent]:
    """As it was, and the move that was made. The rollout itself may move at the same moment: then it is looked at again."""
    for last in (False, False, True):
        seen = await rollouts.rollout(connection, rollout_id)
        event = await _event(connection, seen, action, returning)
        stop = None
        if action in ("pause", "abort"):
            stop = Stop("person", time.time_ns() // 1_000_000, seen.wave, person_id=person_id, why=why)
        try:
            await rollouts.move_rollout(connection, seen, event, stop)
        except Conflict as error:
            if last or error.code != "stale_version":
                raise
        else:
            return seen, event
    raise AssertionError("the last try returns or raises")


async def _event(connection: Connection, seen: Rollout, action: RolloutAction, returning: bool | None) -> RolloutEvent:
    if action == "abort":
        if seen.state == "returning":  # it gives back no more
            return "abort"
        planned = seen.plan.return_on_abort if returning is None else returning
        asked = msgspec.structs.replace(seen, plan=msgspec.structs.replace(seen.plan, return_on_abort=planned))
        return stopping(asked, await rollouts.tally(connection, seen.id))
    if action == "end":
        return "complete"
    return "pause" if action == "pause" else "resume"


async def _is_made(connection: Connection, visit: Visit, rollout_id: str) -> bool:
    try:
        found = await rollouts.rollout(connection, rollout_id)
    except NotFound:
        return False
    return found.created_by == visit.person.id
