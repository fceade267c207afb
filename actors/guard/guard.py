"""The steps of a revocation beside the broker, and the loop that repeats them until they are seen to have worked.

    denied     the access list names the device, and the broker goes by it: even while the authority is away
    installed  a list that holds its certificates lies before the broker, verified, and the broker has read it
    kicked     its session was taken over
    refused    the canary of that list was refused as revoked; every list is proven so, and again every CANARY_PERIOD_S

Each round looks at everything anew, on the disk and in the database, so it does not matter where the one before was cut off.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from actors.broker_files import CRL, Denied
from actors.guard.alarms import Alarms
from actors.guard.broker_process import Behind, Beside
from actors.guard.canary import Door
from actors.guard.hold import Hold
from actors.guard.lists import Lists
from actors.guard.proof import Proof
from actors.guard.takeover import InternalDoor
from fleet.errors import Unavailable
from fleet.limits import AUTHORITY_WAIT_S, GUARD_KICKS_AT_ONCE, GUARD_RETRY_S
from fleet.settings import GuardSettings
from fleet.storage import audit, notices, revocations
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.revocations import Pending, Step

log = structlog.get_logger("guard")

_BROKER_LOOK_S = 0.5  # one that comes back with what it was told before is told the rest soon
_STATEMENT_S = 10.0  # on a database that vanished without a word
_ALARM_OF = {"away": "broker_away", "expired": "crl_expired", "open": "broker_open", "unclear": "crl_not_proven"}


class Guard:
    """run() until stop()."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._home: Path = settings.broker_folder
        self._door = InternalDoor(settings.broker)
        process = Beside(settings.pid_file) if settings.pid_file is not None else Behind(self._home)
        self._hold = Hold(self._home, process, self._door, settings.pki, settings.server_name)
        door = Door(settings.device_host, settings.device_port, settings.server_name, settings.broker.ca_file)
        before = Denied.read(self._home)
        self._proof = Proof(self._hold, self._door, door, closed=before.closed)
        self._lists = Lists(settings.pki / "trust" / "devices.pem")
        self._alarms = Alarms()
        self._devices = before.devices
        self._wrong: dict[str, str] = {}
        self._failures = 0
        self._wake = asyncio.Event()
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        while not self._stopping:
            try:
                async with self._connection() as connection:
                    await self._begin(connection)
                    await self._rounds(connection)
            except AWAY as error:
                log.warning("database_away", error=str(error) or type(error).__name__)
                await self._hold_alone()
                await self._pause(GUARD_RETRY_S[min(self._failures, len(GUARD_RETRY_S) - 1)])
                self._failures += 1

    async def _begin(self, connection: DirectConnection) -> None:
        if self._lists.standing is None:
            installed = await revocations.installed_number(connection)
            await asyncio.to_thread(self._lists.begin_with, self._home / CRL, installed)

    async def _rounds(self, connection: DirectConnection) -> None:
        while not self._stopping:
            self._wake.clear()  # before looking: a notice during the round starts another one
            await self.round(connection)
            if not self._settings.ready_file.exists():
                self._settings.ready_file.touch()
                log.info("guard_ready", crl=self._lists.standing.number if self._lists.standing else None)
            if self._failures:
                await self._pause(GUARD_RETRY_S[min(self._failures, len(GUARD_RETRY_S)) - 1])
            else:
                await self._pause(min(notices.POLL_S, self._proof.due_in_s() + 0.1))

    async def round(self, connection: DirectConnection) -> None:
        """Everything that is to be done now, as far as it works. Raises AWAY only."""
        self._wrong = {}
        pending = await revocations.pending(connection)
        await self._learn(connection)
        problem = await self._do(connection, pending)
        self._look_at_list(pending)
        if problem is not None:
            self._wrong.setdefault(*problem)
        await self._alarms.settle(connection, self._wrong)
        stuck = self._stuck(pending)
        if problem is not None and stuck:
            await revocations.mark_problem(connection, stuck, problem[0])
        self._failures = self._failures + 1 if problem else 0

    async def _learn(self, connection: DirectConnection) -> None:
        if await self._lists.learn(connection, datetime.now(UTC)) and self._lists.standing:
            log.info("crl_learned", number=self._lists.standing.number, entries=len(self._lists.standing.serials))
        devices = await revocations.denied_devices(connection)
        if self._lists.step_back:  # a database that was restored does not know the last revocations
            devices += self._devices
        self._devices = Denied.of(devices, closed=False).devices

    async def _do(self, connection: DirectConnection, pending: list[Pending]) -> tuple[str, str] | None:
        """The steps. What kept them from being done: alarm and detail."""
        standing = self._lists.standing
        try:
            await self._hold.apply(self._denied, standing.pem if standing else None)
            await self._mark(
                connection, "denied", [one for one in pending if not one.denied and one.device in self._devices]
            )
            if standing is None:
                return "authority_away", "no revocation list was ever signed"
            await revocations.mark_list(connection, standing.number, proven=False)
            held = [one for one in pending if self._lists.holds(one)]
            await self._mark(connection, "installed", [one for one in held if not one.installed])
            if held or self._proof.due(standing):
                return await self._prove(connection, held)
        except Unavailable as error:
            return "broker_away" if error.code == "broker_away" else "crl_not_proven", error.detail
        return None

    async def _prove(self, connection: DirectConnection, held: list[Pending]) -> tuple[str, str] | None:
        standing = self._lists.standing
        assert standing is not None  # noqa: S101 - for the type checker
        kicked = [one for one in held if not one.kicked]
        await self._kick(kicked)
        seen = await self._proof.look(self._denied, standing)
        if self._proof.opened is not None:
            self._wrong["broker_open"] = self._proof.opened
        if seen.verdict != "refused":
            return _ALARM_OF[seen.verdict], seen.detail
        await revocations.mark_list(connection, standing.number, proven=True)
        await self._mark(connection, "kicked", kicked)
        await self._mark(connection, "refused", held)
        for one in held:
            detail = {"revocation": one.id, "crl": standing.number}
            await audit.record(connection, "device.refused_by_broker", subject=one.device, detail=detail)
        overdue = await revocations.revoked_serials(connection, for_s=AUTHORITY_WAIT_S) - standing.serials
        if overdue:
            self._wrong["authority_away"] = f"{len(overdue)} revoked certificates are in no list yet"
        return None

    async def _kick(self, revoked: list[Pending]) -> None:
        """Raises Unavailable (broker_away, reload_lost)."""
        gate = asyncio.Semaphore(GUARD_KICKS_AT_ONCE)

        async def one(device: str) -> bool:
            async with gate:
                return await self._door.take_over(device, self._hold.mark)

        if not all(await asyncio.gather(*(one(device) for device in {each.device for each in revoked}))):
            self._hold.forget()
            raise Unavailable("reload_lost", "the broker went by another access list while sessions were taken over")

    def _look_at_list(self, pending: list[Pending]) -> None:
        """What is wrong with the lists, apart from the broker."""
        now, standing, problem = datetime.now(UTC), self._lists.standing, self._lists.problem
        if problem is not None:
            self._wrong["crl_expired" if problem.code == "expired_crl" else "crl_corrupt"] = problem.detail
        if standing is not None and standing.problem is not None:
            self._wrong["crl_corrupt"] = standing.problem
        if standing is not None and standing.expired(now):
            self._wrong["crl_expired"] = f"list {standing.number} ended at {standing.ends:%Y-%m-%d %H:%M} UTC"
        elif standing is not None and standing.expiring(now):
            self._wrong["crl_expiring"] = f"list {standing.number} ends at {standing.ends:%Y-%m-%d %H:%M} UTC"
        if standing is not None and standing.old(now):
            self._wrong["authority_away"] = f"no list was signed since {standing.begins:%Y-%m-%d %H:%M} UTC"
        for one in pending:
            if one.crl_number is None and one.overdue_s > AUTHORITY_WAIT_S:
                self._wrong["authority_away"] = f"the revocation of {one.device} was not signed for {one.overdue_s:.0f} s"
            elif standing is not None and one.serials - standing.serials and standing.number >= (one.crl_number or 0) > 0:
                self._wrong["crl_corrupt"] = f"list {standing.number} lacks certificates of {one.device}"

    def _stuck(self, pending: list[Pending]) -> list[str]:
        """Those that the broker, and not the authority, keeps waiting."""
        return [one.id for one in pending if one.crl_number is not None or not one.denied]

    @property
    def _denied(self) -> Denied:
        return Denied(self._devices, self._proof.closed)

    async def _mark(self, connection: DirectConnection, step: Step, done: Iterable[Pending]) -> None:
        done = list(done)
        await revocations.mark_step(connection, step, [one.id for one in done])
        for one in done:
            log.info(f"revocation_{step}", revocation=one.id, device=one.device, after_s=round(one.overdue_s, 3))

    async def _hold_alone(self) -> None:
        """Without the database: what was known stays in force, and is looked at."""
        standing = self._lists.standing
        if standing is None:
            return
        with contextlib.suppress(Unavailable):  # told when the database is back, if it lasts
            await self._hold.apply(self._denied, standing.pem)
            if self._proof.due(standing):
                await self._proof.look(self._denied, standing)

    async def _pause(self, seconds: float) -> None:
        """Until a notice comes, or a broker that was started anew, or the time is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._hold.restarted():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _BROKER_LOOK_S)):
                    await self._wake.wait()
                    return

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[DirectConnection]:
        """With an ear on the notices; one's own wake nobody."""
        connection = await connect(self._settings.database, command_timeout_s=_STATEMENT_S)
        try:
            own = connection.get_server_pid()

            def heard(_connection: Any, pid: int, _channel: str, _payload: Any) -> None:
                if pid != own:
                    self._wake.set()

            for channel in (notices.REVOCATION, notices.CRL, notices.CLAIM):
                await connection.add_listener(channel, heard)
            connection.add_termination_listener(lambda _connection: self._wake.set())
            yield connection
        finally:
            await _end(connection)


async def _end(connection: DirectConnection) -> None:
    with contextlib.suppress(*AWAY):
        await connection.close(timeout=1.0)
