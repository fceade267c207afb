"""Health and alerts in and out of PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import asyncpg
import msgspec

from fleet.alerts import AlertEvent, AlertRaised, AlertResolved
from fleet.errors import NotFound
from fleet.ids import SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs
from fleet.views import AlertState, AlertView, Health, Severity

_ALERT = """
    SELECT id, site_id, device_id, rule, severity, raised_at, evidence::text AS evidence, acked_at, acked_by, resolved_at
    FROM supervision.alert
"""
_OPEN_ALERTS = _ALERT + " WHERE site_id = ANY($1::text[]) AND resolved_at IS NULL ORDER BY raised_at, id"
_ONE_ALERT = _ALERT + " WHERE id = $1"
_ALERTS = (
    _ALERT
    + """
    WHERE ($1::text IS NULL
           OR $1 = 'open' AND resolved_at IS NULL
           OR $1 = 'raised' AND resolved_at IS NULL AND acked_at IS NULL
           OR $1 = 'acknowledged' AND resolved_at IS NULL AND acked_at IS NOT NULL
           OR $1 = 'resolved' AND resolved_at IS NOT NULL)
      AND ($2::text IS NULL OR severity = $2)
      AND ($3::text IS NULL OR site_id = $3)
      AND ($4::timestamptz IS NULL OR (raised_at, id) < ($4, $5::text COLLATE "C"))
    ORDER BY raised_at DESC, id DESC LIMIT $6
"""
)
_HEALTH = "SELECT site_id, device_id, status, since, reason FROM supervision.health WHERE site_id = ANY($1::text[])"
_SAVE_HEALTH = """
    INSERT INTO supervision.health AS h (site_id, device_id, status, since, reason)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    ON CONFLICT (site_id, device_id) DO UPDATE SET status = excluded.status, since = excluded.since, reason = excluded.reason
"""
# The twins decide what is open. A row that is open here and unknown to them (which no order of events should leave behind)
# is closed, because it would otherwise refuse its successor, and with it the whole batch, for ever.
_MAKE_ROOM = """
    UPDATE supervision.alert a SET resolved_at = n.raised_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
         AS n (id, site_id, device_id, rule, raised_at)
    WHERE a.site_id = n.site_id AND a.device_id = n.device_id AND a.rule = n.rule AND a.resolved_at IS NULL AND a.id <> n.id
"""
# An acknowledgement and a resolution may be stored in either order: neither takes back the other.
_SAVE_ALERTS = """
    INSERT INTO supervision.alert AS a
        (id, site_id, device_id, rule, severity, raised_at, evidence, acked_at, acked_by, resolved_at)
    SELECT n.id, n.site_id, n.device_id, n.rule, n.severity, n.raised_at, n.evidence::jsonb,
           n.acked_at, n.acked_by, n.resolved_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::timestamptz[],
                $9::text[], $10::timestamptz[])
         AS n (id, site_id, device_id, rule, severity, raised_at, evidence, acked_at, acked_by, resolved_at)
    ON CONFLICT (id) DO UPDATE
        SET acked_at = coalesce(a.acked_at, excluded.acked_at), acked_by = coalesce(a.acked_by, excluded.acked_by),
            resolved_at = coalesce(a.resolved_at, excluded.resolved_at)
