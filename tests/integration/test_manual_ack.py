"""The session beneath a shard: what is unacked is bounded whatever the broker does, and comes again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import mqtt5

from actors.manual_ack import ManualAckSession, Received
from certs.tls import client_context
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.limits import INFLIGHT_MESSAGES_MAX
from tests.servers import Broker, Pki

DEVICE = DeviceId("d-flood")
TOPIC = topics.up(SiteId("s-1"), DEVICE).telemetry
MESSAGES = 5 * INFLIGHT_MESSAGES_MAX
RECORD_MESSAGES = 200  # what may lie decrypted in TLS when the limit is reached


def session(broker: Broker) -> ManualAckSession:
    own = broker.sp_twins
    return ManualAckSession(
        own, "sp-shard-0", client_context(ca_file=own.ca_file, cert_file=own.cert_file, key_file=own.key_file)
    )


@asynccontextmanager
async def flood(broker: Broker, pki: Pki, messages: int = MESSAGES) -> AsyncIterator[None]:
    """A device that sends as fast as it can, and hears the answers."""
    chain, key = pki.device(DEVICE)
    tls = client_context(ca_file=pki.server_trust, cert_file=chain, key_file=key)
    reader, writer = await asyncio.open_connection(broker.host, broker.device_port, ssl=tls, server_hostname="localhost")
    writer.write(mqtt5.ConnectPacket(client_id=DEVICE, clean_start=True).write())
    await reader.read(1_024)

    async def send() -> None:
        for number in range(messages):
            packet = mqtt5.PublishPacket(TOPIC, b"%d" % number, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number % 60_000 + 1)
            writer.write(packet.write())
            await writer.drain()

    async def hear() -> None:
        while await reader.read(65_536):
            pass

    tasks = [asyncio.create_task(send()), asyncio.create_task(hear())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        writer.transport.abort()


async def test_a_slow_reader_holds_a_bounded_number_of_messages(broker: Broker, pki: Pki) -> None:
    async with session(broker) as slow:
        await slow.replace_subscriptions([topics.slot_filter(slot) for slot in range(256)], [])
        async with flood(broker, pki):
            seen: list[bytes] = []
            most = 0
            while len(seen) < MESSAGES:
                batch = await slow.receive(INFLIGHT_MESSAGES_MAX // 4, 0.05)
                await asyncio.sleep(0.02)  # slower than the broker sends
                most = max(most, len(batch) + slow.waiting)
                seen += [message.payload for message in batch]
                slow.ack(batch)
    assert seen == [b"%d" % number for number in range(MESSAGES)]
    assert most <= INFLIGHT_MESSAGES_MAX + RECORD_MESSAGES


async def test_what_was_not_acked_comes_again_first(broker: Broker, pki: Pki) -> None:
    async with session(broker) as first:
        await first.replace_subscriptions([topics.slot_filter(slot) for slot in range(256)], [])
        async with flood(broker, pki, 100):
            batch: list[Received] = []
            while len(batch) <= 40:  # what has come by now may be fewer
                batch += await first.receive(100, 0.05)
            first.ack(batch[:40])
            await first.replace_subscriptions([topics.slot_filter(0)], [])  # answered after the acks were read
    async with session(broker) as second:
        again = await second.receive(10, 0.05)
    assert again[0].payload == batch[40].payload
