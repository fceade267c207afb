"""Accounts of loggers and servers to fetch from: what the portal stores of them, below row-level security."""

import base64
from pathlib import Path

import asyncpg
import msgspec
import pytest

from fleet import ssh_keys
from fleet.codecs.files.reading import ReadingSettings
from fleet.errors import BadInput, Conflict, NotFound
from fleet.file_limits import DROP_KEYS_PER_ACCOUNT_MAX
from fleet.ids import DeviceId
from fleet.storage import drop_accounts, drop_passwords, pull_secrets, pull_sources
from fleet.storage.database import connect, open_pool
from fleet.storage.drop_accounts import AccountChange
from fleet.storage.pull_sources import PullForm
from tests.acting import acting_as
from tests.web_app import ALPHA, BETA, BETA_METER, Web

LOGGER = DeviceId("gw-roof")


def ed25519(seed: int = 1) -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes([seed]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} of a test"


async def installer(web: Web) -> str:
    return str((await web.execute("SELECT id FROM accounts.person WHERE email = 'ines@example.org'"))[0]["id"])


async def test_a_password_is_told_once_and_opens_the_account(web: Web) -> None:
    person = await installer(web)
    async with acting_as(web.services.pool, person) as connection:
        opened = await drop_accounts.open_account(connection, site=ALPHA, device=LOGGER, name="Roof", person_id=person)
        assert opened.password is not None
        assert len(opened.password) * 5 >= 128
        assert opened.account.open
        assert opened.account.has_password
        stored = await connection.fetchrow("SELECT * FROM imports.account WHERE device_id = $1", LOGGER)
        assert stored is not None
        assert opened.password not in str(dict(stored))
        assert drop_passwords.matches(opened.password, stored["password_hash"])
        again = await drop_accounts.new_password(connection, LOGGER)
        assert not drop_passwords.matches(
            opened.password,
            await connection.fetchval("SELECT password_hash FROM imports.account WHERE device_id = $1", LOGGER),
        )
        assert again != opened.password
    credentials = await web.execute("SELECT * FROM imports.credential")
    assert [row["device_id"] for row in credentials] == [LOGGER]


async def test_keys_are_read_before_they_are_kept(web: Web) -> None:
    person = await installer(web)
    async with acting_as(web.services.pool, person) as connection:
        opened = await drop_accounts.open_account(
            connection,
            site=ALPHA,
            device=LOGGER,
            name="Roof",
            person_id=person,
            with_password=False,
            public_keys=[ed25519()],
        )
        assert opened.password is None
        [key] = opened.account.keys
        assert key.fingerprint.startswith("SHA256:")
        with pytest.raises(Conflict, match="key_taken"):
            await drop_accounts.add_key(connection, LOGGER, ed25519(), person)
        for wrong in (
            "ssh-dss AAAA",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "ssh-ed25519 AAAA",
            'command="x" ssh-ed25519 AAAA',
        ):
            with pytest.raises(BadInput):
                await drop_accounts.add_key(connection, LOGGER, wrong, person)
        for seed in range(2, DROP_KEYS_PER_ACCOUNT_MAX + 1):
            await drop_accounts.add_key(connection, LOGGER, ed25519(seed), person)
        with pytest.raises(Conflict, match="too_many_keys"):
            await drop_accounts.add_key(connection, LOGGER, ed25519(99), person)
        await drop_accounts.remove_key(connection, LOGGER, key.fingerprint)
        with pytest.raises(NotFound, match="unknown_key"):
            await drop_accounts.remove_key(connection, LOGGER, key.fingerprint)
        [account] = await drop_accounts.accounts_of(connection, ALPHA)
        assert len(account.keys) == DROP_KEYS_PER_ACCOUNT_MAX - 1


async def test_settings_change_one_by_one_and_closing_is_for_good(web: Web) -> None:
    person = await installer(web)
    async with acting_as(web.services.pool, person) as connection:
        await drop_accounts.open_account(connection, site=ALPHA, device=LOGGER, name="Roof", person_id=person)
        with pytest.raises(Conflict, match="id_taken"):
            await drop_accounts.open_account(connection, site=ALPHA, device=LOGGER, name="Roof", person_id=person)
        settings = ReadingSettings(timezone="+01:00", date_order="dmy")
        change = AccountChange(settings=settings, expected_every_s=86_400)
        changed = await drop_accounts.change_account(connection, LOGGER, change)
        assert (changed.settings, changed.expected_every_s, changed.legacy) == (settings, 86_400, False)
        changed = await drop_accounts.change_account(connection, LOGGER, AccountChange(legacy=True, expected_every_s=None))
        assert (changed.settings, changed.expected_every_s, changed.legacy) == (settings, None, True)
        with pytest.raises(BadInput, match="bad_expectation"):
            await drop_accounts.change_account(connection, LOGGER, AccountChange(expected_every_s=5))
        closed = await drop_accounts.close_account(connection, LOGGER)
        assert not closed.open
        assert not closed.has_password
        for forbidden in (
            drop_accounts.new_password(connection, LOGGER),
            drop_accounts.add_key(connection, LOGGER, ed25519(), None),
        ):
            with pytest.raises(Conflict, match="account_closed"):
                await forbidden
        assert await drop_accounts.accounts_of(connection, ALPHA) == []
        assert await drop_accounts.accounts_of(connection, ALPHA, closed_too=True) == [closed]


