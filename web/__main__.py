"""python -m web --settings FILE: the portal and the API. The only place that reads settings and puts the parts together."""

import argparse
import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM
from types import FrameType

import structlog
import uvicorn
import uvloop

from actors.client import Twins
from certs.tls import broker_context
from fleet import settings as files
from fleet.errors import BadInput, Unavailable
from fleet.limits import WEB_POOL_CONNECTIONS
from fleet.runtime.folders import full
from fleet.runtime.follow import tracing_of
from fleet.runtime.logs import set_up_logs
from fleet.runtime.process import run_to_end, unless_stopped
from fleet.runtime.secret_file import read_secret
from fleet.settings import WebSettings
from fleet.storage import pull_secrets
from fleet.storage.database import Pool, open_pool
from fleet.storage.readiness import until_ready
from web.app import create_app
from web.live import LiveFeed
from web.pages.routes import PAGE_ROUTES, problem_page
from web.proxies import believed
from web.services import Services
from web.tokens import load_tokens
from web.twins_door import TwinsDoor

_SHUTDOWN_S = 2  # for requests that are being answered; streams end at once

log = structlog.get_logger("web")


class Server(uvicorn.Server):
    """Tells the open event streams to end as soon as it is told to stop; uvicorn alone would wait for them."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._closing = services.closing
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own ends the process by the signal that it has caught, before anybody could tidy up."""
        for signal_ in (SIGTERM, SIGINT):
            self._loop.add_signal_handler(signal_, self.handle_exit, signal_, None)
        try:
            yield
        finally:
            for signal_ in (SIGTERM, SIGINT):
                self._loop.remove_signal_handler(signal_)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing.set()
        super().handle_exit(sig, frame)


async def serve(settings: WebSettings) -> None:
    """Until SIGTERM or SIGINT. Raises BadInput (tracing_not_installed), and what else keeps it from serving: see _look and
    fleet.storage.readiness.
    """
    tokens = load_tokens(settings.jwt_key_file, settings.public_url)
    tracing = tracing_of(settings.tracing, "web")
    _look(settings)
    pools: list[Pool] = []
    if not await unless_stopped(_until_open(settings, pools)):
        return
    (pool,) = pools
    try:
        asking = None if tracing is None else tracing.asking
        door = TwinsDoor(lambda: Twins.connect(settings.ray, asking))
        live = LiveFeed(settings.broker, partial(broker_context, settings.broker))
        services = Services(settings=settings, pool=pool, tokens=tokens, door=door, live=live, tracing=tracing)
        log.info("web_starts", url=settings.public_url, host=settings.host, port=settings.port)
        await make_server(services).serve()
    finally:
        pool.terminate()


async def _until_open(settings: WebSettings, pools: list[Pool]) -> None:
    """All that is waited for before the server minds the signals itself: nothing is between the two that would lose one."""
    await until_ready(settings.database, log)
    pools.append(await open_pool(settings.database, size_max=WEB_POOL_CONNECTIONS, command_timeout_s=10.0))


def make_server(services: Services) -> Server:
    """On settings.host and settings.port; at most _SHUTDOWN_S from its signal to its end.

    Raises BadInput (bad_settings), Unavailable (no_such_host): see web.proxies.
    """
    settings = services.settings
    config = uvicorn.Config(
        create_app(services, pages=PAGE_ROUTES, problem_page=problem_page),
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=believed(settings.trusted_proxies),
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    return Server(config, services)


def _look(settings: WebSettings) -> None:
    """Files that were never right are said now. Raises BadInput (bad_secret_file, bad_settings, bad_tls_files), Unavailable
    (read_only, no_permission, port_busy).
    """
    read_secret(settings.ray.token_file)
    if settings.pull_key_file is not None:
        pull_secrets.require_key(settings.pull_key_file)
    if settings.intake_folder is not None and (full_disk := full(settings.intake_folder)) is not None:
        log.error("no_uploads", code=full_disk.code, error=full_disk.detail)
    try:
        socket.create_server((settings.host, settings.port)).close()
    except OSError as error:  # uvicorn would end the process without a word of ours
        where = f"{settings.host}:{settings.port}"
        raise Unavailable("port_busy", f"{where} cannot be listened on: {error.strerror or error}") from None
    try:
        broker_context(settings.broker)
    except BadInput as error:
        if error.code == "bad_tls_files":
            raise
        log.error("no_live_feed", code=error.code, error=error.detail)  # pages go without, and each attempt looks anew


def main() -> int:
    parser = argparse.ArgumentParser(prog="web", description="The portal and the API of SolarPerform.")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file with this process's settings")
    arguments = parser.parse_args()
    set_up_logs()
    return run_to_end("web", lambda: _run(files.load(arguments.settings, WebSettings)))


def _run(settings: WebSettings) -> None:
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve(settings))


if __name__ == "__main__":
    os._exit(main())  # at once: a thread may still wait for a Ray that has gone, and all else is closed
