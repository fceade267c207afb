"""Creates and opens the PKI; signs; nothing else.

    FOLDER/root                     trust anchor of those in the field: they verify servers with it, for twenty years
    FOLDER/servers-ca               below the root; signs what servers show
    FOLDER/devices-ca, platform-ca  trust anchors of the broker's two listeners, each on its own
    FOLDER/trust/{devices,platform,servers}.pem    what the verifying side takes as its CA file
    FOLDER/{devices,platform,servers}/<name>/{chain,key}.pem

The two client authorities do not stand below the root, on purpose: OpenSSL ends a chain only at a self-signed anchor
unless told otherwise, which Mosquitto does not offer. A listener that trusted the root would let in every client certificate
below it, a platform's on the devices' listener too. Their anchors live on our own broker, so replacing one asks nothing of
the devices.

Every operation may be repeated: what is there and good stays as it is.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization

from certs import files, keys, profiles
from certs.keys import LeafKey
from certs.profiles import Identity, Life, Profile
from fleet.errors import BadInput, Conflict, FleetError, NotFound

_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)

log = structlog.get_logger("certs")


class Authority:
    """A certificate that signs others. Its key is read when first needed: the root's may be kept elsewhere."""

    def __init__(self, folder: Path) -> None:
        """Raises BadInput (bad_certificate)."""
        self._folder = folder
        self._key: keys.Key | None = None
        self.cert = _load_chain(folder / "cert.pem")[0]

    def refresh(self) -> bool:
        """Whether another process has renewed it. Raises BadInput (bad_certificate); the one before stays in use then."""
        found = _load_chain(self._folder / "cert.pem")[0]
        if found == self.cert:
            return False
        self.cert, self._key = found, None
        return True

    @property
    def key(self) -> keys.Key:
        """Raises BadInput (bad_key)."""
        if self._key is None:
            self._key = keys.load(self._folder / "key.pem")
        return self._key

    def life(self, profile: Profile, now: datetime) -> Life:
        """Of a certificate signed now: never outlives the authority itself. Raises Conflict (authority_expired)."""
        not_after = self.cert.not_valid_after_utc
        if not_after <= now:
            raise Conflict("authority_expired", f"{self._folder.name} ended on {not_after:%Y-%m-%d}; init renews it")
        return profiles.life(profile, now, not_after)

    def sign(self, profile: Profile, subject: Identity, key: LeafKey, life: Life) -> x509.Certificate:
        """Raises BadInput (bad_key)."""
        issuer_key = self.key.public_key()
        builder = profiles.certificate(profile, subject, key, life, issuer=self.cert.subject, issuer_key=issuer_key)
        return builder.sign(self.key, hashes.SHA256())

    def signed(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self.cert)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Two that issue at once would give one certificate the key of another. Raises NotFound (no_pki)."""
    if not folder.is_dir():
        raise NotFound("no_pki", f"there is no folder {folder}; `python -m certs init {folder}` makes it")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Pki:
    """The authorities of one folder. `now` is an aware datetime everywhere."""

    def __init__(self, folder: Path) -> None:
        """Opens. Raises NotFound (no_pki), BadInput (bad_certificate)."""
        if not (folder / "root" / "cert.pem").exists():
            raise NotFound("no_pki", f"{folder} holds no PKI; `python -m certs init {folder}` makes one")
        self.folder = folder
        self.root = Authority(folder / "root")
        self.devices = Authority(folder / "devices-ca")
        self.platform = Authority(folder / "platform-ca")
        self.servers = Authority(folder / "servers-ca")

    def refresh(self) -> list[str]:
        """For who keeps it open: what others have renewed in the folder signs from now on. The names of those.

        Raises BadInput (bad_certificate).
        """
        every = {"root": self.root, "devices-ca": self.devices, "platform-ca": self.platform, "servers-ca": self.servers}
        return [name for name, authority in every.items() if authority.refresh()]

    @classmethod
    def create(cls, folder: Path, now: datetime) -> "Pki":
        """Makes what is missing, renews with its own key what nears its end, keeps the rest.

        The root's key may be kept elsewhere: what only it renews is kept, and told, until its end. Raises BadInput (bad_key,
        bad_certificate), Conflict (authority_expired).
        """
        if not _awaits_root(folder, "root", now):
            _ensure_anchor(folder / "root", profiles.ROOT, Identity("SolarPerform root"), now)
        _ensure_anchor(folder / "devices-ca", profiles.CLIENTS_CA, Identity("SolarPerform devices"), now)
        _ensure_anchor(folder / "platform-ca", profiles.CLIENTS_CA, Identity("SolarPerform platform"), now)
        if not _awaits_root(folder, "servers-ca", now):
            _ensure_servers_ca(folder, now)
        for trust, anchor in (("devices", "devices-ca"), ("platform", "platform-ca"), ("servers", "root")):
            files.replace(
                folder / "trust" / f"{trust}.pem", (folder / anchor / "cert.pem").read_bytes(), files.PUBLIC, durable=True
            )
        return cls(folder)

    def issue_device(self, device: str, now: datetime) -> bool:
        """Whether a new certificate was issued; False = the one that stands is good. Raises BadInput (bad_id)."""
        return self._issue("devices", self.devices, profiles.CLIENT, profiles.device(device), now)

    def issue_platform(self, service: str, now: datetime) -> bool:
        """As issue_device. Raises BadInput (bad_name)."""
        return self._issue("platform", self.platform, profiles.CLIENT, profiles.service(service), now)

    def issue_server(self, hosts: Sequence[str], addresses: Sequence[str], now: datetime) -> bool:
        """As issue_device; kept under the first host's name. Raises BadInput (bad_name)."""
        return self._issue("servers", self.servers, profiles.SERVER, profiles.server(hosts, addresses), now)

    def renew_leaves(self, now: datetime) -> list[str]:
        """Issues the platform's and the servers' certificates again that are in the last third of their life.

        Raises BadInput (bad_certificate, bad_key), Conflict (authority_expired). Returns what was renewed, as kind/name.
        """
        renewed = []
        for kind, authority, profile in (
            ("platform", self.platform, profiles.CLIENT),
            ("servers", self.servers, profiles.SERVER),
        ):
            for path in sorted(self.folder.glob(f"{kind}/*/chain.pem")):
                subject = _identity_of(_load_chain(path)[0])
                if path.parts[-2] == subject.common_name and self._issue(kind, authority, profile, subject, now):
                    renewed.append(f"{kind}/{subject.common_name}")
        return renewed

    def leaves(self, *kinds: str) -> list[tuple[str, str, datetime]]:
        """(kind, name, end) of every certificate issued of these kinds (devices, platform, servers); none named: of all.

        Raises BadInput (bad_certificate).
        """
        wanted = kinds or ("devices", "platform", "servers")
        found = sorted(path for kind in wanted for path in self.folder.glob(f"{kind}/*/chain.pem"))
        return [(path.parts[-3], path.parts[-2], _load_chain(path)[0].not_valid_after_utc) for path in found]

    def _issue(self, kind: str, authority: Authority, profile: Profile, subject: Identity, now: datetime) -> bool:
        folder = self.folder / kind / subject.common_name
        above = [authority.cert] if authority is self.servers else []  # clients know the root only
        if _stands(folder, authority, above, subject, now):
            return False
        key = keys.make()
        leaf = authority.sign(profile, subject, key.public_key(), authority.life(profile, now))
        keys.save(folder / "key.pem", key, durable=False)
        _save_chain(folder / "chain.pem", [leaf, *above], durable=False)
        return True


