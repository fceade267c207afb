"""Claims: the right to enrol one device once. Made and watched by the web, used up by the certificate authority."""

from datetime import datetime
from typing import Final, Literal

import asyncpg
import msgspec

from fleet.claim_code import ClaimCode
from fleet.errors import BadInput, Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import CLAIM_WRONG_TRIES_MAX, CLAIMS_OPEN_PER_SITE_MAX
from fleet.storage import notices
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

ClaimState = Literal["waiting", "locked", "expired", "cancelled", "used"]


class ClaimRow(msgspec.Struct, frozen=True):
    """problem_code: what the last try failed by, as long as no later one worked. certs.texts has words for it."""

    id: str
    site: SiteId
    device: DeviceId
    profile: str
    device_name: str
    serial: str | None
    replaces: bool
    created_at: UnixMs
    expires_at: UnixMs
    state: ClaimState
    wrong_tries: int
    problem_code: str | None
    problem_at: UnixMs | None
    used_at: UnixMs | None


class HeldClaim(msgspec.Struct, frozen=True):
    """A claim whose row this transaction holds: nobody else uses it meanwhile. `now`: the database's clock."""

    id: str
    site: SiteId
    device: DeviceId
    profile: str
    device_name: str
    serial: str | None
    replaces: bool
    created_by: str | None
    code_hash: bytes
    used_key_hash: bytes | None
    state: ClaimState
    expired: bool
    now: datetime


_STATE: Final = """CASE WHEN used_at IS NOT NULL THEN 'used' WHEN cancelled_at IS NOT NULL THEN 'cancelled'
    WHEN locked_at IS NOT NULL THEN 'locked' WHEN expires_at <= clock_timestamp() THEN 'expired'
    ELSE 'waiting' END AS state"""
_ROW: Final = f"""SELECT id, site_id AS site, device_id AS device, profile_id AS profile, device_name, serial, replaces,
    (extract(epoch FROM created_at) * 1000)::bigint AS created_at,
    (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at, {_STATE}, wrong_tries, problem_code,
    (extract(epoch FROM problem_at) * 1000)::bigint AS problem_at, (extract(epoch FROM used_at) * 1000)::bigint AS used_at
    FROM pki.claim"""  # noqa: S608 - put together from constants
_HELD: Final = f"""SELECT id, site_id AS site, device_id AS device, profile_id AS profile, device_name, serial, replaces,
    created_by, code_hash, used_key_hash, {_STATE}, expires_at <= clock_timestamp() AS expired, clock_timestamp() AS now
    FROM pki.claim WHERE id = $1 FOR UPDATE"""  # noqa: S608 - put together from constants


# the web, below row-level security --------------------------------------------------------------------------------


async def create_claim(
    connection: Connection,
    *,
    code: ClaimCode,
    site: SiteId,
    device: DeviceId,
    profile: str,
    device_name: str,
    serial: str | None,
    replaces: bool,
    created_by: str | None,
    expires_at: datetime,
    request_id: str | None,
) -> ClaimRow:
    """Inside a transaction. The same request_id again gives the claim that stands, whose code nobody can tell any more.

    Raises NotFound (unknown_site, unknown_profile), Conflict (too_many_claims, request_taken), BadInput (bad_id).
    """
    if request_id is not None and (found := await _of_request(connection, request_id)) is not None:
        return _same(found, site, profile)
    if await _open_count(connection, site) >= CLAIMS_OPEN_PER_SITE_MAX:
        raise Conflict(
            "too_many_claims", f"{CLAIMS_OPEN_PER_SITE_MAX} codes are open at this site; use or cancel some first"
        )
    try:
        async with connection.transaction():
            made = await connection.fetchval(
                "INSERT INTO pki.claim (id, site_id, device_id, profile_id, device_name, serial, replaces, code_hash,"
                " created_by, expires_at, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
                " ON CONFLICT (request_id) DO NOTHING RETURNING id",
                code.id,
                site,
                device,
                profile,
                device_name,
                serial,
                replaces,
                code.hash,
                created_by,
                expires_at,
                request_id,
            )
    except asyncpg.ForeignKeyViolationError as error:
        kind = "profile" if "profile" in (error.constraint_name or "") else "site"
        raise NotFound(f"unknown_{kind}", f"there is no such {kind}: {profile if kind == 'profile' else site}") from None
    except asyncpg.CheckViolationError:
        raise BadInput("bad_id", f"no device can be called {device!r}") from None
    if made is None:
        found = await _of_request(connection, request_id or "")
        if found is None:
            raise Conflict("request_taken", "this request id belongs to another request")
        return _same(found, site, profile)
    await notices.notify(connection, notices.CLAIM, code.id)
    return await claim(connection, code.id)


