"""What the database says of the installation: whether it is itself as it should be, and what it knows of the others."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from actors.doctor.finding import Check, Finding
from actors.doctor.probes import asked
from actors.doctor.settings import DoctorSettings
from actors.doctor.texts import text, told
from fleet.errors import FleetError, Unavailable
from fleet.limits import CRL_ALARM_BEFORE_S, FUTURE_SKEW_MAX_S, SLOTS
from fleet.settings import DatabaseSettings
from fleet.storage import operations
from fleet.storage.database import Connection
from fleet.storage.migrate import SERVICE_ROLES
from fleet.storage.operations import Figure
from fleet.storage.readiness import look

_LATE_S: Final = 900.0  # a file that was received, or a mail laid down, so long ago; large files are read within minutes
_SKEW_WARN_S: Final = FUTURE_SKEW_MAX_S / 10

Figures = dict[tuple[str, str], float]
Judge = Callable[[Figures, datetime], Finding]


def checks(settings: DoctorSettings) -> list[Check]:
    judges: tuple[tuple[str, Judge], ...] = (
        ("slots", slots),
        ("crl", crl),
        ("guard", guard),
        ("device_certificates", device_certificates),
        ("files", files),
        ("mails", mails),
    )
    return [
        Check(text("database"), partial(_database, settings.database)),
        Check(text("time"), partial(_time, settings.database)),
        *(Check(text("role", role=role), partial(_role, settings, role)) for role in SERVICE_ROLES),
        *(Check(text(name), partial(_of_figures, settings.database, judge)) for name, judge in judges),
    ]


def _database(database: DatabaseSettings) -> Finding:
    try:
        asyncio.run(look(database))
    except FleetError as error:
        return Finding(False, told(error))
    return Finding(True, text("database_well", host=database.host, port=database.port))


def _time(database: DatabaseSettings) -> Finding:
    async def skew_s(connection: Connection) -> float:
        await connection.fetchval("SELECT 1")  # the first statement takes longer
        now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return abs((datetime.now(UTC) - now).total_seconds())

    try:
        apart_s = asked(database, skew_s)
    except FleetError as error:
        return Finding(False, told(error))
    if apart_s is None:
        return _silent(database)
    if apart_s > FUTURE_SKEW_MAX_S:
        return Finding(False, f"{text('why_clock_skew')} {text('time_well', skew_s=apart_s)}")
    return Finding(True, text("time_well", skew_s=apart_s), warns=apart_s > _SKEW_WARN_S)


def _role(settings: DoctorSettings, role: str) -> Finding:
    """Whether the password that its service was given opens the database."""
    password = settings.passwords_folder / role
    database = msgspec.structs.replace(settings.database, user=role, password_file=password)
    try:
        opened = asked(database, lambda connection: connection.fetchval("SELECT true"))
    except FleetError as error:
        return Finding(False, told(error))
    return Finding(True, text("role_well")) if opened else _silent(database)


def _of_figures(database: DatabaseSettings, judge: Judge) -> Finding:
    try:
        found = asked(database, operations.figures)
    except FleetError as error:
        return Finding(False, told(error))
    return _silent(database) if found is None else judge(by_name(found), datetime.now(UTC))


def _silent(database: DatabaseSettings) -> Finding:
    where = text("database_silent", host=database.host, port=database.port)
    return Finding(False, told(Unavailable("database_away", where)))


# what the figures mean ---------------------------------------------------------------------------------------------


def by_name(found: list[Figure]) -> Figures:
    return {(figure.name, figure.label): figure.value for figure in found}


def slots(figures: Figures, _now: datetime) -> Finding:
    held = int(figures.get(("leased_slots", ""), 0))
    return Finding(held >= SLOTS, text("slots_well" if held >= SLOTS else "slots_bad", held=held, all=SLOTS))


def crl(figures: Figures, now: datetime) -> Finding:
    end_s = figures.get(("crl_end_time", ""))
    if end_s is None:
        return Finding(False, text("crl_none"))
    ends = f"{datetime.fromtimestamp(end_s, UTC):%Y-%m-%d %H:%M} UTC"
    left_s = end_s - now.timestamp()
    if left_s <= 0:
        return Finding(False, text("crl_over", ends=ends))
    if left_s < CRL_ALARM_BEFORE_S:
        return Finding(False, text("crl_late", ends=ends))
    proven = ("crl_proven_time", "") in figures
    return Finding(True, text("crl_well" if proven else "crl_unproven", ends=ends), warns=not proven)


def guard(figures: Figures, _now: datetime) -> Finding:
    alarms = sorted(label for name, label in figures if name == "revocation_alarms")
    return Finding(not alarms, text("guard_bad", alarms=", ".join(alarms)) if alarms else text("guard_well"))


def device_certificates(figures: Figures, _now: datetime) -> Finding:
    in_force, ending, ended = (
        int(figures.get(("device_certificates", label), 0)) for label in ("in_force", "ending", "ended")
    )
    if ending or ended:
        told_of = text("device_certificates_ending", in_force=in_force, ending=ending, ended=ended)
        return Finding(True, told_of, warns=True)
    return Finding(True, text("device_certificates_well", in_force=in_force))


def files(figures: Figures, _now: datetime) -> Finding:
    waiting = int(sum(value for (name, _), value in figures.items() if name == "files"))
    oldest_s = figures.get(("files_oldest_s", ""), 0)
    if waiting and oldest_s > _LATE_S:
        return Finding(False, text("files_late", waiting=waiting, minutes=oldest_s / 60))
    return Finding(True, text("files_well", waiting=waiting))


def mails(figures: Figures, _now: datetime) -> Finding:
    waiting, given_up = (int(figures.get(("mails", label), 0)) for label in ("waiting", "given_up"))
    oldest_s = figures.get(("mail_oldest_s", ""), 0)
    late = waiting > 0 and oldest_s > _LATE_S
    if late or given_up:
        return Finding(not late, text("mails_bad", waiting=waiting, minutes=oldest_s / 60, given_up=given_up), warns=True)
    return Finding(True, text("mails_well", waiting=waiting))
