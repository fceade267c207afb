from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import keys, profiles
from fleet.errors import BadInput

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=365)


def signed(profile: profiles.Profile, subject: profiles.Identity, not_after: datetime = LATER) -> x509.Certificate:
    key = keys.make()
    issuer = x509.Name([])
    life = profiles.life(profile, NOW, not_after)
    builder = profiles.certificate(profile, subject, key.public_key(), life, issuer=issuer, issuer_key=key.public_key())
    return builder.sign(key, hashes.SHA256())


def test_a_device_certificate_is_for_clients_only_and_names_the_device() -> None:
    leaf = signed(profiles.CLIENT, profiles.device("inv-1"))
    assert leaf.subject.rfc4514_string() == "CN=inv-1"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:solarperform:device:inv-1"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def test_no_name_is_both_a_devices_and_a_services() -> None:
    """The broker's rights hang on the common name alone."""
    with pytest.raises(BadInput):
        profiles.device("sp-web")
    with pytest.raises(BadInput):
        profiles.service("inv-1")
    assert profiles.service("sp-web").common_name == "sp-web"


def test_a_server_certificate_carries_every_host_and_address() -> None:
    leaf = signed(profiles.SERVER, profiles.server(["localhost", "broker.example"], ["127.0.0.1", "::1"]))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "broker.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_an_authority_signs_and_does_nothing_else() -> None:
    authority = signed(profiles.CLIENTS_CA, profiles.Identity("devices"))
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert not usage.digital_signature
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_a_leaf_lasts_90_days_from_a_slightly_earlier_start() -> None:
    leaf = signed(profiles.CLIENT, profiles.device("inv-1"))
    assert leaf.not_valid_after_utc == NOW + timedelta(days=90)
    assert NOW - timedelta(hours=2) < leaf.not_valid_before_utc < NOW


def test_a_leaf_never_outlives_its_authority() -> None:
    assert signed(profiles.CLIENT, profiles.device("inv-1"), NOW + timedelta(days=9)).not_valid_after_utc == NOW + timedelta(
        days=9
    )


@pytest.mark.parametrize("name", ["", "UPPER", "../etc", "a/b", "a" * 33, "-a", "a\n"])
def test_odd_device_and_service_names_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        profiles.device(name)
    with pytest.raises(BadInput):
        profiles.service(name)


@pytest.mark.parametrize("hosts", [[], ["../x"], ["Local"], ["a..b"], ["ok", "not ok"], ["*"], ["a" * 65]])
def test_odd_host_names_are_refused(hosts: list[str]) -> None:
    with pytest.raises(BadInput):
        profiles.server(hosts, [])


def test_an_odd_address_is_refused() -> None:
    with pytest.raises(BadInput):
        profiles.server(["localhost"], ["127.0.0.300"])
