"""Every feature of MQTT that the platform and its devices use, from the packets that they really send: deploy/broker.md.

A broker that has these can take Mosquitto's place.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from actors import broker_home
from actors.guard.takeover import InternalDoor
from actors.manual_ack import drop_session
from actors.shard import TwinShard
from certs.tls import client_context
from edge.link import Endpoint, Link
from edge.wiring import Certificates, make_link
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.orders import CommandWish
from fleet.settings import BrokerSettings
from tests.fleet_rig import running_shard, seed_fleet, twins_settings, until
from tests.mqtt_recorder import Recorder
from tests.orders_rig import ONLINE, now_ms
from tests.servers import Broker, Database
from web.live import LiveFeed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "deploy" / "broker.md"
COMPONENTS = ("shard", "portal", "guard", "device")
SITE, DEVICE = SiteId("site-one"), DeviceId("gateway-one")
UP, DOWN = topics.up(SITE, DEVICE), topics.down(SITE, DEVICE)
# Who may speak MQTT at all: whatever comes to it has to be recorded below.
SPEAKERS = {
    "actors/manual_ack.py", "actors/shard.py", "actors/guard/takeover.py", "web/live.py", "edge/session.py",
    "edge/agent/inputs/mqtt.py",  # reads from a house's own broker
    "actors/doctor/probes.py",  # says hello and goodbye, as the portal does
}  # fmt: skip


class Ears:
    """A device that listens."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.came = 0

    def ready(self) -> None:
        self.came += 1

    def room_again(self) -> None: ...

    def message(self, topic: str, payload: bytes) -> None:
        self.told.append(topic)


async def so(condition: Callable[[], object]) -> None:
    async def holds() -> bool:
        return bool(condition())

    await until(holds)


@pytest.fixture
async def recorded(database: Database, broker: Broker) -> AsyncIterator[Recorder]:
    """What each of them does with the broker in its life, in seconds."""
    await seed_fleet(database, [(SITE, {DEVICE: "gateway"})])
    broker.pki.devices([DEVICE])
    async with Recorder(broker).running() as recorder:
        own = {name: through(recorder, broker.pki.platform(broker, name)) for name in ("sp-twins", "sp-web", "sp-guard")}
        async with (
            running_shard(twins_settings(database.sp_twins, own["sp-twins"])) as shard,
            device(recorder, broker) as link,
        ):
            await portal_looks(recorder, shard, link, LiveFeed(own["sp-web"], lambda: tls_of(own["sp-web"])))
            await guard_takes_over(InternalDoor(own["sp-guard"]), link)
        async with running_shard(twins_settings(database.sp_twins, own["sp-twins"], shards=2)):
            pass  # half of the slots are another shard's now
        await drop_session(own["sp-twins"], "sp-shard-1", tls_of(own["sp-twins"]))
        yield recorder
        assert recorder.errors == []


def through(recorder: Recorder, settings: BrokerSettings) -> BrokerSettings:
    return msgspec.structs.replace(settings, port=recorder.internal_port)


def tls_of(own: BrokerSettings) -> ssl.SSLContext:
    return client_context(ca_file=own.ca_file, cert_file=own.cert_file, key_file=own.key_file)


@asynccontextmanager
async def device(recorder: Recorder, broker: Broker) -> AsyncIterator[tuple[Link, Ears]]:
    """As the agent, the simulator and the load generator speak: they all stand on edge.session."""
    certificates = Certificates(broker.pki.folder / "devices", broker.pki.server_trust)
    endpoint, ears = Endpoint(broker.host, recorder.device_port, "localhost"), Ears()
    link = make_link(endpoint, certificates, SITE, DEVICE, asyncio.Semaphore(1))
    running = asyncio.create_task(link.run(ears))
    try:
        await so(lambda: link.up)
        yield link, ears
    finally:
        link.stop()
        await asyncio.wait([running], timeout=60.0)


async def portal_looks(recorder: Recorder, shard: TwinShard, speaking: tuple[Link, Ears], feed: LiveFeed) -> None:
    link, ears = speaking
    feed.start()
    with feed.watch(SITE) as viewer:
        await so(lambda: feed.connected)
        link.publish(UP.state, ONLINE)
        sample = b'{"seq":%d,"oldest":1,"stream":"s","samples":[{"t":%d,"v":{}}]}'
        seen = asyncio.ensure_future(viewer.next())
        for seq in range(1, 100):  # until the feed's subscription has reached the broker
            link.publish(UP.telemetry, sample % (seq, now_ms()))
            await asyncio.wait([seen], timeout=0.5)
            if seen.done():
                break
        assert SITE in seen.result().decode()
        await shard.issue_commands([CommandWish("c-1", SITE, DEVICE, "blink", {}, now_ms() + 60_000, 60.0)])
        await so(lambda: {DOWN.command, DOWN.ack} <= set(ears.told))
    await so(lambda: "UNSUBSCRIBE" in recorder.features["portal"])
    await feed.stop()


async def guard_takes_over(door: InternalDoor, speaking: tuple[Link, Ears]) -> None:
    link, ears = speaking
    came = ears.came
    assert not await door.take_over(DEVICE, "a-mark-that-no-list-has")
    await so(lambda: ears.came > came and link.up)


def documented() -> dict[str, set[str]]:
    """Component → features, from the table in deploy/broker.md."""
    found: dict[str, set[str]] = {component: set() for component in COMPONENTS}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == len(COMPONENTS) + 2:
            for component, mark in zip(COMPONENTS, cells[1:], strict=False):
                if mark == "×":
                    found[component].add(cells[0].strip("`"))
    return found


async def test_the_page_lists_exactly_what_is_used(recorded: Recorder) -> None:
    assert recorded.unknown == set()
    assert recorded.features == documented()
    used = set().union(*recorded.features.values())
    assert [feature for feature in used if "retained" in feature or "$" in feature or feature == "PUBLISH QoS 2"] == []
    assert recorded.to_clients == set()


def test_whoever_speaks_mqtt_is_recorded() -> None:
    rooms = (file for room in ("actors", "certs", "edge", "fleet", "web") for file in (ROOT / room).rglob("*.py"))
    library = re.compile(r"^\s*(?:import|from) (?:aiomqtt|paho|mqtt5)\b", re.MULTILINE)
    assert {str(file.relative_to(ROOT)) for file in rooms if library.search(file.read_text())} == SPEAKERS


def test_every_line_of_mosquittos_configuration_has_its_counterpart() -> None:
    home = Path("/broker")
    text = broker_home.configuration(home, devices=("h", 1), internal=("h", 2), devices_max=1, queued_messages_max=1)
    options = {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}
    listed = set(re.findall(r"`([a-z_]+)`", PAGE.read_text()))
    assert options <= listed
