"""The broker's configuration: who gets in, who may say and hear what, and what survives a restart."""

import asyncio
import ssl
from pathlib import Path

import aiomqtt
import psutil
import pytest

from actors.local.configuration import Options
from fleet import limits, topics
from fleet.ids import device_id, site_id
from fleet.placement import slot_of
from tests.servers import Broker, certs, mosquitto_server, pki_folder

SITE = site_id("test-site")
ONE, TWO = device_id("device-one"), device_id("device-two")
DEADLINE_S = 60.0


def tls(broker: Broker, chain: Path | None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(broker.pki.server_trust))
    if chain is not None:
        context.load_cert_chain(chain, key)
    return context


def as_device(
    broker: Broker, device: str, *, identifier: str | None = None, protocol: int = 5, host: str = "localhost"
) -> aiomqtt.Client:
    return aiomqtt.Client(
        host,
        broker.device_port,
        identifier=identifier or device,
        tls_context=tls(broker, *broker.pki.device(device)),
        protocol=aiomqtt.ProtocolVersion(protocol),
        timeout=DEADLINE_S,
    )


def as_platform(
    broker: Broker, name: str = "sp-twins", *, identifier: str = "test-platform", keep: bool = False
) -> aiomqtt.Client:
    settings = broker.sp_twins if name == "sp-twins" else broker.sp_web
    return aiomqtt.Client(
        "localhost",
        settings.port,
        identifier=identifier,
        clean_session=not keep,
        tls_context=tls(broker, settings.cert_file, settings.key_file),
        timeout=DEADLINE_S,
    )


