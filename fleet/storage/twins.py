"""Twins in and out of PostgreSQL: batched loading, and the snapshots that a restart begins from."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
import msgspec

from fleet.codecs.memory import Memory
from fleet.corrections import Corrector, corrector
from fleet.device import DeviceTwin, Snapshot
from fleet.device_orders import DeviceOrders
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile
from fleet.site import SiteRecord, SiteTwin
from fleet.storage import codec_memory
from fleet.storage import orders as orders_sql
from fleet.storage.corrections import changes_of
from fleet.storage.database import Connection
from fleet.storage.supervision import load_health, load_open_alerts
from fleet.telemetry import State, UnixMs
from fleet.views import Health

_SITE_COLUMNS = "id, name, timezone, latitude, longitude, peak_power_w"
_SITES_BY_ID = f"SELECT {_SITE_COLUMNS} FROM registry.site WHERE id = ANY($1::text[])"  # noqa: S608 - column names of our own
_SITES_BY_SLOT = f"""
    SELECT {_SITE_COLUMNS} FROM registry.site
    WHERE slot = ANY($1::smallint[]) AND id > $2 ORDER BY id LIMIT $3
"""  # noqa: S608 - column names of our own
_DEVICES = """
    SELECT d.site_id, d.id, d.profile_id, d.name, d.serial, d.created_at,
           l.stream, l.seq, l.seen_at, l.sample_time, l.readings, l.online, l.info::text AS info, l.told
    FROM registry.device d
    LEFT JOIN telemetry.device_latest l ON l.site_id = d.site_id AND l.device_id = d.id
    WHERE d.site_id = ANY($1::text[]) AND d.retired_at IS NULL
"""
_SAVE_SNAPSHOTS = """
    INSERT INTO telemetry.device_latest AS l
        (site_id, device_id, stream, seq, seen_at, sample_time, readings, online, info, told)
    SELECT s.site_id, s.device_id, s.stream, s.seq, s.seen_at, s.sample_time,
           (SELECT array_agg(nullif(r, 'NaN')) FROM unnest(string_to_array(s.readings, ' ')::float8[]) r),
           s.online, s.info::jsonb,
           (SELECT array_agg(nullif(r, 'NaN')) FROM unnest(string_to_array(s.told, ' ')::float8[]) r)
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[],
                $8::boolean[], $9::text[], $10::text[])
         AS s (site_id, device_id, stream, seq, seen_at, sample_time, readings, online, info, told)
    ON CONFLICT (site_id, device_id) DO UPDATE SET
        stream = excluded.stream, seq = excluded.seq, seen_at = excluded.seen_at, sample_time = excluded.sample_time,
        readings = excluded.readings, online = excluded.online, info = excluded.info, told = excluded.told
"""

_state = msgspec.json.Decoder(State)


class SnapshotRow(NamedTuple):
    site: SiteId
    device: DeviceId
    snapshot: Snapshot


async def load_profiles(connection: Connection) -> dict[str, DeviceProfile]:
    rows = await connection.fetch("SELECT definition::text AS definition FROM registry.profile")
    profiles = [msgspec.json.decode(row["definition"], type=DeviceProfile) for row in rows]
    return {profile.id: profile for profile in profiles}


async def sites_by_id(connection: Connection, sites: Sequence[SiteId]) -> list[SiteRecord]:
    return [_site(row) for row in await connection.fetch(_SITES_BY_ID, sites)]


async def sites_by_slot(connection: Connection, slots: Sequence[int], after: SiteId, limit: int) -> list[SiteRecord]:
    """The next `limit` sites of these slots in the order of their ids, from beyond `after` ('' at first)."""
    return [_site(row) for row in await connection.fetch(_SITES_BY_SLOT, slots, after, limit)]


async def load_twins(
    connection: Connection, sites: Sequence[SiteRecord], profiles: dict[str, DeviceProfile], now: UnixMs
) -> list[SiteTwin]:
    """The twins of these sites and of all their devices, as their snapshots left them; a few queries however many."""
    devices: dict[SiteId, list[DeviceTwin]] = {site.id: [] for site in sites}
    alerts = await load_open_alerts(connection, list(devices))
    health = await load_health(connection, list(devices))
    changes = await changes_of(connection, list(devices))
    memories = await codec_memory.load(connection, list(devices))
    configs = await orders_sql.load_configs(connection, list(devices))
    commands = await orders_sql.load_open_commands(connection, list(devices))
    for row in await connection.fetch(_DEVICES, list(devices)):
        judged = health.get(row["site_id"], {}).get(row["id"])
        swaps, profile = changes.replacements.get(row["id"], ()), profiles[row["profile_id"]]
        corrects = corrector(profile, changes.corrections.get(row["id"], ()), swaps)
        replaced_at = max((swap.at for swap in swaps), default=0)
        learned = memories.get((row["site_id"], row["id"]))
        memory = None if learned is None else Memory(learned)
        twin = _device(row, profile, judged, corrects, replaced_at, memory, now)
        key = (row["site_id"], row["id"])
        if key in configs or key in commands:
            twin.orders = DeviceOrders(*key, configs.get(key), commands.get(key, ()), now)
        devices[row["site_id"]].append(twin)
    return [
        SiteTwin(site, devices[site.id], now, health.get(site.id, {}).get(""), alerts.get(site.id, ())) for site in sites
    ]


async def save_snapshots(connection: Connection, rows: Iterable[SnapshotRow]) -> None:
    """Within a write transaction of the shard that owns these twins."""
    columns = list(zip(*(_snapshot_columns(row) for row in rows), strict=True))
    if columns:
        await connection.execute(_SAVE_SNAPSHOTS, *columns)


def _site(row: asyncpg.Record) -> SiteRecord:
    return SiteRecord(*row.values())


def _device(
    row: asyncpg.Record,
    profile: DeviceProfile,
    judged: Health | None,
    corrects: Corrector | None,
    replaced_at: UnixMs,
    memory: Memory | None,
    now: UnixMs,
) -> DeviceTwin:
    if row["seq"] is None:  # never heard of
        snapshot = Snapshot()
    else:
        info = None if row["info"] == "{}" else _state.decode(row["info"])
        seen_at, sample_at = _ms(row["seen_at"]), _ms(row["sample_time"])
        told = (row["readings"], row["online"], info, row["told"])
        snapshot = Snapshot(row["stream"], row["seq"], seen_at, sample_at, *told)
    created_at = _ms(row["created_at"])
    return DeviceTwin(
        row["id"], row["name"], row["serial"], profile, snapshot, judged, now, created_at, corrects, replaced_at, memory
    )


def _snapshot_columns(row: SnapshotRow) -> tuple[object, ...]:
    site, device, snapshot = row
    info = "{}" if snapshot.info is None else msgspec.json.encode(snapshot.info).decode()
    return (
        site,
        device,
        snapshot.stream,
        snapshot.seq,
        _time(snapshot.seen_at),
        _time(snapshot.sample_at),
        _text(snapshot.readings or ()),
        snapshot.online,
        info,
        None if snapshot.told is None else _text(snapshot.told),
    )


def _text(readings: Iterable[float | None]) -> str:
    """unnest() flattens arrays of arrays, so a twin's readings travel as one text each."""
    return " ".join("NaN" if value is None else repr(value) for value in readings)


def _ms(time: datetime | None) -> UnixMs | None:
    return None if time is None else round(time.timestamp() * 1000)


def _time(ms: UnixMs | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