"""

_evidence = msgspec.json.Decoder(dict[str, float | str | None])


class HealthChange(NamedTuple):
    site: SiteId
    device: str  # '' for the site itself
    health: Health


class AlertCursor(msgspec.Struct, frozen=True):
    """The last alert of a page; the next one begins after it."""

    raised_at: UnixMs
    id: str


async def load_open_alerts(connection: Connection, sites: Sequence[SiteId]) -> dict[SiteId, list[AlertView]]:
    """Oldest first; sites without any are left out."""
    found: dict[SiteId, list[AlertView]] = {}
    for row in await connection.fetch(_OPEN_ALERTS, sites):
        found.setdefault(row["site_id"], []).append(_alert(row))
    return found


async def load_health(connection: Connection, sites: Sequence[SiteId]) -> dict[SiteId, dict[str, Health]]:
    """site → device → health, '' for the site itself; only what was ever judged."""
    found: dict[SiteId, dict[str, Health]] = {}
    for row in await connection.fetch(_HEALTH, sites):
        health = Health(row["status"], _ms(row["since"]), row["reason"])
        found.setdefault(row["site_id"], {})[row["device_id"]] = health
    return found


async def save_health(connection: Connection, changes: Iterable[HealthChange]) -> None:
    """Within the shard's write transaction. Of several changes of one thing the last one counts."""
    last = {(change.site, change.device): change.health for change in changes}
    if last:
        columns = [
            (site, device, health.status, _time(health.since), health.reason) for (site, device), health in last.items()
        ]
        await connection.execute(_SAVE_HEALTH, *zip(*columns, strict=True))


async def save_alerts(connection: Connection, events: Iterable[AlertEvent]) -> None:
    """Within the shard's write transaction; saving an event again changes nothing."""
    events = list(events)
    last = {event.alert.id: event for event in events}
    closed = [event.alert for event in last.values() if isinstance(event, AlertResolved)]
    opened = [event.alert for event in last.values() if not isinstance(event, AlertResolved)]
    await _save(connection, closed)  # first: at most one alert of a rule and device may be open
    new = {event.alert.id for event in events if isinstance(event, AlertRaised)}
    keys = [(alert.id, alert.site, alert.device, alert.rule, _time(alert.raised_at)) for alert in opened if alert.id in new]
    if keys:
        await connection.execute(_MAKE_ROOM, *zip(*keys, strict=True))
    await _save(connection, opened)


async def list_alerts(
    connection: Connection,
    *,
    state: AlertState | Literal["open"] | None,
    severity: Severity | None,
    site: SiteId | None,
    limit: int,
    cursor: AlertCursor | None,
) -> tuple[list[AlertView], AlertCursor | None]:
    """Newest first, only what the acting person may see; None = any. The cursor returned is None on the last page."""
    position = (_time(cursor.raised_at), cursor.id) if cursor else (None, None)
    rows = await connection.fetch(_ALERTS, state, severity, site, *position, limit + 1)
    alerts = [_alert(row) for row in rows[:limit]]
    more = AlertCursor(alerts[-1].raised_at, alerts[-1].id) if len(rows) > limit else None
    return alerts, more


async def find_alert(connection: Connection, alert_id: str) -> AlertView:
    """Raises NotFound (unknown_alert), also for one that the acting person may not see."""
    row = await connection.fetchrow(_ONE_ALERT, alert_id)
    if row is None:
        raise NotFound("unknown_alert", f"no alert {alert_id}")
    return _alert(row)


async def _save(connection: Connection, alerts: Sequence[AlertView]) -> None:
    if alerts:
        rows = [
            (
                alert.id,
                alert.site,
                alert.device,
                alert.rule,
                alert.severity,
                _time(alert.raised_at),
                msgspec.json.encode(alert.evidence).decode(),
                _time_or_none(alert.acked_at),
                alert.acked_by,
                _time_or_none(alert.resolved_at),
            )
            for alert in alerts
        ]
        await connection.execute(_SAVE_ALERTS, *zip(*rows, strict=True))


def _alert(row: asyncpg.Record) -> AlertView:
    return AlertView(
        id=row["id"],
        site=row["site_id"],
        device=row["device_id"],
        rule=row["rule"],
        severity=row["severity"],
        raised_at=_ms(row["raised_at"]),
        evidence=_evidence.decode(row["evidence"]),
        acked_at=None if row["acked_at"] is None else _ms(row["acked_at"]),
        acked_by=row["acked_by"],
        resolved_at=None if row["resolved_at"] is None else _ms(row["resolved_at"]),
    )


def _ms(time: datetime) -> UnixMs:
    return round(time.timestamp() * 1000)


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _time_or_none(ms: UnixMs | None) -> datetime | None:
    return None if ms is None else _time(ms)
