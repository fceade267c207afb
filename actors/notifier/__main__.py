"""python -m actors.notifier --settings FILE: sends the platform's e-mail until SIGTERM."""

import sys

from actors.notifier.carriers import carrier_of
from actors.notifier.notifier import Notifier
from actors.service import on_stop, run_service
from fleet.runtime.folders import require_writable
from fleet.settings import NotifierSettings


async def _serve(settings: NotifierSettings) -> None:
    if settings.smtp is None:
        require_writable(settings.mail_folder)
    notifier = Notifier(settings.database, carrier_of(settings), settings.ready_file.touch)
    on_stop(notifier.stop)
    await notifier.run()


if __name__ == "__main__":
    sys.exit(run_service("notifier", "Sends the platform's e-mail", NotifierSettings, _serve))
