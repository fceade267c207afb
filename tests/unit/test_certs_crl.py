"""Lists are taken only when they are whole, ours, in time, newer, and hold what was revoked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import crl
from certs.authority import Pki
from fleet.errors import BadInput
from fleet.limits import CRL_BYTES_MAX

NOW = datetime(2026, 6, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"), NOW - 24 * HOUR)


@pytest.fixture(scope="module")
def trust(pki: Pki) -> bytes:
    return (pki.folder / "trust" / "devices.pem").read_bytes()


def der(pki: Pki, number: int = 7, *serials: int, begins: datetime = NOW - HOUR, ends: datetime = NOW + HOUR) -> bytes:
    revoked = [(serial, NOW - HOUR, "stolen") for serial in serials]
    return crl.build(pki.devices, number, revoked, this_update=begins, next_update=ends).public_bytes(Encoding.DER)


def refused(der: bytes, trust: bytes, **more: object) -> str:
    with pytest.raises(BadInput) as caught:
        crl.verify(der, trust, now=NOW, **more)  # type: ignore[arg-type]
    return caught.value.code


def test_a_good_list_is_taken_as_it_was_built(pki: Pki, trust: bytes) -> None:
    taken = crl.verify(der(pki, 7, 1, 2**120), trust, now=NOW, at_least_number=7, must_hold={1, 2**120})
    assert crl.number_of(taken) == 7
    assert crl.serials_in(taken) == {1, 2**120}


def test_the_reason_is_said_in_the_words_of_the_standard(pki: Pki, trust: bytes) -> None:
    built = crl.build(
        pki.devices, 1, [(1, NOW, "lost"), (2, NOW, "other"), (3, NOW, "retired")], this_update=NOW, next_update=NOW + HOUR
    )
    reasons = {}
    for entry in built:
        try:
            reasons[entry.serial_number] = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        except x509.ExtensionNotFound:
            reasons[entry.serial_number] = x509.ReasonFlags.unspecified
    assert reasons == {
        1: x509.ReasonFlags.key_compromise,
        2: x509.ReasonFlags.unspecified,
        3: x509.ReasonFlags.cessation_of_operation,
    }


def test_what_would_not_count_is_refused(pki: Pki, trust: bytes) -> None:
    assert refused(der(pki, ends=NOW - HOUR / 2), trust) == "expired_crl"
    assert refused(der(pki, begins=NOW + timedelta(seconds=1)), trust) == "bad_crl"


def test_numbers_only_rise(pki: Pki, trust: bytes) -> None:
    assert refused(der(pki, 7), trust, at_least_number=8) == "old_crl"


def test_a_revoked_certificate_must_be_in_it(pki: Pki, trust: bytes) -> None:
    assert refused(der(pki, 7, 1), trust, must_hold={1, 2}) == "old_crl"


def test_only_the_devices_authority_signs_it(pki: Pki, trust: bytes, tmp_path: Path) -> None:
    other = Pki.create(tmp_path, NOW - HOUR)
    assert refused(der(other), trust) == "bad_crl"
    platform = crl.build(pki.platform, 7, [], this_update=NOW - HOUR, next_update=NOW + HOUR)
    assert refused(platform.public_bytes(Encoding.DER), trust) == "bad_crl"
    assert refused(der(pki), b"no anchor") == "bad_crl"


def test_one_without_a_number_or_too_large_is_refused(pki: Pki, trust: bytes) -> None:
    assert refused(bytes(CRL_BYTES_MAX + 1), trust) == "bad_crl"
    assert refused(b"", trust) == "bad_crl"


@pytest.fixture(scope="module")
def whole(pki: Pki) -> bytes:
    return der(pki, 7, 1, 2, 3)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_one_that_was_changed_anywhere_is_refused(whole: bytes, trust: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    assert refused(changed, trust) == "bad_crl"
    assert refused(whole[:place], trust) == "bad_crl"


def test_a_signature_that_only_openssl_would_refuse_is_refused(whole: bytes, trust: bytes) -> None:
    """The octet that counts a bit string's unused bits is not signed, and lax parsers do not look at it."""
    signature = x509.load_der_x509_crl(whole).signature
    place = len(whole) - len(signature) - 1
    assert {refused(whole[:place] + bytes([unused]) + signature, trust) for unused in range(1, 9)} == {"bad_crl"}
