"""Mosquitto is killed, loses its memory, drops what it has acked, or hangs: devices and shard find each other again."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import aiomqtt
import pytest

from actors.manual_ack import ManualAckSession
from actors.shard import TwinShard
from certs.tls import client_context
from fleet.settings import BrokerSettings
from tests.acked import audit, check_complete
from tests.edge_fleet import SITES, edge_fleet, in_background
from tests.fleet_rig import Device, first, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database, Pki, mosquitto_server

SMALL_QUEUE = 300  # messages of an offline shard
AGAIN = ("on its files", "on an empty store")


def kill_and_restart(broker: Broker, again: str) -> None:
    broker.server.kill()
    if again == "on an empty store":
        broker.server.wipe()
    broker.server.start()


async def heard_of_drops(broker: Broker) -> bool:
    return "Outgoing messages are being dropped" in broker.log_file.read_text()


@pytest.mark.parametrize("again", AGAIN)
async def test_a_broker_killed_with_a_full_queue_loses_nothing_that_was_acked(
    again: str, database: Database, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    with mosquitto_server(pki, queued_messages_max=SMALL_QUEUE) as broker:
        settings = twins_settings(database.sp_twins, broker.sp_twins)
        async with edge_fleet(broker, seed=4) as fleet, in_background(audit(database, fleet.devices)):
            async with running_shard(settings):
                fleet.offer(5)
                await fleet.all_acked()
            fleet.offer(100)
            await until(lambda: heard_of_drops(broker))
            assert broker.server.pid is not None
            os.kill(broker.server.pid, signal.SIGUSR1)  # writes its queue; what it acks after this is only in memory
            fleet.offer(100)
            kill_and_restart(broker, again)
            async with running_shard(settings):
                await fleet.connected()
                await fleet.all_acked()
        await check_complete(database, fleet.devices)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_broker_killed_again_and_again_under_way_loses_nothing(
    seed: int, database: Database, broker: Broker
) -> None:
    await seed_fleet(database, SITES)
    luck = random.Random(seed)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        edge_fleet(broker, seed) as fleet,
        in_background(audit(database, fleet.devices)),
    ):
        async with in_background(fleet.talk()):
            for _ in range(2):
                await fleet.progress()
                await asyncio.sleep(luck.uniform(0.0, 0.5))  # the instant of this kill
                kill_and_restart(broker, luck.choice(AGAIN))
                await fleet.connected()
            await fleet.progress()
        await fleet.all_acked()
        await shard.roll_up()
    await check_complete(database, fleet.devices)


# the shard's session -----------------------------------------------------------------------------------------------


def session_of(settings: BrokerSettings) -> ManualAckSession:
    tls = client_context(ca_file=settings.ca_file, cert_file=settings.cert_file, key_file=settings.key_file)
    return ManualAckSession(settings, "sp-shard-0", tls)


async def test_a_killed_broker_ends_the_session_with_one_error_and_leaves_no_task(broker: Broker, pki: Pki) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        async with session_of(broker.sp_twins) as session, Device(broker, pki, "f-0", "f-0-m") as device:
            await session.replace_subscriptions(["sp/v1/+/+/+/up/#"], [])
            await device.raw("up/telemetry", b"{}")
            messages = await asyncio.wait_for(session.receive(10, 0.0), 60.0)
            broker.server.kill()
            for _ in range(2):
                with pytest.raises(aiomqtt.MqttError):
                    await asyncio.wait_for(session.receive(10, 0.0), 60.0)
                session.ack(messages)  # into the void
        broker.server.start()
    await until(lambda: only(before))


async def only(tasks: "set[asyncio.Task[object]]") -> bool:
    return asyncio.all_tasks() <= tasks


async def test_a_message_that_was_not_acked_comes_again_and_an_acked_one_does_not(broker: Broker, pki: Pki) -> None:
    async with Device(broker, pki, "f-0", "f-0-m") as device:
        async with session_of(broker.sp_twins) as session:
            await session.replace_subscriptions(["sp/v1/+/+/+/up/#"], [])
            for number in range(3):
                await device.raw("up/telemetry", b"%d" % number)
            received: list[bytes] = []
            while len(received) < 3:
                messages = await session.receive(10, 0.0)
                received += [message.payload for message in messages]
                session.ack([message for message in messages if message.payload == b"0"])
        session.ack(messages)  # of a connection that is gone: must not reach the next one
        async with session_of(broker.sp_twins) as session:
            again: list[bytes] = []
            while len(again) < 2:
                again += [message.payload for message in await asyncio.wait_for(session.receive(10, 0.0), 60.0)]
            assert again == [b"1", b"2"]


@contextmanager
def hung(broker: Broker) -> Iterator[None]:
    assert broker.server.pid is not None
    os.kill(broker.server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.server.pid, signal.SIGCONT)


@pytest.mark.parametrize("backlog_bytes", [0, 20_000_000])
async def test_a_shard_ends_when_told_to_although_the_broker_hangs(
    backlog_bytes: int, database: Database, broker: Broker
) -> None:
    """With a backlog not even the good-bye fits into the socket."""
    await seed_fleet(database, SITES)
    shard = TwinShard(0, twins_settings(database.sp_twins, broker.sp_twins))
    task = asyncio.create_task(shard.run())

    async def connected() -> bool:
        return (await shard.stats()).connected

    await first(task, shard.ready())
    await first(task, until(connected))
    with hung(broker):
        session = shard._upkeep.session
        assert session is not None
        for _ in range(0, backlog_bytes, 50_000):
            session.publish("sp/v1/00/f-0/live", bytes(50_000))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=60.0)
        ended = task.cancelled()
        task.cancel()
    assert ended, "it took the order to stop for a lost connection"
