"""The web with its pages behind a real socket, for browsers: a database of its own, twins in memory, everybody's logins."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import uvicorn

from actors.local.ports import LOOPBACK, free_port
from fleet.storage.database import open_pool
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
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)


@contextmanager
def portal_server() -> Iterator[PortalServer]:
    with postgres_server() as cluster, server_folder("portal") as folder:
        running = _Running(cluster.create_database("portal"), folder)
        thread = threading.Thread(target=running.run, name="portal")
        thread.start()
        try:
            yield running.started.result(timeout=60)
        finally:
            running.stop()
            thread.join(timeout=30)


class _Running:
    """A web server on an event loop of its own, in a thread: Playwright has taken the main thread's."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.started: Future[PortalServer] = Future()
        self._database, self._folder = database, folder
        self._server: _Server | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self.started.done():
                self.started.set_exception(error)
            raise

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True

    async def _serve(self) -> None:
        await seed(self._database.owner)
        twins = TwinsInMemory({ALPHA: site_live(ALPHA, ALPHA_METER), BETA: site_live(BETA, BETA_METER)})
        pool = await open_pool(self._database.sp_web, size_max=4)
        port = free_port()
        url = f"http://{LOOPBACK}:{port}"
        settings = msgspec.structs.replace(web_settings(self._database, self._folder, None), public_url=url)
        services = make_services(pool, twins, settings)
        app = create_app(services, pages=PAGE_ROUTES, problem_page=problem_page)
        client = cast("Any", None)  # browsers are its clients
        portal = PortalServer(url, Web(app, client, services, twins, self._database.owner), asyncio.get_running_loop())
        config = uvicorn.Config(app, host=LOOPBACK, port=port, log_level="error", timeout_graceful_shutdown=2)
        self._server = _Server(config, lambda: self.started.set_result(portal))
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
