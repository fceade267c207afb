"""Fetching from customers' own SFTP servers: what is new, once, from the server that was confirmed and from no other."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import asyncssh
import pytest

from actors.dropbox import box
from actors.local.ports import LOOPBACK, free_port
from actors.puller import visit as visit_module
from actors.puller.puller import Puller
from fleet import pull_problems
from fleet.errors import BadInput, Unavailable
from fleet.file_limits import PULLS_OF_COMPANY_MAX
from fleet.ids import DeviceId, SiteId
from fleet.runtime import reach
from fleet.storage import drop_accounts, host_keys, pull_secrets, pull_sources
from fleet.storage.database import Pool, connect, open_pool
from fleet.storage.pull_sources import PullForm
from tests.drop_rig import until
from tests.fleet_rig import fetch, seed_fleet
from tests.servers import Database

SITE = SiteId("s-pull")
LOGGER = DeviceId("gw-pull")
HERE = [ip_network("127.0.0.0/8")]
OLD_S = 1_700_000_000


class CustomersServer(asyncssh.SSHServer):
    def __init__(self, keys: list[str]) -> None:
        self._keys = keys

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("solar", "their password")

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return " ".join(key.export_public_key("openssh").decode().split()[:2]) in self._keys


@dataclass
class Rig:
    """Our side, and theirs: `theirs` is the folder that their server shows."""

    database: Database
    folder: Path
    theirs: Path
    pool: Pool
    port: int = 0
    host_key: str = ""
    allowed_keys: list[str] = field(default_factory=list)
    arrivals: int = 0

    def puller(self, networks: reach.Networks = HERE) -> Puller:
        def arrived() -> None:
            self.arrivals += 1

        return Puller(self.pool, self.folder, self.key_file, networks, arrived, disk_free_min=0)

    @property
    def key_file(self) -> Path:
        return self.folder / "pull.key"

    def put(self, name: str, content: bytes, at_s: int = OLD_S) -> None:
        path = self.theirs / name
        path.write_bytes(content)
        os.utime(path, (at_s, at_s))

    async def source(self, *, auth: str = "password", **more: Any) -> None:
        """Theirs, as the only one."""
        key = pull_secrets.new_key(self.key_file)
        if auth == "key":
            self.allowed_keys.append(" ".join(key.public_key.split()[:2]))
        given = {"host": "localhost", "port": self.port, "username": "solar", "folder": str(self.theirs), **more}
        host_key = given.pop("host_key", self.host_key)
        password = given.pop("password", "their password")
        await fetch(self.database, "DELETE FROM imports.pull_source")
        owner = await connect(self.database.owner)
        try:
            async with owner.transaction():
                await pull_sources.create_pull_source(
                    owner,
                    source_id="pull-1",
                    device=LOGGER,
                    form=PullForm(**given),
                    host_key=host_key,
                    auth="key" if auth == "key" else "password",
                    secret=key.secret if auth == "key" else pull_secrets.seal(self.key_file, password),
                    public_key=key.public_key if auth == "key" else None,
                    person_id=None,
                )
        finally:
            await owner.close()

    async def round(self, **more: Any) -> asyncpg.Record:
        """Due now, and visited. What the portal would show then."""
        await fetch(self.database, "UPDATE imports.pull_source SET due_at = now()")
        puller = self.puller(**more)
        while await puller.next() is not None:
            pass
        return (await fetch(self.database, "SELECT *, due_at - now() AS wait FROM imports.pull_source"))[0]

    def fetched(self) -> list[tuple[str, bytes]]:
        return [(each.name, each.path.read_bytes()) for each in box.waiting_of(self.folder, LOGGER) if each.via == "pull"]


@asynccontextmanager
async def server(rig: Rig, key: asyncssh.SSHKey, **more: Any) -> AsyncIterator[None]:
    listening = await asyncssh.listen(
        LOOPBACK,
        more.pop("port", 0) or free_port(),  # which no outgoing connection takes while nobody listens there
        server_factory=lambda: CustomersServer(rig.allowed_keys),
        server_host_keys=[key],
        **{"sftp_factory": asyncssh.SFTPServer, **more},
    )
    rig.port = listening.get_port()
    rig.host_key = " ".join(key.export_public_key("openssh").decode().split()[:2])
    try:
        yield
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.fixture
async def rig(database: Database, tmp_path: Path) -> AsyncIterator[Rig]:
    await seed_fleet(database, [(SITE, {})])
    owner = await connect(database.owner)
    async with owner.transaction():
        await drop_accounts.open_account(owner, site=SITE, device=LOGGER, name="Theirs", person_id=None)
    await owner.close()
    pool = await open_pool(database.sp_importer, size_max=4)
    made = Rig(database, tmp_path / "boxes", tmp_path / "theirs", pool)
    made.folder.mkdir()
    made.theirs.mkdir()
    made.key_file.write_text(pull_secrets.make_key())
    yield made
    await pool.close()


@pytest.fixture
def host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


async def test_what_is_new_is_fetched_once(rig: Rig, host_key: asyncssh.SSHKey) -> None:
    rig.put("b.csv", b"b" * 3_000_000, OLD_S + 1)
    rig.put("a.csv", b"a", OLD_S + 2)
    for name in (".hidden", "x.csv.tmp", "other.txt", "back\\slash.csv"):
        rig.put(name, b"x")
    (rig.theirs / "folder.csv").mkdir()
    (rig.theirs / "link.csv").symlink_to("/etc/passwd")
    async with server(rig, host_key):
        await rig.source(pattern="*.csv")
        seen = await rig.round()
        assert rig.fetched() == [("b.csv", b"b" * 3_000_000), ("a.csv", b"a")]
        assert (seen["problem_code"], seen["failures"], rig.arrivals) == (None, 0, 2)
        assert 3_500 < seen["wait"].total_seconds() <= 3_600
        await rig.round()
        assert len(rig.fetched()) == 2
        rig.put("a.csv", b"ab", OLD_S + 3)
        await rig.round()
        assert rig.fetched()[2:] == [("a.csv", b"ab")]
    assert len(list((rig.folder / LOGGER / "pulled").iterdir())) == 3  # and nothing half


async def test_a_key_of_ours_opens_it_as_well(rig: Rig, host_key: asyncssh.SSHKey) -> None:
    rig.put("a.csv", b"a")
    async with server(rig, host_key):
        await rig.source(auth="key")
        assert (await rig.round())["problem_code"] is None
    assert rig.fetched() == [("a.csv", b"a")]


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"])
async def test_a_person_confirms_the_key_that_is_pinned(rig: Rig, kind: str) -> None:
    rig.put("a.csv", b"a")
    first, second = asyncssh.generate_private_key(kind), asyncssh.generate_private_key(kind)
    async with server(rig, first):
        shown = await host_keys.current("localhost", rig.port, HERE)
        await rig.source(host_key=shown.line)
        assert (await rig.round())["problem_code"] is None
        port = rig.port
    rig.put("b.csv", b"b")
    for other in (second, asyncssh.generate_private_key("ecdsa-sha2-nistp384")):
        async with server(rig, other, port=port):
            assert (await rig.round())["problem_code"] == "host_key_changed"
    assert len(rig.fetched()) == 1
    async with server(rig, second, port=port):
        owner = await connect(rig.database.owner)
        try:
            await pull_sources.pin_host_key(owner, "pull-1", (await host_keys.current("localhost", port, HERE)).line)
        finally:
            await owner.close()
        assert (await rig.round())["problem_code"] is None
    assert len(rig.fetched()) == 2


async def test_what_fails_has_a_code_and_is_tried_later_and_later(rig: Rig, host_key: asyncssh.SSHKey) -> None:
    rig.put("a.csv", b"a")
    async with server(rig, host_key):
        for wrong, code in (
            ({"password": "another"}, "login_refused"),
            ({"auth": "key"}, "login_refused"),
            ({"folder": "/nowhere"}, "no_folder"),
            ({"host": "no-such-host.invalid"}, "server_away"),
            ({"port": 1}, "server_away"),
        ):
            await rig.source(**wrong)
            rig.allowed_keys.clear()
            waits = [(await rig.round()) for _ in range(3)]
            assert [each["problem_code"] for each in waits] == [code] * 3
            assert [each["failures"] for each in waits] == [1, 2, 3]
            assert [round(each["wait"].total_seconds() / 3_600) for each in waits] == [1, 2, 4]
            assert code in pull_problems.PROBLEMS
    async with server(rig, host_key, sftp_factory=None):
        await rig.source()
        assert (await rig.round())["problem_code"] == "no_sftp"
    async with server(rig, host_key, kex_algs=["diffie-hellman-group14-sha1"]):
        await rig.source()
        assert (await rig.round())["problem_code"] == "old_cryptography"
    rig.key_file.write_text(pull_secrets.make_key())
    assert (await rig.round())["problem_code"] == "bad_secret"
    assert rig.fetched() == []


async def test_networks_of_our_own_are_out_of_reach(rig: Rig, host_key: asyncssh.SSHKey) -> None:
    rig.put("a.csv", b"a")
    async with server(rig, host_key):
        await rig.source()
        assert (await rig.round(networks=[]))["problem_code"] == "host_not_allowed"
        with pytest.raises(BadInput, match="host_not_allowed"):
            await host_keys.current("localhost", rig.port, [])
        port = rig.port
    with pytest.raises(Unavailable, match="server_away"):
        await host_keys.current("localhost", port, HERE)
    assert rig.fetched() == []


async def test_a_file_that_is_being_written_waits(
    rig: Rig, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size or time changes while it is read."""
    rig.put("a.csv", b"a" * 100)

    class Growing(asyncssh.SFTPServer):
        def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            read = super().read(file_obj, offset, size)
            rig.put("a.csv", b"a" * 200, OLD_S + 5)
            return read  # type: ignore[return-value]

    async with server(rig, host_key, sftp_factory=Growing):
        await rig.source()
        assert (await rig.round())["problem_code"] is None
        assert rig.fetched() == []
        await rig.round()
    assert rig.fetched() == [("a.csv", b"a" * 200)]


