"""What doctor looks at for onboarding: the authority, the revocation list, what the guard has found, and the mail."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
from cryptography import x509

from actors.doctor import probes
from actors.doctor.finding import Check, Finding
from actors.local.layout import Layout
from actors.local.ports import accepts
from actors.local.texts import text
from fleet import settings
from fleet.limits import CRL_ALARM_BEFORE_S
from fleet.settings import GuardSettings, NotifierSettings, PkiSettings
from fleet.storage import mail, revocations


class _Running(msgspec.Struct, frozen=True):
    pid: int


def is_running(layout: Layout) -> bool:
    """By ready.json, and the process that it names."""
    try:
        return bool(psutil.pid_exists(msgspec.json.decode(layout.ready_file.read_bytes(), type=_Running).pid))
    except (OSError, msgspec.DecodeError):
        return False


def authority(layout: Layout) -> Finding:
    """Whether devices can enrol: asks as they do, verifying the server."""
    if not is_running(layout):
        return Finding(True, text("not_running"))
    told = settings.load(layout.settings / "pki.json", PkiSettings)
    try:
        probes.get(f"{told.public_url}/health/ready", layout.pki / "trust" / "servers.pem")
    except OSError as error:
        return Finding(False, text("authority_silent", url=told.public_url, why=error, log=layout.log("pki")))
    return Finding(True, text("authority_answers", url=told.public_url))


def revocation_list(pki: Path, now: datetime, *, running: bool = True) -> Finding:
    """Until when the devices' one is good. Past its end the broker refuses everyone; a start makes a new one."""
    file = pki / "trust" / "devices.crl.pem"
    if not file.exists():
        return Finding(True, text("crl_none"))
    ends = x509.load_pem_x509_crl(file.read_bytes()).next_update_utc
    if ends is None:  # nothing that we make
        return Finding(False, text("crl_endless", file=file))
    if not running:
        return Finding(True, text("crl_stopped" if ends <= now else "crl_until", when=f"{ends:%Y-%m-%d %H:%M} UTC"))
    if ends <= now:
        return Finding(False, text("crl_over", when=f"{ends:%Y-%m-%d %H:%M} UTC"))
    late = (ends - now).total_seconds() < CRL_ALARM_BEFORE_S
    return Finding(not late, text("crl_late" if late else "crl_until", when=f"{ends:%Y-%m-%d %H:%M} UTC"))


def guard(layout: Layout) -> Finding:
    """The alarms that stand."""
    if not is_running(layout):
        return Finding(True, text("not_running"))
    told = settings.load(layout.settings / "guard.json", GuardSettings)
    standing = probes.asked(told.database, revocations.alarms)
    if standing is None:
        return Finding(False, text("database_silent", port=told.database.port))
    if standing:
        alarms = "; ".join(f"{alarm.detail} [{alarm.code}]" for alarm in standing)
        return Finding(False, text("guard_alarms", alarms=alarms))
    return Finding(True, text("guard_well"))


def post(layout: Layout) -> Finding:
    """Where e-mail goes, and what could not be sent."""
    file = layout.settings / "notifier.json"
    if not file.exists():
        return Finding(True, text("mail_none"))
    told = settings.load(file, NotifierSettings)
    where = text("mail_folder", folder=told.mail_folder)
    if told.smtp is not None:
        where = text("mail_server", host=told.smtp.host, port=told.smtp.port)
        if not accepts(told.smtp.port, told.smtp.host):
            return Finding(False, text("mail_silent", host=told.smtp.host, port=told.smtp.port))
    if not is_running(layout):
        return Finding(True, where)
    unsent = probes.asked(told.database, mail.unsent)
    if unsent is None:
        return Finding(False, text("database_silent", port=told.database.port))
    if unsent.problem is not None:
        problem = text("mail_unsent", where=where, waiting=unsent.waiting, given_up=unsent.given_up, problem=unsent.problem)
        return Finding(False, problem)
    return Finding(True, where)


def checks(layout: Layout) -> tuple[Check, ...]:
    return (
        Check(text("step_authority"), lambda: authority(layout)),
        Check(text("check_crl"), lambda: revocation_list(layout.pki, datetime.now(UTC), running=is_running(layout))),
        Check(text("step_guard"), lambda: guard(layout)),
        Check(text("mail"), lambda: post(layout)),
    )
