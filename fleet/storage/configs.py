"""Configurations of devices as people see them: below row-level security; the shards write what is read here."""

from datetime import UTC, datetime
from typing import Annotated, Final

import asyncpg
import msgspec

from fleet.config_limits import held
from fleet.configuration import STATUSES, ConfigState, ConfigStatus, Desired, Layer, Values, settings_of
from fleet.device_setting import Setting
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile
from fleet.storage import orders
from fleet.storage.database import Connection
from fleet.storage.registry import no_device
from fleet.telemetry import UnixMs

_DEVICE: Final = """
    SELECT d.site_id, p.definition FROM registry.device d JOIN registry.profile p ON p.id = d.profile_id WHERE d.id = $1
"""
# Who and which rollout, as far as the reader may know them by name.
_NAMES: Final = """
    SELECT accounts.name_in_history($1) AS person, (SELECT r.name FROM remote.rollout r WHERE r.id = $2) AS rollout
"""
_HISTORY: Final = """
    SELECT v.version, v.values, v.own, v.layers, (extract(epoch FROM v.at) * 1000)::bigint AS at, v.kind, v.person_id,
           v.rollout_id, v.why, accounts.name_in_history(v.person_id) AS person, r.name AS rollout, o.values AS before
    FROM remote.config_change v
    LEFT JOIN remote.rollout r ON r.id = v.rollout_id
    LEFT JOIN LATERAL (
        SELECT values FROM remote.config_change
        WHERE (site_id, device_id) = (v.site_id, v.device_id) AND version < v.version ORDER BY version DESC LIMIT 1
    ) o ON true
    WHERE v.site_id = $1 AND v.device_id = $2 AND ($3::bigint IS NULL OR v.version < $3)
    ORDER BY v.version DESC LIMIT $4
"""
_COUNTS: Final = """
    SELECT c.status, count(*) AS devices
    FROM remote.config c JOIN registry.device d ON d.id = c.device_id AND d.site_id = c.site_id
    WHERE d.retired_at IS NULL GROUP BY c.status
"""
_LINES: Final = """
    SELECT c.device_id AS device, d.name, c.site_id AS site, s.name AS site_name, s.timezone, d.profile_id AS profile,
           c.status, (extract(epoch FROM c.status_at) * 1000)::bigint AS status_at, c.version, c.reported_version,
           CASE WHEN c.status = 'rejected' THEN c.rejected_errors END AS errors, coalesce(l.online, false) AS online
    FROM remote.config c
    JOIN registry.device d ON d.id = c.device_id AND d.site_id = c.site_id
    JOIN registry.site s ON s.id = c.site_id
    LEFT JOIN telemetry.device_latest l ON l.site_id = c.site_id AND l.device_id = c.device_id
    WHERE d.retired_at IS NULL AND c.status = ANY($1::text[])
      AND ($2::timestamptz IS NULL OR (c.status_at, c.device_id) < ($2, $3))
    ORDER BY c.status_at DESC, c.device_id DESC LIMIT $4
"""
_PROFILES: Final = "SELECT id, definition FROM registry.profile WHERE id = ANY($1::text[])"


class DeviceConfig(msgspec.Struct, frozen=True):
    """person, rollout: names of who or what made the newest version, where the reader may know them."""

    site: SiteId
    device: DeviceId
    settings: tuple[Setting, ...]
    state: ConfigState
    person: str | None
    rollout: str | None


class ChangeRow(msgspec.Struct, frozen=True):
    """One version. before: the values of the version before it; None for the first. person, rollout: as in DeviceConfig."""

    desired: Desired
    before: Values | None
    person: str | None
    rollout: str | None


class ConfigLine(msgspec.Struct, frozen=True):
    """A device in the fleet's list. errors: of a rejected one, key → what the device said. held: what it waits for is not
    sent, since the profile allows less by now.
    """

    device: DeviceId
    name: str
    site: SiteId
    site_name: str
    timezone: str
    profile: str
    status: ConfigStatus
    status_at: UnixMs
    version: int
    reported_version: int | None
    errors: dict[str, str] | None
    online: bool
    held: bool