async def test_bounds_hold_and_the_rest_comes_later(
    rig: Rig, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        rig.put(f"{number}.csv", b"x" * 100, OLD_S + number)
    rig.put("large.csv", b"x" * 1_000, OLD_S)
    monkeypatch.setattr(visit_module, "FILE_BYTES_MAX", 500)
    monkeypatch.setattr(visit_module, "PULL_FILES_MAX", 4)
    async with server(rig, host_key):
        await rig.source()
        seen = await rig.round()
        assert len(rig.fetched()) == 3
        assert seen["problem_code"] == "file_too_large"
        assert seen["wait"].total_seconds() <= 60
        await rig.round()
        assert [name for name, _ in rig.fetched()] == [f"{number}.csv" for number in range(6)]
        monkeypatch.setattr(visit_module, "PULL_WAITING_FILES_MAX", 6)
        rig.put("more.csv", b"x")
        assert (await rig.round())["problem_code"] == "waiting_room_full"
        monkeypatch.setattr(visit_module, "PULL_LISTED_MAX", 3)
        assert (await rig.round())["problem_code"] in ("too_many_files", "waiting_room_full")
        monkeypatch.undo()
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1,) * 10))
        rig.put("last.csv", b"x" * 1_000)
        assert (await rig.round())["problem_code"] == "disk_full"


