"""Real servers for integration tests and benchmarks: PostgreSQL, the PKI and Mosquitto, each in a folder of its own.

`with postgres_server() as server:` and so on; whatever was started is stopped, and its folder removed, at the end.
"""

import asyncio
import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from actors.local.mosquitto import MosquittoServer
from actors.local.ports import LOOPBACK
from actors.local.postgres import SUPERUSER, PostgresServer
from certs.__main__ import main as certs_command
from fleet.limits import BROKER_QUEUED_MESSAGES_MAX
from fleet.settings import BrokerSettings, DatabaseSettings
from fleet.storage.migrate import SERVICE_ROLES, migrate

TEMPLATE = "sp_template"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the files in it get names that nobody can guess
_MEMORY_BYTES_MIN = 1_500_000_000  # a server of a test run takes some 300 MB of it
_SHORT_LIVED = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}  # nobody will ask after a power cut


@contextmanager
def server_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Not pytest's tmp_path: as root the servers become unprivileged accounts, which must be able to pass through."""
    folder = Path(tempfile.mkdtemp(prefix=f"solarperform-{name}-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# PostgreSQL -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Database:
    """One migrated database, and the settings of all who may open it: the owner, and the service roles in their order."""

    name: str
    owner: DatabaseSettings
    sp_twins: DatabaseSettings
    sp_web: DatabaseSettings
    sp_pki: DatabaseSettings
    sp_guard: DatabaseSettings
    sp_notifier: DatabaseSettings
    sp_sftp: DatabaseSettings
    sp_importer: DatabaseSettings
    sp_rollouts: DatabaseSettings


@dataclass(frozen=True)
class Cluster:
    """A running server with a migrated template. `server` is there for faults: stop(), stop_immediate(), kill(), start()."""

    server: PostgresServer
    secrets: Path

    def settings(self, database: str, user: str) -> DatabaseSettings:
        return DatabaseSettings(
            host=LOOPBACK, port=self.server.port, name=database, user=user, password_file=self.secrets / user
        )

    def create_database(self, name: str) -> Database:
        """A copy of the template; its files are copied, for it is small and made a thousand times."""
        asyncio.run(self._execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE} STRATEGY file_copy'))
        return Database(
            name,
            self.settings(name, SUPERUSER),
            *(self.settings(name, role) for role in SERVICE_ROLES),
        )

    def drop_database(self, name: str) -> None:
        asyncio.run(self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    async def make_template(self) -> None:
        await self._execute(f"CREATE DATABASE {TEMPLATE}")
        connection = await self._connect(TEMPLATE)
        try:
            await migrate(connection, {role: (self.secrets / role).read_text() for role in SERVICE_ROLES})
        finally:
            await connection.close()

    async def _execute(self, statement: str) -> None:
        connection = await self._connect("postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        password = (self.secrets / SUPERUSER).read_text()
        return await asyncpg.connect(
            host=LOOPBACK, port=self.server.port, user=SUPERUSER, password=password, database=database, timeout=60.0
        )


@contextmanager
def postgres_server(*, in_memory: bool = False) -> Iterator[Cluster]:
    """PostgreSQL on a free port, with a migrated template database.

    in_memory: where there is room, it has no disk to wait for. A new database takes a tenth of the time then.
    """
    with server_folder("postgres", _memory() if in_memory else None) as folder:
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        for user in (SUPERUSER, *SERVICE_ROLES):
            (secrets / user).write_text(f"test-{user}")
        server = PostgresServer(
            folder / "data",
            port=0,
            password_file=secrets / SUPERUSER,
            log_file=folder / "postgres.log",
            settings=_SHORT_LIVED if in_memory else None,
        )
        server.start()
        try:
            cluster = Cluster(server, secrets)
            asyncio.run(cluster.make_template())
            yield cluster
        finally:
            server.stop()


def _memory() -> Path | None:
    try:
        return _MEMORY if shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES_MIN else None
    except OSError:  # not every system has it
        return None


# PKI --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pki:
    """A whole PKI, made by `python -m certs`. Devices' certificates are made on demand."""

    folder: Path

    @property
    def server_trust(self) -> Path:
        """What a device needs to know the broker by."""
        return self.folder / "trust" / "servers.pem"

    def device(self, device: str) -> tuple[Path, Path]:
        """(chain, key) of the device's certificate."""
        self.devices([device])
        folder = self.folder / "devices" / device
        return folder / "chain.pem", folder / "key.pem"

    def devices(self, devices: list[str]) -> None:
        missing = [device for device in devices if not (self.folder / "devices" / device / "chain.pem").exists()]
        if missing:
            ids = self.folder / "ids.txt"
            ids.write_text("\n".join(missing) + "\n")
            certs("issue-device", str(self.folder), "--ids-file", str(ids))

    def platform(self, broker: "Broker", name: str) -> BrokerSettings:
        folder = self.folder / "platform" / name
        return BrokerSettings(LOOPBACK, broker.internal_port, self.server_trust, folder / "chain.pem", folder / "key.pem")


@contextmanager
def pki_folder() -> Iterator[Pki]:
    with server_folder("pki") as folder:
        pki = folder / "pki"
        certs("init", str(pki))
        certs("issue-server", str(pki), "--name", "localhost", "--ip", LOOPBACK)
        certs("issue-platform", str(pki), "sp-twins", "sp-web", "sp-guard")
        yield Pki(pki)


def certs(*arguments: str) -> None:
    """As `python -m certs` does, without a process for each."""
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(told):
        code = certs_command(arguments)
    assert code == 0, f"certs {' '.join(arguments)}: {told.getvalue()}"


# Mosquitto --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broker:
    """A running broker. `server` is there for faults: stop(), kill(), wipe(), start(), reload()."""

    server: MosquittoServer
    pki: Pki

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def device_port(self) -> int:
        return self.server.device_port

    @property
    def internal_port(self) -> int:
        return self.server.internal_port

    @property
    def log_file(self) -> Path:
        return self.server.log_file

    @property
    def sp_twins(self) -> BrokerSettings:
        return self.pki.platform(self, "sp-twins")

    @property
    def sp_web(self) -> BrokerSettings:
        return self.pki.platform(self, "sp-web")


@contextmanager
def mosquitto_server(
    pki: Pki, *, device_host: str = LOOPBACK, queued_messages_max: int = BROKER_QUEUED_MESSAGES_MAX
) -> Iterator[Broker]:
    """Mosquitto with mTLS on two free ports."""
    with server_folder("mosquitto") as folder:
        log_file = folder / "mosquitto.log"
        server = MosquittoServer(
            folder / "broker",
            pki=pki.folder,
            log_file=log_file,
            device_port=0,
            internal_port=0,
            device_host=device_host,
            queued_messages_max=queued_messages_max,
        )
        server.start()
        try:
            yield Broker(server, pki)
        finally:
            server.stop()
