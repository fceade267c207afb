"""Mosquitto itself, with the two listeners of a deployment: which certificate opens which door."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from actors.local.ports import free_port
from certs import tls
from certs.authority import Pki

CONNECT = bytes.fromhex("100d00044d5154540402003c000174")  # MQTT 3.1.1, clean session, client id "t"
ACCEPTED = bytes.fromhex("20020000")
PATIENCE_S = 60.0


class Broker(NamedTuple):
    folder: Path
    devices_port: int
    platform_port: int


def listener(folder: Path, port: int, trust: str) -> str:
    return f"""
listener {port} 127.0.0.1
cafile {folder}/trust/{trust}.pem
certfile {folder}/servers/localhost/chain.pem
keyfile {folder}/servers/localhost/key.pem
require_certificate true
use_identity_as_username true
"""


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin")
    if program is None:
        pytest.fail("Mosquitto is not installed: the separation of the listeners stays unproven")
    folder, now = tmp_path / "pki", datetime.now(UTC)
    pki = Pki.create(folder, now)
    pki.issue_server(["localhost"], ["127.0.0.1"], now)
    pki.issue_device("inv-1", now)
    pki.issue_platform("sp-twins", now)
    built = Broker(folder, free_port(), free_port())
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        "allow_anonymous false\nuser root\n"  # root: it must read keys that belong to whoever runs the tests
        + listener(folder, built.devices_port, "devices")
        + listener(folder, built.platform_port, "platform")
    )
    process = await asyncio.create_subprocess_exec(program, "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
    try:
        for port in (built.devices_port, built.platform_port):
            await listening(port)
        yield built
    finally:
        process.terminate()
        await process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def enters(port: int, context: ssl.SSLContext) -> bool:
    """Whether the broker answers a CONNECT with "accepted". In TLS 1.3 a refusal shows at the first read."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context, family=socket.AF_INET)
            writer.write(CONNECT)
            await writer.drain()
            answer = await reader.readexactly(len(ACCEPTED))
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return False
        writer.transport.abort()
        return answer == ACCEPTED


def as_client(folder: Path, leaf: str) -> ssl.SSLContext:
    return tls.client_context(
        ca_file=folder / "trust" / "servers.pem", cert_file=folder / leaf / "chain.pem", key_file=folder / leaf / "key.pem"
    )


def with_every_authority_in_its_chain(folder: Path, leaf: str) -> None:
    """What an intruder may send beside its leaf: all that the PKI has published."""
    chain = folder / leaf / "chain.pem"
    authorities = [folder / name / "cert.pem" for name in ("platform-ca", "devices-ca", "servers-ca", "root")]
    first = chain.read_bytes().partition(b"-----END CERTIFICATE-----\n")
    chain.write_bytes(first[0] + first[1] + b"".join(path.read_bytes() for path in authorities))


async def test_each_certificate_opens_its_own_door_only(broker: Broker) -> None:
    opened = {
        (leaf, port): await enters(port, as_client(broker.folder, leaf))
        for leaf in ("devices/inv-1", "platform/sp-twins", "servers/localhost")
        for port in (broker.devices_port, broker.platform_port)
    }
    assert [door for door, open_ in opened.items() if open_] == [
        ("devices/inv-1", broker.devices_port),
        ("platform/sp-twins", broker.platform_port),
    ]


async def test_sending_authorities_along_opens_nothing_more(broker: Broker) -> None:
    for leaf in ("devices/inv-1", "platform/sp-twins", "servers/localhost"):
        with_every_authority_in_its_chain(broker.folder, leaf)
    assert await enters(broker.devices_port, as_client(broker.folder, "devices/inv-1"))
    assert await enters(broker.platform_port, as_client(broker.folder, "platform/sp-twins"))
    assert not await enters(broker.devices_port, as_client(broker.folder, "platform/sp-twins"))
    assert not await enters(broker.platform_port, as_client(broker.folder, "devices/inv-1"))
    assert not await enters(broker.devices_port, as_client(broker.folder, "servers/localhost"))


async def test_nobody_enters_without_a_certificate(broker: Broker) -> None:
    bare = ssl.create_default_context(cafile=str(broker.folder / "trust" / "servers.pem"))
    assert not await enters(broker.devices_port, bare)
    assert not await enters(broker.platform_port, bare)


async def test_the_device_of_another_pki_stays_outside(broker: Broker, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    Pki.create(tmp_path / "other", now).issue_device("inv-1", now)
    (tmp_path / "other" / "trust" / "servers.pem").write_bytes((broker.folder / "trust" / "servers.pem").read_bytes())
    assert not await enters(broker.devices_port, as_client(tmp_path / "other", "devices/inv-1"))
