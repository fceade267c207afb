"""What the processes beside the twins have in common: `--settings FILE`, work until SIGTERM, a ready file while at it."""

import argparse
import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fleet.errors import FleetError
from fleet.logs import set_up_logs
from fleet.settings import GuardSettings, ImporterSettings, NotifierSettings, RolloutsSettings, SftpSettings, load

S = TypeVar("S", GuardSettings, ImporterSettings, NotifierSettings, RolloutsSettings, SftpSettings)  # each has a ready file
Work = Coroutine[Any, Any, None]


def run_service(name: str, what: str, kind: type[S], serve: Callable[[S], Work]) -> int:
    """The exit code. serve says itself how it stops: by `on_stop` or `until_stopped`. The ready file is its to touch."""
    parser = argparse.ArgumentParser(prog=f"python -m actors.{name}", description=what)
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    try:
        settings = load(arguments.settings, kind)
        settings.ready_file.unlink(missing_ok=True)
        try:
            asyncio.run(serve(settings))
        finally:
            settings.ready_file.unlink(missing_ok=True)
    except FleetError as error:
        structlog.get_logger(name).error(f"{name}_stopped", code=error.code, error=error.detail)
        return 1
    return 0


def on_stop(stop: Callable[[], object]) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop)


async def until_stopped(work: Work) -> None:
    """Of work that may be cut off anywhere."""
    working = asyncio.create_task(work)
    on_stop(working.cancel)
    with suppress(asyncio.CancelledError):
        await working
