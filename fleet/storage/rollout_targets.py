"""The targets of a rollout: whose turn it is, what becomes of those that were told."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg
import msgspec

from fleet.configuration import Layer
from fleet.ids import DeviceId
from fleet.limits import ROLLOUT_HELD_LOOK_S
from fleet.rollouts.facts import NOT_SENT, TargetFacts, is_wave_watched
from fleet.rollouts.lifecycle import (
    TOLD_STATES,
    WATCHED_STATES,
    Former,
    Rollout,
    Target,
    TargetState,
    former,
)
from fleet.rollouts.window import SiteNow
from fleet.storage.database import Connection
from fleet.storage.rollouts import when
from fleet.storage.target_states import BESIDE, STATE
from fleet.telemetry import UnixMs

_PROBLEM_CHARS_MAX: Final = 500  # of what a device says; its page shows all of it


class Candidate(msgspec.Struct, frozen=True):
    """A target whose turn it is.

    before       the layer of the same source that it has; of one that has this rollout's own already, what it had before
    there        connected, and heard of
    is_overtaken it is absent, or its telling broke off before its twin had it; and a later rollout that stands has told it:
                 to the same group, or of the same settings
    """

    target: Target
    registered: bool
    there: bool
    before: Former | None
    site: SiteNow
    is_overtaken: bool


class Watched(msgspec.Struct, frozen=True):
    target: Target
    facts: TargetFacts


class TargetMove(msgspec.Struct, frozen=True):
    """A move that was decided. was: the state it was decided in; if it is another one by now, nothing happens."""

    device: DeviceId
    was: TargetState
    state: TargetState
    problem: str = ""
    version: int | None = None
    was_there: bool | None = None


_TARGET: Final = f"""
    t.site_id AS site, t.device_id AS device, t.wave, {STATE} AS state,
    (extract(epoch FROM t.state_at) * 1000)::bigint AS state_at,
    (extract(epoch FROM t.told_at) * 1000)::bigint AS told_at, t.version, t.was_there, t.problem, t.before
"""
# What is still there to be told, and whether somebody is there to hear it.
_PRESENCE: Final = """
    LEFT JOIN registry.device d ON d.id = t.device_id AND d.site_id = t.site_id AND d.profile_id = $2
        AND d.retired_at IS NULL AND d.revoked_at IS NULL AND d.gateway_id IS NULL
    LEFT JOIN telemetry.device_latest l ON l.site_id = t.site_id AND l.device_id = t.device_id
    LEFT JOIN supervision.health h ON h.site_id = t.site_id AND h.device_id = t.device_id
    LEFT JOIN remote.config c ON c.site_id = t.site_id AND c.device_id = t.device_id
    LEFT JOIN remote.config_change v ON (v.site_id, v.device_id, v.version) = (c.site_id, c.device_id, c.version)
"""
IS_THERE: Final = "(coalesce(l.online, false) AND coalesce(h.status, 'unknown') NOT IN ('offline', 'asleep'))"
_UNTOLD: Final = """
    SELECT * FROM remote.rollout_target WHERE rollout_id = $1 AND wave <= $3
        AND (state = 'waiting' OR (state = 'held' AND state_at < $4)) ORDER BY wave, device_id LIMIT $5
"""
_BROKEN_OFF: Final = """
    SELECT * FROM remote.rollout_target WHERE rollout_id = $1 AND wave <= $3 AND state = 'telling' AND state_at <= $4
        ORDER BY wave, device_id LIMIT $5
"""
HEARD_AT: Final = "CASE WHEN l.online THEN h.since ELSE l.seen_at END"
# Those that can still be missed are left where they are: of thousands that are away none is read out or written.
_BACK: Final = f"""
    SELECT t.* FROM remote.rollout_target t {_PRESENCE}
    WHERE t.rollout_id = $1 AND t.wave <= $3 AND t.state = 'absent' AND t.state_at < $4 AND (d.id IS NULL OR {IS_THERE})
    ORDER BY t.wave, t.device_id LIMIT $5
