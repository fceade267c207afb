"""Two hundred loggers come back at once, as after a mobile network's outage: all are let in, and no upload is lost.

The drop box is a process of its own; the loggers are one process beside it, and half of them have a password. The limit: the
same loggers with the SSH library's own server, which keeps no promise about the disk.
"""

import asyncio
import contextlib
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import psutil

from actors.dropbox.host_key import host_keys
from actors.local.ports import LOOPBACK
from fleet import settings
from fleet.settings import DatabaseSettings
from fleet.storage.database import connect
from tests.bench.figures import Figure, figure, note, percentile
from tests.drop_rig import SITES, DropRig, Login, as_process, drop_rig
from tests.fleet_rig import seed_fleet
from tests.servers import Database, postgres_server, server_folder

LOGGERS = 200
FILES = 5  # of each
FILE_BYTES = 100_000  # a day of one inverter's five-minute rows
_DEADLINE_S = 300.0
_IDLE_S = 5.0


class Loggers:
    """What they have sent, and how it went."""

    def __init__(self) -> None:
        self.accepted = 0
        self.acknowledged: dict[str, dict[str, bytes]] = {}
        self.seconds_each: list[float] = []
        self.seconds = 0.0

    async def send(self, port: int, logins: list[Login], *, passwords: bool = True) -> None:
        """All at once, to the last answer. passwords: every other one comes by its password."""
        began_s = time.monotonic()
        async with asyncio.timeout(_DEADLINE_S):
            await asyncio.gather(
                *(self._send(port, login, not passwords or number % 2 == 0) for number, login in enumerate(logins))
            )
        self.seconds = time.monotonic() - began_s

    @property
    def files_per_s(self) -> float:
        return sum(len(files) for files in self.acknowledged.values()) / self.seconds

    async def _send(self, port: int, login: Login, by_key: bool) -> None:
        how: dict[str, Any] = (
            {"client_keys": [str(login.key_file)]} if by_key else {"password": login.password, "client_keys": None}
        )
        chance = random.Random(login.device)
        own = self.acknowledged[login.device] = {}
        try:
            async with (
                asyncssh.connect(
                    LOOPBACK, port, username=login.device, known_hosts=None, config=None, agent_path=None, **how
                ) as connection,
                connection.start_sftp_client() as client,
            ):
                self.accepted += 1
                for number in range(FILES):
                    content = chance.randbytes(FILE_BYTES)
                    began_s = time.monotonic()
                    async with client.open(f"{number}.csv", "wb") as file:
                        await file.write(content)
                    self.seconds_each.append(time.monotonic() - began_s)
                    own[f"{number}.csv"] = content
        except (OSError, asyncssh.Error) as error:
            note(f"sftp: {login.device}: {error}")


def run() -> Iterator[Figure]:
    with server_folder("sftp") as folder, postgres_server() as cluster:
        yield from asyncio.run(_measure(cluster.create_database("sp_sftp_bench"), folder))


async def _measure(database: Database, folder: Path) -> list[Figure]:
    await seed_fleet(database, [(site, {}) for site in SITES])
    rig = drop_rig(database, folder, folder / "host_keys")
    logins = [await rig.logger() for _ in range(LOGGERS)]
    async with _querying(database, folder) as idle_s:
        await asyncio.sleep(_IDLE_S)
    async with as_process(rig):
        assert rig.process is not None
        process = psutil.Process(rig.process.pid)
        loggers = Loggers()
        async with _querying(database, folder) as busy_s:
            await loggers.send(rig.port, logins)
        rss_mb = process.memory_info().rss / 1e6
        lost = sum(_lost(rig, login, loggers) for login in logins)
    limit = await _limit(rig, folder, logins)
    return [
        figure("sftp", f"loggers let in, of {LOGGERS} at once", loggers.accepted, "loggers", LOGGERS),
        figure("sftp", "uploads acknowledged and not there", lost, "files"),
        figure("sftp", "uploads, each fsynced before it is acknowledged", loggers.files_per_s, "files/s", limit),
        figure("sftp", f"all {LOGGERS * FILES} files of 100 kB, from the first connection", loggers.seconds, "s"),
        figure("sftp", "one upload, p50", statistics.median(loggers.seconds_each) * 1e3, "ms"),
        figure("sftp", "one upload, p99", percentile(loggers.seconds_each, 0.99) * 1e3, "ms"),
        figure("sftp", "memory of the drop box after it", rss_mb, "MB"),
        figure(
            "sftp",
            "a query on the same machine meanwhile, p99",
            percentile(busy_s, 0.99) * 1e3,
            "ms",
            percentile(idle_s, 0.99) * 1e3,
        ),
    ]


def _lost(rig: DropRig, login: Login, loggers: Loggers) -> int:
    found = rig.contents(login)
    return sum(found.get(name) != content for name, content in loggers.acknowledged[login.device].items())


@asynccontextmanager
async def _querying(database: Database, folder: Path) -> AsyncIterator[list[float]]:
    """Seconds that each query of another process took meanwhile; there at the end."""
    file = folder / "database.json"
    settings.save(file, database.sp_web)
    taken: list[float] = []
    async with _part("queries", str(file)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdout.readline()  # it is connected
        yield taken
        process.stdin.close()
        taken += msgspec.json.decode(await process.stdout.readline(), type=list[float])


async def _query(file: str) -> None:
    """One after the other, with a pause between, until the standard input ends."""
    connection = await connect(settings.load(Path(file), DatabaseSettings))
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    taken = []
    print(flush=True)
    while not ended.done():
        began_s = time.monotonic()
        await connection.fetchval("SELECT count(*) FROM registry.site")
        taken.append(time.monotonic() - began_s)
        await asyncio.sleep(0.02)
    print(msgspec.json.encode(taken).decode(), flush=True)


async def _limit(rig: DropRig, folder: Path, logins: list[Login]) -> float:
    """Files a second of the library's own server, in a process of its own."""
    root = folder / "bare"
    root.mkdir()
    async with _part("bare", str(root), str(rig.settings.host_key_file)) as process:
        assert process.stdout is not None
        loggers = Loggers()
        await loggers.send(int(await process.stdout.readline()), logins, passwords=False)
        return loggers.files_per_s


@asynccontextmanager
async def _part(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Of this module, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.sftp", *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _serve_bare(root: str, host_key_file: str) -> None:
    listening = await asyncssh.listen(
        LOOPBACK,
        0,
        server_host_keys=host_keys(Path(host_key_file), legacy=False),
        server_factory=_AnyKey,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=root.encode()),
        backlog=512,
    )
    print(listening.get_port(), flush=True)
    await asyncio.Event().wait()


class _AnyKey(asyncssh.SSHServer):
    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True


if __name__ == "__main__":
    asyncio.run(_serve_bare(*sys.argv[2:]) if sys.argv[1] == "bare" else _query(*sys.argv[2:]))
