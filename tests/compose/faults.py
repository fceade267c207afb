"""What befalls an installation: processes killed from outside, certificates renewed, and how it comes back."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.compose.people import Person
from tests.compose.record import until
from tests.compose.stack import Container, Stack, docker, has_health_check, image


def kill(stack: Stack, container: Container) -> None:
    """SIGKILL from outside, as the kernel does it when memory is short; for the engine's own kill it would not come back."""
    (found,) = stack.inspected(container.id)
    pid = found["State"]["Pid"]
    docker(
        "run", "--rm", "--pid", "host", "--network", "none", "--user", "0:0", "--cap-add", "KILL",
        "--entrypoint", "sh", image("slim"), "-c", f"kill -9 {pid}",
    )  # fmt: skip


def started_at(stack: Stack, container: Container) -> str:
    (found,) = stack.inspected(container.id)
    return str(found["State"]["StartedAt"])


def back_again(stack: Stack, container: Container, before: str, since: float, deadline_s: float = 300.0) -> float:
    """Seconds since that instant (monotonic) until the container runs anew and is healthy. before: when it had started."""

    def is_back() -> bool:
        (now,) = stack.inspected(container.id)
        if now["State"]["StartedAt"] == before or not now["State"]["Running"]:
            return False
        return container.service not in has_health_check() or now["State"]["Health"]["Status"] == "healthy"

    until(is_back, f"{container.service} back after it was killed", deadline_s, 0.2)
    return time.monotonic() - since


def answers_again(person: Person, site: str, since: float, deadline_s: float = 300.0) -> float:
    """Seconds since that instant (monotonic) until the site's twin says something that was measured after now."""
    now_ms = time.time() * 1_000

    def is_live() -> bool:
        try:
            answer = person.ask("GET", f"/sites/{site}/live", timeout=5.0)
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        seen = [device["sample_at"] for device in answer.json()["devices"] if device["sample_at"]]
        return any(at > now_ms for at in seen)

    until(is_live, f"the twin of {site} answers with a new reading", deadline_s, 0.2)
    return time.monotonic() - since


class Stream:
    """A page that stays open: how many events it got; `over` once it has ended, whatever by."""

    def __init__(self) -> None:
        self.events = 0
        self.over = False
        self.why = ""


@contextmanager
def watched(person: Person, site: str) -> Iterator[Stream]:
    """The site's live view, until the end of the block."""
    stream, enough = Stream(), threading.Event()
    headers = {"Authorization": f"Bearer {person.token()}"}
    url = f"{person.stack.url}/api/v1/sites/{site}/events"

    def listen() -> None:
        try:
            with httpx.stream("GET", url, headers=headers, verify=person.stack.tls(), timeout=60.0) as answer:
                for line in answer.iter_lines():
                    stream.events += line.startswith("event:")
                    if enough.is_set():
                        return
        except httpx.HTTPError as error:
            stream.why = repr(error)
        finally:
            stream.over = True

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        until(lambda: stream.events > 0 or stream.over, "the live view begins", 60.0)
        yield stream
    finally:
        enough.set()
        thread.join(30.0)


def shown_certificate(port: int, name: str = "localhost") -> x509.Certificate:
    """What the gateway shows to whoever asks by that name; nobody is trusted for it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), 20.0)
    with plain, context.wrap_socket(plain, server_hostname=name) as shown:
        der = shown.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def own_certificate(folder: Path, host: str) -> x509.Certificate:
    """As a public authority would give it: chain.pem and key.pem, laid where the owner's belong."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{host} of its owner")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "chain.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate


def shards_of(stack: Stack) -> dict[str, int]:
    """Worker's container → how many shards it holds."""
    count = (
        "import psutil; print(sum((process.info['cmdline'] or [''])[0].startswith('ray::ShardActor')"
        " for process in psutil.process_iter(['cmdline'])))"
    )
    workers = stack.containers("ray-worker")
    return {each.id: int(docker("exec", each.id, "python", "-c", count)) for each in workers if "Up" in each.status}
