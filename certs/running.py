"""What the command line does with the database: serve, revoke, show the ledger."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from certs import service
from certs.authority import Pki
from certs.lists import Lists
from fleet.errors import NotFound, Unavailable
from fleet.ids import device_id
from fleet.runtime.logs import set_up_logs
from fleet.runtime.process import run_to_end
from fleet.settings import PkiSettings, load
from fleet.storage import audit, certificates, enrolled, revocations
from fleet.storage.certificates import Entry
from fleet.storage.database import AWAY, connect, open_pool
from fleet.storage.revocations import RevocationReason

T = TypeVar("T")


def serve(settings_file: Path) -> int:
    """The exit code, once told to stop."""
    set_up_logs()
    return run_to_end("authority", lambda: _run(service.serve(load(settings_file, PkiSettings))))


def ledger(settings: PkiSettings) -> str:
    """One line per certificate. Raises Unavailable (database_away)."""
    return _run(_ledger(settings))


def revoke(settings: PkiSettings, device: str, reason: RevocationReason, note: str) -> str:
    """Works whether or not the authority is running: the list is signed here. What came of it, for people.

    Raises NotFound (unknown_device), BadInput (bad_id, bad_key), Unavailable (database_away).
    """
    return _run(_revoke(settings, device, reason, note))


def _run(doing: Coroutine[Any, Any, T]) -> T:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop).run(doing)


async def _ledger(settings: PkiSettings) -> str:
    try:
        connection = await connect(settings.database)
    except AWAY as error:
        raise Unavailable("database_away", f"PostgreSQL does not answer: {error}") from None
    try:
        return "\n".join(_line(one) for one in await certificates.all_entries(connection))
    finally:
        await connection.close()


async def _revoke(settings: PkiSettings, device: str, reason: RevocationReason, note: str) -> str:
    name = device_id(device)
    pool = await open_pool(settings.database, size_max=2)
    try:
        async with pool.acquire() as connection, connection.transaction():
            held = await enrolled.hold(connection, name)
            if held is None:
                raise NotFound("unknown_device", f"no device {name}")
            row = await revocations.request_revocation(
                connection, site=held.site, device=name, reason=reason, note=note, requested_by=None
            )
            detail = {"site": held.site, "revocation": row.id, "reason": reason}
            await audit.record(connection, "device.revoke", subject=name, detail=detail)
        if row.crl_number is not None:
            return f"{name} was revoked before: revocation {row.id}, list {row.crl_number}"
        number = await Lists(Pki(settings.folder), pool).sign()
        return f"{name} is revoked: revocation {row.id}, list {number}"
    finally:
        await pool.close()


def _line(one: Entry) -> str:
    return f"{one.serial} {one.device:32} {_state(one):10} until {one.not_after:%Y-%m-%d %H:%M} UTC"


def _state(one: Entry) -> str:
    if one.revoked_at is not None:
        return "revoked"
    if one.superseded_at is not None:
        return "superseded"
    return "announced" if one.der is None else "in force"
