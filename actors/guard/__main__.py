"""python -m actors.guard --settings FILE: stands beside the broker until SIGTERM."""

import sys

from actors.guard.guard import Guard
from actors.service import on_stop, run_service
from certs.tls import broker_context
from fleet.runtime.folders import alone_with, require_writable
from fleet.settings import GuardSettings


async def _serve(settings: GuardSettings) -> None:
    require_writable(settings.broker_folder)
    broker_context(settings.broker)
    with alone_with(settings.broker_folder, "guard"):
        guard = Guard(settings)
        on_stop(guard.stop)
        await guard.run()


if __name__ == "__main__":
    sys.exit(run_service("guard", "Lets revocations take effect, and proves it", GuardSettings, _serve))