"""  # noqa: S608 - put together from constants
_CANDIDATES: Final = f"""
    SELECT {_TARGET}, d.id IS NOT NULL AS registered, {IS_THERE} AS there, v.layers,
           (t.state = 'absent' OR (t.state = 'telling' AND NOT coalesce(v.layers @> $10::jsonb, false))) AND EXISTS (
               SELECT FROM remote.rollout_target lt JOIN remote.rollout later ON later.id = lt.rollout_id
               WHERE lt.device_id = t.device_id AND lt.state = ANY($7::text[]) AND later.id > $1
                   AND later.state IN ('running', 'paused', 'completed')
                   AND (later.group_id = $8 OR later."values" ?| $9::text[])
           ) AS is_overtaken,
           s.latitude, s.longitude, s.timezone, s.peak_power_w, p.pv_power_w,
           (extract(epoch FROM p.power_at) * 1000)::bigint AS power_at
    FROM ({{whose}}) t
    JOIN registry.site s ON s.id = t.site_id {_PRESENCE}
    LEFT JOIN LATERAL (
        SELECT sum(y.readings[y.place]) AS pv_power_w, min(y.sample_time) AS power_at FROM (
            SELECT yl.readings, yl.sample_time, (
                SELECT c.place FROM jsonb_array_elements_text(yp.definition -> 'channels') WITH ORDINALITY AS c (name, place)
                WHERE c.name = 'pv_power_w'
            )::int AS place
            FROM registry.device yd JOIN registry.profile yp ON yp.id = yd.profile_id
            JOIN telemetry.device_latest yl ON yl.site_id = yd.site_id AND yl.device_id = yd.id
            WHERE yd.site_id = t.site_id AND yd.retired_at IS NULL AND yp.definition -> 'channels' ? 'pv_power_w'
        ) y WHERE y.readings[y.place] IS NOT NULL
    ) p ON $6
    ORDER BY t.wave, t.device_id
"""  # noqa: S608 - put together from constants
_GIVEN_BACK: Final = "coalesce(v.kind = 'rollout_return' AND v.rollout_id = $1, false)"
_WATCHED: Final = f"""
    SELECT {_TARGET}, d.id IS NOT NULL AS registered, {IS_THERE} AS there, coalesce(h.status = 'asleep', false) AS asleep,
           (extract(epoch FROM {HEARD_AT}) * 1000)::bigint AS heard_at,
           coalesce(v.layers @> $7::jsonb, false) AS holds, coalesce(c.version, 0) AS config_version,
           coalesce(c.status, 'unknown') AS status, c.reported_version, c.rejected_version, c.rejected_errors,
           {_GIVEN_BACK} AS given_back, coalesce(v.rollout_id = $1, false) AS ours,
           (SELECT a.rule FROM supervision.alert a WHERE a.site_id = t.site_id AND a.device_id = t.device_id
                AND a.raised_at >= t.told_at AND a.severity <> 'info' AND a.rule <> 'device_offline'
                ORDER BY a.raised_at LIMIT 1) AS alert
    FROM (
        SELECT * FROM remote.rollout_target t WHERE rollout_id = $1 AND device_id > $3
            AND ({STATE} = ANY($4::text[]) OR (state = 'done' AND (wave = ANY($5::int[]) OR state_at > $6)))
        ORDER BY device_id LIMIT $8
    ) t {_PRESENCE}
    ORDER BY t.device_id
"""  # noqa: S608 - put together from constants
_IN_STATE: Final = f"""
    SELECT {_TARGET} FROM remote.rollout_target t
    WHERE t.rollout_id = $1 AND {STATE} = $2 ORDER BY t.device_id LIMIT $3
"""  # noqa: S608 - put together from constants
_HOLD_STILL: Final = "SELECT true FROM remote.rollout WHERE id = $1 AND revision = $2 FOR SHARE"
_TELLING: Final = """
    UPDATE remote.rollout_target t SET state = 'telling', state_at = $5, told_at = $5, was_there = m.there,
           "before" = m.before::jsonb
    FROM unnest($2::text[], $3::boolean[], $4::text[]) AS m (device_id, there, before)
    WHERE t.rollout_id = $1 AND t.device_id = m.device_id AND t.state IN ('waiting', 'held', 'absent')
"""
_STRAYS: Final = """
    UPDATE remote.rollout_target t SET state = 'returning', state_at = $2
    FROM remote.config c
    JOIN remote.config_change v ON (v.site_id, v.device_id, v.version) = (c.site_id, c.device_id, c.version)
    WHERE t.rollout_id = $1 AND t.state = 'returned' AND (c.site_id, c.device_id) = (t.site_id, t.device_id)
          AND v.layers @> $3::jsonb
