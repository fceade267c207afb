"""Revocations, how far each has got, the lists that carry them, and what is wrong with revocation itself.

web → request_revocation; the authority signs (unsigned, mark_signed); the guard does the rest, step by step. A step's time
is written once and never changes.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Literal

import asyncpg
import msgspec

from fleet.errors import NotFound
from fleet.ids import DeviceId, SiteId
from fleet.storage import audit, notices
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

RevocationReason = Literal["lost", "stolen", "compromised", "replaced", "retired", "other"]
Step = Literal["denied", "installed", "kicked", "refused"]


class RevocationRow(msgspec.Struct, frozen=True):
    """As people see it. done: refused by the broker, and its session gone. problem: what the last attempt failed by."""

    id: str
    site: SiteId
    device: DeviceId
    reason: RevocationReason
    note: str
    requested_by: str | None
    requested_at: UnixMs
    crl_number: int | None
    signed_at: UnixMs | None
    denied_at: UnixMs | None
    installed_at: UnixMs | None
    kicked_at: UnixMs | None
    refused_at: UnixMs | None
    attempts: int
    problem: str | None
    done: bool


class Unsigned(msgspec.Struct, frozen=True):
    """What the authority has to revoke: every certificate of the device whose intent is not younger than the request."""

    id: str
    site: SiteId
    device: DeviceId
    reason: RevocationReason
    requested_at: datetime


class Pending(msgspec.Struct, frozen=True):
    """A revocation that the guard has not finished.

    serials  the certificates that it is about and that have not ended by themselves; all must be in the list
    overdue_s  since the request
    """

    id: str
    device: DeviceId
    serials: frozenset[int]
    overdue_s: float
    crl_number: int | None
    denied: bool
    installed: bool
    kicked: bool
    refused: bool


class SignedList(msgspec.Struct, frozen=True):
    """A revocation list with the certificate that it revokes first, and that one's key (PEM)."""

    number: int
    der: bytes
    canary_chain: str
    canary_key: str


class AlarmRow(msgspec.Struct, frozen=True):
    code: str
    detail: str
    raised_at: UnixMs
    last_at: UnixMs
    times: int


_ROW: Final = """SELECT id, site_id AS site, device_id AS device, reason, note, requested_by,
    (extract(epoch FROM requested_at) * 1000)::bigint AS requested_at, crl_number,
    (extract(epoch FROM signed_at) * 1000)::bigint AS signed_at,
    (extract(epoch FROM denied_at) * 1000)::bigint AS denied_at,
    (extract(epoch FROM installed_at) * 1000)::bigint AS installed_at,
    (extract(epoch FROM kicked_at) * 1000)::bigint AS kicked_at,
    (extract(epoch FROM refused_at) * 1000)::bigint AS refused_at,
    attempts, problem, kicked_at IS NOT NULL AND refused_at IS NOT NULL AS done FROM pki.revocation"""
_OPEN: Final = "(refused_at IS NULL OR kicked_at IS NULL)"
_PENDING: Final = f"""SELECT r.id, r.device_id, r.crl_number,
    extract(epoch FROM clock_timestamp() - r.requested_at)::float8 AS overdue_s,
    r.denied_at IS NOT NULL AS denied, r.installed_at IS NOT NULL AS installed, r.kicked_at IS NOT NULL AS kicked,
    r.refused_at IS NOT NULL AS refused,
    ARRAY(SELECT c.serial FROM pki.certificate c WHERE c.device_id = r.device_id AND c.intent_at <= r.requested_at
          AND c.der IS NOT NULL AND c.not_after > clock_timestamp()) AS serials
    FROM pki.revocation r WHERE {_OPEN} ORDER BY r.requested_at"""  # noqa: S608 - put together from constants
_RAISE: Final = """INSERT INTO pki.alarm AS a (code, detail) VALUES ($1, $2)
    ON CONFLICT (code) DO UPDATE SET detail = excluded.detail, last_at = clock_timestamp(), times = a.times + 1
    RETURNING times = 1"""


# the web, below row-level security --------------------------------------------------------------------------------


