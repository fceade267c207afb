"""Accounts of the SFTP drop box: one per data logger, which is a device.

Below row-level security, for those who keep the site. The account's name is the device's id. A password is made here, told
once, and kept as a hash; a revoked or retired device's account is shut by itself (imports.credential). Fetching from
customers' own servers: fleet.storage.pull_sources.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from fleet import ssh_keys
from fleet.codecs.files.reading import ReadingSettings
from fleet.errors import BadInput, Conflict, NotFound
from fleet.file_limits import (
    DROP_ACCOUNTS_PER_SITE_MAX,
    DROP_EXPECTED_EVERY_S_MAX,
    DROP_EXPECTED_EVERY_S_MIN,
    DROP_KEYS_PER_ACCOUNT_MAX,
)
from fleet.ids import DeviceId, SiteId
from fleet.storage import drop_passwords
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

LOGGER_PROFILE: Final = "logger"


class DropKey(msgspec.Struct, frozen=True):
    """fingerprint: SHA256:…, as OpenSSH prints it; names the key within its account."""

    fingerprint: str
    kind: str
    public_key: str
    created_at: UnixMs


class DropAccount(msgspec.Struct, frozen=True):
    """open: the logger may log in: not closed, and its device neither revoked nor retired.

    expected_every_s  a file is missed after that long; None: none is
    legacy            may come by the listener with older algorithms
    last_file_at      when its newest file arrived, by whatever way
    """

    device: DeviceId
    site: SiteId
    name: str
    open: bool
    has_password: bool
    keys: list[DropKey]
    settings: ReadingSettings
    expected_every_s: int | None
    legacy: bool
    created_at: UnixMs
    closed_at: UnixMs | None
    last_file_at: UnixMs | None


class OpenedAccount(msgspec.Struct, frozen=True):
    """password: to be shown now and never again; None: the account has keys only."""

    account: DropAccount
    password: str | None


class AccountChange(msgspec.Struct, frozen=True):
    """UNSET leaves as it is."""

    settings: ReadingSettings | UnsetType = UNSET
    expected_every_s: int | UnsetType | None = UNSET
    legacy: bool | UnsetType = UNSET


_ROW: Final = """SELECT a.device_id AS device, a.site_id AS site, d.name,
    a.closed_at IS NULL AND d.retired_at IS NULL AND d.revoked_at IS NULL AS open,
    a.password_hash IS NOT NULL AS has_password, a.settings, a.expected_every_s, a.legacy,
    (extract(epoch FROM a.created_at) * 1000)::bigint AS created_at,
    (extract(epoch FROM a.closed_at) * 1000)::bigint AS closed_at,
    (SELECT (extract(epoch FROM f.received_at) * 1000)::bigint FROM imports.file f WHERE f.device_id = a.device_id
     ORDER BY f.number DESC LIMIT 1) AS last_file_at
    FROM imports.account a JOIN registry.device d ON d.id = a.device_id"""
_KEYS: Final = """SELECT device_id, fingerprint, public_key, (extract(epoch FROM created_at) * 1000)::bigint AS created_at
    FROM imports.account_key WHERE device_id = ANY($1) ORDER BY created_at, fingerprint"""


async def open_account(
    connection: Connection,
    *,
    site: SiteId,
    device: DeviceId,
    name: str,
    person_id: str | None,
    with_password: bool = True,
    public_keys: Sequence[str] = (),
    settings: ReadingSettings = ReadingSettings(),  # noqa: B008 - frozen
    expected_every_s: int | None = None,
    legacy: bool = False,
) -> OpenedAccount:
    """Inside a transaction. Makes the device (profile 'logger', called `name`) and its account.

    device: an id that is free (web.device_ids.free_id). public_keys: lines of authorized_keys.
    Raises NotFound (unknown_site), BadInput (bad_ssh_key, weak_ssh_key, private_ssh_key, no_credential, bad_expectation),
    Conflict (id_taken, too_many_accounts, too_many_keys, key_taken).
    """
    if not with_password and not public_keys:
        raise BadInput("no_credential", "a logger needs a password or a key to log in")
    _check_expectation(expected_every_s)
    keys = [ssh_keys.parse(line) for line in public_keys]
    standing = await connection.fetchval(
        "SELECT count(*) FROM imports.account WHERE site_id = $1 AND closed_at IS NULL", site
    )
    if standing >= DROP_ACCOUNTS_PER_SITE_MAX:
        raise Conflict("too_many_accounts", f"this site has {standing} loggers already; close some first")
    password, hash_ = await _fresh_password() if with_password else (None, None)
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, $3, $4)",
                device,
                site,
                LOGGER_PROFILE,
                name,
            )
    except asyncpg.UniqueViolationError:
        raise Conflict("id_taken", f"there is a device {device} already") from None
    except asyncpg.ForeignKeyViolationError:
        raise NotFound("unknown_site", f"there is no such site: {site}") from None
    await connection.execute(
        "INSERT INTO imports.account (device_id, site_id, password_hash, settings, expected_every_s, legacy, created_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        device,
        site,
        hash_,
        settings,
        expected_every_s,
        legacy,
        person_id,
    )
    for key in keys:
        await _insert_key(connection, device, key, person_id)
    return OpenedAccount(await account(connection, device), password)


async def account(connection: Connection, device: DeviceId) -> DropAccount:
    """Also a closed one. Raises NotFound (unknown_account)."""
    row = await connection.fetchrow(f"{_ROW} WHERE a.device_id = $1", device)
    if row is None:
        raise NotFound("unknown_account", f"device {device} has no drop box")
    return (await _with_keys(connection, [row]))[0]


async def accounts_of(connection: Connection, site: SiteId, *, closed_too: bool = False) -> list[DropAccount]:
    """In the order of their making."""
    rows = await connection.fetch(
        f"{_ROW} WHERE a.site_id = $1 AND ($2 OR a.closed_at IS NULL) ORDER BY a.created_at, a.device_id", site, closed_too
    )
    return await _with_keys(connection, rows)


async def add_key(connection: Connection, device: DeviceId, line: str, person_id: str | None) -> DropKey:
    """line: of an authorized_keys file, without options. Inside a transaction.

    Raises NotFound (unknown_account), BadInput (bad_ssh_key, weak_ssh_key, private_ssh_key), Conflict (account_closed,
    too_many_keys, key_taken).
    """
    key = ssh_keys.parse(line)
    await _hold(connection, device)
    await _insert_key(connection, device, key, person_id)
    return next(each for each in (await account(connection, device)).keys if each.fingerprint == key.fingerprint)


async def remove_key(connection: Connection, device: DeviceId, fingerprint: str) -> None:
    """Whoever is logged in by it is put out soon (DROP_CREDENTIAL_POLL_S).

    Raises NotFound (unknown_account, unknown_key).
    """
    await account(connection, device)
    done = await connection.execute(
        "DELETE FROM imports.account_key WHERE device_id = $1 AND fingerprint = $2", device, fingerprint
    )
    if done == "DELETE 0":
        raise NotFound("unknown_key", f"the drop box of {device} knows no such key")


async def new_password(connection: Connection, device: DeviceId) -> str:
    """The one before is no longer good. To be shown once. Raises NotFound (unknown_account), Conflict (account_closed)."""
    await _hold(connection, device)
    password, hash_ = await _fresh_password()
    await connection.execute("UPDATE imports.account SET password_hash = $2 WHERE device_id = $1", device, hash_)
    return password


async def remove_password(connection: Connection, device: DeviceId) -> None:
    """Keys only from now on. Raises NotFound (unknown_account), Conflict (account_closed)."""
    await _hold(connection, device)
    await connection.execute("UPDATE imports.account SET password_hash = NULL WHERE device_id = $1", device)


async def change_account(connection: Connection, device: DeviceId, change: AccountChange) -> DropAccount:
    """Settings hold for files that come from now on. Raises NotFound (unknown_account), Conflict (account_closed), BadInput
    (bad_expectation)."""
    await _hold(connection, device)
    if change.expected_every_s is not UNSET:
        _check_expectation(change.expected_every_s)
    given = {column: value for column, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    for column, value in given.items():  # names of the struct's fields, not anybody's input
        await connection.execute(f"UPDATE imports.account SET {column} = $2 WHERE device_id = $1", device, value)  # noqa: S608 - see above
    return await account(connection, device)


async def close_account(connection: Connection, device: DeviceId) -> DropAccount:
    """For good: no new log-in from now on, and whoever is logged in is put out. What it has sent stays; the device as well.

    Raises NotFound (unknown_account). One that is closed stays as it is.
    """
    await connection.execute(
        "UPDATE imports.account SET closed_at = clock_timestamp(), password_hash = NULL WHERE device_id = $1"
        " AND closed_at IS NULL",
        device,
    )
    return await account(connection, device)


async def _hold(connection: Connection, device: DeviceId) -> None:
    """Until the transaction ends, so that two people's changes come one after the other."""
    row = await connection.fetchrow("SELECT closed_at FROM imports.account WHERE device_id = $1 FOR UPDATE", device)
    if row is None:
        raise NotFound("unknown_account", f"device {device} has no drop box")
    if row["closed_at"] is not None:
        raise Conflict("account_closed", f"the drop box of {device} was closed; open a new one")


