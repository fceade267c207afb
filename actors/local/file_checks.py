"""What doctor looks at for files: the drop box, and how far the importer is."""

from actors.doctor import probes
from actors.doctor.finding import Check, Finding
from actors.local.layout import Layout
from actors.local.onboarding_checks import is_running
from actors.local.texts import text
from fleet import settings
from fleet.settings import ImporterSettings, SftpSettings
from fleet.storage import imports

_LATE_S = 900.0  # a file that was received so long ago and is not read yet; large ones are read within minutes


def drop_box(layout: Layout) -> Finding:
    """Whether it greets as an SSH server does."""
    if not is_running(layout):
        return Finding(True, text("not_running"))
    told = settings.load(layout.settings / "sftp.json", SftpSettings)
    problem = probes.ssh_problem(told.host, told.port)
    if problem is not None:
        return Finding(False, text("sftp_silent", host=told.host, port=told.port, why=problem, log=layout.log("sftp")))
    return Finding(True, text("sftp_answers", host=told.host, port=told.port))


def importer(layout: Layout) -> Finding:
    """Whether files wait for longer than reading them takes."""
    if not is_running(layout):
        return Finding(True, text("not_running"))
    told = settings.load(layout.settings / "importer.json", ImporterSettings)
    backlog = probes.asked(told.database, imports.backlog)
    if backlog is None:
        return Finding(False, text("database_silent", port=told.database.port))
    if backlog.oldest_s > _LATE_S:
        waits = text("files_late", number=backlog.files, minutes=backlog.oldest_s / 60, log=layout.log("importer"))
        return Finding(False, waits)
    return Finding(True, text("files_well", number=backlog.files))


def checks(layout: Layout) -> tuple[Check, ...]:
    return (
        Check(text("step_sftp"), lambda: drop_box(layout)),
        Check(text("step_importer"), lambda: importer(layout)),
    )
