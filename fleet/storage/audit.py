"""Who did what: written by every service, read by administrators."""

from datetime import datetime
from typing import Any

import msgspec

from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class AuditEntry(msgspec.Struct, frozen=True):
    id: int
    at: UnixMs
    person_id: str | None
    person: str | None  # name, while the person exists
    action: str
    subject: str
    detail: dict[str, Any]
    address: str | None


async def record(
    connection: Connection,
    action: str,
    *,
    person_id: str | None = None,
    subject: str = "",
    detail: dict[str, Any] | None = None,
    address: str | None = None,
) -> None:
    await connection.execute(
        "INSERT INTO audit.entry (person_id, action, subject, detail, address) VALUES ($1, $2, $3, $4, $5)",
        person_id,
        action,
        subject,
        detail or {},
        address,
    )


async def entries(
    connection: Connection,
    *,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    before_id: int | None,
    limit: int,
) -> list[AuditEntry]:
    """Newest first; before_id continues a list."""
    rows = await connection.fetch(
        "SELECT e.id, (extract(epoch FROM e.at) * 1000)::bigint AS at, e.person_id, p.name AS person, e.action, e.subject,"
        " e.detail, e.address FROM audit.entry e LEFT JOIN accounts.person p ON p.id = e.person_id"
        " WHERE ($1::text IS NULL OR e.person_id = $1) AND ($2::text IS NULL OR e.action = $2)"
        " AND ($3::timestamptz IS NULL OR e.at >= $3) AND ($4::timestamptz IS NULL OR e.at < $4)"
        " AND ($5::bigint IS NULL OR e.id < $5) ORDER BY e.id DESC LIMIT $6",
        actor,
        action,
        since,
        until,
        before_id,
        limit,
    )
    return [msgspec.convert(dict(row), AuditEntry) for row in rows]
