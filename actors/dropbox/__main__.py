"""python -m actors.dropbox --settings FILE: takes in loggers' files by SFTP until SIGTERM."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import asyncssh
import structlog

from actors.dropbox.server import DropBox
from fleet.errors import FleetError
from fleet.logs import set_up_logs
from fleet.settings import SftpSettings, load

log = structlog.get_logger("dropbox")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.dropbox", description="Takes in loggers' files by SFTP")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    asyncssh.set_log_level(logging.ERROR)  # of each connection our own line is enough
    try:
        asyncio.run(_serve(load(arguments.settings, SftpSettings)))
    except FleetError as error:
        log.error("dropbox_stopped", code=error.code, error=error.detail)
        return 1
    return 0


async def _serve(settings: SftpSettings) -> None:
    settings.ready_file.unlink(missing_ok=True)
    drop_box = DropBox(settings)
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, drop_box.stop)
    try:
        await drop_box.run()
    finally:
        settings.ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
