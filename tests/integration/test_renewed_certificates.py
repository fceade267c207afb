"""A platform certificate is renewed in its folder: whoever stays connected shows it at the next connection."""

import asyncio
import shutil
from functools import partial
from pathlib import Path

import msgspec
import pytest

from certs.tls import client_context
from fleet.settings import BrokerSettings
from tests.fleet_rig import running_shard, twins_settings, until
from tests.servers import Broker, Database, pki_folder
from web.live import LiveFeed

FILES = ("chain.pem", "key.pem")


@pytest.fixture
def own(broker: Broker, tmp_path: Path) -> BrokerSettings:
    """sp-twins with a certificate in a folder that the test may change."""
    for name in FILES:
        shutil.copy(broker.sp_twins.cert_file.with_name(name), tmp_path)
    return msgspec.structs.replace(broker.sp_twins, cert_file=tmp_path / FILES[0], key_file=tmp_path / FILES[1])


async def restart(broker: Broker) -> None:
    await asyncio.to_thread(broker.server.kill)
    await asyncio.to_thread(broker.server.start)


def put(source: Path, own: BrokerSettings) -> None:
    for name in FILES:
        shutil.copy(source / name, own.cert_file.with_name(name))


async def test_by_the_shards(database: Database, broker: Broker, own: BrokerSettings) -> None:
    async with running_shard(twins_settings(database.sp_twins, own)) as shard:

        async def connected(wanted: bool) -> bool:
            return (await shard.stats()).connected is wanted

        with pki_folder() as other:
            put(other.folder / "platform" / "sp-twins", own)
            await restart(broker)
            await until(lambda: refused(broker))
            await until(lambda: connected(False))
        shutil.copy(broker.sp_twins.cert_file, own.cert_file)  # half renewed: the key is another one's still
        await restart(broker)
        shutil.copy(broker.sp_twins.key_file, own.key_file)
        await until(lambda: connected(True))


async def test_by_the_live_feed(broker: Broker, own: BrokerSettings) -> None:
    feed = LiveFeed(own, partial(client_context, ca_file=own.ca_file, cert_file=own.cert_file, key_file=own.key_file))

    async def connected(wanted: bool) -> bool:
        return feed.connected is wanted

    feed.start()
    try:
        await until(lambda: connected(True))
        own.key_file.write_text("half of a key")
        await restart(broker)
        await until(lambda: connected(False))
        put(broker.sp_twins.cert_file.parent, own)
        await until(lambda: connected(True))
    finally:
        await feed.stop()


async def refused(broker: Broker) -> bool:
    return "alert unknown ca" in broker.log_file.read_text() or "certificate verify failed" in broker.log_file.read_text()
