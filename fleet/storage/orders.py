"""What a shard keeps of its devices' configurations and commands: loading it, and storing steps with their receipts.

Within a transaction of the shard that owns the slots. Storing the same step twice changes nothing: rows carry a revision,
and of receipts the chain's head tells whether they are there already.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec

from fleet.commands import OPEN_STATES, IssuedCommand, LateAnswer
from fleet.configuration import ConfigState, Desired, Layer, Reported
from fleet.device_orders import Step
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import RejectedConfig
from fleet.receipts import GENESIS, Line, chained
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

_OPEN: Final = sorted(OPEN_STATES)
_CONFIGS: Final = """
    SELECT c.site_id, c.device_id, c.version, c.sent_version, c.sent_at, c.reported_version, c.reported_values,
           c.reported_at, c.rejected_version, c.rejected_errors, c.status, c.status_at, c.revision,
           v.values, v.own, v.layers, v.at, v.kind, v.person_id, v.rollout_id, v.why
    FROM remote.config c
    LEFT JOIN remote.config_change v ON (v.site_id, v.device_id, v.version) = (c.site_id, c.device_id, c.version)
    WHERE c.site_id = ANY($1::text[])
"""
_CHANGE: Final = """
    SELECT version, values, own, layers, at, kind, person_id, rollout_id, why FROM remote.config_change
    WHERE site_id = $1 AND device_id = $2 AND version = $3
"""
_BEFORE_ROLLOUT: Final = """
    SELECT version, values, own, layers, at, kind, person_id, rollout_id, why FROM remote.config_change
    WHERE site_id = $1 AND device_id = $2 AND version < (
        SELECT min(version) FROM remote.config_change
        WHERE site_id = $1 AND device_id = $2 AND rollout_id = $3 AND kind = 'rollout')
    ORDER BY version DESC LIMIT 1
"""
_COMMAND_COLUMNS: Final = (
    "id, site_id, device_id, number, name, args, state, revision, created_at, created_by, idempotency_key, batch_id,"
    " expires_at, run_s, sent_at, accepted_at, ended_at, detail, late"
)
_OPEN_COMMANDS: Final = f"""
    SELECT {_COMMAND_COLUMNS} FROM remote.command WHERE site_id = ANY($1::text[]) AND state = ANY($2::text[])
"""  # noqa: S608 - column names of our own
_COMMANDS_BY_ID: Final = f"SELECT {_COMMAND_COLUMNS} FROM remote.command WHERE id = ANY($1::text[])"  # noqa: S608 - as above
_COMMANDS_BY_KEY: Final = f"""
    SELECT {_COMMAND_COLUMNS} FROM remote.command JOIN unnest($1::text[], $2::text[], $3::text[])
        AS k (device_id, created_by, idempotency_key) USING (device_id, created_by, idempotency_key)
"""  # noqa: S608 - as above
_FORGOTTEN: Final = """
    SELECT DISTINCT o.site_id, o.device_id, d.retired_at IS NOT NULL AS retired
    FROM remote.command o JOIN registry.site s ON s.id = o.site_id JOIN registry.device d ON d.id = o.device_id
    WHERE o.state = ANY($1::text[]) AND s.slot = ANY($2::smallint[]) AND o.expires_at < $3 LIMIT $4
"""

_SAVE_CONFIGS: Final = """
    INSERT INTO remote.config AS c (site_id, device_id, version, sent_version, sent_at, reported_version, reported_values,
        reported_at, rejected_version, rejected_errors, status, status_at, revision)
    SELECT s.site_id, s.device_id, s.version, s.sent_version, s.sent_at, s.reported_version, s.reported_values::jsonb,
        s.reported_at, s.rejected_version, s.rejected_errors::jsonb, s.status, s.status_at, s.revision
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::text[],
                $8::timestamptz[], $9::bigint[], $10::text[], $11::text[], $12::timestamptz[], $13::bigint[])
        AS s (site_id, device_id, version, sent_version, sent_at, reported_version, reported_values, reported_at,
              rejected_version, rejected_errors, status, status_at, revision)
    ON CONFLICT (site_id, device_id) DO UPDATE SET
        version = excluded.version, sent_version = excluded.sent_version, sent_at = excluded.sent_at,
        reported_version = excluded.reported_version, reported_values = excluded.reported_values,
        reported_at = excluded.reported_at, rejected_version = excluded.rejected_version,
        rejected_errors = excluded.rejected_errors, status = excluded.status, status_at = excluded.status_at,
        revision = excluded.revision
    WHERE c.revision < excluded.revision
"""
_SAVE_CHANGES: Final = """
    INSERT INTO remote.config_change (site_id, device_id, version, values, own, layers, at, kind, person_id, rollout_id, why)
    SELECT s.site_id, s.device_id, s.version, s.values::jsonb, s.own::jsonb, s.layers::jsonb, s.at, s.kind, s.person_id,
           s.rollout_id, s.why
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[],
                $9::text[], $10::text[], $11::text[])
        AS s (site_id, device_id, version, values, own, layers, at, kind, person_id, rollout_id, why)
    ON CONFLICT DO NOTHING
