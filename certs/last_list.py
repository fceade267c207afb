"""FOLDER/trust/devices.crl.pem: the last revocation list signed, for whoever cannot ask the database.

init makes the first one, so that a broker can start before the authority has run.
"""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import crl, files
from certs.authority import Authority, Pki
from certs.keys import PublicKey
from fleet.errors import BadInput
from fleet.limits import CRL_LIFE_S

_LIFE = timedelta(seconds=CRL_LIFE_S)
_WORDS = {
    x509.ReasonFlags.key_compromise: "compromised",
    x509.ReasonFlags.superseded: "superseded",
    x509.ReasonFlags.cessation_of_operation: "retired",
}


def path(folder: Path) -> Path:
    return folder / "trust" / "devices.crl.pem"


def standing(authority: Authority, folder: Path) -> x509.CertificateRevocationList | None:
    """None when there is none that can be read and is the authority's own."""
    try:
        last = x509.load_pem_x509_crl(path(folder).read_bytes())
        crl.number_of(last)
    except (OSError, ValueError, x509.InvalidVersion, BadInput):
        return None
    key = authority.cert.public_key()
    ours = isinstance(key, PublicKey) and last.issuer == authority.cert.subject and last.is_signature_valid(key)
    return last if ours else None


def write(folder: Path, last: x509.CertificateRevocationList) -> None:
    files.replace(path(folder), last.public_bytes(Encoding.PEM), files.PUBLIC, durable=True)


def ensure(pki: Pki, now: datetime) -> None:
    """A list that a broker can start with. One that is missing or near its end is signed, with what the last one held."""
    last, now = standing(pki.devices, pki.folder), now.replace(microsecond=0)
    if last is not None and last.next_update_utc is not None and last.next_update_utc > now + _LIFE / 3:
        return
    held = [] if last is None else [_held(entry) for entry in last]
    number = 1 if last is None else crl.number_of(last) + 1
    write(pki.folder, crl.build(pki.devices, number, held, this_update=now, next_update=now + _LIFE))


def go_on_from(pki: Pki, number: int, now: datetime) -> None:
    """The standing list signed anew under a higher number, so that those to come are above it."""
    last, now = standing(pki.devices, pki.folder), now.replace(microsecond=0)
    held = [] if last is None else [_held(entry) for entry in last]
    write(pki.folder, crl.build(pki.devices, number, held, this_update=now, next_update=now + _LIFE))


def _held(entry: x509.RevokedCertificate) -> tuple[int, datetime, str]:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return entry.serial_number, entry.revocation_date_utc, ""
    return entry.serial_number, entry.revocation_date_utc, _WORDS.get(reason, "")
