"""python -m actors.importer --settings FILE: takes files in until SIGTERM."""

import sys

from actors.client import Twins
from actors.importer.importer import Importer
from actors.service import run_service, until_stopped
from fleet.settings import ImporterSettings


async def _serve(settings: ImporterSettings) -> None:
    importer = Importer(settings, lambda: Twins.connect(settings.ray), settings.ready_file.touch)
    await until_stopped(importer.run())


if __name__ == "__main__":
    sys.exit(run_service("importer", "Takes loggers' files in", ImporterSettings, _serve))
