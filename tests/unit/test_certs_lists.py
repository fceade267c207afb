"""The list that a broker starts with, and the leaves that renew themselves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from certs import crl, last_list
from certs.authority import Pki

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def standing(pki: Pki) -> x509.CertificateRevocationList:
    found = last_list.standing(pki.devices, pki.folder)
    assert found is not None
    return found


def test_a_new_pki_has_an_empty_list_and_keeps_it_while_it_is_good(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    last_list.ensure(pki, NOW)
    first = last_list.path(tmp_path).read_bytes()
    assert crl.number_of(standing(pki)) == 1
    assert list(standing(pki)) == []
    last_list.ensure(pki, NOW + timedelta(hours=40))
    assert last_list.path(tmp_path).read_bytes() == first


def test_a_list_near_its_end_is_signed_again_with_what_it_held(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    held = [(4711, NOW, "stolen"), (4712, NOW, ""), (4713, NOW, "superseded")]
    last_list.write(tmp_path, crl.build(pki.devices, 41, held, this_update=NOW, next_update=NOW + timedelta(hours=72)))
    late = NOW + timedelta(days=10)
    last_list.ensure(pki, late)
    again = standing(pki)
    assert crl.number_of(again) == 42
    assert crl.serials_in(again) == {4711, 4712, 4713}
    assert again.next_update_utc is not None
    assert again.next_update_utc > late
    entry = again.get_revoked_certificate_by_serial_number(4711)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise


def test_a_damaged_or_foreign_list_is_replaced(tmp_path: Path) -> None:
    pki, other = Pki.create(tmp_path / "ours", NOW), Pki.create(tmp_path / "theirs", NOW)
    last_list.path(pki.folder).write_bytes(b"-----BEGIN X509 CRL-----\nhalf")
    last_list.ensure(pki, NOW)
    assert crl.number_of(standing(pki)) == 1
    last_list.ensure(other, NOW)
    last_list.path(pki.folder).write_bytes(last_list.path(other.folder).read_bytes())
    assert last_list.standing(pki.devices, pki.folder) is None
    last_list.ensure(pki, NOW)
    assert crl.number_of(standing(pki)) == 1


def test_leaves_of_the_platform_and_of_servers_are_renewed_under_their_names(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    pki.issue_platform("sp-web", NOW)
    pki.issue_server(["localhost", "broker.example"], ["127.0.0.1", "::1"], NOW)
    pki.issue_device("inv-1", NOW)
    device = (tmp_path / "devices" / "inv-1" / "chain.pem").read_bytes()
    assert pki.renew_leaves(NOW + timedelta(days=59)) == []
    late = NOW + timedelta(days=61)
    assert pki.renew_leaves(late) == ["platform/sp-web", "servers/localhost"]
    assert pki.renew_leaves(late) == []
    assert (tmp_path / "devices" / "inv-1" / "chain.pem").read_bytes() == device  # its own business
    shown = x509.load_pem_x509_certificate((tmp_path / "servers" / "localhost" / "chain.pem").read_bytes())
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "broker.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert shown.not_valid_after_utc == late + timedelta(days=90)
