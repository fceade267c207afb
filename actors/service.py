"""What the processes beside the twins have in common: `--settings FILE`, work until SIGTERM, a ready file while at it."""

import argparse
import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fleet.runtime.folders import require_writable
from fleet.runtime.logs import set_up_logs
from fleet.runtime.metrics_port import open_metrics
from fleet.runtime.process import keep_fresh, run_to_end, unless_stopped
from fleet.settings import GuardSettings, ImporterSettings, NotifierSettings, RolloutsSettings, SftpSettings, load
from fleet.storage.readiness import until_ready

S = TypeVar("S", GuardSettings, ImporterSettings, NotifierSettings, RolloutsSettings, SftpSettings)  # each has a ready file
Work = Coroutine[Any, Any, None]


def run_service(name: str, what: str, kind: type[S], serve: Callable[[S], Work]) -> int:
    """The exit code. serve says itself how it stops: by `on_stop` or `until_stopped`. The ready file is its to touch.

    It is called once the database is ready for it.
    """
    parser = argparse.ArgumentParser(prog=f"python -m actors.{name}", description=what)
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    return run_to_end(name, lambda: _run(name, load(arguments.settings, kind), serve))


def _run(name: str, settings: S, serve: Callable[[S], Work]) -> None:
    require_writable(settings.ready_file.parent)
    settings.ready_file.unlink(missing_ok=True)
    open_metrics(settings.metrics)
    try:
        asyncio.run(_serve(name, settings, serve))
    finally:
        settings.ready_file.unlink(missing_ok=True)


async def _serve(name: str, settings: S, serve: Callable[[S], Work]) -> None:
    if await unless_stopped(until_ready(settings.database, structlog.get_logger(name))):
        fresh = asyncio.create_task(keep_fresh(settings.ready_file), name="ready file")
        try:
            await serve(settings)
        finally:
            fresh.cancel()


def on_stop(stop: Callable[[], object]) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop)


async def until_stopped(work: Work) -> None:
    """Of work that may be cut off anywhere."""
    working = asyncio.create_task(work)
    on_stop(working.cancel)
    with suppress(asyncio.CancelledError):
        await working
