"""python -m actors.importer --settings FILE: takes files in until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from actors.client import Twins
from actors.importer.importer import Importer
from fleet.errors import FleetError
from fleet.logs import set_up_logs
from fleet.settings import ImporterSettings, load

log = structlog.get_logger("importer")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.importer", description="Takes loggers' files in")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    try:
        asyncio.run(_serve(load(arguments.settings, ImporterSettings)))
    except FleetError as error:
        log.error("importer_stopped", code=error.code, error=error.detail)
        return 1
    return 0


async def _serve(settings: ImporterSettings) -> None:
    importer = Importer(settings, lambda: Twins.connect(settings.ray), settings.ready_file.touch)
    settings.ready_file.unlink(missing_ok=True)
    working = asyncio.create_task(importer.run())
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, working.cancel)
    try:
        await working
    except asyncio.CancelledError:
        pass
    finally:
        settings.ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
