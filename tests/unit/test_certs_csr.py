"""What may be signed, and what is refused by which code."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import csr
from fleet.errors import BadInput
from fleet.limits import EST_REQUEST_BYTES_MAX

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inv-1")])


def builder(*extensions: tuple[x509.ExtensionType, bool]) -> x509.CertificateSigningRequestBuilder:
    made = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    for extension, critical in extensions:
        made = made.add_extension(extension, critical=critical)
    return made


def der(*extensions: tuple[x509.ExtensionType, bool], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY) -> bytes:
    return builder(*extensions).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def code_of(body: bytes) -> str:
    with pytest.raises(BadInput) as caught:
        csr.read(body)
    return caught.value.code


def by_openssl(folder: Path, *arguments: str) -> bytes:
    out = folder / "made.csr"
    command = ["openssl", "req", "-new", "-nodes", "-subj", "/CN=x", "-keyout", str(folder / "k.pem"), "-outform", "DER"]
    subprocess.run([*command, "-out", str(out), *arguments], check=True, capture_output=True)
    return out.read_bytes()


def test_der_base64_and_pem_say_the_same() -> None:
    body = der()
    pem = x509.load_der_x509_csr(body).public_bytes(Encoding.PEM)
    forms = [body, base64.b64encode(body), base64.encodebytes(body), pem, pem.replace(b"\n", b"\r\n")]
    assert {csr.read(form).key_hash for form in forms} == {csr.read(body).key_hash}
    assert csr.read(body).common_names == {"inv-1"}


@pytest.mark.parametrize("arguments", [("-newkey", "rsa:2048"), ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384")])
def test_what_openssl_makes_is_taken(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert csr.read(by_openssl(tmp_path, *arguments)).common_names == {"x"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-newkey", "rsa:1024"), "csr_weak_key"),
        (("-newkey", "rsa:2048", "-sha1"), "csr_weak_hash"),
        (("-newkey", "rsa:2048", "-md5"), "csr_weak_hash"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha1"), "csr_weak_hash"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), "csr_weak_key"),
        (("-newkey", "ed25519"), "csr_weak_key"),
    ],
)
def test_weak_or_strange_keys_and_hashes_are_refused(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    assert code_of(by_openssl(tmp_path, *arguments)) == expected


def test_an_exponent_that_makes_verifying_slow_or_weak_is_refused() -> None:
    assert code_of(der(key=rsa.generate_private_key(3, 2048))) == "csr_weak_key"


def test_kinds_of_keys_that_few_devices_can_use_are_refused() -> None:
    made = builder().sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)
    assert code_of(made) == "csr_weak_key"
    assert (
        code_of(builder().sign(dsa.generate_private_key(2048), hashes.SHA256()).public_bytes(Encoding.DER)) == "csr_weak_key"
    )


def test_the_key_must_be_the_senders() -> None:
    """The key of somebody else, in a request signed with one's own."""
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    own, theirs = (key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in (KEY.public_key(), other))
    body = der()  # once: a signature is another one each time, and what one of them ends in may be the other's spoilt end
    assert code_of(body.replace(own, theirs)) == "csr_bad_signature"
    assert code_of(body[:-1] + bytes([body[-1] ^ 1])) in ("csr_bad_signature", "csr_malformed")


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def test_nobody_becomes_an_authority() -> None:
    assert code_of(der((x509.BasicConstraints(ca=True, path_length=0), True))) == "csr_is_ca"
    assert code_of(der((x509.BasicConstraints(ca=True, path_length=None), False))) == "csr_is_ca"
    assert code_of(der((usage(signs_certificates=True), True))) == "csr_is_ca"
    assert csr.read(der((x509.BasicConstraints(ca=False, path_length=None), True), (usage(signs_certificates=False), True)))


def test_a_critical_extension_must_be_understood() -> None:
    strange = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    assert code_of(der((strange, True))) == "csr_malformed"
    assert csr.read(der((strange, False)))


def test_whom_a_request_names_is_told() -> None:
    names = [x509.UniformResourceIdentifier("urn:solarperform:device:inv-9"), x509.DNSName("gateway.local")]
    assert csr.read(der((x509.SubjectAlternativeName(names), False))).devices == {"inv-9"}


def test_truncated_and_huge_requests() -> None:
    whole = der()
    assert {code_of(whole[:end]) for end in range(0, len(whole) - 1, 7)} == {"csr_malformed"}
    assert code_of(whole + b"\x00" * 40) == "csr_malformed"
    assert code_of(b"\x30\x84\xff\xff\xff\xff" + whole) == "csr_malformed"
    assert code_of(b"M" * (EST_REQUEST_BYTES_MAX + 1)) == "csr_too_large"
    many = [x509.DNSName(f"host-{number}.example") for number in range(2_000)]
    assert code_of(der((x509.SubjectAlternativeName(many), False))) == "csr_too_large"


@given(st.binary(max_size=600))
def test_garbage_is_refused_by_a_code(body: bytes) -> None:
    assert code_of(body) == "csr_malformed"


@settings(max_examples=600, deadline=None)
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_never_changes_what_is_signed_for(where: int, by: int) -> None:
    body = bytearray(der())
    body[where % len(body)] ^= by
    try:
        read = csr.read(bytes(body))
    except BadInput:
        return  # by whichever code
    assert read.key_hash == csr.read(der()).key_hash