"""
# Some have got back what they had, or never had what it brings, although nobody has heard so; others somebody has changed.
_KEPT: Final = f"""
    UPDATE remote.rollout_target t SET state_at = $2, returned_as = NULL,
           state = CASE WHEN n.holds AND t.was_there THEN 'pending' WHEN n.holds THEN 'away'
                        WHEN n.given_back OR NOT n.had_it THEN 'returned' ELSE 'overruled' END,
           version = CASE WHEN n.holds THEN coalesce(t.version, n.version) ELSE n.version END
    FROM (
        SELECT k.device_id, coalesce(c.version, 0) AS version, coalesce(v.layers @> $3::jsonb, false) AS holds,
               {_GIVEN_BACK} AS given_back, EXISTS (
                   SELECT FROM remote.config_change h
                   WHERE (h.site_id, h.device_id, h.rollout_id) = (k.site_id, k.device_id, $1)
               ) AS had_it
        FROM remote.rollout_target k
        LEFT JOIN remote.config c ON (c.site_id, c.device_id) = (k.site_id, k.device_id)
        LEFT JOIN remote.config_change v ON (v.site_id, v.device_id, v.version) = (c.site_id, c.device_id, c.version)
        WHERE k.rollout_id = $1 AND k.state = 'returning'
    ) n
    WHERE t.rollout_id = $1 AND t.device_id = n.device_id AND t.state = 'returning'
"""  # noqa: S608 - put together from constants
_RECORD: Final = f"""
    UPDATE remote.rollout_target t SET state_at = $8, problem = m.problem,
           state = CASE WHEN m.state = ANY($9::text[]) THEN 'returned' ELSE m.state END,
           returned_as = CASE WHEN m.state = ANY($9::text[]) THEN m.state END,
           version = coalesce(m.version, t.version), was_there = coalesce(m.was_there, t.was_there)
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::boolean[])
        AS m (device_id, was, state, problem, version, was_there)
    WHERE t.rollout_id = $1 AND t.device_id = m.device_id AND {STATE} = m.was