"""
_SAVE_COMMANDS: Final = """
    INSERT INTO remote.command AS c (id, site_id, device_id, number, name, args, state, revision, created_at, created_by,
        idempotency_key, batch_id, expires_at, run_s, sent_at, accepted_at, ended_at, detail, late)
    SELECT s.id, s.site_id, s.device_id, s.number, s.name, s.args::jsonb, s.state, s.revision, s.created_at, s.created_by,
        s.idempotency_key, s.batch_id, s.expires_at, s.run_s, s.sent_at, s.accepted_at, s.ended_at, s.detail::jsonb,
        s.late::jsonb
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::float8[],
                $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::text[], $19::text[])
        AS s (id, site_id, device_id, number, name, args, state, revision, created_at, created_by, idempotency_key, batch_id,
              expires_at, run_s, sent_at, accepted_at, ended_at, detail, late)
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, revision = excluded.revision, sent_at = excluded.sent_at, accepted_at = excluded.accepted_at,
        ended_at = excluded.ended_at, detail = excluded.detail, late = excluded.late
    WHERE c.revision < excluded.revision
"""
_SAVE_RECEIPTS: Final = """
    INSERT INTO remote.receipt (chain, seq, at, site_id, device_id, kind, subject, detail, hash)
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::bytea[])
"""
_HEAD: Final = "SELECT seq, hash FROM remote.receipt_head WHERE chain = $1 FOR UPDATE"
_FIRST_HEAD: Final = "INSERT INTO remote.receipt_head (chain, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING"
_MOVE_HEAD: Final = """
    INSERT INTO remote.receipt_head (chain, seq, hash) VALUES ($1, $2, $3)
    ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash
"""


CommandKey = tuple[DeviceId, str, str]  # device, person, idempotency key


class Forgotten(msgspec.Struct, frozen=True):
    """Where commands are open. retired: of a device that is no more."""

    site_id: SiteId
    device_id: DeviceId
    retired: bool


# loading ----------------------------------------------------------------------------------------------------------------


async def load_configs(connection: Connection, sites: Sequence[SiteId]) -> dict[tuple[SiteId, DeviceId], ConfigState]:
    return {(row["site_id"], row["device_id"]): _config(row) for row in await connection.fetch(_CONFIGS, sites)}


async def load_open_commands(
    connection: Connection, sites: Sequence[SiteId]
) -> dict[tuple[SiteId, DeviceId], list[IssuedCommand]]:
    """All that have not ended: whatever became of the process that gave them."""
    found: dict[tuple[SiteId, DeviceId], list[IssuedCommand]] = {}
    for row in await connection.fetch(_OPEN_COMMANDS, sites, _OPEN):
        found.setdefault((row["site_id"], row["device_id"]), []).append(_command(row))
    return found


async def change(connection: Connection, site: SiteId, device: DeviceId, version: int) -> Desired | None:
    """An earlier version of a configuration."""
    row = await connection.fetchrow(_CHANGE, site, device, version)
    return None if row is None else _desired(row)


async def before_rollout(connection: Connection, site: SiteId, device: DeviceId, rollout_id: str) -> Desired | None:
    """The version that a rollout has changed; None when there was none, or when none is left of either."""
    row = await connection.fetchrow(_BEFORE_ROLLOUT, site, device, rollout_id)
    return None if row is None else _desired(row)


async def commands_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, IssuedCommand]:
    return {row["id"]: _command(row) for row in await connection.fetch(_COMMANDS_BY_ID, ids)}


async def commands_by_key(connection: Connection, keys: Sequence[CommandKey]) -> dict[CommandKey, IssuedCommand]:
    rows = await connection.fetch(_COMMANDS_BY_KEY, *zip(*keys, strict=True))
    return {(row["device_id"], row["created_by"], row["idempotency_key"]): _command(row) for row in rows}


async def with_overdue_commands(connection: Connection, slots: Sequence[int], now: datetime, limit: int) -> list[Forgotten]:
    """A live twin ends its own within moments, so these are few, however many devices are away."""
    rows = await connection.fetch(_FORGOTTEN, _OPEN, slots, now, limit)
    return [msgspec.convert(dict(row), Forgotten) for row in rows]


# storing ----------------------------------------------------------------------------------------------------------------


async def save_steps(connection: Connection, steps: Iterable[Step]) -> None:
    """Without their receipts. Of one device's states the newest is kept, of its versions all."""
    configs: dict[tuple[SiteId, DeviceId], ConfigState] = {}
    desired: list[tuple[SiteId, DeviceId, Desired]] = []
    commands: dict[str, IssuedCommand] = {}
    for step in steps:
        if step.config is not None:
            configs[step.site, step.device] = step.config
        if step.desired is not None:
            desired.append((step.site, step.device, step.desired))
        commands.update((command.id, command) for command in step.commands)
    if configs:
        rows = [_config_row(site, device, config) for (site, device), config in sorted(configs.items())]
        await connection.execute(_SAVE_CONFIGS, *zip(*rows, strict=True))
    if desired:
        changes = [_change_row(*each) for each in desired]
        await connection.execute(_SAVE_CHANGES, *zip(*changes, strict=True))
    if commands:
        issued = [_command_row(command) for command in commands.values()]
        await connection.execute(_SAVE_COMMANDS, *zip(*issued, strict=True))


