"""The guard as a real process beside a real broker, with a real database and a real devices' authority."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from actors.local.ports import LOOPBACK
from certs import crl, keys, profiles
from certs.authority import Pki as Authorities
from certs.profiles import Profile
from fleet import settings
from fleet.ids import DeviceId, SiteId
from fleet.settings import GuardSettings
from fleet.storage import notices, revocations
from fleet.storage.database import DirectConnection, connect
from fleet.storage.revocations import RevocationRow
from tests.fleet_rig import seed_fleet, until
from tests.servers import Broker, Database, Pki, certs, server_folder

SITE = SiteId("g-site")
DEADLINE_S = 90.0


@dataclass
class Guard:
    """kill() and start() are there for faults; so is `broker.server`."""

    folder: Path
    database: Database
    broker: Broker
    pki: Pki
    settings: GuardSettings
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def home(self) -> Path:
        """The broker's folder."""
        return self.settings.broker_folder

    @property
    def log(self) -> str:
        return (self.folder / "guard.log").read_text()

    def start(self) -> None:
        with (self.folder / "guard.log").open("ab") as log:
            command = [sys.executable, "-m", "actors.guard", "--settings", str(self.folder / "guard.json")]
            self.process = subprocess.Popen(command, stderr=log)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=60)
        self.settings.ready_file.unlink(missing_ok=True)  # of a run that is over

    async def ready(self) -> None:
        async def looked() -> bool:
            assert self.process is None or self.process.poll() is None, self.log[-3000:]
            return self.settings.ready_file.exists()

        await until(looked, DEADLINE_S)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await connect(self.database.owner)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def revoke(self, device: str) -> RevocationRow:
        """As the web asks for it, but with the owner's rights."""
        connection = await connect(self.database.owner)
        try:
            async with connection.transaction():
                return await revocations.request_revocation(
                    connection, site=SITE, device=DeviceId(device), reason="stolen", note="", requested_by=None
                )
        finally:
            await connection.close()

    async def row(self, device: str) -> RevocationRow:
        connection = await connect(self.database.owner)
        try:
            return (await revocations.revocations_of(connection, DeviceId(device)))[0]
        finally:
            await connection.close()

    async def reaches(self, device: str, condition: Callable[[RevocationRow], Any]) -> RevocationRow:
        async def there() -> RevocationRow | None:
            row = await self.row(device)
            return row if condition(row) else None

        found: RevocationRow = await until(there, DEADLINE_S)
        return found

    async def alarms(self) -> set[str]:
        return {row["code"] for row in await self.fetch("SELECT code FROM pki.alarm")}

    async def alarm(self, code: str, *, raised: bool = True) -> None:
        async def so() -> bool:
            return (code in await self.alarms()) is raised

        await until(so, DEADLINE_S)

    async def calm(self) -> None:
        """No alarm is left. A machine that stands still may have raised one meanwhile."""

        async def so() -> bool:
            return not await self.alarms()

        await until(so, DEADLINE_S)

    def number_before_the_broker(self) -> int:
        return crl.number_of(x509.load_pem_x509_crl((self.home / "crl.pem").read_bytes()))

    async def proven(self, number: int) -> None:
        async def so() -> bool:
            rows = await self.fetch("SELECT FROM pki.crl WHERE number = $1 AND proven_at IS NOT NULL", number)
            return bool(rows)

        await until(so, DEADLINE_S)


class Signer:
    """The authority's part by hand, so that it can also be done wrongly. One list per call, like the real one's."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.authorities = Authorities(guard.pki.folder)

    async def enter(self, *devices: str) -> None:
        """Their certificates into the ledger."""
        await asyncio.to_thread(self._guard.pki.devices, list(devices))  # in one go
        connection = await connect(self._guard.database.owner)
        try:
            for device in devices:
                chain, _ = self._guard.pki.device(device)
                leaf = x509.load_pem_x509_certificate(chain.read_bytes())
                await _enter(connection, SITE, device, leaf)
        finally:
            await connection.close()

    async def sign(self, *, begins: datetime | None = None, ends: datetime | None = None) -> int:
        """Carries out what is requested, signs the next list and says so; its number."""
        connection = await connect(self._guard.database.owner)
        try:
            async with connection.transaction():
                number = (await revocations.newest_number(connection) or 0) + 1
                wanted = await revocations.unsigned(connection)
                await connection.execute(
                    "UPDATE pki.certificate SET revoked_at = clock_timestamp(), reason = 'stolen'"
                    " WHERE device_id = ANY($1::text[]) AND revoked_at IS NULL",
                    [one.device for one in wanted],
                )
                await self._store(connection, number, begins, ends)
                await revocations.mark_signed(connection, [one.id for one in wanted], number)
            await notices.notify(connection, notices.CRL, str(number))
        finally:
            await connection.close()
        return number

    async def tell_of_claim(self, claim: str) -> None:
        connection = await connect(self._guard.database.owner)
        try:
            await notices.notify(connection, notices.CLAIM, claim)
        finally:
            await connection.close()

    async def _store(
        self, connection: DirectConnection, number: int, begins: datetime | None, ends: datetime | None
    ) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        begins, ends = begins or now, ends or now + timedelta(hours=72)
        key = keys.make()
        canary = self.authorities.devices.sign(
            _CANARY, profiles.device(f"canary-{number}"), key.public_key(), self.authorities.devices.life(_CANARY, now)
        )
        rows = await connection.fetch("SELECT serial FROM pki.certificate WHERE revoked_at IS NOT NULL")
        revoked = [(int(row["serial"], 16), now, "stolen") for row in rows] + [(canary.serial_number, now, "canary")]
        made = crl.build(self.authorities.devices, number, revoked, this_update=begins, next_update=ends)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        await connection.execute(
            "INSERT INTO pki.crl (number, der, this_update, next_update, canary_chain, canary_key)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            number,
            made.public_bytes(Encoding.DER),
            begins,
            ends,
            canary.public_bytes(Encoding.PEM).decode(),
            pem,
        )


_CANARY = Profile(timedelta(hours=80), None, profiles.CLIENT.usages)


async def _enter(connection: DirectConnection, site: str, device: str, leaf: x509.Certificate) -> None:
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    await connection.execute(
        "INSERT INTO pki.certificate (serial, site_id, device_id, key_hash, intent_at, not_before, not_after, der)"
        " VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, $7)",
        f"{leaf.serial_number:x}",
        site,
        device,
        sha256(spki).digest(),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        leaf.public_bytes(Encoding.DER),
    )


@contextmanager
def guarded(database: Database, broker: Broker, *, start: bool = True) -> Iterator[Guard]:
    certs("issue-platform", str(broker.pki.folder), "sp-guard")
    with server_folder("guard") as folder:
        wanted = GuardSettings(
            database=database.sp_guard,
            broker=broker.pki.platform(broker, "sp-guard"),
            broker_folder=broker.server.folder.resolve(),
            pid_file=broker.server.pid_file,
            pki=broker.pki.folder,
            server_name="localhost",
            device_host=LOOPBACK,
            device_port=broker.device_port,
            ready_file=folder / "guard.ready",
        )
        settings.save(folder / "guard.json", wanted)
        guard = Guard(folder, database, broker, broker.pki, wanted)
        if start:
            guard.start()
        try:
            yield guard
        finally:
            guard.kill()


async def register(guard: Guard, *devices: str) -> None:
    await seed_fleet(guard.database, [(SITE, dict.fromkeys(devices, "meter"))])