"""  # noqa: S608 - put together from constants


async def candidates(connection: Connection, rollout: Rollout, *, limit: int, now: UnixMs) -> list[Candidate]:
    """Whose turn it is: of this wave and those before it, untold; those whose window was shut are looked at now and then.

    Then those that were not there when they could have been told, and are now; these also once the rollout is completed.
    """
    held_before = now - round(ROLLOUT_HELD_LOOK_S * 1000)
    found = []
    if rollout.state == "running":
        found += await _candidates(connection, rollout, _UNTOLD, held_before, limit)
    if rollout.plan.window is not None:
        found += await _candidates(connection, rollout, _BACK, held_before, limit)
    return found


async def broken_off(connection: Connection, rollout: Rollout, *, limit: int, now: UnixMs) -> list[Candidate]:
    """Those that were being told when something broke off: the twin may have it, or not."""
    return await _candidates(connection, rollout, _BROKEN_OFF, now, limit)


async def _candidates(
    connection: Connection, rollout: Rollout, whose: str, in_state_before: UnixMs, limit: int
) -> list[Candidate]:
    rows = await connection.fetch(
        _CANDIDATES.format(whose=whose),
        rollout.id,
        rollout.profile,
        rollout.wave,
        when(in_state_before),
        limit,
        rollout.plan.window is not None,
        sorted((*TOLD_STATES, "telling")),
        rollout.group,
        sorted(rollout.values),
        [_ours(rollout)],
    )
    return [_candidate(row, rollout) for row in rows]


async def watched(connection: Connection, rollout: Rollout, *, after: str, limit: int, now: UnixMs) -> list[Watched]:
    """Targets of which something may still come, with what is known of them: by device, beyond `after`."""
    states = sorted(WATCHED_STATES)
    watched_since = when(now - round(rollout.plan.observe_s * 1000))
    waves = [wave for wave in range(len(rollout.plan.waves)) if is_wave_watched(rollout, wave)]
    ours = [_ours(rollout)]
    rows = await connection.fetch(_WATCHED, rollout.id, rollout.profile, after, states, waves, watched_since, ours, limit)
    return [Watched(_target(row), _facts(row)) for row in rows]


async def in_state(connection: Connection, rollout_id: str, state: TargetState, *, limit: int) -> list[Target]:
    """By device."""
    rows = await connection.fetch(_IN_STATE, rollout_id, state, limit)
    return [_target(row) for row in rows]


async def told_since(connection: Connection, rollout_id: str, since: UnixMs) -> int:
    """How many were first told after this instant."""
    statement = "SELECT count(*) FROM remote.rollout_target WHERE rollout_id = $1 AND told_at > $2"
    return int(await connection.fetchval(statement, rollout_id, when(since)))


async def held_back(connection: Connection, rollout: Rollout) -> int:
    """How many of its wave are there, and the platform sends them nothing."""
    statement = "SELECT count(*) FROM remote.rollout_target WHERE (rollout_id, wave, state, problem) = ($1, $2, 'away', $3)"
    return int(await connection.fetchval(statement, rollout.id, rollout.wave, NOT_SENT))


async def record_turns(
    connection: Connection, rollout: Rollout, chosen: Sequence[Candidate], moves: Sequence[TargetMove], now: UnixMs
) -> bool:
    """Within a transaction, before the twins of `chosen` are asked; moves: of those that are not told now.

    False, and nothing recorded, when the rollout was moved meanwhile.
    """
    if await connection.fetchval(_HOLD_STILL, rollout.id, rollout.revision) is None:
        return False
    await record_moves(connection, rollout.id, moves, now)
    await connection.execute(
        _TELLING,
        rollout.id,
        [each.target.device for each in chosen],
        [each.there for each in chosen],
        [None if each.before is None else msgspec.json.encode(each.before).decode() for each in chosen],
        when(now),
    )
    return True


async def record_moves(connection: Connection, rollout_id: str, moves: Iterable[TargetMove], now: UnixMs) -> None:
    rows = list(moves)
    if rows:
        await connection.execute(
            _RECORD,
            rollout_id,
            [each.device for each in rows],
            [each.was for each in rows],
            [each.state for each in rows],
            [each.problem for each in rows],
            [each.version for each in rows],
            [each.was_there for each in rows],
            when(now),
            BESIDE,
        )


async def begin_return(connection: Connection, rollout_id: str, now: UnixMs) -> None:
    """All that were told, or are being told, are to get back what they had."""
    await connection.execute(
        "UPDATE remote.rollout_target SET state = 'returning', state_at = $3 WHERE rollout_id = $1 AND state = ANY($2)",
        rollout_id,
        sorted((*TOLD_STATES, "telling")),
        when(now),
    )


async def call_off(connection: Connection, rollout_id: str, now: UnixMs) -> None:
    """Those that are absent are not told any more."""
    await connection.execute(
        "UPDATE remote.rollout_target SET state = 'waiting', state_at = $2 WHERE rollout_id = $1 AND state = 'absent'",
        rollout_id,
        when(now),
    )


async def keep_the_rest(connection: Connection, rollout: Rollout, now: UnixMs) -> None:
    """Somebody has stopped the return: who has not got back what it had keeps what it was told, and is looked at again as
    if it had just been told.
    """
    await connection.execute(_KEPT, rollout.id, when(now), [_ours(rollout)])


async def return_strays(connection: Connection, rollout: Rollout, now: UnixMs) -> int:
    """Those that were returned and hold what the rollout brings all the same: an ask that was given up came through late.

    They are to be returned once more. How many.
    """
    status = await connection.execute(_STRAYS, rollout.id, when(now), [_ours(rollout)])
    return int(status.rpartition(" ")[2])


async def clock(connection: Connection) -> UnixMs:
    """The database's: one for all processes that may lead rollouts, one after the other."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return int(now.astimezone(UTC).timestamp() * 1000)


def _ours(rollout: Rollout) -> dict[str, str]:
    """What tells the layer that it brings from all others."""
    return {"source": rollout.source, "rollout": rollout.id}


def _target(row: asyncpg.Record) -> Target:
    return msgspec.convert(dict(row), Target)


def _candidate(row: asyncpg.Record, rollout: Rollout) -> Candidate:
    target = _target(row)
    before = former(msgspec.convert(row["layers"] or [], list[Layer]), rollout.source)
    if before is not None and before.rollout == rollout.id:
        before = target.before
    site = SiteNow(*(row[name] for name in SiteNow.__struct_fields__))
    return Candidate(target, row["registered"], row["there"], before, site, row["is_overtaken"])


def _facts(row: asyncpg.Record) -> TargetFacts:
    errors = row["rejected_errors"] or {}
    why = "; ".join(f"{key}: {error}" if key else str(error) for key, error in errors.items())
    return TargetFacts(
        device=row["device"],
        registered=row["registered"],
        there=row["there"],
        asleep=row["asleep"],
        heard_at=row["heard_at"],
        holds=row["holds"],
        version=row["config_version"],
        status=row["status"],
        reported_version=row["reported_version"],
        rejected_version=row["rejected_version"],
        rejected_why=why[:_PROBLEM_CHARS_MAX],
        alert=row["alert"],
        given_back=row["given_back"],
        ours=row["ours"],
    )
