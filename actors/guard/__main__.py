"""python -m actors.guard --settings FILE: stands beside the broker until SIGTERM."""

import sys

from actors.guard.guard import Guard
from actors.service import on_stop, run_service
from fleet.settings import GuardSettings


async def _serve(settings: GuardSettings) -> None:
    guard = Guard(settings)
    on_stop(guard.stop)
    await guard.run()


if __name__ == "__main__":
    sys.exit(run_service("guard", "Lets revocations take effect, and proves it", GuardSettings, _serve))
