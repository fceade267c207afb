"""The certificate authority as a real process on a real database, and a device that asks it for certificates."""

import asyncio
import base64
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

from actors.local.ports import LOOPBACK, free_port
from fleet import claim_code, settings
from fleet.claim_code import ClaimCode
from fleet.ids import DeviceId, SiteId
from fleet.placement import slot_of
from fleet.profiles import shipped
from fleet.settings import PkiSettings
from fleet.storage import bootstrap, claims
from fleet.storage.bootstrap import NewOrganisation
from fleet.storage.database import DirectConnection, connect
from tests.servers import Database, certs

SITE = SiteId("s-roof")
OTHER_SITE = SiteId("s-barn")
_START_S = 90.0

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass
class Authority:
    """`kill` and `start` are there for faults."""

    settings: PkiSettings
    settings_file: Path
    log_file: Path
    database: Database
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def url(self) -> str:
        return self.settings.public_url

    @property
    def folder(self) -> Path:
        return self.settings.folder

    @property
    def trust(self) -> Path:
        return self.folder / "trust" / "servers.pem"

    def start(self, *, wait: bool = True) -> None:
        with self.log_file.open("ab") as log:
            command = [sys.executable, "-m", "certs", "serve", "--settings", str(self.settings_file)]
            self.process = subprocess.Popen(command, stderr=log)
        end = time.monotonic() + _START_S
        while wait and not self.settings.ready_file.exists():
            assert self.process.poll() is None, f"the authority ended: {self.log_file.read_text()[-3000:]}"
            assert time.monotonic() < end, f"the authority did not become ready: {self.log_file.read_text()[-3000:]}"
            with_patience()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=60)
        self.settings.ready_file.unlink(missing_ok=True)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=90)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-m", "certs", *arguments], capture_output=True, text=True, check=False)

    def crl(self) -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl((self.folder / "trust" / "devices.crl.pem").read_bytes())


def with_patience() -> None:
    """Between two looks at something that another process does."""
    subprocess.run(["sleep", "0.05"], check=True)


@contextmanager
def authority(folder: Path, database: Database, *, start: bool = True) -> Iterator[Authority]:
    """On a registry of two sites without devices. Not within an event loop: see `authority_in`."""
    asyncio.run(_register(database))
    with _authority(folder, database, start=start) as running:
        yield running


@asynccontextmanager
async def authority_in(folder: Path, database: Database, *, start: bool = True) -> AsyncIterator[Authority]:
    """The same within an event loop."""
    await _register(database)
    with _authority(folder, database, start=start) as running:
        yield running


@contextmanager
def _authority(folder: Path, database: Database, *, start: bool) -> Iterator[Authority]:
    pki = folder / "pki"
    certs("init", str(pki))
    certs("issue-server", str(pki), "--name", "localhost", "--ip", LOOPBACK)
    port = free_port()
    wanted = PkiSettings(
        folder=pki,
        host=LOOPBACK,
        port=port,
        server_name="localhost",
        public_url=f"https://localhost:{port}",
        mqtt_host="localhost",
        mqtt_port=8883,
        database=database.sp_pki,
        ready_file=folder / "authority.ready",
    )
    settings.save(folder / "pki.json", wanted)
    running = Authority(wanted, folder / "pki.json", folder / "authority.log", database)
    if start:
        running.start()
    try:
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.kill()


async def _register(database: Database) -> None:
    async with owner(database) as connection:
        await bootstrap.store_profiles(connection, shipped())
        await bootstrap.store_organisations(connection, [NewOrganisation("o-owner", "Owner", "customer")])
        for site in (SITE, OTHER_SITE):
            await connection.execute(
                "INSERT INTO registry.site (id, name, latitude, longitude, peak_power_w, slot, customer_organisation_id)"
                " VALUES ($1, $1, 44.7, 5.0, 6000, $2, 'o-owner')",
                site,
                slot_of(site),
            )


@asynccontextmanager
async def owner(database: Database) -> AsyncIterator[DirectConnection]:
    """Sees and may do everything."""
    connection = await connect(database.owner)
    try:
        yield connection
    finally:
        await connection.close()


async def make_claim(
    database: Database, device: str, *, code: ClaimCode | None = None, hours: float = 24.0, **more: Any
) -> ClaimCode:
    code = code or claim_code.make()
    wanted: dict[str, Any] = {
        "site": SITE,
        "profile": "inverter",
        "device_name": f"Device {device}",
        "serial": None,
        "replaces": False,
        "created_by": None,
        "request_id": None,
    }
    async with owner(database) as connection, connection.transaction():
        expires_at = datetime.now(UTC) + timedelta(hours=hours)
        await claims.create_claim(connection, code=code, device=DeviceId(device), expires_at=expires_at, **(wanted | more))
    return code


# the device's side ------------------------------------------------------------------------------------------------


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: Key, common_name: str = "a-device", *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
    """A certificate request, DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


class Refused(Exception):
    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.code: str = problem["code"]
        self.problem = problem


def client(running: Authority, shown: tuple[Path, Path] | None = None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(running.trust))
    if shown is not None:
        context.load_cert_chain(*shown)
    return httpx.AsyncClient(base_url=running.url, verify=context, timeout=60.0, trust_env=False)


async def enrol(running: Authority, code: ClaimCode, csr: bytes, **headers: str) -> x509.Certificate:
    async with client(running) as asking:
        answer = await asking.post(
            "/.well-known/est/simpleenroll",
            content=base64.encodebytes(csr),
            auth=(code.id, code.code),
            headers={"Content-Type": "application/pkcs10"} | headers,
        )
    return certificate_in(answer)


async def renew(running: Authority, shown: tuple[Path, Path], csr: bytes) -> x509.Certificate:
    async with client(running, shown) as asking:
        answer = await asking.post("/.well-known/est/simplereenroll", content=base64.encodebytes(csr))
    return certificate_in(answer)


async def connection_of(running: Authority, shown: tuple[Path, Path]) -> dict[str, Any]:
    async with client(running, shown) as asking:
        answer = await asking.get("/.well-known/solarperform/connection")
    if answer.status_code != httpx.codes.OK:
        raise Refused(answer.status_code, answer.json())
    facts: dict[str, Any] = answer.json()
    return facts


def certificate_in(answer: httpx.Response) -> x509.Certificate:
    if answer.status_code != httpx.codes.OK:
        raise Refused(answer.status_code, msgspec.json.decode(answer.content))
    found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
    assert len(found) == 1
    return found[0]


def kept(folder: Path, certificate: x509.Certificate, key: Key) -> tuple[Path, Path]:
    """Files that a TLS client can show."""
    folder.mkdir(parents=True, exist_ok=True)
    chain, private = folder / f"{certificate.serial_number:x}.pem", folder / f"{certificate.serial_number:x}.key"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, private
