"""Authority and broker on one PKI, an ear on the broker, and agents that are enrolled: for tests of the agent at work."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec

from actors.broker_files import CRL, replace
from certs.tls import client_context
from fleet import settings, topics
from fleet.ids import DeviceId
from fleet.order_messages import CommandResult, ReportedConfig
from fleet.profiles import DeviceProfile, shipped
from fleet.telemetry import PlatformAck, Sample, State, Telemetry
from tests.agent_rig import AgentProcess, link
from tests.authority import SITE, Authority, authority, make_claim
from tests.fleet_rig import until
from tests.servers import Broker, Database, Pki, certs, mosquitto_server

_MARK = topics.device_root(SITE, DeviceId("nobody")) + "/down/mark"
PROFILES = {profile.id: profile for profile in shipped()}


class Heard:
    """One device as the broker hears it: a Speaker of tests.acked, from outside."""

    def __init__(self, device: str, profile: str) -> None:
        self.site, self.id = SITE, DeviceId(device)
        self.profile: DeviceProfile = PROFILES[profile]
        self.stream = ""
        self.offered: dict[int, list[Sample]] = {}
        self.told: dict[str, int] = {}
        self.messages: list[Telemetry] = []
        self.states: list[State] = []
        self.configs: list[ReportedConfig] = []
        self.results: list[CommandResult] = []

    def hear(self, channel: str, payload: bytes) -> None:
        match channel:
            case "up/telemetry":
                self._telemetry(msgspec.json.decode(payload, type=Telemetry))
            case "up/state":
                self.states.append(msgspec.json.decode(payload, type=State))
            case "up/config":
                self.configs.append(msgspec.json.decode(payload, type=ReportedConfig))
            case "up/result":
                self.results.append(msgspec.json.decode(payload, type=CommandResult))
            case "down/ack":
                ack = msgspec.json.decode(payload, type=PlatformAck)
                self.told[ack.stream or ""] = max(self.told.get(ack.stream or "", 0), ack.seq)

    def status_of(self, command_id: str) -> list[str]:
        return [result.status for result in self.results if result.id == command_id]

    def _telemetry(self, said: Telemetry) -> None:
        assert said.stream
        assert said.seq is not None
        assert self.stream in ("", said.stream), "the agent has lost its numbering"
        self.stream = said.stream
        assert self.offered.setdefault(said.seq, said.samples) == said.samples, "one number, two contents"
        self.messages.append(said)


@dataclass
class Platform:
    authority: Authority
    broker: Broker
    database: Database
    devices: dict[str, Heard]
    acks: bool = False  # whether this stands in for the shards
    client: aiomqtt.Client | None = None
    marks: int = 0  # heard so far of those that this has published

    async def agent(self, folder: Path, device: str, profile: str = "meter") -> tuple[AgentProcess, Heard]:
        """Enrolled and not running."""
        code = await make_claim(self.database, device, profile=profile)
        agent = AgentProcess(folder / device)
        done = await asyncio.to_thread(agent.call, "enrol", link(self.authority, code))
        assert done.returncode == 0, done.stderr
        heard = self.devices[device] = Heard(device, profile)
        return agent, heard

    async def tell(self, device: str, channel: str, message: Any) -> None:
        assert self.client is not None
        await self.client.publish(f"{topics.device_root(SITE, DeviceId(device))}/{channel}", msgspec.json.encode(message), 1)

    async def caught_up(self) -> None:
        """Whatever the broker passed on before this is heard: it keeps the order."""
        assert self.client is not None
        wanted = self.marks + 1

        async def heard() -> bool:
            return self.marks >= wanted

        await self.client.publish(_MARK, b"", 1)
        await until(heard)

    async def listen(self) -> None:
        """For a task: hears everything, over broker restarts too."""
        own = self.broker.sp_twins
        tls = client_context(ca_file=own.ca_file, cert_file=own.cert_file, key_file=own.key_file)
        while True:
            try:
                async with aiomqtt.Client("localhost", own.port, identifier="ear", tls_context=tls, timeout=60.0) as client:
                    await client.subscribe([(f"{topics.ROOT}/+/+/+/{way}/#", 1) for way in ("up", "down")])
                    self.client = client
                    async for message in client.messages:
                        self.marks += str(message.topic) == _MARK
                        await self._hear(topics.parse(str(message.topic)), bytes(message.payload))  # type: ignore[arg-type]
            except aiomqtt.MqttError:
                self.client = None
                await asyncio.sleep(0.1)

    def install_crl(self) -> None:
        """The guard's part: the authority's list before the broker."""
        replace(
            self.broker.server.folder.resolve() / CRL, (self.authority.folder / "trust" / "devices.crl.pem").read_bytes()
        )
        self.broker.server.reload()

    async def _hear(self, topic: topics.Topic, payload: bytes) -> None:
        heard = self.devices.get(topic.device)
        if heard is None:
            return
        heard.hear(topic.channel, payload)
        if self.acks and topic.channel == "up/telemetry":
            said = heard.messages[-1]
            assert said.seq is not None
            await self.tell(topic.device, "down/ack", PlatformAck(said.seq, said.stream))


@asynccontextmanager
async def hearing(made: Platform) -> AsyncIterator[Platform]:
    ear = asyncio.create_task(made.listen())
    try:
        while made.client is None:
            assert not ear.done()
            await asyncio.sleep(0.02)
        yield made
    finally:
        while not ear.done():  # wait_for swallows a cancellation that comes together with its answer (Python 3.11)
            ear.cancel()
            await asyncio.wait([ear], timeout=1.0)


@contextmanager
def platform(folder: Path, database: Database) -> Iterator[Platform]:
    """Nobody hears yet."""
    with authority(folder, database, start=False) as running:
        certs("issue-platform", str(running.folder), "sp-twins", "sp-web", "sp-guard")
        with mosquitto_server(Pki(running.folder)) as broker:
            running.settings = msgspec.structs.replace(running.settings, mqtt_port=broker.device_port)
            settings.save(running.settings_file, running.settings)
            running.start()
            yield Platform(running, broker, database, {})