async def head_of(connection: Connection, chain: int) -> tuple[int, bytes]:
    """The chain's newest line: number and hash. Holds the chain until the transaction ends."""
    row = await connection.fetchrow(_HEAD, chain)
    if row is None:  # its first line; a row to hold on to, and to wait for whoever is just writing that line
        await connection.execute(_FIRST_HEAD, chain, GENESIS)
        (row,) = await connection.fetch(_HEAD, chain)
    return row["seq"], row["hash"]


async def save_receipts(connection: Connection, chain: int, steps: Iterable[Step]) -> Line | None:
    """Appends the steps' receipts, in order; the last line, None when there are none."""
    receipts = [receipt for step in steps for receipt in step.receipts]
    if not receipts:
        return None
    seq, head = await head_of(connection, chain)
    lines = chained(chain, seq, head, receipts)
    await connection.execute(_SAVE_RECEIPTS, *zip(*lines, strict=True))
    await connection.execute(_MOVE_HEAD, chain, lines[-1].seq, lines[-1].hash)
    return lines[-1]


# rows -------------------------------------------------------------------------------------------------------------------


def _config(row: asyncpg.Record) -> ConfigState:
    reported = None
    if row["reported_version"] is not None:
        rejected = None
        if row["rejected_version"] is not None:
            rejected = RejectedConfig(row["rejected_version"], row["rejected_errors"] or {})
        reported = Reported(row["reported_version"], row["reported_values"], _ms(row["reported_at"]) or 0, rejected)
    return ConfigState(
        desired=None if row["values"] is None else _desired(row),
        reported=reported,
        sent_version=row["sent_version"],
        sent_at=_ms(row["sent_at"]),
        status=row["status"],
        status_at=_ms(row["status_at"]) or 0,
        revision=row["revision"],
    )


def _desired(row: asyncpg.Record) -> Desired:
    return Desired(
        row["version"],
        row["values"],
        row["own"],
        tuple(msgspec.convert(row["layers"], list[Layer])),
        _ms(row["at"]) or 0,
        row["kind"],
        row["person_id"],
        row["rollout_id"],
        row["why"],
    )


def _command(row: asyncpg.Record) -> IssuedCommand:
    return IssuedCommand(
        id=row["id"],
        site=row["site_id"],
        device=row["device_id"],
        number=row["number"],
        name=row["name"],
        args=row["args"],
        state=row["state"],
        created_at=_ms(row["created_at"]) or 0,
        expires_at=_ms(row["expires_at"]) or 0,
        run_s=row["run_s"],
        created_by=row["created_by"],
        idempotency_key=row["idempotency_key"],
        batch=row["batch_id"],
        revision=row["revision"],
        sent_at=_ms(row["sent_at"]),
        accepted_at=_ms(row["accepted_at"]),
        ended_at=_ms(row["ended_at"]),
        detail=row["detail"],
        late=None if row["late"] is None else msgspec.convert(row["late"], LateAnswer),
    )


def _config_row(site: SiteId, device: DeviceId, config: ConfigState) -> tuple[Any, ...]:
    said = config.reported
    rejected = said.rejected if said is not None else None
    return (
        site,
        device,
        config.version,
        config.sent_version,
        _time(config.sent_at),
        None if said is None else said.version,
        None if said is None else _json(said.values),
        None if said is None else _time(said.at),
        None if rejected is None else rejected.version,
        None if rejected is None else _json(rejected.errors),
        config.status,
        _time(config.status_at),
        config.revision,
    )


def _change_row(site: SiteId, device: DeviceId, desired: Desired) -> tuple[Any, ...]:
    return (
        site,
        device,
        desired.version,
        _json(desired.values),
        _json(desired.own),
        _json(desired.layers),
        _time(desired.at),
        desired.kind,
        desired.person_id,
        desired.rollout,
        desired.why,
    )


def _command_row(command: IssuedCommand) -> tuple[Any, ...]:
    return (
        command.id,
        command.site,
        command.device,
        command.number,
        command.name,
        _json(command.args),
        command.state,
        command.revision,
        _time(command.created_at),
        command.created_by,
        command.idempotency_key,
        command.batch,
        _time(command.expires_at),
        command.run_s,
        _time(command.sent_at),
        _time(command.accepted_at),
        _time(command.ended_at),
        None if command.detail is None else _json(command.detail),
        None if command.late is None else _json(command.late),
    )


def _json(value: object) -> str:
    """Rows go in as arrays of their columns, in which jsonb travels as text."""
    return msgspec.json.encode(value).decode()


def _ms(time: datetime | None) -> UnixMs | None:
    return None if time is None else round(time.timestamp() * 1000)


def _time(ms: UnixMs | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