async def request_revocation(
    connection: Connection, *, site: SiteId, device: DeviceId, reason: RevocationReason, note: str, requested_by: str | None
) -> RevocationRow:
    """Asks for it and returns at once. A device that is revoked already, and has not been enrolled since, is not revoked
    again: the answer is how far that one has got.

    Within a transaction. Raises NotFound (unknown_device); asyncpg.InsufficientPrivilegeError when the person may not.
    """
    marked = await connection.fetchval(
        "UPDATE registry.device SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 AND site_id = $2"
        " RETURNING id",
        device,
        site,
    )  # also makes two clicks wait for each other
    if marked is None:
        raise NotFound("unknown_device", f"no device {device} at site {site}")
    standing = await connection.fetchrow(
        f"{_ROW} r WHERE r.device_id = $1 AND NOT EXISTS (SELECT FROM pki.certificate c WHERE c.device_id = r.device_id"
        " AND c.intent_at > r.requested_at) ORDER BY r.requested_at DESC LIMIT 1",
        device,
    )
    if standing is not None:
        return _row(standing)
    made: str = await connection.fetchval(
        "INSERT INTO pki.revocation (id, site_id, device_id, reason, note, requested_by, requested_at)"
        " VALUES (gen_random_uuid()::text, $1, $2, $3, $4, $5, clock_timestamp()) RETURNING id",
        site,
        device,
        reason,
        note,
        requested_by,
    )
    await notices.notify(connection, notices.REVOCATION, made)
    return _row(await connection.fetchrow(f"{_ROW} WHERE id = $1", made))


async def revocations_of(connection: Connection, device: DeviceId) -> list[RevocationRow]:
    """The newest first."""
    return [_row(row) for row in await connection.fetch(f"{_ROW} WHERE device_id = $1 ORDER BY requested_at DESC", device)]


async def alarms(connection: Connection) -> list[AlarmRow]:
    """The oldest first."""
    rows = await connection.fetch(
        "SELECT code, detail, (extract(epoch FROM raised_at) * 1000)::bigint AS raised_at,"
        " (extract(epoch FROM last_at) * 1000)::bigint AS last_at, times FROM pki.alarm ORDER BY raised_at, code"
    )
    return [AlarmRow(*row.values()) for row in rows]


# the twins --------------------------------------------------------------------------------------------------------


async def revoked_devices(connection: Connection) -> frozenset[str]:
    """Those whose silence is no fault: revoked, and not enrolled anew. An index of them alone makes this cheap."""
    rows = await connection.fetch("SELECT id FROM registry.device WHERE revoked_at IS NOT NULL AND retired_at IS NULL")
    return frozenset(row["id"] for row in rows)


# the authority ----------------------------------------------------------------------------------------------------


async def unsigned(connection: Connection) -> list[Unsigned]:
    rows = await connection.fetch(
        "SELECT id, site_id, device_id, reason, requested_at FROM pki.revocation"
        " WHERE crl_number IS NULL ORDER BY requested_at"
    )
    return [Unsigned(*row.values()) for row in rows]


async def mark_signed(connection: Connection, revocations: Sequence[str], number: int) -> None:
    """In the transaction that stores list `number`, which holds their certificates."""
    await connection.execute(
        "UPDATE pki.revocation SET crl_number = $2, signed_at = clock_timestamp() WHERE id = ANY($1::text[])"
        " AND crl_number IS NULL",
        revocations,
        number,
    )


# the guard --------------------------------------------------------------------------------------------------------


async def pending(connection: Connection) -> list[Pending]:
    """The oldest first."""
    rows = await connection.fetch(_PENDING)
    return [
        Pending(
            id=row["id"],
            device=row["device_id"],
            serials=frozenset(int(serial, 16) for serial in row["serials"]),
            overdue_s=row["overdue_s"],
            crl_number=row["crl_number"],
            denied=row["denied"],
            installed=row["installed"],
            kicked=row["kicked"],
            refused=row["refused"],
        )
        for row in rows
    ]


