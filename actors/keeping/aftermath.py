"""What a restore cannot bring back, and must not bring back.

Devices' certificates that were revoked since the backup are in force again, unless a newer list of the same authority is at
hand. Lists go on above every number that can have been used: the authority signs at most one a second.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from actors.keeping.manifest import Header
from actors.keeping.texts import text
from certs import crl, last_list, profiles
from certs.authority import Pki, alone_in
from certs.keys import PublicKey
from fleet.errors import BadInput
from fleet.settings import KeepingSettings
from fleet.storage import restored
from fleet.storage.database import connect


class Aftermath(NamedTuple):
    """revoked_again: (serial, device) of what only the newer list revokes. None: there was no newer list.

    list_number: of the last list; the next one is above it.
    """

    revoked_again: list[tuple[str, str]] | None
    list_number: int | None


async def settle(settings: KeepingSettings, header: Header, newer_list: Path | None) -> Aftermath:
    """After `verify`: signs everybody out, revokes again, and moves the lists' numbers on. Raises BadInput (crl_foreign)."""
    again: list[tuple[str, str]] | None = None
    newer: x509.CertificateRevocationList | None = None
    has_pki = (settings.pki / "trust").is_dir()
    with_pki = Pki(settings.pki) if has_pki else None
    if newer_list is not None and with_pki is not None:
        newer = _checked(newer_list, with_pki)
    connection = await connect(settings.database)
    try:
        async with connection.transaction():
            await restored.end_sessions(connection)
            if newer is not None:
                held = [(f"{entry.serial_number:x}", entry.revocation_date_utc) for entry in newer]
                again = await restored.revoke_again(connection, held)
                await restored.revoke_unknown(connection, held, datetime.now(UTC) + profiles.CLIENT.life)
            await restored.forget_lists(connection)
    finally:
        await connection.close()
    number = None if with_pki is None else _move_on(with_pki, header, newer)
    return Aftermath(again, number)


def _checked(file: Path, pki: Pki) -> x509.CertificateRevocationList:
    try:
        told = x509.load_pem_x509_crl(file.read_bytes())
        key = pki.devices.cert.public_key()
        if not isinstance(key, PublicKey) or not told.is_signature_valid(key):
            raise ValueError("signature")
        crl.number_of(told)
    except (OSError, ValueError, x509.InvalidVersion, BadInput) as error:
        raise BadInput("crl_foreign", text("crl_foreign", file=file, why=error)) from None
    return told


def _move_on(pki: Pki, header: Header, newer: x509.CertificateRevocationList | None) -> int | None:
    """None: the authority has no list, and has never served."""
    now = datetime.now(UTC)
    with alone_in(pki.folder):
        last = last_list.standing(pki.devices, pki.folder)
        if last is None:
            return None
        passed = now - datetime.fromisoformat(header.taken_at)
        number = crl.number_of(last) + max(0, int(passed.total_seconds())) + 1
        if newer is not None:
            number = max(number, crl.number_of(newer) + 1)
        last_list.go_on_from(pki, number, now)
        return number
