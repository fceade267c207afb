"""python -m actors.rollouts --settings FILE: leads rollouts until SIGTERM."""

import sys

from actors.client import Twins
from actors.rollouts.conductor import Conductor
from actors.service import run_service, until_stopped
from fleet.runtime.secret_file import read_secret
from fleet.settings import RolloutsSettings


async def _serve(settings: RolloutsSettings) -> None:
    read_secret(settings.ray.token_file)
    conductor = Conductor(
        settings.database, lambda: Twins.connect(settings.ray), settings.public_url, settings.ready_file.touch
    )
    await until_stopped(conductor.run())


if __name__ == "__main__":
    sys.exit(run_service("rollouts", "Leads rollouts of configurations", RolloutsSettings, _serve))
