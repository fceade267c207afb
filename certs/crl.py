"""Certificate revocation lists, after RFC 5280: the authority builds them, who installs one verifies it first.

A list that has ended shuts every device out, as does one that begins in the future; one that cannot be read lets every
revoked device in (Mosquitto then goes on without a list). So none is put before a broker that `verify` does not take.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from certs.authority import Authority
from certs.keys import PublicKey
from fleet.errors import BadInput
from fleet.limits import CRL_BYTES_MAX

# Why a device was revoked, or its certificate by the authority itself, in the words that the standard has for it.
# What is not here is said without a reason, as the standard wants it.
_REASONS: Final = {
    "lost": x509.ReasonFlags.key_compromise,  # whoever finds it has the key
    "stolen": x509.ReasonFlags.key_compromise,
    "compromised": x509.ReasonFlags.key_compromise,
    "replaced": x509.ReasonFlags.superseded,
    "superseded": x509.ReasonFlags.superseded,
    "retired": x509.ReasonFlags.cessation_of_operation,
}


def build(
    authority: Authority,
    number: int,
    revoked: Iterable[tuple[int, datetime, str]],
    *,
    this_update: datetime,
    next_update: datetime,
) -> x509.CertificateRevocationList:
    """revoked: serial number, when, why (one of registry's reasons, 'superseded', or another word that is not passed on).

    Raises BadInput (bad_key).
    """
    key = authority.key
    entries = [_entry(serial, at, reason) for serial, at, reason in revoked]
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=entries)  # added one by one, each copies all others
        .issuer_name(authority.cert.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def verify(
    der: bytes, trust_pem: bytes, *, now: datetime, at_least_number: int = 0, must_hold: Collection[int] = ()
) -> x509.CertificateRevocationList:
    """The list, if it may be put before the broker.

    trust_pem: the devices' anchor or anchors. must_hold: serial numbers that have to be in it.
    Raises BadInput: bad_crl (not a list, or not of this authority, or from the future), expired_crl, old_crl (lower number,
    or without an entry that must be there).
    """
    crl = _parsed(der)
    if not any(_signed(crl, anchor) for anchor in _anchors(trust_pem)):
        raise BadInput("bad_crl", "the revocation list is not signed by the devices' authority")
    number, ends = number_of(crl), crl.next_update_utc
    if crl.last_update_utc > now:
        raise BadInput("bad_crl", f"revocation list {number} begins only at {crl.last_update_utc:%Y-%m-%d %H:%M:%S} UTC")
    if ends is None or ends <= now:
        raise BadInput(
            "expired_crl", f"revocation list {number} ended at {ends:%Y-%m-%d %H:%M:%S} UTC" if ends else "no end"
        )
    if number < at_least_number:
        raise BadInput("old_crl", f"revocation list {number} comes after list {at_least_number}")
    missing = set(must_hold) - serials_in(crl) if must_hold else set()
    if missing:
        raise BadInput("old_crl", f"revocation list {number} lacks {len(missing)} revoked certificates: {min(missing):x} …")
    return crl


def number_of(crl: x509.CertificateRevocationList) -> int:
    """Raises BadInput (bad_crl) when it has none."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (x509.ExtensionNotFound, ValueError) as error:
        raise BadInput("bad_crl", f"the revocation list has no number: {error}") from None


def serials_in(crl: x509.CertificateRevocationList) -> set[int]:
    return {entry.serial_number for entry in crl}


def _entry(serial: int, at: datetime, reason: str) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
    if reason in _REASONS:
        builder = builder.add_extension(x509.CRLReason(_REASONS[reason]), critical=False)
    return builder.build()


def _parsed(der: bytes) -> x509.CertificateRevocationList:
    if len(der) > CRL_BYTES_MAX:
        raise BadInput("bad_crl", f"the revocation list has {len(der)} bytes; at most {CRL_BYTES_MAX} are read")
    try:
        parsed = x509.load_der_x509_crl(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise BadInput("bad_crl", f"not a revocation list: {error}") from None
    if not der.endswith(b"\x00" + parsed.signature):
        raise BadInput("bad_crl", "the signature does not end with a whole octet")  # OpenSSL would refuse the list
    return parsed


def _anchors(trust_pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(trust_pem)
    except ValueError as error:
        raise BadInput("bad_crl", f"the devices' trust anchor cannot be read: {error}") from None


def _signed(crl: x509.CertificateRevocationList, anchor: x509.Certificate) -> bool:
    key = anchor.public_key()
    try:
        return isinstance(key, PublicKey) and crl.issuer == anchor.subject and crl.is_signature_valid(key)
    except (InvalidSignature, ValueError, TypeError):
        return False