async def claim(connection: Connection, claim_id: str) -> ClaimRow:
    """Raises NotFound (unknown_claim)."""
    row = await connection.fetchrow(f"{_ROW} WHERE id = $1", claim_id)
    if row is None:
        raise NotFound("unknown_claim", f"no claim {claim_id[:40]}")
    return _row(row)


async def open_claims(connection: Connection, site: SiteId) -> list[ClaimRow]:
    """Those that can still be used, the newest first."""
    rows = await connection.fetch(
        f"{_ROW} WHERE site_id = $1 AND used_at IS NULL AND cancelled_at IS NULL AND locked_at IS NULL"
        " AND expires_at > clock_timestamp() ORDER BY created_at DESC, id",
        site,
    )
    return [_row(row) for row in rows]


async def cancel_claim(connection: Connection, claim_id: str) -> ClaimRow:
    """Raises NotFound (unknown_claim), Conflict (claim_used). One that is locked, expired or cancelled stays what it is."""
    await connection.execute(
        "UPDATE pki.claim SET cancelled_at = clock_timestamp() WHERE id = $1 AND used_at IS NULL AND cancelled_at IS NULL"
        " AND locked_at IS NULL AND expires_at > clock_timestamp()",
        claim_id,
    )
    left = await claim(connection, claim_id)
    if left.state == "used":
        raise Conflict("claim_used", "a device has enrolled with this code already; revoke the device instead")
    await notices.notify(connection, notices.CLAIM, claim_id)
    return left


async def _of_request(connection: Connection, request_id: str) -> ClaimRow | None:
    row = await connection.fetchrow(f"{_ROW} WHERE request_id = $1", request_id)
    return None if row is None else _row(row)


def _same(found: ClaimRow, site: SiteId, profile: str) -> ClaimRow:
    """Whoever sends an old form for another place, or another thing, does not get what he did not ask for."""
    if (found.site, found.profile) != (site, profile):
        raise Conflict("request_taken", f"this request id belongs to a claim of {found.site} for a {found.profile}")
    return found


async def _open_count(connection: Connection, site: SiteId) -> int:
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM pki.claim WHERE site_id = $1 AND used_at IS NULL AND cancelled_at IS NULL"
            " AND locked_at IS NULL AND expires_at > clock_timestamp()",
            site,
        )
    )


def _row(row: asyncpg.Record) -> ClaimRow:
    return msgspec.convert(dict(row), ClaimRow)


# the authority ----------------------------------------------------------------------------------------------------


async def hold(connection: Connection, claim_id: str) -> HeldClaim | None:
    """Until the transaction ends."""
    row = await connection.fetchrow(_HELD, claim_id)
    return None if row is None else HeldClaim(*row.values())


async def count_wrong_try(connection: Connection, claim_id: str) -> None:
    """The last one that is allowed locks it."""
    await connection.execute(
        "UPDATE pki.claim SET wrong_tries = wrong_tries + 1,"
        " locked_at = CASE WHEN wrong_tries + 1 >= $2 THEN clock_timestamp() END WHERE id = $1 AND locked_at IS NULL",
        claim_id,
        CLAIM_WRONG_TRIES_MAX,
    )


async def note_problem(connection: Connection, claim_id: str, code: str) -> None:
    await connection.execute(
        "UPDATE pki.claim SET problem_code = $2, problem_at = clock_timestamp() WHERE id = $1", claim_id, code
    )


async def mark_used(connection: Connection, claim_id: str, key_hash: bytes) -> None:
    await connection.execute(
        "UPDATE pki.claim SET used_at = clock_timestamp(), used_key_hash = $2, problem_code = NULL, problem_at = NULL"
        " WHERE id = $1",
        claim_id,
        key_hash,
    )