def silent_server(asked: list[bytes]) -> type[asyncssh.SFTPServer]:
    """Lets everybody in, shows its files, and gives none of them away. asked: which ones, so far."""

    class SilentServer(asyncssh.SFTPServer):
        async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
            asked.append(path)
            return await asyncio.Event().wait()

    return SilentServer


async def test_a_server_that_never_answers_holds_up_nobody_else(
    rig: Rig, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.put("a.csv", b"a")
    asked: list[bytes] = []
    async with server(rig, host_key, sftp_factory=silent_server(asked)):
        await rig.source()
        await fetch(
            rig.database,
            "INSERT INTO imports.pull_source (id, site_id, device_id, host, port, username, host_key, auth, secret, folder,"
            " every_s) SELECT 'pull-' || n, site_id, device_id, host, port, username, host_key, auth, secret, folder, 3600"
            " FROM imports.pull_source, generate_series(2, 4) n",
        )
        # whoever is cancelled has not waited in vain, however long this machine stands still meanwhile
        monkeypatch.setattr(visit_module, "PULL_WAIT_S", 3_600.0)
        puller = rig.puller()
        visits = [asyncio.create_task(puller.next()) for _ in range(PULLS_OF_COMPANY_MAX)]
        await until(lambda: len(asked) == PULLS_OF_COMPANY_MAX)
        assert await puller.next() is None  # of this company, that is
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        monkeypatch.setattr(visit_module, "PULL_WAIT_S", 0.2)
        assert await rig.puller().next() == 0
        (failed,) = await fetch(rig.database, "SELECT problem_code FROM imports.pull_source WHERE failures = 1")
        assert failed["problem_code"] == "took_too_long"
        pulled = rig.folder / LOGGER / "pulled"
        assert list(pulled.iterdir()) == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_visit_that_is_cancelled_just_when_it_is_connected_ends(
    rig: Rig, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    connect_to = asyncssh.connect

    async def connected_and_cancelled(*given: Any, **more: Any) -> asyncssh.SSHClientConnection:
        """As Python 3.11 does when both happen in one turn of its loop."""
        connection = await connect_to(*given, **more)
        visit.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if fails:
            connection.abort()
            raise ConnectionResetError
        return connection

    rig.put("a.csv", b"a")
    async with server(rig, host_key):
        await rig.source()
        monkeypatch.setattr(asyncssh, "connect", connected_and_cancelled)
        visit = asyncio.create_task(rig.puller().next())
        with pytest.raises(asyncio.CancelledError):
            await visit
    assert rig.fetched() == []


async def test_what_a_server_always_calls_otherwise_is_not_remembered_for_ever(
    rig: Rig, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_sources, "PULL_REMEMBERED_MAX", 5)
    async with server(rig, host_key):
        await rig.source()
        for number in range(10):
            rig.put(f"{number}.csv", b"x")
            await rig.round()
            (rig.theirs / f"{number}.csv").unlink()
        (remembered,) = await fetch(rig.database, "SELECT count(*) FROM imports.pulled_file")
        assert remembered["count"] <= 6


async def test_who_has_no_account_is_not_fetched_for(rig: Rig, host_key: asyncssh.SSHKey) -> None:
    rig.put("a.csv", b"a")
    async with server(rig, host_key):
        await rig.source()
        await fetch(rig.database, "UPDATE imports.account SET closed_at = now()")
        await rig.round()
        assert rig.fetched() == []
        await fetch(rig.database, "UPDATE imports.account SET closed_at = NULL")
        assert {await rig.puller().next(), await rig.puller().next()} == {1, None}  # one of two takes it


def test_all_problems_have_words_in_both_languages() -> None:
    for code in pull_problems.PROBLEMS:
        assert pull_problems.words(code, "fr") != pull_problems.words(code, "en") != code
    assert pull_problems.words("something_new", "en") == "something_new"
