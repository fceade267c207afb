"""An enrolment server that means the agent harm, and a state folder that somebody else has had his hands on."""

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.local.ports import LOOPBACK
from edge.agent import server as server_module
from edge.agent.home import ConnectionInfo, Home, Identity
from edge.agent.inputs.mqtt import MqttInput
from edge.agent.inputs.settings import MqttSettings
from edge.agent.server import Server, verifying
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.telemetry import RawMessage, Sample

Speak = Callable[[asyncio.StreamWriter], Awaitable[None]]
FACTS: dict[str, Any] = {
    "device": "inv-1", "site": "s-1", "name": "Toit", "profile": "inverter", "serial": None, "interval_s": 10.0,
    "mqtt": {"host": "localhost", "port": 8883}, "certificate": {"serial": "ab", "renew_at": 1_800_000_000_000},
}  # fmt: skip


def certificate_of(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, now, now + timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    return builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())


class Hostile:
    """One answer for every request."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.anchor = certificate_of("localhost", key).public_bytes(Encoding.PEM)
        self._files = folder / "server.pem", folder / "server.key"
        self._files[0].write_bytes(self.anchor)
        self._files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @asynccontextmanager
    async def saying(self, speak: Speak) -> AsyncIterator[Server]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await speak(writer)
                await writer.drain()
            writer.close()

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*self._files)
        listening = await asyncio.start_server(answer, LOOPBACK, 0, ssl=tls)
        try:
            yield Server(f"https://localhost:{listening.sockets[0].getsockname()[1]}")
        finally:
            listening.close()

    async def asked(self, speak: Speak) -> ConnectionInfo:
        async with self.saying(speak) as server:
            return await asyncio.to_thread(server.connection, verifying(self.anchor))


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    return Hostile(tmp_path)


def whole(status: str, body: bytes, *headers: str) -> Speak:
    async def speak(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return speak


def facts(**changed: Any) -> Speak:
    return whole("200 OK", json.dumps(FACTS | changed).encode())


async def test_sound_facts_are_taken(hostile: Hostile) -> None:
    assert (await hostile.asked(facts())).device == "inv-1"


@pytest.mark.parametrize(
    "changed",
    [
        {"device": "../../etc/cron.d/x"},
        {"device": "#"},
        {"device": "inv-1\n"},
        {"device": "sp-twins"},
        {"site": "a/b"},
        {"site": "+"},
        {"name": "x\x1b[2J\n"},
        {"name": "x" * 100_000},
        {"interval_s": 1e308},
        {"interval_s": 0},
        {"mqtt": {"host": "a b\n", "port": 1}},
        {"mqtt": {"host": "localhost", "port": 70_000}},
        {"mqtt": {"host": "localhost", "port": -1}},
        {"certificate": {"serial": "ab", "renew_at": 10**30}},
        {"certificate": {"serial": "ab", "renew_at": 9 * 10**15}},
        {"certificate": {"serial": "ab\n", "renew_at": 0}},
    ],
    ids=lambda changed: str(changed)[:50],
)
async def test_facts_that_cannot_be_are_refused(hostile: Hostile, changed: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        await hostile.asked(facts(**changed))
    assert caught.value.code == "answer_not_understood"


def test_facts_about_another_device_are_not_kept(tmp_path: Path) -> None:
    identity = Home(tmp_path).identity("claim-0")
    identity.folder.mkdir(parents=True)
    identity.request()
    own = x509.load_pem_x509_csr(identity.request())
    key = identity._private_key()
    assert own.public_key() == key.public_key()
    identity.keep_certificate([certificate_of("inv-2", key)])
    with pytest.raises(BadInput, match="inv-1"):
        identity.keep_connection(told("inv-1"))
    assert not identity.confirmed
    identity.keep_connection(told("inv-2"))
    assert identity.connection().device == "inv-2"


def told(device: str) -> ConnectionInfo:
    return msgspec.convert(FACTS | {"device": device}, ConnectionInfo)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\xff\xfe", b'{"device": "../x"}', b"[" * 100_000])
def test_a_spoilt_state_file_is_told_as_one(tmp_path: Path, junk: bytes) -> None:
    identity = Identity(tmp_path)
    for name, look in (
        ("connection.json", identity.connection),
        ("intent.json", identity.intent),
        ("chain.pem", identity.certificate),
    ):
        (tmp_path / name).write_bytes(junk)
        with pytest.raises(BadInput) as caught:
            look()
        assert caught.value.code == "bad_state"


async def test_what_a_server_says_reaches_the_terminal_without_its_control_characters(hostile: Hostile) -> None:
    said = json.dumps({"detail": "\x1b]0;root\x07\x1b[2Jok\r\n" + "x" * 5_000, "code": "a\x1b[1m"}).encode()
    for speak in (whole("403 No", said), whole("403 No", b"\x1b[2J\xff\n" * 1_000)):
        with pytest.raises(BadInput) as caught:
            await hostile.asked(speak)
        assert caught.value.detail.isprintable()
        assert len(caught.value.detail) <= 300
        assert caught.value.code == "http_403"


async def test_a_redirection_is_not_followed(hostile: Hostile) -> None:
    with pytest.raises(BadInput, match="http_302"):
        await hostile.asked(whole("302 Found", b"", "Location: https://localhost:1/"))


async def body_without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"[" * 65_536)
        await writer.drain()
        await asyncio.sleep(0)


async def headers_without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: " + b"x" * 1_000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def byte_by_byte(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def continue_without_end(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("speak", [body_without_end, headers_without_end, byte_by_byte, continue_without_end])
async def test_an_answer_without_end_comes_to_one(hostile: Hostile, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "AGENT_ANSWER_S", 1.0)
    async with asyncio.timeout(60):
        with pytest.raises(FleetError) as caught:
            await hostile.asked(speak)
    assert isinstance(caught.value, Unavailable) or speak is body_without_end


@pytest.mark.parametrize(
    "body", [b"", b"!", base64.b64encode(b"\x30\x03\x02\x01\x00"), base64.b64encode(Random(3).randbytes(3_000))]
)
async def test_certificates_that_are_none_are_not_understood(hostile: Hostile, body: bytes) -> None:
    async with hostile.saying(whole("200 OK", body)) as server:
        with pytest.raises(BadInput) as caught:
            await asyncio.to_thread(server.anchors, verifying(hostile.anchor))
    assert caught.value.code == "answer_not_understood"
    assert caught.value.detail.isprintable()


def test_the_lock_is_the_services_own_and_no_link_to_elsewhere(tmp_path: Path) -> None:
    """root enrols, the service renews: it has to be able to take the lock; and it must not make root empty a file."""
    folder, victim = tmp_path / "state", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("precious")
    if os.geteuid() == 0:
        os.chown(folder, 65_534, 65_534)
    with Home(folder).alone():
        assert (folder / "enrolment.lock").stat().st_uid == folder.stat().st_uid
    (folder / "enrolment.lock").unlink()
    (folder / "enrolment.lock").symlink_to(victim)
    with pytest.raises(BadInput), Home(folder).alone():
        pass
    assert victim.read_text() == "precious"


def published(topic: bytes, payload: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + payload
    length, left = b"", len(body)
    while True:
        left, digit = divmod(left, 128)
        length += bytes([digit | (128 if left else 0)])
        if not left:
            return b"\x30" + length + body


class Basket:
    """Where an input's messages go."""

    def __init__(self) -> None:
        self.messages: list[RawMessage] = []
        self.filled = asyncio.Event()

    def raw(self, messages: list[RawMessage]) -> None:
        self.messages += messages
        self.filled.set()

    def samples(self, samples: list[Sample], source: str | None) -> None:
        raise AssertionError(f"a broker's messages are no samples: {samples} of {source}")


async def test_a_houses_broker_that_says_what_no_broker_may_disturbs_nothing() -> None:
    """Topics that are no text, payloads of megabytes: dropped, and what is sound goes on."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(500)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(500)
        writer.write(b"\x90\x03" + subscribe[2:4] + b"\x00")
        for topic in (b"\xff\xfe", b"a\x00b", b"\xed\xa0\x80", b"t" * 60_000):
            writer.write(published(topic, b"x"))
        for _ in range(5):
            writer.write(published(b"large", b"x" * 2_000_000))
            await writer.drain()
        writer.write(published(b"sound", b"42"))
        with suppress(OSError):
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(speak, LOOPBACK, 0)
    basket = Basket()
    told = MqttInput(MqttSettings(host=LOOPBACK, port=listening.sockets[0].getsockname()[1], topics=("#",)))
    running = asyncio.create_task(told.run(basket))
    try:
        async with asyncio.timeout(60):
            await basket.filled.wait()
    finally:
        running.cancel()
        listening.close()
        with suppress(asyncio.CancelledError):
            await running
    assert [(each.topic, each.payload) for each in basket.messages] == [("sound", b"42")]
    assert told.dropped >= 6
