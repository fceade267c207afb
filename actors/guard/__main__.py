"""python -m actors.guard --settings FILE: stands beside the broker until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from actors.guard.guard import Guard
from fleet.errors import FleetError
from fleet.logs import set_up_logs
from fleet.settings import GuardSettings, load

log = structlog.get_logger("guard")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m actors.guard", description="Lets revocations take effect, and proves it"
    )
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    try:
        asyncio.run(_serve(load(arguments.settings, GuardSettings)))
    except FleetError as error:
        log.error("guard_stopped", code=error.code, error=error.detail)
        return 1
    return 0


async def _serve(settings: GuardSettings) -> None:
    settings.ready_file.unlink(missing_ok=True)
    guard = Guard(settings)
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, guard.stop)
    try:
        await guard.run()
    finally:
        settings.ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
