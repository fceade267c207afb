"""The certificate authority's process: the one place where the devices' signing key is at work.

Beside answering enrolments it signs revocation lists (hourly, and at once after a revocation), takes certificates of the
command line into the ledger, and renews the platform's and the servers' own certificates in its folder.
"""

import asyncio
import signal
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import asyncpg
import structlog
from prometheus_client import REGISTRY

from certs import adoption, est
from certs.authority import Pki, alone_in
from certs.enrolment import Enrolment
from certs.figures import OwnCertificates
from certs.listener import Context, Server
from certs.lists import Lists
from fleet.errors import FleetError
from fleet.limits import EST_POOL_CONNECTIONS
from fleet.runtime.cancelled import end_if_cancelled
from fleet.runtime.folders import alone_with, require_writable
from fleet.runtime.metrics_port import open_metrics
from fleet.runtime.process import keep_fresh
from fleet.settings import PkiSettings
from fleet.storage import lists as lists_ledger
from fleet.storage import notices
from fleet.storage.database import AWAY, DirectConnection, Pool, connect, open_pool
from fleet.storage.readiness import until_ready

_RETRY_S: Final = 2.0
_UPKEEP_S: Final = 3_600.0
_STATEMENT_S: Final = 10.0  # what takes longer waits for a database that has gone

log = structlog.get_logger("certs")


async def serve(settings: PkiSettings) -> None:
    """Until SIGTERM or SIGINT. Raises NotFound (no_pki), BadInput (bad_certificate, bad_key, bad_tls_files), OSError,
    Unavailable (port_busy).
    """
    for folder in (settings.folder, settings.ready_file.parent):
        require_writable(folder)
    with alone_with(settings.folder, "authority"):
        await _serve(settings)


async def _serve(settings: PkiSettings) -> None:
    settings.ready_file.unlink(missing_ok=True)
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    authority = _Service(settings)
    REGISTRY.register(authority.certificates)
    open_metrics(settings.metrics)
    running = asyncio.create_task(authority.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        await authority.stop()
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    settings.ready_file.unlink(missing_ok=True)


class _Service:
    def __init__(self, settings: PkiSettings) -> None:
        """Raises NotFound (no_pki), BadInput."""
        self._settings = settings
        self._pki = Pki(settings.folder)
        self._pki.devices.key.public_key()  # a key that cannot be read is told before anybody asks for a signature
        own = settings.folder / "servers" / settings.server_name
        trust = settings.folder / "trust"
        self._context = Context(
            devices_trust=trust / "devices.pem",
            platform_trust=trust / "platform.pem",
            chain=own / "chain.pem",
            key=own / "key.pem",
        )
        self.certificates = OwnCertificates(self._pki)
        self._server: Server | None = None
        self._served = asyncio.Event()

    async def run(self) -> None:
        await until_ready(self._settings.database, log)
        pool = await open_pool(self._settings.database, size_max=EST_POOL_CONNECTIONS, command_timeout_s=_STATEMENT_S)
        try:
            lists = Lists(self._pki, pool)
            enrolment = Enrolment(pool, self._pki.devices, lists.due.set)
            app = est.create_app(self._settings, self._pki, pool, enrolment)
            self._server = Server(app, self._context, self._pki, host=self._settings.host, port=self._settings.port)
            await self._begin(pool, lists)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer(self._server))
                tasks.create_task(self._tell_ready(self._server))
                tasks.create_task(keep_fresh(self._settings.ready_file))
                tasks.create_task(self._sign_lists(lists))
                tasks.create_task(self._listen(lists))
                tasks.create_task(self._look_after_leaves(pool))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            pool.terminate()

    async def stop(self) -> None:
        """Answers what is under way."""
        if self._server is not None and self._server.started:
            self._server.should_exit = True
            await self._served.wait()

    async def _begin(self, pool: Pool, lists: Lists) -> None:
        """The broker may hold a list that is about to end, or lack what was revoked when we were last cut short."""
        while True:
            try:
                await self._adopt(pool)
                await lists.sign()
            except AWAY as error:
                end_if_cancelled()
                log.warning("waiting_for_database", error=repr(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _answer(self, server: Server) -> None:
        try:
            await server.serve()
        finally:
            self._served.set()

    async def _tell_ready(self, server: Server) -> None:
        await server.listening.wait()
        file = self._settings.ready_file
        aside = file.with_name(file.name + ".new")
        aside.write_text(f"{server.port}\n")
        aside.replace(file)
        log.info("authority_ready", host=self._settings.host, port=server.port)

    async def _sign_lists(self, lists: Lists) -> None:
        """One after the other; what is revoked meanwhile is in the next."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(notices.POLL_S):  # not wait_for: Python 3.11's loses a cancellation now and then
                    await lists.due.wait()
            lists.due.clear()
            try:
                if await lists.is_due():
                    await lists.sign()
            except (*AWAY, asyncpg.PostgresError, FleetError, OSError) as error:
                end_if_cancelled()
                log.warning("crl_not_signed", error=repr(error))
                await asyncio.sleep(_RETRY_S)
                lists.due.set()

    async def _listen(self, lists: Lists) -> None:
        """Revocations that the web asks for; without a connection the next look at the clock finds them."""
        while True:
            with suppress(*AWAY):
                connection = await connect(self._settings.database, command_timeout_s=_STATEMENT_S)
                try:
                    await _hear(connection, lists)
                finally:
                    connection.terminate()
            await asyncio.sleep(_RETRY_S)

    async def _look_after_leaves(self, pool: Pool) -> None:
        """Renews, adopts, signs with authorities and shows a certificate that somebody renewed."""
        upkeep_at = asyncio.get_running_loop().time()
        while True:
            try:
                self._read_authorities()
                if asyncio.get_running_loop().time() >= upkeep_at:
                    upkeep_at += _UPKEEP_S
                    renewed = await asyncio.to_thread(self._renew)
                    if renewed:
                        log.info("certificates_renewed", renewed=renewed)
                    await self._adopt(pool)
                if self._context.refresh():
                    log.info("server_certificate_read", name=self._settings.server_name)
            except (*AWAY, asyncpg.PostgresError, FleetError, OSError) as error:
                end_if_cancelled()
                log.warning("upkeep_failed", error=repr(error))
            await asyncio.sleep(notices.POLL_S)

    def _renew(self) -> list[str]:
        with alone_in(self._settings.folder):
            self._read_authorities()  # nobody renews them meanwhile
            return self._pki.renew_leaves(datetime.now(UTC))

    def _read_authorities(self) -> None:
        renewed = self._pki.refresh()
        if renewed:
            log.info("authorities_read", renewed=renewed)

    async def _adopt(self, pool: Pool) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await lists_ledger.hold(connection)  # signing a list adopts too
            await adoption.adopt(connection, self._pki)


async def _hear(connection: DirectConnection, lists: Lists) -> None:
    """Until the connection ends."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    await connection.add_listener(notices.REVOCATION, lambda *_: lists.due.set())
    lists.due.set()
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(notices.POLL_S):
                await ended.wait()
        await connection.execute("SELECT 1")
