"""python -m actors.notifier --settings FILE: sends the platform's e-mail until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from actors.notifier.carriers import carrier_of
from actors.notifier.notifier import Notifier
from fleet.errors import FleetError
from fleet.logs import set_up_logs
from fleet.settings import NotifierSettings, load

log = structlog.get_logger("notifier")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.notifier", description="Sends the platform's e-mail")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    try:
        asyncio.run(_serve(load(arguments.settings, NotifierSettings)))
    except FleetError as error:
        log.error("notifier_stopped", code=error.code, error=error.detail)
        return 1
    return 0


async def _serve(settings: NotifierSettings) -> None:
    notifier = Notifier(settings.database, carrier_of(settings), settings.ready_file.touch)
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, notifier.stop)
    settings.ready_file.unlink(missing_ok=True)
    try:
        await notifier.run()
    finally:
        settings.ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
