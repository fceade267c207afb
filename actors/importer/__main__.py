"""python -m actors.importer --settings FILE: takes files in until SIGTERM."""

import sys
from pathlib import Path

import structlog

from actors.client import Twins
from actors.importer.importer import Importer
from actors.service import run_service, until_stopped
from fleet.errors import Unavailable
from fleet.folders import alone_with, require_writable
from fleet.secret_file import read_secret
from fleet.settings import ImporterSettings
from fleet.storage import pull_secrets


async def _serve(settings: ImporterSettings) -> None:
    read_secret(settings.ray.token_file)
    pull_secrets.require_key(settings.pull_key_file)
    for folder in (settings.intake_folder, settings.dropbox_folder):
        _require(folder)
    with alone_with(settings.intake_folder, "importer"):
        importer = Importer(settings, lambda: Twins.connect(settings.ray), settings.ready_file.touch)
        await until_stopped(importer.run())


def _require(folder: Path) -> None:
    """A full disk is no reason to stay away: the importer is who lets go of old originals, and refuses what has no room."""
    try:
        require_writable(folder)
    except Unavailable as error:
        if error.code != "disk_full":
            raise
        structlog.get_logger("importer").error("no_room", code=error.code, error=error.detail)


if __name__ == "__main__":
    sys.exit(run_service("importer", "Takes loggers' files in", ImporterSettings, _serve))
