"""Serials that a gateway speaks for and that no device of its site has yet: who they are, and what was kept for them.

What is kept are dead letters (code unknown_source) that name their serial; they become samples once a device has it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.limits import (
    DEAD_LETTER_KEEP_DAYS,
    WAITING_BYTES_PER_GATEWAY_MAX,
    WAITING_LETTERS_PER_GATEWAY_MAX,
    WAITING_SOURCES_PER_GATEWAY_MAX,
)
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class WaitingSource(msgspec.Struct, frozen=True):
    """measures: what it was heard to measure, by our names. codec: the format that it was heard in, of a third party's."""

    site: SiteId
    gateway: DeviceId
    serial: str
    first_seen_at: UnixMs
    last_seen_at: UnixMs
    measures: list[str]
    codec: str | None = None


class Sighting(NamedTuple):
    site: SiteId
    gateway: DeviceId
    serial: str
    seen_at: UnixMs
    measures: Sequence[str]
    codec: str | None = None


class KeptLetter(NamedTuple):
    """payload: native telemetry that names its source."""

    id: int
    payload: bytes


_KEPT_FOR = timedelta(days=DEAD_LETTER_KEEP_DAYS)
_WAITING = """
    SELECT w.site_id, w.gateway_id, w.serial, (extract(epoch FROM w.first_seen_at) * 1000)::bigint AS first_seen_at,
           (extract(epoch FROM w.last_seen_at) * 1000)::bigint AS last_seen_at, w.measures, w.codec
    FROM telemetry.waiting_source w
    WHERE w.site_id = $1 AND NOT EXISTS (SELECT FROM registry.device d
        WHERE d.site_id = w.site_id AND d.serial = w.serial AND d.retired_at IS NULL)
    ORDER BY w.first_seen_at, w.serial
"""
_NOTE = """
    INSERT INTO telemetry.waiting_source AS w (site_id, gateway_id, serial, first_seen_at, last_seen_at, measures, codec)
    SELECT s.site_id, s.gateway_id, s.serial, s.seen_at, s.seen_at, string_to_array(s.measures, ' '), s.codec
    FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $7::text[])
         AS s (site_id, gateway_id, serial, seen_at, measures, codec)
    WHERE EXISTS (SELECT FROM telemetry.waiting_source k
                  WHERE k.site_id = s.site_id AND k.gateway_id = s.gateway_id AND k.serial = s.serial)
       OR (SELECT count(*) FROM telemetry.waiting_source k WHERE k.site_id = s.site_id AND k.gateway_id = s.gateway_id) < $6
    ON CONFLICT (site_id, gateway_id, serial) DO UPDATE SET
        last_seen_at = greatest(w.last_seen_at, excluded.last_seen_at),
        measures = ARRAY(SELECT DISTINCT m FROM unnest(w.measures || excluded.measures) m ORDER BY m),
        codec = coalesce(excluded.codec, w.codec)
"""
_ATTACHED = """
    SELECT DISTINCT w.site_id, w.serial FROM telemetry.waiting_source w
    JOIN registry.site s ON s.id = w.site_id
    JOIN registry.device d ON d.site_id = w.site_id AND d.serial = w.serial AND d.retired_at IS NULL
    WHERE s.slot = ANY($1::smallint[])
"""
_KEPT = """
    SELECT id, head FROM telemetry.dead_letter
    WHERE site_id = $1 AND source = $2 AND code = 'unknown_source' AND id > $3 ORDER BY id LIMIT $4
"""
_TRIM = """
    DELETE FROM telemetry.dead_letter WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER newest AS position, sum(octet_length(head)) OVER newest AS bytes
            FROM telemetry.dead_letter WHERE code = 'unknown_source' AND source IS NOT NULL
            WINDOW newest AS (PARTITION BY site_id, device_id ORDER BY id DESC)
        ) kept WHERE position > $1 OR bytes > $2)
"""


async def waiting_sources(connection: Connection, site: SiteId) -> list[WaitingSource]:
    """Those that no device of the site has, the first seen first."""
    return [WaitingSource(*row.values()) for row in await connection.fetch(_WAITING, site)]


async def note_sources(connection: Connection, sightings: Sequence[Sighting]) -> None:
    """At most WAITING_SOURCES_PER_GATEWAY_MAX for each gateway; one sighting per serial and call."""
    if sightings:
        columns = zip(
            *((s.site, s.gateway, s.serial, _time(s.seen_at), " ".join(s.measures)) for s in sightings), strict=True
        )
        codecs = [sighting.codec for sighting in sightings]
        await connection.execute(_NOTE, *columns, WAITING_SOURCES_PER_GATEWAY_MAX, codecs)


async def attached_sources(connection: Connection, slots: Sequence[int]) -> list[tuple[SiteId, str]]:
    """(site, serial) that wait although a device has the serial by now."""
    return [(row["site_id"], row["serial"]) for row in await connection.fetch(_ATTACHED, list(slots))]


async def kept_letters(connection: Connection, site: SiteId, serial: str, after_id: int, limit: int) -> list[KeptLetter]:
    return [KeptLetter(*row.values()) for row in await connection.fetch(_KEPT, site, serial, after_id, limit)]


async def forget_letters(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM telemetry.dead_letter WHERE id = ANY($1::bigint[])", list(ids))


async def forget_source(connection: Connection, site: SiteId, serial: str) -> None:
    await connection.execute("DELETE FROM telemetry.waiting_source WHERE site_id = $1 AND serial = $2", site, serial)


async def trim_kept(connection: Connection) -> int:
    """Gives up the oldest of what is kept beyond the bounds of a gateway, and serials unheard of for as long as letters are
    kept. Returns how many letters went.
    """
    await connection.execute("DELETE FROM telemetry.waiting_source WHERE last_seen_at < now() - $1::interval", _KEPT_FOR)
    status = await connection.execute(_TRIM, WAITING_LETTERS_PER_GATEWAY_MAX, WAITING_BYTES_PER_GATEWAY_MAX)
    return int(status.rsplit(" ", 1)[1])


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
