"""The one place that reads certificate requests (PKCS #10, RFC 2986): whatever it lets through may be signed.

Of a request only its key counts, and the proof that the sender has it. The subject is ours to say; what it says is looked at
only to notice a request that was meant for another device.
"""

import base64
import binascii
from hashlib import sha256
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from certs.keys import LeafKey
from certs.profiles import DEVICE_URN
from fleet.errors import BadInput
from fleet.limits import EST_REQUEST_BYTES_MAX

_RSA_BITS: Final = (2048, 4096)  # smaller is breakable, larger costs a handshake a tenth of a second on a small device
_RSA_EXPONENTS: Final = (65_537, 2**32)  # a huge one makes every verification of it slow
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_MAY_BE_CRITICAL: Final = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}


class Request(msgspec.Struct, frozen=True):
    """A request that may be signed. key_hash: SHA-256 of its SubjectPublicKeyInfo.

    common_names: what it calls itself; devices: whom its alternative names call by our own scheme.
    """

    key: LeafKey
    key_hash: bytes
    common_names: frozenset[str]
    devices: frozenset[str]


def read(body: bytes) -> Request:
    """body: DER, the same in base64 (as EST sends it), or PEM.

    Raises BadInput: csr_too_large, csr_malformed, csr_weak_key, csr_weak_hash, csr_bad_signature, csr_is_ca.
    """
    if len(body) > EST_REQUEST_BYTES_MAX:
        raise BadInput("csr_too_large", f"the request has {len(body)} bytes; at most {EST_REQUEST_BYTES_MAX} are read")
    try:
        csr = x509.load_der_x509_csr(_der(body))
        key, extensions = csr.public_key(), csr.extensions
        names = [str(attribute.value) for attribute in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except _UNREADABLE as error:
        raise BadInput("csr_malformed", f"this is no certificate request that we can read: {str(error)[:200]}") from None
    checked = _strong(key)
    _check_signature(csr)
    _check_extensions(extensions)
    spki = checked.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Request(checked, sha256(spki).digest(), frozenset(names), _devices_in(extensions))


def _der(body: bytes) -> bytes:
    """Raises ValueError."""
    text = body.strip()
    if text.startswith(b"-----BEGIN"):
        return x509.load_pem_x509_csr(text).public_bytes(Encoding.DER)
    if body[:1] == b"\x30" and (len(body) < 2 or body[1] >= 0x80):  # a SEQUENCE of more than 127 bytes, as every request is
        return body
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("neither DER nor base64 nor PEM") from None


def _strong(key: object) -> LeafKey:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            return key
        raise BadInput("csr_weak_key", f"the curve {key.curve.name[:40]} is not taken; use P-256 or P-384")
    if isinstance(key, rsa.RSAPublicKey):
        least, most = _RSA_BITS
        if not least <= key.key_size <= most:
            raise BadInput(
                "csr_weak_key", f"an RSA key of {key.key_size} bits is not taken; use {least} to {most}, or EC P-256"
            )
        if not _RSA_EXPONENTS[0] <= key.public_numbers().e < _RSA_EXPONENTS[1]:
            raise BadInput("csr_weak_key", "the RSA key's exponent is not taken; use 65537")
        return key
    raise BadInput("csr_weak_key", "this kind of key is not taken; use EC P-256 or P-384, or RSA of 2048 to 4096 bits")


def _check_signature(csr: x509.CertificateSigningRequest) -> None:
    try:
        strong = isinstance(csr.signature_hash_algorithm, _HASHES)
    except UnsupportedAlgorithm:
        strong = False
    if not strong:
        raise BadInput("csr_weak_hash", "the request must be signed with SHA-256, SHA-384 or SHA-512")
    try:
        valid = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        valid = False
    if not valid:
        raise BadInput("csr_bad_signature", "the request is not signed by the key that it asks a certificate for")


def _check_extensions(extensions: x509.Extensions) -> None:
    for extension in extensions:
        value = extension.value
        if (isinstance(value, x509.BasicConstraints) and value.ca) or (
            isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign)
        ):
            raise BadInput("csr_is_ca", "a device cannot ask to become a certificate authority")
        if extension.critical and extension.oid not in _MAY_BE_CRITICAL:
            raise BadInput("csr_malformed", f"the critical extension {extension.oid.dotted_string[:60]} is not understood")


def _devices_in(extensions: x509.Extensions) -> frozenset[str]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return frozenset(uri.removeprefix(DEVICE_URN) for uri in uris if uri.startswith(DEVICE_URN))
