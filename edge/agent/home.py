"""The agent's state folder: identities, and which of them is in force.

    FOLDER/current                    name of the identity in force; replacing it is the one atomic switch
    FOLDER/identities/<name>/         trust.pem, intent.json, key.pem, request.pem, then chain.pem, then connection.json

Each file is written once, in this order, and only when it is missing. Whatever is killed when: doing the same again goes on
where it ended, with the same key, and the authority gives the same key the same certificate.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.agent import files
from edge.agent.texts import text
from fleet.errors import BadInput, Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs

T = TypeVar("T")

# What a server says about us ends in topics, in files, and on root's terminal.
_Name = msgspec.Meta(pattern=r"^(?!sp-)[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")  # fleet.ids
_Line = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
_LAST_MS = 4_102_444_800_000  # the year 2100


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody set out to do. claim: its id, not its code. renews: the identity that this one follows."""

    server: str
    claim: str
    system_trust: bool = False
    renews: str | None = None


class Broker(msgspec.Struct, frozen=True):
    host: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9.:_-]{1,253}\Z")]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class CertificateTerms(msgspec.Struct, frozen=True):
    serial: _Line
    renew_at: Annotated[UnixMs, msgspec.Meta(ge=0, le=_LAST_MS)]


class ConnectionInfo(msgspec.Struct, frozen=True):
    """What the authority says to whoever shows the certificate: who the device is, and where it publishes."""

    device: Annotated[DeviceId, _Name]
    site: Annotated[SiteId, _Name]
    name: _Line
    profile: _Line
    serial: _Line | None
    interval_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)]
    mqtt: Broker
    certificate: CertificateTerms


class Identity:
    """One key and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.trust = folder / "trust.pem"
        self.key = folder / "key.pem"
        self.chain = folder / "chain.pem"
        self._intent = folder / "intent.json"
        self._request = folder / "request.pem"
        self._connection = folder / "connection.json"

    @property
    def begun(self) -> bool:
        return self._intent.exists()

    @property
    def issued(self) -> bool:
        return self.chain.exists()

    @property
    def confirmed(self) -> bool:
        return self._connection.exists()

    def begin(self, intent: Intent, trust: bytes) -> None:
        """trust: the anchors that servers are verified with, PEM."""
        files.make_folder(self.folder)
        files.replace(self.trust, trust)
        files.replace(self._intent, msgspec.json.encode(intent))

    def request(self) -> bytes:
        """A certificate request of this identity's key, PEM; key and request are on the disk when this returns."""
        if not self.key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            files.replace(self.key, pem)
        if not self._request.exists():
            name = x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, "solarperform-agent")]
            )  # the authority sets the real one
            builder = x509.CertificateSigningRequestBuilder().subject_name(name)
            files.replace(
                self._request, builder.sign(self._private_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            )
        return self._request.read_bytes()

    def keep_certificate(self, certificates: list[x509.Certificate]) -> None:
        """Raises BadInput (answer_not_understood) when none of them is for this identity's key."""
        own = self._private_key().public_key()
        leaves = [each for each in certificates if each.public_key() == own]
        if not leaves:
            raise BadInput("answer_not_understood", text("not_our_key"))
        between = [each for each in certificates if each not in leaves and each.issuer != each.subject]
        pem = [each.public_bytes(serialization.Encoding.PEM) for each in (leaves[0], *between)]
        files.replace(self.chain, b"".join(pem))

    def keep_connection(self, connection: ConnectionInfo) -> None:
        """Raises BadInput (answer_not_understood): the broker lets nobody publish under another name than his own."""
        named = [each.value for each in self.certificate().subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if named != [connection.device]:
            raise BadInput("answer_not_understood", text("not_our_device", device=connection.device))
        files.replace(self._connection, msgspec.json.encode(connection))

    def intent(self) -> Intent:
        return _stored(self._intent, Intent)

    def connection(self) -> ConnectionInfo:
        return _stored(self._connection, ConnectionInfo)

    def certificate(self) -> x509.Certificate:
        """Raises BadInput (bad_state)."""
        try:
            return x509.load_pem_x509_certificates(_read(self.chain))[0]
        except ValueError:
            raise BadInput("bad_state", text("bad_state", file=self.chain)) from None

    def expires_at(self) -> datetime:
        return self.certificate().not_valid_after_utc

    def life(self) -> timedelta:
        certificate = self.certificate()
        return certificate.not_valid_after_utc - certificate.not_valid_before_utc

    def _private_key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(_read(self.key), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadInput("bad_state", text("bad_state", file=self.key))
        return key


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._current = folder / "current"

    def identity(self, name: str) -> Identity:
        return Identity(self.folder / "identities" / name)

    def of_claim(self, claim: str) -> Identity:
        return self.identity(f"claim-{claim}")

    def successor_of(self, identity: Identity) -> Identity:
        """Where its renewal is kept; the name follows from its certificate, so that a renewal cut short is found again."""
        return self.identity(f"renewal-{identity.certificate().serial_number:x}")

    def all(self) -> list[Identity]:
        folder = self.folder / "identities"
        return [Identity(each) for each in sorted(folder.iterdir())] if folder.is_dir() else []

    def current(self) -> Identity | None:
        try:
            return self.identity(self._current.read_text().strip())
        except FileNotFoundError:
            return None

    def enrolled(self) -> Identity:
        """Raises NotFound (not_enrolled)."""
        identity = self.current()
        if identity is None:
            raise NotFound("not_enrolled", text("not_enrolled", folder=self.folder))
        return identity

    def switch(self, identity: Identity) -> None:
        """From now on this is who the agent is."""
        files.replace(self._current, identity.name.encode() + b"\n")

    def remove_others(self) -> None:
        """Of an enrolment that is done: nothing before it is needed any more."""
        current = self.enrolled()
        for identity in self.all():
            if identity.name != current.name:
                self.remove(identity)

    def remove_predecessors(self) -> None:
        """What renewals have left behind, perhaps cut short; not a renewal, or another enrolment, on its way."""
        current = self.enrolled()
        kept = {current.name, self.successor_of(current).name}
        for identity in self.all():
            half_removed = not identity.begun  # or hardly begun: there is no key without an intent
            if identity.name not in kept and (half_removed or identity.intent().claim == current.intent().claim):
                self.remove(identity)

    def remove(self, identity: Identity) -> None:
        """Key and all."""
        shutil.rmtree(identity.folder, ignore_errors=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While a certificate is asked for. Raises Conflict (enrolment_running), BadInput (bad_state)."""
        try:
            files.make_folder(self.folder)
            lock = os.fdopen(files.open_own(self.folder / "enrolment.lock"), "w")
        except OSError as error:
            raise BadInput("bad_state", text("folder_unusable", folder=self.folder, reason=error.strerror)) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("enrolment_running", text("enrolment_running", folder=self.folder)) from None
            yield


def _read(path: Path) -> bytes:
    """Raises BadInput (bad_state)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput("bad_state", text("folder_unusable", folder=path, reason=error.strerror)) from None


def _stored(path: Path, kind: type[T]) -> T:
    """Raises BadInput (bad_state)."""
    try:
        return msgspec.json.decode(_read(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadInput("bad_state", text("bad_state", file=path)) from None
