"""The drop box on a real database and disk, with loggers that have accounts in it.

`running` runs it in the test's own loop, so that a test may set its bounds; `as_process` runs the program, to be killed.
Clients: asyncssh, and raw bytes, here; paramiko and OpenSSH's programs in their tests.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import msgspec

from actors.dropbox import box
from actors.dropbox.box import Waiting
from actors.dropbox.server import DropBox, Ready
from actors.dropbox.wire import Kind
from actors.local.ports import LOOPBACK
from fleet import settings
from fleet.ids import DeviceId, SiteId
from fleet.settings import SftpSettings
from fleet.storage import drop_accounts
from fleet.storage.database import connect
from tests.fleet_rig import fetch
from tests.servers import Database

SITES = [SiteId(f"s-drop-{number}") for number in range(20)]  # each has a bounded number of loggers
DEADLINE_S = 60.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Login:
    """key_file: of a private key (OpenSSH's format), for an account that was made with one."""

    device: DeviceId
    password: str
    key_file: Path


@dataclass
class DropRig:
    """One drop box, wherever it runs. folder: the boxes."""

    database: Database
    settings: SftpSettings
    ready: Ready = field(default_factory=lambda: Ready(0, None, ""))
    server: DropBox | None = None
    process: asyncio.subprocess.Process | None = None
    known_hosts: Path = field(default_factory=Path)

    @property
    def folder(self) -> Path:
        return self.settings.folder

    @property
    def port(self) -> int:
        return self.ready.port

    async def logger(self, *, legacy: bool = False) -> Login:
        """A new one, with a password and a key."""
        number = next(_numbers)
        device = DeviceId(f"gw-{number}")
        key = asyncssh.generate_private_key("ssh-ed25519")
        key_file = self.settings.host_key_file.with_name(f"{device}.key")
        key.write_private_key(key_file)
        key_file.chmod(0o600)
        owner = await connect(self.database.owner)
        try:
            async with owner.transaction():
                opened = await drop_accounts.open_account(
                    owner,
                    site=SITES[number % len(SITES)],
                    device=device,
                    name="Roof",
                    person_id=None,
                    public_keys=[key.export_public_key("openssh").decode()],
                    legacy=legacy,
                )
        finally:
            await owner.close()
        return Login(device, opened.password or "", key_file)

    @asynccontextmanager
    async def connected(self, login: Login, **more: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """By its key, unless `more` says how."""
        how = {"port": self.port, "username": login.device, "client_keys": [str(login.key_file)], **more}
        async with asyncssh.connect(LOOPBACK, known_hosts=None, config=None, agent_path=None, **how) as connection:
            yield connection

    @asynccontextmanager
    async def sftp(self, login: Login, **more: Any) -> AsyncIterator[asyncssh.SFTPClient]:
        async with self.connected(login, **more) as connection, connection.start_sftp_client() as client:
            yield client

    def waiting(self, login: Login) -> list[Waiting]:
        return list(box.waiting_of(self.folder, login.device))

    def contents(self, login: Login) -> dict[str, bytes]:
        """Of what waits for the importer, by name: of several versions the newest."""
        return {each.name: each.path.read_bytes() for each in self.waiting(login)}

    def lying(self, login: Login, kind: str) -> dict[str, bytes]:
        """Of what lies in one of the box's folders."""
        folder = self.folder / login.device / kind
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def drop_rig(database: Database, folder: Path, keys: Path) -> DropRig:
    """Not running yet. keys: of the host, of all the run's drop boxes: they take a second to make."""
    told = SftpSettings(
        host=LOOPBACK,
        port=0,
        folder=folder / "boxes",
        host_key_file=keys,
        database=database.sp_sftp,
        ready_file=folder / "ready.json",
        disk_free_min_bytes=1,
    )
    return DropRig(database, told)


def _read_ready(rig: DropRig) -> None:
    rig.ready = msgspec.json.decode(rig.settings.ready_file.read_bytes(), type=Ready)
    rig.known_hosts = rig.settings.ready_file.with_name("known_hosts")
    rig.known_hosts.write_text(f"[{LOOPBACK}]:{rig.ready.port} {rig.ready.host_key}\n")


@asynccontextmanager
async def running(rig: DropRig) -> AsyncIterator[DropRig]:
    """In this loop. What it died of comes out here."""
    rig.settings.ready_file.unlink(missing_ok=True)
    rig.server = DropBox(rig.settings)
    task = asyncio.create_task(rig.server.run())
    try:
        await until(lambda: rig.settings.ready_file.exists() or task.done())
        if task.done():
            task.result()
        _read_ready(rig)
        yield rig
    finally:
        rig.server.stop()
        await task


@asynccontextmanager
async def as_process(rig: DropRig) -> AsyncIterator[DropRig]:
    """The program, in a process of its own: rig.process. Stopped at the end, unless it was killed."""
    file = rig.settings.ready_file.with_name("settings.json")
    settings.save(file, rig.settings)
    rig.settings.ready_file.unlink(missing_ok=True)
    rig.process = await asyncio.create_subprocess_exec(sys.executable, "-m", "actors.dropbox", "--settings", str(file))
    try:
        process = rig.process
        await until(lambda: rig.settings.ready_file.exists() or process.returncode is not None)
        assert process.returncode is None
        _read_ready(rig)
        yield rig
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rig.process.pid, signal.SIGTERM)
        await rig.process.wait()


class RawSftp:
    """SFTP by hand, for what no library sends. Answers come in the order of the requests."""

    def __init__(self, writer: "asyncssh.SSHWriter[bytes]", reader: "asyncssh.SSHReader[bytes]") -> None:
        self._writer = writer
        self._reader = reader
        self._requests = itertools.count(1)

    def send(self, kind: int, *fields: bytes | int) -> None:
        """fields: bytes become strings, numbers 32 bits."""
        content = b"".join(string(each) if isinstance(each, bytes) else each.to_bytes(4, "big") for each in fields)
        body = next(self._requests).to_bytes(4, "big") + content
        self.send_bytes((len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body)

    def send_bytes(self, content: bytes) -> None:
        self._writer.write(content)

    def send_write(self, handle: bytes, offset: int, data: bytes) -> None:
        body = next(self._requests).to_bytes(4, "big") + string(handle) + offset.to_bytes(8, "big") + string(data)
        self.send_bytes((len(body) + 1).to_bytes(4, "big") + bytes([Kind.WRITE]) + body)

    async def answer(self) -> tuple[int, bytes]:
        """(kind, what follows the request's number). Raises IncompleteReadError once the server has hung up."""
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        content = await self._reader.readexactly(size)
        return content[0], content[5:]

    async def status(self, kind: int, *fields: bytes | int) -> int:
        """What comes back for this request, which gets a status."""
        self.send(kind, *fields)
        return await self.next_status()

    async def next_status(self) -> int:
        kind, content = await self.answer()
        assert kind == Kind.STATUS
        return int.from_bytes(content[:4], "big")

    async def open(self, name: bytes, flags: int = 0x1A) -> bytes:
        """To write, made if need be, emptied."""
        self.send(Kind.OPEN, name, flags, 0)
        kind, content = await self.answer()
        assert kind == Kind.HANDLE, content
        return content[4:]


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


@asynccontextmanager
async def raw(rig: DropRig, login: Login) -> AsyncIterator[RawSftp]:
    """After the greeting."""
    async with rig.connected(login) as connection:
        writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
        client = RawSftp(writer, reader)
        client.send_bytes(b"\0\0\0\x05\x01\0\0\0\x03")
        kind, _ = await client.answer()
        assert kind == Kind.VERSION
        yield client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - files and sessions tell nobody
            await asyncio.sleep(0.005)


async def execute(rig: DropRig, statement: str, *arguments: object) -> None:
    await fetch(rig.database, statement, *arguments)
