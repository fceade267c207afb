"""python -m actors.dropbox --settings FILE: takes in loggers' files by SFTP until SIGTERM."""

import logging
import sys

import asyncssh

from actors.dropbox.server import DropBox
from actors.service import on_stop, run_service
from fleet.runtime.folders import alone_with, require_writable
from fleet.settings import SftpSettings


async def _serve(settings: SftpSettings) -> None:
    asyncssh.set_log_level(logging.ERROR)  # of each connection our own line is enough
    require_writable(settings.folder)
    with alone_with(settings.folder, "dropbox"):
        drop_box = DropBox(settings)
        on_stop(drop_box.stop)
        await drop_box.run()


if __name__ == "__main__":
    sys.exit(run_service("dropbox", "Takes in loggers' files by SFTP", SftpSettings, _serve))
