"""Corrections and replacements in and out of PostgreSQL.

Below row-level security for people, and for the services that read with them (twins, roll-up) across sites.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import asyncpg
import msgspec

from fleet.corrections import (
    Correction,
    CorrectionKind,
    Corrector,
    Replacement,
    check_correction,
    corrector,
    with_ends,
)
from fleet.errors import BadInput, Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import CORRECTIONS_PER_DEVICE_MAX
from fleet.profiles import DeviceProfile
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

_COLUMNS = "id, device_id, kind, measure, value, from_time, created_at, undone_at"
_CORRECTIONS = f"""
    SELECT {_COLUMNS} FROM registry.correction
    WHERE site_id = $1 AND ($2::text IS NULL OR device_id = $2) ORDER BY created_at, id
"""  # noqa: S608 - column names of our own
_REPLACEMENTS = """
    SELECT device_id, at, old_serial, new_serial FROM registry.replacement
    WHERE site_id = $1 AND ($2::text IS NULL OR device_id = $2) ORDER BY at
"""
_PROFILE = """
    SELECT p.definition::text AS definition FROM registry.device d JOIN registry.profile p ON p.id = d.profile_id
    WHERE d.site_id = $1 AND d.id = $2
"""
_PROFILE_TO_CORRECT = f"{_PROFILE} FOR UPDATE OF d"  # two at once would both find room for one more
_ADD = f"""
    INSERT INTO registry.correction (id, site_id, device_id, kind, measure, value, from_time, created_at, created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8) RETURNING {_COLUMNS}
"""  # noqa: S608 - column names of our own
_UNDO = f"""
    UPDATE registry.correction SET undone_at = clock_timestamp(), undone_by = $3
    WHERE site_id = $1 AND id = $2 AND undone_at IS NULL RETURNING {_COLUMNS}
"""  # noqa: S608 - column names of our own
_STANDING = f"""
    SELECT site_id, {_COLUMNS} FROM registry.correction WHERE site_id = ANY($1::text[]) AND undone_at IS NULL
"""  # noqa: S608 - column names of our own
_STANDING_REPLACEMENTS = """
    SELECT site_id, device_id, at, old_serial, new_serial FROM registry.replacement WHERE site_id = ANY($1::text[])
"""

_REPLACED = """
    SELECT k.site_id, k.device_id, (
        SELECT max(r.at) FROM registry.replacement r WHERE r.site_id = k.site_id AND r.device_id = k.device_id
    ) AS at FROM unnest($1::text[], $2::text[]) AS k(site_id, device_id)
"""
_CHANGES = """
    SELECT site_id, device_id, from_time AS since, CASE WHEN kind = 'clock' THEN value ELSE 0 END AS clock_shift_s,
           id || CASE WHEN undone_at IS NULL THEN '' ELSE '/undone' END AS key
    FROM registry.correction
    UNION ALL
    SELECT site_id, device_id, at, (
        SELECT coalesce(sum(abs(c.value)), 0) FROM registry.correction c
        WHERE c.site_id = r.site_id AND c.device_id = r.device_id AND c.kind = 'clock' AND c.undone_at IS NULL
    ), device_id || '/replaced/' || extract(epoch FROM at) FROM registry.replacement r
"""
_PENDING = f"""
    SELECT c.* FROM ({_CHANGES}) c JOIN registry.site s ON s.id = c.site_id
    WHERE s.slot = ANY($1::smallint[])
      AND NOT EXISTS (SELECT FROM telemetry.counted_change k WHERE k.site_id = c.site_id AND k.change = c.key)
    ORDER BY c.site_id, c.device_id, c.since LIMIT $2
"""  # noqa: S608 - constants of our own
_PENDING_OF = f"""
    SELECT c.* FROM ({_CHANGES}) c
    WHERE c.site_id = $1 AND c.device_id = $2
      AND NOT EXISTS (SELECT FROM telemetry.counted_change k WHERE k.site_id = c.site_id AND k.change = c.key)
"""  # noqa: S608 - constants of our own
_COUNTED = """
    INSERT INTO telemetry.counted_change (site_id, change) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT DO NOTHING
