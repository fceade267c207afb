"""python -m actors.importer --settings FILE: takes files in until SIGTERM."""

import sys

import structlog

from actors.client import Twins
from actors.importer.importer import Importer
from actors.service import run_service, until_stopped
from fleet.runtime.folders import alone_with, full
from fleet.runtime.secret_file import read_secret
from fleet.settings import ImporterSettings
from fleet.storage import pull_secrets

log = structlog.get_logger("importer")


async def _serve(settings: ImporterSettings) -> None:
    read_secret(settings.ray.token_file)
    pull_secrets.require_key(settings.pull_key_file)
    for folder in (settings.intake_folder, settings.dropbox_folder):
        if (error := full(folder)) is not None:  # no reason to stay away: old originals are let go of here
            log.error("no_room", code=error.code, error=error.detail)
    with alone_with(settings.intake_folder, "importer"):
        importer = Importer(settings, lambda: Twins.connect(settings.ray), settings.ready_file.touch)
        await until_stopped(importer.run())


if __name__ == "__main__":
    sys.exit(run_service("importer", "Takes loggers' files in", ImporterSettings, _serve))