async def test_only_who_keeps_the_site_has_to_do_with_it(web: Web) -> None:
    person = await installer(web)
    async with acting_as(web.services.pool, person) as connection:
        await drop_accounts.open_account(connection, site=ALPHA, device=LOGGER, name="Roof", person_id=person)
    for email in ("alice@example.org", "bob@example.org", "emma@example.org"):
        stranger = str((await web.execute("SELECT id FROM accounts.person WHERE email = $1", email))[0]["id"])
        async with acting_as(web.services.pool, stranger) as connection:
            assert await drop_accounts.accounts_of(connection, ALPHA) == []
            with pytest.raises(NotFound, match="unknown_account"):
                await drop_accounts.new_password(connection, LOGGER)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await drop_accounts.open_account(
                    connection, site=ALPHA, device=DeviceId("gw-other"), name="x", person_id=stranger
                )
    async with acting_as(web.services.pool, person) as connection:
        assert await drop_accounts.accounts_of(connection, BETA) == []


async def test_the_drop_box_sees_credentials_and_nothing_else(web: Web, tmp_path: Path) -> None:
    person = await installer(web)
    async with acting_as(web.services.pool, person) as connection:
        await drop_accounts.open_account(connection, site=ALPHA, device=LOGGER, name="Roof", person_id=person)
    settings = msgspec.structs.replace(web.owner, user="sp_sftp", password_file=web.owner.password_file.with_name("sp_sftp"))
    drop_box = await connect(settings)
    try:
        assert await drop_box.fetchval("SELECT count(*) FROM imports.credential") == 1
        await web.execute("UPDATE registry.device SET revoked_at = now() WHERE id = $1", LOGGER)
        assert await drop_box.fetchval("SELECT count(*) FROM imports.credential") == 0
        for table in ("imports.account", "registry.device", "accounts.person", "imports.pull_source", "telemetry.sample"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await drop_box.fetch(f"SELECT * FROM {table}")  # noqa: S608 - a table's name
    finally:
        await drop_box.close()


async def test_a_server_to_fetch_from_keeps_its_secret(web: Web, tmp_path: Path) -> None:
    person = await installer(web)
    key_file = tmp_path / "pull.key"
    key_file.write_text(pull_secrets.make_key())
    key = pull_secrets.new_key(key_file)
    async with acting_as(web.services.pool, person) as connection:
        await drop_accounts.open_account(connection, site=ALPHA, device=LOGGER, name="Roof", person_id=person)
        source = await pull_sources.create_pull_source(
            connection,
            source_id="pull-1",
            device=LOGGER,
            form=PullForm("sftp.example.org", "solar", pattern="*.csv"),
            host_key=ed25519(),
            auth="key",
            secret=key.secret,
            public_key=key.public_key,
            person_id=person,
        )
        assert source.fingerprint == ssh_keys.parse(ed25519()).fingerprint
        assert source.public_key == key.public_key
        assert await pull_sources.pull_sources_of(connection, ALPHA) == [source]
        pinned = await pull_sources.pin_host_key(connection, "pull-1", ed25519(2))
        assert pinned.fingerprint != source.fingerprint
        await pull_sources.remove_pull_source(connection, "pull-1")
        assert await pull_sources.pull_sources_of(connection, ALPHA) == []
    assert "PRIVATE KEY" in pull_secrets.unseal(key_file, key.secret)
    [row] = await web.execute("SELECT secret FROM imports.pull_source")
    assert row["secret"] == b""
    pool = await open_pool(web.owner, size_max=1)
    try:
        async with pool.acquire() as connection:
            assert await pull_sources.take_due(connection, lease_s=60.0, but=[]) is None
    finally:
        await pool.close()


async def test_not_even_the_web_gives_a_site_another_ones_device(web: Web) -> None:
    """Below whatever the handlers ask: the database's own rule."""
    account = "INSERT INTO imports.account (device_id, site_id) VALUES ($2, $1)"
    file = (
        "INSERT INTO imports.file (id, site_id, device_id, via, name, size_bytes, sha256)"
        " VALUES ('x', $1, $2, 'upload', 'x', 1, '\\x00')"
    )
    for statement in (account, file):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with acting_as(web.services.pool, await installer(web)) as connection:
                await connection.execute(statement, ALPHA, BETA_METER)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with acting_as(web.services.pool, await installer(web)) as connection:
            await connection.execute("UPDATE imports.account SET site_id = $1", BETA)
