"""Certificates that the command line issued come into the ledger: then they can be renewed and revoked like the others."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs.authority import Authority, Pki
from certs.profiles import BACK_DATE
from fleet.ids import DeviceId
from fleet.storage import certificates, enrolled, lists
from fleet.storage.certificates import Entry
from fleet.storage.database import Connection
from fleet.storage.enrolled import HeldDevice

log = structlog.get_logger("certs.adoption")


async def adopt(connection: Connection, pki: Pki, only: Collection[DeviceId] | None = None) -> int:
    """Within a transaction. How many were new: of devices that are registered.

    Beside a younger one in force it is superseded, beside an older one it supersedes. One of a revoked device is revoked.
    """
    found = await asyncio.to_thread(_issued, pki, only)
    known = await certificates.known_serials(connection, [f"{leaf.serial_number:x}" for _, leaf in found])
    new = [(device, leaf) for device, leaf in found if f"{leaf.serial_number:x}" not in known]
    if not new:
        return 0
    places = await enrolled.places_of(connection, [device for device, _ in new])
    standing = await certificates.in_force(connection, places)
    for device, leaf in new:
        if device in places:
            await _take_in(connection, _line(device, places[device], leaf), places[device], standing.get(device))
    log.info("certificates_adopted", adopted=len(places), unregistered=len(new) - len(places))
    return len(places)


async def _take_in(connection: Connection, line: Entry, place: HeldDevice, standing: Entry | None) -> None:
    now = datetime.now(UTC)
    if place.revoked_at is not None:
        await lists.remember(connection, line, now, "retired")
    elif standing is None:
        await certificates.intend(connection, line)
    elif standing.intent_at >= line.intent_at:
        await lists.remember(connection, line, now, "superseded")
    else:
        await certificates.supersede(connection, standing.serial, now)
        await certificates.intend(connection, msgspec.structs.replace(line, renews=standing.serial))


def _issued(pki: Pki, only: Collection[DeviceId] | None) -> list[tuple[DeviceId, x509.Certificate]]:
    """Device and certificate; what cannot be read, or is not ours, is left alone."""
    folder = pki.folder / "devices"
    paths = folder.glob("*/chain.pem") if only is None else (folder / device / "chain.pem" for device in only)
    found = []
    for path in paths:
        leaf = _leaf(path, pki.devices)
        if leaf is not None:
            found.append((DeviceId(path.parts[-2]), leaf))
    return found


def _leaf(path: Path, authority: Authority) -> x509.Certificate | None:
    try:
        leaf = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError, x509.InvalidVersion):
        return None
    return leaf if authority.signed(leaf) else None


def _line(device: DeviceId, place: HeldDevice, leaf: x509.Certificate) -> Entry:
    issued_at = leaf.not_valid_before_utc + BACK_DATE
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Entry(
        serial=f"{leaf.serial_number:x}",
        site=place.site,
        device=device,
        key_hash=sha256(spki).digest(),
        claim=None,
        renews=None,
        intent_at=issued_at,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        der=leaf.public_bytes(Encoding.DER),
        confirmed_at=None,
        superseded_at=None,
        revoked_at=None,
    )