async def next_payload(client: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        message = await anext(aiter(client.messages))
    assert isinstance(message.payload, bytes)
    return message.payload


async def test_devices_on_the_network_find_the_broker_by_the_name_in_its_certificate(tmp_path: Path) -> None:
    """127.0.0.2 stands for an address on the network: it is another one than everybody's 127.0.0.1."""
    options = Options(tmp_path, 8080, 8883, device_host="127.0.0.2")
    with pki_folder() as pki:
        certs("issue-server", str(pki.folder), *options.certificate_names())
        pki.devices([ONE])
        with mosquitto_server(pki, device_host=options.device_host) as broker:
            async with as_device(broker, ONE, host=options.device_name) as client:
                await client.publish(topics.up(SITE, ONE).telemetry, b"{}", qos=1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", broker.device_port)
            async with as_platform(broker):  # on its own listener, which stays on this machine
                pass


async def test_without_a_certificate_nobody_gets_in(broker_session: Broker) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await handshake(broker_session.device_port, tls(broker_session, None))
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await handshake(broker_session.internal_port, tls(broker_session, None))


async def test_devices_and_platform_have_a_door_each(broker_session: Broker) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await handshake(broker_session.internal_port, tls(broker_session, *broker_session.pki.device(ONE)))
    platform = broker_session.sp_twins
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await handshake(broker_session.device_port, tls(broker_session, platform.cert_file, platform.key_file))


async def handshake(port: int, context: ssl.SSLContext) -> None:
    """In TLS 1.3 a refused certificate shows at the first read."""
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read(1) == b""
        raise ConnectionResetError
    finally:
        writer.close()


async def test_a_device_writes_below_its_own_up_only(broker_session: Broker) -> None:
    async with as_platform(broker_session) as platform, as_device(broker_session, ONE) as device:
        await platform.subscribe("sp/v1/#", qos=1)
        await device.publish(topics.up(SITE, TWO).telemetry, b"forged", qos=1)
        await device.publish(topics.down(SITE, ONE).command, b"forged", qos=1)
        await device.publish(topics.live(SITE), b"forged", qos=1)
        await device.publish(topics.up(SITE, ONE).telemetry, b"mine", qos=1)
        assert await next_payload(platform) == b"mine"


async def test_a_device_hears_its_own_down_only(broker_session: Broker) -> None:
    async with as_platform(broker_session) as platform, as_device(broker_session, ONE) as device:
        await device.subscribe("#", qos=1)
        await device.subscribe(topics.device_filter(SITE, TWO), qos=1)
        await device.subscribe(topics.device_filter(SITE, ONE), qos=1)
        await platform.publish(topics.down(SITE, TWO).ack, b"for two", qos=1)
        await platform.publish(topics.down(SITE, ONE).ack, b"for one", qos=1)
        assert await next_payload(device) == b"for one"


async def test_the_portal_only_reads_live_topics(broker_session: Broker) -> None:
    async with as_platform(broker_session) as twins, as_platform(broker_session, "sp-web", identifier="test-web") as web:
        await web.subscribe("sp/v1/#", qos=1)
        await twins.publish(topics.down(SITE, ONE).ack, b"not for the portal", qos=1)
        await twins.publish(topics.live(SITE), b"live", qos=1)
        assert await next_payload(web) == b"live"


async def test_another_certificate_cannot_take_a_session_over(broker_session: Broker) -> None:
    async with as_platform(broker_session) as platform, as_device(broker_session, ONE) as device:
        await platform.subscribe(topics.slot_filter(slot_of(SITE)), qos=1)
        async with as_device(broker_session, TWO, identifier=ONE):
            await device.publish(topics.up(SITE, ONE).telemetry, b"still here", qos=1)
            assert await next_payload(platform) == b"still here"


async def test_what_is_too_large_ends_the_connection(broker_session: Broker) -> None:
    with pytest.raises(aiomqtt.MqttError):
        await send_too_much(broker_session)


async def send_too_much(broker: Broker) -> None:
    async with as_device(broker, ONE, protocol=4) as device:
        await device.publish(topics.up(SITE, ONE).telemetry, bytes(limits.PAYLOAD_BYTES_MAX), qos=1)  # just fits
        too_large = bytes(limits.PAYLOAD_BYTES_MAX + 4_096)
        publishing = asyncio.create_task(device.publish(topics.up(SITE, ONE).telemetry, too_large, qos=1))
        try:
            await next_payload(device)  # nothing comes but the end of the connection
        finally:
            publishing.cancel()


@pytest.mark.parametrize(("wiped", "expected"), [(False, b"while away"), (True, b"after")])
async def test_a_restart_keeps_sessions_unless_its_store_is_gone(broker: Broker, wiped: bool, expected: bytes) -> None:
    listen_to = topics.slot_filter(slot_of(SITE))
    async with as_platform(broker, keep=True) as platform:
        await platform.subscribe(listen_to, qos=1)
    async with as_device(broker, ONE) as device:
        await device.publish(topics.up(SITE, ONE).telemetry, b"while away", qos=1)
    broker.server.stop()
    if wiped:
        broker.server.wipe()
    broker.server.start()
    async with as_platform(broker, keep=True) as platform, as_device(broker, ONE) as device:
        await platform.subscribe(listen_to, qos=1)
        await device.publish(topics.up(SITE, ONE).telemetry, b"after", qos=1)
        assert await next_payload(platform) == expected


async def test_killed_it_comes_back_on_its_ports(broker: Broker) -> None:
    ports = broker.device_port, broker.internal_port
    broker.server.kill()
    broker.server.start()
    assert (broker.device_port, broker.internal_port) == ports
    async with as_device(broker, ONE) as device:
        await device.publish(topics.up(SITE, ONE).telemetry, b"back", qos=1)


async def test_reload_keeps_connections(broker: Broker) -> None:
    async with as_platform(broker) as platform, as_device(broker, ONE) as device:
        await platform.subscribe(topics.slot_filter(slot_of(SITE)), qos=1)
        broker.server.reload()
        await device.publish(topics.up(SITE, ONE).telemetry, b"still", qos=1)
        assert await next_payload(platform) == b"still"


async def test_whom_the_guard_denied_stays_denied_after_a_restart(broker: Broker) -> None:
    broker.server.stop()
    (broker.server.folder / "denied").write_text(f"{ONE}\n")
    broker.server.start()
    async with as_platform(broker) as platform, as_device(broker, ONE) as denied, as_device(broker, TWO) as other:
        await platform.subscribe(topics.slot_filter(slot_of(SITE)), qos=1)
        await denied.publish(topics.up(SITE, ONE).telemetry, b"denied", qos=1)
        await other.publish(topics.up(SITE, TWO).telemetry, b"other", qos=1)
        assert await next_payload(platform) == b"other"


@pytest.mark.parametrize("spoilt", [True, False])
async def test_without_the_list_that_it_had_no_device_is_served(broker: Broker, spoilt: bool) -> None:
    broker.server.stop()
    (broker.server.folder / "denied").touch()  # the guard was here
    (broker.server.folder / "crl.pem").unlink()
    if spoilt:
        (broker.server.folder / "crl.pem").write_text("garbage")
    broker.server.start()
    async with as_platform(broker) as platform, as_device(broker, ONE) as device:
        await platform.subscribe("sp/v1/#", qos=1)
        await device.publish(topics.up(SITE, ONE).telemetry, b"closed", qos=1)
        await platform.publish(topics.live(SITE), b"marker", qos=1)
        assert await next_payload(platform) == b"marker"


def test_never_runs_as_root(broker_session: Broker) -> None:
    assert broker_session.server.pid is not None
    assert psutil.Process(broker_session.server.pid).uids().effective != 0
