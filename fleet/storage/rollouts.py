"""Rollouts as operations and the process that leads them see them: made, moved, listed; and which are at work."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec

from fleet.configuration import Values
from fleet.errors import Conflict, NotFound
from fleet.limits import ROLLOUT_FOLLOWED_DAYS
from fleet.rollouts.board import Tally, assigned
from fleet.rollouts.lifecycle import (
    OPEN_STATES,
    WATCHED_STATES,
    Rollout,
    RolloutEvent,
    RolloutState,
    Stop,
    TargetState,
    move,
)
from fleet.rollouts.plan import RolloutPlan
from fleet.storage import notices
from fleet.storage.database import Connection
from fleet.storage.target_states import STATE, folded, stored
from fleet.targets import TargetDevice, TargetQuery
from fleet.telemetry import UnixMs


class NewRollout(msgspec.Struct, frozen=True):
    """values: checked against the profile. group: the saved group that it is to; query: whom it means, the group's too."""

    id: str
    name: str
    profile: str
    group: str | None
    query: TargetQuery
    values: Values
    plan: RolloutPlan
    why: str
    created_by: str | None


class RolloutRow(msgspec.Struct, frozen=True):
    """A rollout as its page shows it. creator: name of who made it, stopper: of who stopped it, where known."""

    rollout: Rollout
    creator: str | None
    stopper: str | None


_COLUMNS: Final = """
    r.id, r.name, r.profile_id AS profile, r.group_id AS "group", g.name AS group_name, r.query, r.values, r.plan, r.why,
    r.state, r.wave, (extract(epoch FROM r.wave_at) * 1000)::bigint AS wave_at,
    (extract(epoch FROM r.settled_at) * 1000)::bigint AS settled_at, r.stopped, r.energy, r.counts, r.exact_counts,
    r.overwrite_drift, r.revision,
    (extract(epoch FROM r.created_at) * 1000)::bigint AS created_at, r.created_by,
    (extract(epoch FROM r.ended_at) * 1000)::bigint AS ended_at
"""
_FROM: Final = "FROM remote.rollout r LEFT JOIN remote.device_group g ON g.id = r.group_id"
_ONE: Final = f"SELECT {_COLUMNS} {_FROM} WHERE r.id = $1"
_NAMES: Final = """
    SELECT accounts.name_in_history($1) AS creator, accounts.name_in_history($2) AS stopper
"""
_LIST: Final = f"""
    SELECT {_COLUMNS}, accounts.name_in_history(r.created_by) AS creator,
           accounts.name_in_history(r.stopped ->> 'person_id') AS stopper {_FROM}
    WHERE ($1::text[] IS NULL OR r.state = ANY($1)) AND ($2::text IS NULL OR r.group_id = $2)
          AND ($3::text IS NULL OR r.id < $3) ORDER BY r.id DESC LIMIT $4
"""
# Those with something to do, and those at an end whose devices are still expected.
_AT_WORK: Final = f"""
    SELECT {_COLUMNS} {_FROM} WHERE r.state = ANY($1::text[]) OR (r.ended_at > now() - make_interval(days => $2)
        AND EXISTS (SELECT FROM remote.rollout_target t
                    WHERE t.rollout_id = r.id AND t.state = ANY($4::text[]) AND {STATE} = ANY($3::text[])))
    ORDER BY r.id
"""  # noqa: S608 - as above
_EXPECTED: Final = sorted((*WATCHED_STATES, "telling", "absent", "returning"))
_TALLY: Final = f"""
    SELECT t.wave, {STATE} AS state, count(*) AS devices FROM remote.rollout_target t WHERE t.rollout_id = $1 GROUP BY 1, 2
"""  # noqa: S608 - as above
_INSERT: Final = """
    INSERT INTO remote.rollout (id, name, profile_id, group_id, query, "values", plan, why, state, wave_at, counts,
        created_by, overwrite_drift)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', now(), $9, $10, $11)
"""
_INSERT_TARGETS: Final = """
    INSERT INTO remote.rollout_target (rollout_id, site_id, device_id, wave, state)
    SELECT $1, t.site_id, t.device_id, t.wave, 'waiting'
    FROM unnest($2::text[], $3::text[], $4::int[]) AS t (site_id, device_id, wave) ON CONFLICT DO NOTHING
"""
# Let go on, its wave begins anew: while it was paused nobody could be told, so nobody's time to answer ran out.
_MOVE: Final = """
    UPDATE remote.rollout SET state = $3, stopped = coalesce($4, stopped), revision = revision + 1,
           wave_at = CASE WHEN $3 = 'running' THEN now() ELSE wave_at END,
           ended_at = CASE WHEN $3 IN ('aborted', 'completed') THEN now() END
    WHERE id = $1 AND revision = $2
"""
# What the group had before: of the newest other rollout to it that came to its end.
_TEMPLATE_BEFORE: Final = """
    UPDATE remote.device_group g SET "values" = coalesce(b.values, '{}'), rollout_id = b.id, updated_at = now()
    FROM (SELECT 1) one LEFT JOIN LATERAL (
        SELECT r.id, r.values FROM remote.rollout r WHERE r.group_id = $1 AND r.id <> $2 AND r.state = 'completed'
        ORDER BY r.ended_at DESC LIMIT 1
    ) b ON true
    WHERE g.id = $1 AND g.rollout_id = $2
"""


