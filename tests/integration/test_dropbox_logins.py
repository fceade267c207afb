"""Who gets into the drop box, who does not, who is put out, and by which cryptography."""

import asyncio
import stat
import time
from pathlib import Path

import asyncssh
import pytest
from msgspec.structs import replace

from actors.dropbox import door as door_module
from actors.dropbox import server as server_module
from actors.dropbox.host_key import host_keys
from actors.dropbox.wire import Kind
from fleet.attempts import LoginAttempts
from fleet.errors import BadInput, Unavailable
from fleet.file_limits import DROP_PASSWORD_TRIES_PER_CONNECTION
from fleet.ids import DeviceId
from fleet.storage import drop_accounts
from fleet.storage.database import connect
from tests.drop_rig import DEADLINE_S, DropRig, Login, execute, raw, running, until


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the drop box starts."""
    monkeypatch.setattr(server_module, "DROP_CREDENTIAL_POLL_S", 0.1)


@pytest.fixture
async def login(dropbox: DropRig) -> Login:
    return await dropbox.logger()


async def put(dropbox: DropRig, login: Login, **how: object) -> None:
    async with dropbox.sftp(login, **how) as client, client.open("x.csv", "wb") as file:
        await file.write(b"x")


def by(password: str) -> dict[str, object]:
    return {"client_keys": None, "password": password}


async def test_a_password_or_a_key_opens_one_s_own_box_only(dropbox: DropRig, login: Login) -> None:
    other = await dropbox.logger()
    await put(dropbox, login)
    await put(dropbox, login, **by(login.password))
    await put(dropbox, login, preferred_auth="keyboard-interactive", **by(login.password))
    for wrong in (
        by(other.password),
        by(""),
        by("x" * 100_000),
        {"client_keys": [str(other.key_file)]},
        {"client_keys": None},
    ):
        with pytest.raises(asyncssh.PermissionDenied):
            await put(dropbox, login, **wrong)
    for name in ("gw-nobody", "root", "../gw-1", "", "GW-1", "x" * 900, "sp-web"):
        with pytest.raises((asyncssh.PermissionDenied, asyncssh.IllegalUserName)):
            await put(dropbox, login, username=name, **by(login.password))


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-rsa"])
async def test_each_kind_of_key_opens(dropbox: DropRig, login: Login, tmp_path: Path, kind: str) -> None:
    key = asyncssh.generate_private_key(kind)
    owner = await connect(dropbox.database.owner)
    try:
        await drop_accounts.add_key(owner, login.device, key.export_public_key("openssh").decode(), None)
    finally:
        await owner.close()
    await put(dropbox, login, client_keys=[key])
    if kind == "ssh-rsa":
        with pytest.raises(asyncssh.PermissionDenied):
            await put(dropbox, login, client_keys=[key], signature_algs=["ssh-rsa"])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE imports.account SET closed_at = now() WHERE device_id = $1",
        "UPDATE registry.device SET revoked_at = now() WHERE id = $1",
        "UPDATE registry.device SET retired_at = now() WHERE id = $1",
        "DELETE FROM imports.account_key WHERE device_id = $1",
    ],
)
async def test_who_is_shut_out_is_out(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """New log-ins at once; who is in, within the poll; and what was being sent stays for another to resume."""
    async with raw(dropbox, login) as client:
        handle = await client.open(b"half.csv")
        client.send_write(handle, 0, b"half")
        await client.next_status()
        await execute(dropbox, change, login.device)
        with pytest.raises(asyncssh.PermissionDenied):
            await put(dropbox, login)
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(asyncio.IncompleteReadError):
                await client.answer()
    await until(lambda: dropbox.lying(login, "open") == {"half.csv": b"half"})
    assert dropbox.waiting(login) == []


async def test_a_new_password_puts_out_who_came_by_the_old_one(dropbox: DropRig, login: Login) -> None:
    async with dropbox.connected(login, **by(login.password)) as old, dropbox.connected(login) as keyed:
        owner = await connect(dropbox.database.owner)
        try:
            fresh = await drop_accounts.new_password(owner, login.device)
        finally:
            await owner.close()
        async with asyncio.timeout(DEADLINE_S):
            await old.wait_closed()
        await put(dropbox, login, **by(fresh))
        with pytest.raises(asyncssh.PermissionDenied):
            await put(dropbox, login, **by(login.password))
        assert not keyed.is_closed()


async def test_guessing_is_counted_out_and_a_key_still_opens(
    dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropbox.server, "attempts", LoginAttempts(3, 1_000, 1_000))
    for _ in range(3):
        with pytest.raises(asyncssh.PermissionDenied):
            await put(dropbox, login, **by("wrong"))
    with pytest.raises(asyncssh.DisconnectError, match="Too many wrong passwords"):
        await put(dropbox, login, **by(login.password))
    await put(dropbox, login)
    other = await dropbox.logger()
    await put(dropbox, other, **by(other.password))


async def test_one_connection_has_a_few_tries(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    class Guesser(asyncssh.SSHClient):
        def password_auth_requested(self) -> str:
            tries.append("wrong")
            return "wrong"

    with pytest.raises(asyncssh.DisconnectError):
        await put(dropbox, login, client_factory=Guesser, client_keys=None)
    assert len(tries) == DROP_PASSWORD_TRIES_PER_CONNECTION + 1


async def test_one_connection_has_a_few_names(dropbox: DropRig, login: Login) -> None:
    class Impostor(asyncssh.SSHClient):
        def __init__(self) -> None:
            self.connection: asyncssh.SSHClientConnection | None = None
            self.tries = 0

        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            self.connection = conn

        def password_auth_requested(self) -> str | None:
            assert self.connection is not None
            self.tries += 1
            self.connection._username = f"gw-{self.tries}"
            return "wrong"

    with pytest.raises(asyncssh.DisconnectError, match="too many names"):
        await put(dropbox, login, client_factory=Impostor, client_keys=None)


async def test_connections_are_bounded(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "DROP_CONNECTIONS_PER_ACCOUNT_MAX", 2)
    other = await dropbox.logger()
    async with dropbox.connected(login), dropbox.connected(login):
        with pytest.raises((asyncssh.Error, OSError)):
            await put(dropbox, login)
        await put(dropbox, other)
        monkeypatch.setattr(server_module, "DROP_CONNECTIONS_PER_ADDRESS_MAX", 2)
        with pytest.raises((asyncssh.Error, OSError)):
            await put(dropbox, other)
        monkeypatch.undo()
        monkeypatch.setattr(server_module, "DROP_CONNECTIONS_MAX", 2)
        with pytest.raises((asyncssh.Error, OSError)):
            await put(dropbox, other)
    assert dropbox.server is not None
    doors = dropbox.server._doors
    await until(lambda: not doors)  # the server hears after the client that a connection has ended
    await put(dropbox, other)
    await until(lambda: not doors)
    assert not dropbox.server._addresses
    assert all(account.connections == 0 for account in dropbox.server._accounts.values())


async def test_who_says_nothing_is_sent_away(dropbox_rig: DropRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "DROP_LOGIN_S", 0.3)
    async with running(dropbox_rig) as short:
        reader, writer = await asyncio.open_connection("127.0.0.1", short.port)
        try:
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.readline()).startswith(b"SSH-2.0-SolarPerform")
                await reader.read()
        finally:
            writer.close()


async def test_old_algorithms_are_for_marked_accounts_on_a_door_of_their_own(dropbox_rig: DropRig) -> None:
    old = {
        "kex_algs": ["diffie-hellman-group14-sha1"], "encryption_algs": ["aes128-cbc"], "mac_algs": ["hmac-sha1"],
        "server_host_key_algs": ["ssh-rsa"],
    }  # fmt: skip
    dropbox_rig.settings = replace(dropbox_rig.settings, legacy_port=0)
    async with running(dropbox_rig) as dropbox:
        marked, usual = await dropbox.logger(legacy=True), await dropbox.logger()
        legacy = {"port": dropbox.ready.legacy_port, **old}
        await put(dropbox, marked, **legacy)
        await put(dropbox, marked, **legacy, **by(marked.password))
        await put(dropbox, marked)
        with pytest.raises(asyncssh.PermissionDenied):
            await put(dropbox, usual, **legacy)
        for what, names in old.items():
            with pytest.raises(asyncssh.KeyExchangeFailed):
                await put(dropbox, marked, **{"encryption_algs": ["aes128-ctr"], what: names})


async def test_the_host_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "host" / "keys"
    first = [pair.public_data for pair in host_keys(file, legacy=False)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [pair.public_data for pair in host_keys(file, legacy=True)] == first
    assert len(first) == 3
    file.write_text("not a key")
    with pytest.raises(BadInput, match="bad_host_key"):
        host_keys(file, legacy=False)
    assert file.read_text() == "not a key"


async def test_a_database_that_is_away_keeps_nobody_out_who_was_known(dropbox: DropRig, login: Login) -> None:
    never = await dropbox.logger()
    await put(dropbox, login)
    assert dropbox.server is not None
    pool = dropbox.server.credentials._pool
    assert pool is not None
    pool.terminate()
    async with dropbox.sftp(login) as client:
        with pytest.raises(Unavailable, match="database_away"):
            await dropbox.server.credentials.of_all([login.device])
        async with client.open("more.csv", "wb") as file:
            await file.write(b"x")
    assert "more.csv" in dropbox.contents(login)
    with pytest.raises(asyncssh.PermissionDenied):
        await put(dropbox, never)
    known = dropbox.server.credentials._known
    known[login.device] = (time.monotonic() - 10_000, known[login.device][1])
    with pytest.raises(asyncssh.PermissionDenied):
        await put(dropbox, login)


async def test_the_importer_hears_of_each_whole_file(dropbox: DropRig, login: Login) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    importer = await connect(dropbox.database.sp_importer)
    try:
        await importer.add_listener("sp_drop", lambda *notice: heard.put_nowait(str(notice[-1])))
        async with raw(dropbox, login) as client:
            await client.status(Kind.CLOSE, await client.open(b"x.csv.tmp"))
            await client.status(Kind.RENAME, b"x.csv.tmp", b"x.csv")
            async with asyncio.timeout(DEADLINE_S):
                assert DeviceId(await heard.get()) == login.device
    finally:
        await importer.close()
