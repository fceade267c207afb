"""What doctor looks at for files: the drop box, and how far the importer is."""

import socket
from collections.abc import Callable

from actors.local.layout import Layout
from actors.local.onboarding_checks import Finding, asked, is_running
from actors.local.texts import text
from fleet import settings
from fleet.settings import ImporterSettings, SftpSettings
from fleet.storage import imports

_PATIENCE_S = 5.0
_LATE_S = 900.0  # a file that was received so long ago and is not read yet; large ones are read within minutes


def drop_box(layout: Layout) -> Finding:
    """Whether it greets as an SSH server does."""
    if not is_running(layout):
        return Finding(True, text("not_running"))
    told = settings.load(layout.settings / "sftp.json", SftpSettings)
    try:
        with socket.create_connection((told.host, told.port), timeout=_PATIENCE_S) as connection:
            greeting = connection.recv(64)
    except OSError as error:
        return Finding(False, text("sftp_silent", host=told.host, port=told.port, why=error, log=layout.log("sftp")))
    if not greeting.startswith(b"SSH-2.0"):
        return Finding(False, text("sftp_silent", host=told.host, port=told.port, why=greeting, log=layout.log("sftp")))
    return Finding(True, text("sftp_answers", host=told.host, port=told.port))


def importer(layout: Layout) -> Finding:
    """Whether files wait for longer than reading them takes."""
    if not is_running(layout):
        return Finding(True, text("not_running"))
    told = settings.load(layout.settings / "importer.json", ImporterSettings)
    backlog = asked(told.database, imports.backlog)
    if backlog is None:
        return Finding(False, text("database_silent", port=told.database.port))
    if backlog.oldest_s > _LATE_S:
        waits = text("files_late", number=backlog.files, minutes=backlog.oldest_s / 60, log=layout.log("importer"))
        return Finding(False, waits)
    return Finding(True, text("files_well", number=backlog.files))


def checks(layout: Layout) -> tuple[tuple[str, Callable[[], Finding]], ...]:
    return ((text("step_sftp"), lambda: drop_box(layout)), (text("step_importer"), lambda: importer(layout)))