def _stands(folder: Path, authority: Authority, above: list[x509.Certificate], subject: Identity, now: datetime) -> bool:
    """Whether the leaf in `folder` is ours, for this subject, fits its key, has more than a third of its life left, and is
    shown with the authorities above it as they are now: an old one would be shown until its end.
    """
    try:
        (leaf, *shown_above), key = _load_chain(folder / "chain.pem"), keys.load(folder / "key.pem")
    except FleetError:
        return False  # none yet, or a write that a power cut left empty
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        _is_fresh(leaf, now)
        and shown_above == above
        and leaf.public_key() == key.public_key()
        and leaf.subject == subject.name
        and set(names) == set(subject.alternative_names)
        and authority.signed(leaf)
    )


def _identity_of(leaf: x509.Certificate) -> Identity:
    common_name = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return Identity(str(common_name), tuple(names))


def _is_fresh(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - life / 3


def _ensure_anchor(folder: Path, profile: Profile, subject: Identity, now: datetime) -> None:
    """A self-signed authority."""
    if _authority_stands(folder, now):
        return
    key = _key_of(folder)
    public = key.public_key()
    life = profiles.life(profile, now, _FOREVER)
    builder = profiles.certificate(profile, subject, public, life, issuer=subject.name, issuer_key=public)
    _save_chain(folder / "cert.pem", [builder.sign(key, hashes.SHA256())], durable=True)


def _ensure_servers_ca(folder: Path, now: datetime) -> None:
    """The one authority below the root; needs the root's key only when it is made or renewed."""
    own = folder / "servers-ca"
    if not _authority_stands(own, now):
        key = _key_of(own).public_key()
        root = Authority(folder / "root")
        life = root.life(profiles.SERVERS_CA, now)
        signed = root.sign(profiles.SERVERS_CA, Identity("SolarPerform servers"), key, life)
        _save_chain(own / "cert.pem", [signed], durable=True)


def _awaits_root(folder: Path, name: str, now: datetime) -> bool:
    """Whether it is in force and should be renewed, but the root's key, which signs it, is not in this folder.

    Raises Conflict (authority_expired), BadInput (bad_certificate).
    """
    key, own = folder / "root" / "key.pem", folder / name
    if key.exists() or not (own / "cert.pem").exists() or _authority_stands(own, now):
        return False
    end = _load_chain(own / "cert.pem")[0].not_valid_after_utc
    if end <= now:
        raise Conflict("authority_expired", f"{name} ended on {end:%Y-%m-%d}; bring {key} back, and init renews it")
    log.warning("root_needed", authority=name, ends=f"{end:%Y-%m-%d}", hint=f"bring {key} back before: it renews this")
    return True


def _authority_stands(folder: Path, now: datetime) -> bool:
    return (folder / "cert.pem").exists() and _is_fresh(_load_chain(folder / "cert.pem")[0], now)


def _key_of(folder: Path) -> keys.Key:
    """The key in `folder`, made when there is neither key nor certificate. Raises BadInput (bad_key)."""
    path = folder / "key.pem"
    if not path.exists() and not (folder / "cert.pem").exists():
        keys.save(path, keys.make())
    return keys.load(path)


def _load_chain(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise BadInput("bad_certificate", f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, x509.InvalidVersion) as error:
        raise BadInput("bad_certificate", f"{path} holds no PEM certificate: {error}") from None


def _save_chain(path: Path, chain: list[x509.Certificate], *, durable: bool) -> None:
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)
    files.replace(path, pem, files.PUBLIC, durable=durable)
