"""What each kind of certificate may contain, after RFC 5280. Nothing in a certificate comes from anywhere else."""

import ipaddress
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.keys import LeafKey, PublicKey
from fleet.errors import BadInput
from fleet.ids import device_id

BACK_DATE = timedelta(hours=1)  # a device's clock may be behind ours when it first shows its certificate
_URN = "urn:solarperform"
DEVICE_URN = f"{_URN}:device:"
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_SERVICE = re.compile(r"sp-[a-z0-9](?:[a-z0-9-]{0,27}[a-z0-9])?")  # a device id never begins with sp-


class Profile(msgspec.Struct, frozen=True):
    """path_length: how many authorities may stand below this one; None = not an authority, but a leaf."""

    life: timedelta
    path_length: int | None
    usages: tuple[x509.ObjectIdentifier, ...]


_LEAF_LIFE = timedelta(days=90)
_AUTHORITY_LIFE = timedelta(days=5 * 365)

ROOT = Profile(timedelta(days=20 * 365), 1, ())
CLIENTS_CA = Profile(_AUTHORITY_LIFE, 0, (ExtendedKeyUsageOID.CLIENT_AUTH,))
SERVERS_CA = Profile(_AUTHORITY_LIFE, 0, (ExtendedKeyUsageOID.SERVER_AUTH,))
CLIENT = Profile(_LEAF_LIFE, None, (ExtendedKeyUsageOID.CLIENT_AUTH,))
SERVER = Profile(_LEAF_LIFE, None, (ExtendedKeyUsageOID.SERVER_AUTH,))


class Life(msgspec.Struct, frozen=True):
    """What the ledger holds about a certificate before it is signed."""

    serial: int
    not_before: datetime
    not_after: datetime


class Identity(msgspec.Struct, frozen=True):
    """Who a certificate speaks for. The broker takes the common name of a client as its user name."""

    common_name: str
    alternative_names: tuple[x509.GeneralName, ...] = ()

    @property
    def name(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])


def device(text: str) -> Identity:
    """Raises BadInput (bad_id)."""
    name = device_id(text)
    return Identity(name, (x509.UniformResourceIdentifier(f"{DEVICE_URN}{name}"),))


def service(name: str) -> Identity:
    """A service of the platform, such as sp-twins. Raises BadInput (bad_name)."""
    if not _SERVICE.fullmatch(name):
        raise BadInput("bad_name", f"a service is called sp- and up to 29 of a-z, 0-9 and -: {name[:40]!r}")
    return Identity(name, (x509.UniformResourceIdentifier(f"{_URN}:service:{name}"),))


def server(hosts: Iterable[str], addresses: Iterable[str]) -> Identity:
    """The first host is the common name. Raises BadInput (bad_name)."""
    hosts = list(hosts)
    if not hosts:
        raise BadInput("bad_name", "a server certificate needs at least one host name")
    for host in hosts:
        if len(host) > 64 or not _HOST.fullmatch(host):
            raise BadInput("bad_name", f"not a host name in lower case, at most 64 characters: {host[:80]!r}")
    try:
        numbers = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    except ValueError as error:
        raise BadInput("bad_name", str(error)) from None
    return Identity(hosts[0], (*(x509.DNSName(host) for host in hosts), *numbers))


def life(profile: Profile, now: datetime, not_after: datetime) -> Life:
    """From now to the end of the profile's life or to `not_after`, whichever comes first; a new random number.

    The number has 128 bits, the first of them set: written in hexadecimal it has 32 digits everywhere.
    """
    number = (1 << 127) | secrets.randbits(127)
    now = now.replace(microsecond=0)  # a certificate knows whole seconds only
    return Life(number, now - BACK_DATE, min(now + profile.life, not_after))


def certificate(
    profile: Profile,
    subject: Identity,
    key: LeafKey,
    life: Life,
    *,
    issuer: x509.Name,
    issuer_key: PublicKey,
) -> x509.CertificateBuilder:
    """Everything but the signature."""
    authority = profile.path_length is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject.name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(life.serial)
        .not_valid_before(life.not_before)
        .not_valid_after(life.not_after)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=profile.path_length), critical=True)
        .add_extension(_key_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    if profile.usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
    if subject.alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(subject.alternative_names), critical=False)
    return builder


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    """An authority signs certificates and revocation lists; a leaf signs TLS handshakes."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
