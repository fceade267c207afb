"""What doctor looks at for onboarding: the authority, the revocation list, what the guard has found, and the mail."""

import asyncio
import ssl
import urllib.request
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import psutil
from cryptography import x509

from actors.local.layout import Layout
from actors.local.ports import accepts
from actors.local.texts import text
from fleet import settings
from fleet.limits import CRL_ALARM_BEFORE_S
from fleet.settings import DatabaseSettings, GuardSettings, NotifierSettings, PkiSettings
from fleet.storage import mail, revocations
from fleet.storage.database import AWAY, Connection, connect

_PATIENCE_S = 5.0
T = TypeVar("T")


class Finding(NamedTuple):
    well: bool
    what: str


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
        context = ssl.create_default_context(cafile=layout.pki / "trust" / "servers.pem")
        urllib.request.urlopen(f"{told.public_url}/health/ready", timeout=_PATIENCE_S, context=context).close()  # noqa: S310 - https
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
    standing = asked(told.database, revocations.alarms)
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
    unsent = asked(told.database, mail.unsent)
    if unsent is None:
        return Finding(False, text("database_silent", port=told.database.port))
    if unsent.problem is not None:
        problem = text("mail_unsent", where=where, waiting=unsent.waiting, given_up=unsent.given_up, problem=unsent.problem)
        return Finding(False, problem)
    return Finding(True, where)


def asked(database: DatabaseSettings, question: Callable[[Connection], Awaitable[T]]) -> T | None:
    """None when PostgreSQL does not answer."""

    async def ask() -> T:
        async with asyncio.timeout(_PATIENCE_S):
            connection = await connect(database)
            try:
                return await question(connection)
            finally:
                connection.terminate()

    try:
        return asyncio.run(ask())
    except AWAY:
        return None


def checks(layout: Layout) -> tuple[tuple[str, Callable[[], Finding]], ...]:
    return (
        (text("step_authority"), lambda: authority(layout)),
        (text("check_crl"), lambda: revocation_list(layout.pki, datetime.now(UTC), running=is_running(layout))),
        (text("step_guard"), lambda: guard(layout)),
        (text("mail"), lambda: post(layout)),
    )