class LineCursor(msgspec.Struct, frozen=True, array_like=True):
    """The last device of a page."""

    status_at: Annotated[UnixMs, msgspec.Meta(ge=0, lt=2**47)]  # a time beyond the year 9999 is none
    device: Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]


class VersionCursor(msgspec.Struct, frozen=True, array_like=True):
    """The last version of a page."""

    version: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]


async def config_of(connection: Connection, device: DeviceId) -> DeviceConfig:
    """Raises NotFound (unknown_device)."""
    row = await connection.fetchrow(_DEVICE, device)
    if row is None:
        raise no_device(device)
    site: SiteId = row["site_id"]
    state = (await orders.load_configs(connection, [site])).get((site, device), ConfigState())
    said = state.reported.values if state.reported is not None else None
    settings = settings_of(msgspec.convert(row["definition"], DeviceProfile), said)
    desired = state.desired
    names = await connection.fetchrow(_NAMES, desired and desired.person_id, desired and desired.rollout)
    person, rollout = (names["person"], names["rollout"]) if names is not None else (None, None)
    return DeviceConfig(site, device, settings, state, person, rollout)


async def standing_of(connection: Connection, device: DeviceId) -> ConfigStatus | None:
    """None of a device that has nothing to set and has never said anything of its configuration."""
    found = await config_of(connection, device)
    return found.state.status if found.settings or found.state.revision else None


async def history(
    connection: Connection, site: SiteId, device: DeviceId, *, before: int | None, limit: int
) -> list[ChangeRow]:
    """Newest first; before: the version that a page continues after."""
    return [_change(row) for row in await connection.fetch(_HISTORY, site, device, before, limit)]


async def counts(connection: Connection) -> dict[ConfigStatus, int]:
    """Devices by status, of those that the reader may see; each status is there."""
    found = {row["status"]: row["devices"] for row in await connection.fetch(_COUNTS)}
    return {status: found.get(status, 0) for status in STATUSES}


async def lines(
    connection: Connection, *, statuses: tuple[ConfigStatus, ...], after: LineCursor | None, limit: int
) -> list[ConfigLine]:
    """Those whose status changed last come first."""
    at = datetime.fromtimestamp(after.status_at / 1000, UTC) if after is not None else None
    rows = await connection.fetch(_LINES, statuses, at, after.device if after is not None else None, limit)
    not_sent = await _held(connection, [row for row in rows if row["status"] in ("pending", "applying")])
    return [msgspec.convert(dict(row) | {"held": row["device"] in not_sent}, ConfigLine) for row in rows]


async def _held(connection: Connection, waiting: list[asyncpg.Record]) -> set[DeviceId]:
    """Of a page's devices that wait for a version: those whose version is held back."""
    if not waiting:
        return set()
    stored = await connection.fetch(_PROFILES, sorted({row["profile"] for row in waiting}))
    profiles = {row["id"]: msgspec.convert(row["definition"], DeviceProfile) for row in stored}
    states = await orders.load_configs(connection, sorted({row["site"] for row in waiting}))
    found = set()
    for row in waiting:
        state = states.get((row["site"], row["device"]), ConfigState())
        said = state.reported.values if state.reported is not None else None
        if held(state, settings_of(profiles[row["profile"]], said)):
            found.add(row["device"])
    return found


def _change(row: asyncpg.Record) -> ChangeRow:
    desired = Desired(
        row["version"],
        row["values"],
        row["own"],
        tuple(msgspec.convert(row["layers"], list[Layer])),
        row["at"],
        row["kind"],
        row["person_id"],
        row["rollout_id"],
        row["why"],
    )
    return ChangeRow(desired, row["before"], row["person"], row["rollout"])