async def _insert_key(connection: Connection, device: DeviceId, key: ssh_keys.SshKey, person_id: str | None) -> None:
    standing = await connection.fetchval("SELECT count(*) FROM imports.account_key WHERE device_id = $1", device)
    if standing >= DROP_KEYS_PER_ACCOUNT_MAX:
        raise Conflict("too_many_keys", f"a logger has {DROP_KEYS_PER_ACCOUNT_MAX} keys at the most; remove one first")
    made = await connection.fetchval(
        "INSERT INTO imports.account_key (site_id, device_id, fingerprint, public_key, created_by)"
        " SELECT site_id, device_id, $2, $3, $4 FROM imports.account WHERE device_id = $1"
        " ON CONFLICT DO NOTHING RETURNING fingerprint",
        device,
        key.fingerprint,
        key.line,
        person_id,
    )
    if made is None:
        raise Conflict("key_taken", "this logger has this key already")


async def _with_keys(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[DropAccount]:
    keys: dict[str, list[DropKey]] = {row["device"]: [] for row in rows}
    for row in await connection.fetch(_KEYS, list(keys)):
        kind = row["public_key"].partition(" ")[0]
        keys[row["device_id"]].append(DropKey(row["fingerprint"], kind, row["public_key"], row["created_at"]))
    return [msgspec.convert({**row, "keys": keys[row["device"]]}, DropAccount) for row in rows]


async def _fresh_password() -> tuple[str, str]:
    """(password, hash)."""
    password = drop_passwords.make()
    return password, await asyncio.to_thread(drop_passwords.hashed, password)


def _check_expectation(seconds: int | None) -> None:
    if seconds is not None and not DROP_EXPECTED_EVERY_S_MIN <= seconds <= DROP_EXPECTED_EVERY_S_MAX:
        raise BadInput("bad_expectation", "a file can be expected every hour at the most often, every 400 days at the least")
