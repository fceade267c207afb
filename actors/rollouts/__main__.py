"""python -m actors.rollouts --settings FILE: leads rollouts until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from actors.client import Twins
from actors.rollouts.conductor import Conductor
from fleet.errors import FleetError
from fleet.logs import set_up_logs
from fleet.settings import RolloutsSettings, load

log = structlog.get_logger("rollouts")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.rollouts", description="Leads rollouts of configurations")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    try:
        asyncio.run(_serve(load(arguments.settings, RolloutsSettings)))
    except FleetError as error:
        log.error("rollouts_stopped", code=error.code, error=error.detail)
        return 1
    return 0


async def _serve(settings: RolloutsSettings) -> None:
    conductor = Conductor(
        settings.database, lambda: Twins.connect(settings.ray), settings.public_url, settings.ready_file.touch
    )
    settings.ready_file.unlink(missing_ok=True)
    working = asyncio.create_task(conductor.run())
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
