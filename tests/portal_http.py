"""The web with its pages behind a real socket, for browsers: a database of its own, twins in memory, everybody's logins.

With the importer beside it files are read and stored for real; settle() then makes days of their samples.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import uvicorn

from actors.local.ports import LOOPBACK, free_port
from actors.rollup import Rollup
from fleet.limits import SLOTS
from fleet.storage import lease as leases
from fleet.storage.database import open_pool
from tests.importer_rig import Intake, running_importer
from tests.servers import Database, postgres_server, server_folder
from tests.web_app import (
    ALPHA,
    ALPHA_METER,
    BETA,
    BETA_METER,
    TwinsInMemory,
    Web,
    make_services,
    seed,
    site_live,
    web_settings,
)
from web.app import create_app
from web.pages.routes import PAGE_ROUTES, problem_page

T = TypeVar("T")


@dataclass
class PortalServer:
    """url: what a browser types. run: does something on the server's own event loop, such as `portal.web.execute(...)`."""

    url: str
    web: Web
    database: Database
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=120)

    async def settle(self) -> None:
        """As a shard's roll-up does. The importer's door stores nothing more after it: there is one lease."""
        pool = await open_pool(self.database.sp_twins, size_max=2)
        try:
            async with pool.acquire() as connection:
                lease = await leases.claim(connection, 0, range(SLOTS), "roll-up")
            rollup = Rollup(pool, lease, range(SLOTS), _nothing)
            while (await rollup.run_once(time.time_ns() // 1_000_000)).remaining:
                pass
        finally:
            pool.terminate()


async def _nothing() -> None:
    """No writer is at work."""


@contextmanager
def portal_server(*, importing: bool = False) -> Iterator[PortalServer]:
    running = _Running(importing=importing)
    thread = threading.Thread(target=running.run, name="portal")
    thread.start()
    try:
        yield running.started.result(timeout=120)
    finally:
        running.stop()
        thread.join(timeout=60)


class _Running:
    """Database and web in a thread, on an event loop of its own: Playwright has taken the main thread's."""

    def __init__(self, *, importing: bool) -> None:
        self.started: Future[PortalServer] = Future()
        self._importing = importing
        self._server: _Server | None = None

    def run(self) -> None:
        try:
            with postgres_server() as cluster, server_folder("portal") as folder:
                asyncio.run(self._serve(cluster.create_database("portal"), folder))
        except BaseException as error:
            if not self.started.done():
                self.started.set_exception(error)
            raise

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True

    async def _serve(self, database: Database, folder: Path) -> None:
        await seed(database.owner)
        twins = TwinsInMemory({ALPHA: site_live(ALPHA, ALPHA_METER), BETA: site_live(BETA, BETA_METER)})
        pool = await open_pool(database.sp_web, size_max=4)
        port = free_port()
        url = f"http://{LOOPBACK}:{port}"
        settings = msgspec.structs.replace(web_settings(database, folder, None), public_url=url)
        services = make_services(pool, twins, settings)
        app = create_app(services, pages=PAGE_ROUTES, problem_page=problem_page)
        client = cast("Any", None)  # browsers are its clients
        web = Web(app, client, services, twins, database.owner)
        portal = PortalServer(url, web, database, asyncio.get_running_loop())
        config = uvicorn.Config(app, host=LOOPBACK, port=port, log_level="error", timeout_graceful_shutdown=2)
        self._server = _Server(config, lambda: self.started.set_result(portal))
        async with running_importer(Intake(database, folder)) if self._importing else nullcontext():
            await self._server.serve()
        pool.terminate()


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: "list[socket.socket] | None" = None) -> None:
        await super().startup(sockets)
        self._listening()