async def add_rollout(connection: Connection, new: NewRollout, devices: Sequence[TargetDevice]) -> Rollout:
    """Within a transaction; it runs from then on. devices: of its profile, and told themselves; they are put into waves.

    Raises Conflict (rollout_running) while another one to the same group is open.
    """
    waves = assigned(new.plan, devices, new.id)
    try:
        await connection.execute(
            _INSERT, new.id, new.name, new.profile, new.group, new.query, new.values, _stored(new.plan), new.why,
            {"waiting": len(devices)}, new.created_by, new.plan.overwrite_drift,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "rollout_one_per_group":
            raise
        raise _another_runs() from None
    await add_targets(connection, new.id, devices, waves)
    return await rollout(connection, new.id)


async def add_targets(
    connection: Connection, rollout_id: str, devices: Sequence[TargetDevice], waves: Mapping[Any, int]
) -> int:
    """Those that are targets already stay as they are. Returns how many are new."""
    status = await connection.execute(
        _INSERT_TARGETS,
        rollout_id,
        [each.site for each in devices],
        [each.device for each in devices],
        [waves[each.device] for each in devices],
    )
    return int(status.rpartition(" ")[2])


async def rollout(connection: Connection, rollout_id: str, *, to_move: bool = False) -> Rollout:
    """With its exact counts. to_move: nobody else moves it before the transaction ends.

    Raises NotFound (unknown_rollout).
    """
    row = await connection.fetchrow(f"{_ONE} FOR UPDATE OF r" if to_move else _ONE, rollout_id)
    if row is None:
        raise NotFound("unknown_rollout", f"no rollout {rollout_id[:40]!r}")
    counted: dict[str, int] = {}
    for states in (await tally(connection, rollout_id)).values():
        for state, devices in states.items():
            counted[state] = counted.get(state, 0) + devices
    return _rollout(row, counted)


async def rollout_row(connection: Connection, rollout_id: str) -> RolloutRow:
    """Raises NotFound (unknown_rollout)."""
    found = await rollout(connection, rollout_id)
    stopper = found.stopped.person_id if found.stopped is not None else None
    (names,) = await connection.fetch(_NAMES, found.created_by, stopper)
    return RolloutRow(found, names["creator"], names["stopper"])


async def rollouts(
    connection: Connection,
    *,
    limit: int,
    states: Sequence[RolloutState] | None = None,
    group_id: str | None = None,
    before_id: str | None = None,
) -> list[RolloutRow]:
    """Newest first; before_id continues a list. Their counts are as of the last look at each."""
    rows = await connection.fetch(_LIST, states, group_id, before_id, limit)
    return [RolloutRow(_rollout(row, _counts(row)), row["creator"], row["stopper"]) for row in rows]


async def at_work(connection: Connection) -> list[Rollout]:
    rows = await connection.fetch(_AT_WORK, sorted(OPEN_STATES), ROLLOUT_FOLLOWED_DAYS, _EXPECTED, stored(_EXPECTED))
    return [_rollout(row, _counts(row)) for row in rows]


async def tally(connection: Connection, rollout_id: str) -> Tally:
    """Wave → state → devices, exact as of now; waves without targets are left out."""
    found: dict[int, dict[TargetState, int]] = {}
    for row in await connection.fetch(_TALLY, rollout_id):
        found.setdefault(row["wave"], {})[row["state"]] = row["devices"]
    return found


async def move_rollout(
    connection: Connection, seen: Rollout, event: RolloutEvent, stop: Stop | None = None, *, revision: int | None = None
) -> Rollout:
    """Within a transaction: the rollout after it, if it is still as `seen`. The notice (`tell`) is the caller's, afterwards.

    One that is aborted after its last wave (a continuous one can be, and any by who comes after its end) takes its group's
    template back.
    revision: the one that a person has seen, where it is to be checked.
    Raises Conflict (illegal_move, not_finished), Conflict (stale_version) when it has moved meanwhile, Conflict
    (rollout_running) when it cannot be recalled because a later one to its group is open.
    """
    after = move(seen.state, event)
    if event == "complete" and not seen.waves_are_over:
        raise Conflict("not_finished", "its waves are not over: abort it, or let it go on")
    if revision is not None and revision != seen.revision:
        raise _moved_on(seen)
    try:
        status = await connection.execute(_MOVE, seen.id, seen.revision, after, stop)
    except asyncpg.UniqueViolationError:
        raise _another_runs() from None
    if status != "UPDATE 1":
        raise _moved_on(seen)
    if after in ("returning", "aborted") and seen.group is not None and seen.waves_are_over:
        await connection.execute(_TEMPLATE_BEFORE, seen.group, seen.id)
    return await rollout(connection, seen.id)


async def is_replaced(connection: Connection, rollout: Rollout) -> bool:
    """A later rollout has brought its group something else, or is about to."""
    statement = "SELECT EXISTS (SELECT FROM remote.rollout WHERE group_id = $1 AND id > $2 AND state <> 'aborted')"
    return bool(await connection.fetchval(statement, rollout.group, rollout.id))


async def tell(connection: Connection, rollout_id: str) -> None:
    """Wakes the process that leads rollouts, and the pages that show this one."""
    await notices.notify(connection, notices.ROLLOUT, rollout_id)


def _stored(plan: RolloutPlan) -> dict[str, Any]:
    """Without what the release before refuses to read: that has a column of its own."""
    told: dict[str, Any] = msgspec.to_builtins(plan)
    del told["overwrite_drift"]
    return told


def _another_runs() -> Conflict:
    return Conflict("rollout_running", "another rollout to this group is at work; end or abort it first")


def _moved_on(seen: Rollout) -> Conflict:
    return Conflict("stale_version", f"the rollout {seen.id} has got further meanwhile; look at it again")


def _counts(row: asyncpg.Record) -> Mapping[str, int]:
    """The exact ones, unless the release before has counted since."""
    exact: Mapping[str, int] | None = row["exact_counts"]
    return exact if exact is not None and folded(exact) == row["counts"] else row["counts"]


def _rollout(row: asyncpg.Record, counts: Mapping[str, int]) -> Rollout:
    columns = dict(row)
    for extra in ("creator", "stopper", "exact_counts"):
        columns.pop(extra, None)
    columns["plan"] = {**columns["plan"], "overwrite_drift": columns.pop("overwrite_drift")}
    known = {state: devices for state, devices in counts.items() if devices}
    return msgspec.convert({**columns, "counts": known, "targets": sum(known.values())}, Rollout)


def when(at: UnixMs | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC)