async def denied_devices(connection: Connection) -> list[str]:
    return [row["device_id"] for row in await connection.fetch("SELECT device_id FROM pki.denied_device ORDER BY device_id")]


async def newest_list(connection: Connection, *, below: int | None = None) -> SignedList | None:
    """below: the newest before that number."""
    row = await connection.fetchrow(
        "SELECT number, der, canary_chain, canary_key FROM pki.crl WHERE $1::bigint IS NULL OR number < $1"
        " ORDER BY number DESC LIMIT 1",
        below,
    )
    return None if row is None else SignedList(*row.values())


async def newest_number(connection: Connection) -> int | None:
    number: int | None = await connection.fetchval("SELECT max(number) FROM pki.crl")
    return number


async def revoked_serials(connection: Connection, *, for_s: float = 0.0) -> frozenset[int]:
    """Of the certificates that every list has to hold, as the ledger says. for_s: only those revoked for so long.

    What ends within the hour is left out: clocks differ, and a list need not hold what has ended.
    """
    rows = await connection.fetch(
        "SELECT serial FROM pki.certificate WHERE revoked_at <= clock_timestamp() - make_interval(secs => $1)"
        " AND der IS NOT NULL AND not_after > clock_timestamp() + interval '1 hour'",
        for_s,
    )
    return frozenset(int(row["serial"], 16) for row in rows)


async def installed_number(connection: Connection) -> int:
    """Of the newest list that ever lay before the broker; 0 at first."""
    return int(await connection.fetchval("SELECT coalesce(max(number), 0) FROM pki.crl WHERE installed_at IS NOT NULL"))


async def mark_step(connection: Connection, step: Step, revocations: Collection[str]) -> None:
    """And tells those who watch. What is done is no problem any more."""
    if revocations:
        await connection.execute(
            f"UPDATE pki.revocation SET {step}_at = coalesce({step}_at, clock_timestamp()), problem = NULL"  # noqa: S608 - of Step
            " WHERE id = ANY($1::text[])",
            list(revocations),
        )
        await _tell(connection, revocations)


async def mark_problem(connection: Connection, revocations: Collection[str], problem: str) -> None:
    """One more attempt failed."""
    if revocations:
        await connection.execute(
            "UPDATE pki.revocation SET attempts = attempts + 1, problem = $2 WHERE id = ANY($1::text[])",
            list(revocations),
            problem,
        )
        await _tell(connection, revocations)


async def mark_list(connection: Connection, number: int, *, proven: bool) -> None:
    """It lies before the broker; proven: and the broker has read it."""
    await connection.execute(
        "UPDATE pki.crl SET installed_at = coalesce(installed_at, clock_timestamp()),"
        " proven_at = CASE WHEN $2 THEN coalesce(proven_at, clock_timestamp()) ELSE proven_at END WHERE number = $1"
        " AND (installed_at IS NULL OR (proven_at IS NULL AND $2))",
        number,
        proven,
    )


async def raise_alarm(connection: Connection, code: str, detail: str) -> bool:
    """Whether it is new; one that lasts is counted."""
    new = bool(await connection.fetchval(_RAISE, code, detail))
    if new:
        await audit.record(connection, "alarm.raise", subject=code, detail={"detail": detail})
    return new


async def clear_alarm(connection: Connection, code: str) -> bool:
    """Whether there was one."""
    times = await connection.fetchval("DELETE FROM pki.alarm WHERE code = $1 RETURNING times", code)
    if times is not None:
        await audit.record(connection, "alarm.clear", subject=code, detail={"times": times})
    return times is not None


async def _tell(connection: Connection, revocations: Collection[str]) -> None:
    await connection.execute(
        "SELECT pg_notify($1, id) FROM unnest($2::text[]) AS told (id)", notices.REVOCATION, list(revocations)
    )


def _row(row: asyncpg.Record | None) -> RevocationRow:
    if row is None:  # made or found a moment ago in this transaction, and hidden from its maker
        raise NotFound("unknown_device", "no such revocation")
    return msgspec.convert(dict(row), RevocationRow)
