"""What a restore cannot bring back, and must not bring back.

Rollouts wait for a person's yes: one may have been aborted since. Commands that waited are not sent: they may have been
taken back, or given again.

Devices' certificates that were revoked since the backup are in force again, unless a newer list of the same authority is at
hand. Lists go on above every number that can have been used: the authority signs at most one a second.
"""

from datetime import UTC, datetime
from pathlib import Path
from secrets import choice
from typing import NamedTuple

from cryptography import x509
from cryptography.x509 import CertificateRevocationList

from actors.keeping.manifest import Header
from actors.keeping.texts import text
from certs import crl, last_list, profiles
from certs.authority import Pki, alone_in
from certs.keys import PublicKey
from fleet.errors import BadInput
from fleet.receipts import RESTORE_CHAINS
from fleet.storage import restored
from fleet.storage.database import Connection


class Aftermath(NamedTuple):
    """revoked_again: (serial, device) of what only the newer list revokes. None: there was no newer list.

    list_number  of the last list; the next one is above it. None: the authority has no list, and has never served
    paused       names of rollouts that were under way
    cancelled    how many commands waited to be sent
    """

    revoked_again: list[tuple[str, str]] | None
    list_number: int | None
    paused: list[str]
    cancelled: int


class NewerList(NamedTuple):
    file: Path
    told: CertificateRevocationList


def list_in(file: Path) -> NewerList:
    """Of whichever authority. Raises BadInput (crl_foreign)."""
    try:
        told = x509.load_pem_x509_crl(file.read_bytes())
        crl.number_of(told)
    except (OSError, ValueError, x509.InvalidVersion, BadInput) as error:
        raise BadInput("crl_foreign", text("crl_foreign", file=file, why=error)) from None
    return NewerList(file, told)


async def settle(connection: Connection, pki: Path, header: Header, newer: NewerList | None) -> Aftermath:
    """Within the restore's transaction, once the files are there: nothing starts in which this has not been done.

    Raises BadInput (crl_foreign).
    """
    authorities = Pki(pki) if (pki / "trust").is_dir() else None
    if newer is not None and authorities is not None:
        _require_ours(newer, authorities)
    await restored.end_sessions(connection)
    again = None
    if newer is not None and authorities is not None:
        held = [(f"{entry.serial_number:x}", entry.revocation_date_utc) for entry in newer.told]
        again = await restored.revoke_again(connection, held)
        await restored.revoke_unknown(connection, held, datetime.now(UTC) + profiles.CLIENT.life)
    await restored.forget_lists(connection)
    now = round(datetime.now(UTC).timestamp() * 1000)
    paused = await restored.pause_rollouts(connection, now)
    cancelled = await restored.cancel_commands(connection, now, choice(RESTORE_CHAINS))
    number = None if authorities is None else _move_on(authorities, header, newer)
    return Aftermath(again, number, paused, cancelled)


def _require_ours(newer: NewerList, pki: Pki) -> None:
    """Raises BadInput (crl_foreign)."""
    key = pki.devices.cert.public_key()
    if not isinstance(key, PublicKey) or not newer.told.is_signature_valid(key):
        raise BadInput("crl_foreign", text("crl_foreign", file=newer.file, why="signature"))


def _move_on(pki: Pki, header: Header, newer: NewerList | None) -> int | None:
    """None: the authority has no list, and has never served."""
    now = datetime.now(UTC)
    with alone_in(pki.folder):
        last = last_list.standing(pki.devices, pki.folder)
        if last is None:
            return None
        passed = now - datetime.fromisoformat(header.taken_at)
        number = crl.number_of(last) + max(0, int(passed.total_seconds())) + 1
        if newer is not None:
            number = max(number, crl.number_of(newer.told) + 1)
        last_list.go_on_from(pki, number, now)
        return number