"""

Of = TypeVar("Of", Correction, Replacement)


class Change(NamedTuple):
    """A correction that was made or undone, or a replacement. clock_shift_s: by how much it moves a clock; of a replacement,
    by how much the clock of the hardware before was moved.
    """

    site: SiteId
    device: DeviceId
    since: UnixMs
    clock_shift_s: float
    key: str


class Changes(NamedTuple):
    """What bears upon the devices of some sites; devices of which nothing is known are not in it."""

    corrections: dict[DeviceId, list[Correction]]
    replacements: dict[DeviceId, list[Replacement]]


async def corrections_of(connection: Connection, site: SiteId, device: DeviceId | None = None) -> list[Correction]:
    """In the order in which they were made, the undone and the ended ones among them."""
    made = [_correction(row) for row in await connection.fetch(_CORRECTIONS, site, device)]
    if not made:
        return made
    replaced = _by_device(await replacements_of(connection, site, device))
    return [ended for each in made for ended in with_ends([each], replaced.get(each.device, ()))]


async def replacements_of(connection: Connection, site: SiteId, device: DeviceId | None = None) -> list[Replacement]:
    """Oldest first."""
    return [_replacement(row) for row in await connection.fetch(_REPLACEMENTS, site, device)]


async def corrector_of(connection: Connection, site: SiteId, device: DeviceId) -> Corrector | None:
    """None where what was told stands."""
    made = await corrections_of(connection, site, device)
    definition: str | None = await connection.fetchval(_PROFILE, site, device) if made else None
    if definition is None:
        return None
    replaced = await replacements_of(connection, site, device)
    return corrector(msgspec.json.decode(definition, type=DeviceProfile), made, replaced)


async def add_correction(
    connection: Connection,
    *,
    site: SiteId,
    device: DeviceId,
    kind: CorrectionKind,
    measure: str,
    value: float,
    from_at: UnixMs,
    created_by: str | None,
    now: UnixMs,
) -> Correction:
    """Ask the twins (`corrected`) after the commit. What is in force already is not made twice: a form may be sent again.

    Raises NotFound (unknown_device), BadInput (bad_correction), Conflict (too_many_corrections).
    """
    definition: str | None = await connection.fetchval(_PROFILE_TO_CORRECT, site, device)
    if definition is None:
        raise NotFound("unknown_device", f"no device {device}")
    check_correction(msgspec.json.decode(definition, type=DeviceProfile), kind, measure, value)
    if from_at > now:
        raise BadInput("bad_correction", "a correction counts from now on at the latest, not from a time to come")
    standing = [known for known in await corrections_of(connection, site, device) if known.in_force]
    for known in standing:
        if (known.kind, known.measure, known.value, known.from_at) == (kind, measure, value, from_at):
            return known
    if len(standing) >= CORRECTIONS_PER_DEVICE_MAX:
        raise Conflict(
            "too_many_corrections", f"{CORRECTIONS_PER_DEVICE_MAX} corrections are in force for {device}; undo some first"
        )
    (row,) = await connection.fetch(
        _ADD, secrets.token_hex(8), site, device, kind, measure, value, _time(from_at), created_by
    )
    return _correction(row)


async def undo_correction(connection: Connection, site: SiteId, correction_id: str, undone_by: str | None) -> Correction:
    """Ask the twins (`corrected`) after the commit. Raises NotFound (unknown_correction), Conflict (already_undone)."""
    rows = await connection.fetch(_UNDO, site, correction_id, undone_by)
    if rows:
        undone = _correction(rows[0])
        return with_ends([undone], await replacements_of(connection, site, undone.device))[0]
    if any(known.id == correction_id for known in await corrections_of(connection, site)):
        raise Conflict("already_undone", f"correction {correction_id} is undone already")
    raise NotFound("unknown_correction", f"no correction {correction_id}")


async def changes_of(connection: Connection, sites: Sequence[SiteId]) -> Changes:
    """For the services: what was made at these sites and not undone."""
    made = [_correction(row) for row in await connection.fetch(_STANDING, sites)]
    swapped = await connection.fetch(_STANDING_REPLACEMENTS, sites)
    return Changes(_by_device(made), _by_device(_replacement(row) for row in swapped))


async def replaced_lately(
    connection: Connection, known: Sequence[tuple[SiteId, DeviceId, UnixMs]]
) -> set[tuple[SiteId, DeviceId]]:
    """Which of these devices have other hardware than they had then."""
    rows = await connection.fetch(_REPLACED, [each[0] for each in known], [each[1] for each in known])
    newest = {(row["site_id"], row["device_id"]): _ms(row["at"]) for row in rows if row["at"] is not None}
    return {(site, device) for site, device, at in known if newest.get((site, device), at) > at}


async def pending_changes(connection: Connection, slots: Sequence[int], limit: int) -> list[Change]:
    """Those of these slots that nothing has followed yet, device by device."""
    return [_change(row) for row in await connection.fetch(_PENDING, list(slots), limit)]


async def pending_changes_of(connection: Connection, site: SiteId, device: DeviceId) -> list[Change]:
    return [_change(row) for row in await connection.fetch(_PENDING_OF, site, device)]


async def note_counted(connection: Connection, changes: Iterable[Change]) -> None:
    """Within the transaction that moves the samples and marks the days."""
    listed = list(changes)
    await connection.execute(_COUNTED, [change.site for change in listed], [change.key for change in listed])


def _change(row: asyncpg.Record) -> Change:
    return Change(row["site_id"], row["device_id"], _ms(row["since"]), row["clock_shift_s"], row["key"])


def _by_device(found: Iterable[Of]) -> dict[DeviceId, list[Of]]:
    listed: dict[DeviceId, list[Of]] = {}
    for each in found:
        listed.setdefault(each.device, []).append(each)
    return listed


def _correction(row: asyncpg.Record) -> Correction:
    undone_at = None if row["undone_at"] is None else _ms(row["undone_at"])
    return Correction(
        row["id"],
        row["device_id"],
        row["kind"],
        row["measure"],
        row["value"],
        _ms(row["from_time"]),
        _ms(row["created_at"]),
        undone_at,
    )


def _replacement(row: asyncpg.Record) -> Replacement:
    return Replacement(row["device_id"], _ms(row["at"]), row["old_serial"], row["new_serial"])


def _ms(time: datetime) -> UnixMs:
    return round(time.timestamp() * 1000)


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
