"""Thousands of devices that obey, in one process and over two connections: for benchmarks, rollouts and crash runs.

`async with obedient_fleet(broker.sp_twins, [(site, device, "inverter"), …], Habits(seed=1)) as fleet:` They hear their own
`down/config` and `down/command` only, and send no telemetry. Their connections are the platform's own door to the broker, so
they need no certificates; the broker announces nothing when they fall silent: `go_away` and `cut_power` say it themselves.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from certs.tls import client_context
from edge.link import Endpoint, Link
from edge.obeying import answer, factory_config, understood
from edge.session import Delivered, Hello
from fleet import topics
from fleet.configuration import settings_of
from fleet.device_setting import Setting
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import Command, CommandResult, ConfigValue, DesiredConfig, RejectedConfig, ReportedConfig
from fleet.profiles import DeviceProfile, shipped
from fleet.settings import BrokerSettings
from fleet.telemetry import State, UnixMs
from tests.fleet_rig import until

_COMMAND = msgspec.json.Decoder(Command)
_CONFIG = msgspec.json.Decoder(DesiredConfig)
_INFLIGHT_MAX = 500
_APPEAR_AGAIN_S = 1.0
FAILING = "this device refuses everything"


class Habits(msgspec.Struct, frozen=True):
    """Shares are exact, and drawn by the seed; nobody is in both.

    offline_share     say nothing until told to come back
    failing_share     reject every configuration, fail every command
    latency_s         from, to: of each answer
    reports_at_start  what they run, as real ones do
    """

    seed: int = 1
    offline_share: float = 0.0
    failing_share: float = 0.0
    latency_s: tuple[float, float] = (0.0, 0.0)
    reports_at_start: bool = True


class ObedientDevice:
    """running and results outlive cut_power().

    at_work: accepted, and not yet executed; untold: the broker has not taken the result.
    """

    __slots__ = ("at_work", "failing", "id", "present", "profile", "results", "running", "settings", "site", "untold", "up")

    def __init__(self, site: SiteId, device: DeviceId, profile: DeviceProfile, settings: tuple[Setting, ...]) -> None:
        self.site, self.id, self.profile, self.settings = site, device, profile, settings
        self.up = topics.up(site, device)
        self.running = factory_config(settings)
        self.results: dict[str, CommandResult] = {}
        self.at_work: dict[str, asyncio.TimerHandle] = {}
        self.untold: dict[str, CommandResult] = {}
        self.present = True
        self.failing = False


class ObedientFleet:
    """executed    command id → how often; more than once is a fault of somebody's
    executed_on   command id → the devices that executed it
    configured    (device, version) → how often it was applied
    """

    def __init__(self, devices: Sequence[tuple[str, str, str]], habits: Habits) -> None:
        self.executed: Counter[str] = Counter()
        self.executed_on: dict[str, list[DeviceId]] = {}
        self.configured: Counter[tuple[DeviceId, int]] = Counter()
        self.heard = 0  # messages for devices that were there
        self.refused = 0  # commands that were never begun
        self.devices: dict[DeviceId, ObedientDevice] = {}
        self._habits = habits
        self._luck = random.Random(habits.seed)
        self._by_topic: dict[str, tuple[ObedientDevice, bool]] = {}
        self._links: list[Link] = []
        self._waiting: deque[tuple[str, bytes, Delivered | None]] = deque()
        self._under_way: set[int] = set()
        self._number = 0
        self._make(devices)

    @property
    def offline(self) -> set[DeviceId]:
        return {device.id for device in self.devices.values() if not device.present}

    @property
    def failing(self) -> set[DeviceId]:
        return {device.id for device in self.devices.values() if device.failing}

    def running_config(self, device: str) -> ReportedConfig:
        return self.devices[DeviceId(device)].running

    def results(self, device: str) -> dict[str, CommandResult]:
        """By command id, as the device remembers them."""
        return self.devices[DeviceId(device)].results

    def come_back(self, devices: Iterable[str]) -> None:
        """They connect: say that they are there, what they run, and how what they were at ended."""
        for device in map(self._named, devices):
            device.present = True
            for command_id, result in device.results.items():
                if result.status == "accepted" and command_id not in device.at_work:
                    self._end(device, CommandResult(command_id, "failed", "interrupted"))
            self._appear(device)

    def go_away(self, devices: Iterable[str]) -> None:
        """What they are at goes on; what they say and are told is lost until they come back."""
        for device in map(self._named, devices):
            self._publish(device, device.up.state, State(online=False))
            device.present = False

    def cut_power(self, devices: Iterable[str]) -> None:
        """As go_away(), and what they are at is never done."""
        devices = list(devices)
        self.go_away(devices)
        for device in map(self._named, devices):
            for timer in device.at_work.values():
                timer.cancel()
            device.at_work.clear()

    def change_on_site(self, device: str, values: dict[str, ConfigValue]) -> None:
        """Somebody turns a knob: the version stays, the values do not."""
        changed = self._named(device)
        changed.running = ReportedConfig(changed.running.version, changed.running.values | values)
        self._publish(changed, changed.up.config, changed.running)

    def say(self, device: str, channel: str, message: Any) -> None:
        """Whatever a device might come up with: channel "up/result", message a struct, or bytes as they are."""
        said = self._named(device)
        self._publish(said, f"{topics.device_root(said.site, said.id)}/{channel}", message)

    async def all_sent(self) -> None:
        """Everything said so far is with the broker."""

        async def sent() -> bool:
            return not self._waiting and not self._under_way

        await until(sent)

    # Called by the links

    def ready(self) -> None:
        """Once both connections are there: they say who is there before they can hear what that one is told otherwise.

        What was under way when the last one broke is said anew.
        """
        if not self._both_up():
            return
        self._waiting.clear()
        self._under_way.clear()
        for device in self.devices.values():
            if device.present:
                self._appear(device)

    def room_again(self) -> None:
        self._flush()

    def message(self, topic: str, payload: bytes) -> None:
        found = self._by_topic.get(topic)
        if found is None or not found[0].present:
            return
        self.heard += 1
        device, is_config = found
        if is_config:
            self._after_a_while(partial(self._configure, device, _CONFIG.decode(payload)))
        else:
            self._take(device, _COMMAND.decode(payload))

    # Inside

    def _make(self, devices: Sequence[tuple[str, str, str]]) -> None:
        profiles = {profile.id: (profile, settings_of(profile)) for profile in shipped()}
        for site, name, profile_id in devices:
            device = ObedientDevice(SiteId(site), DeviceId(name), *profiles[profile_id])
            self.devices[device.id] = device
            down = topics.down(device.site, device.id)
            self._by_topic[down.config], self._by_topic[down.command] = (device, True), (device, False)
        drawn = self._luck.sample(list(self.devices), len(self.devices))
        offline = round(self._habits.offline_share * len(drawn))
        failing = round(self._habits.failing_share * len(drawn))
        for name in drawn[:offline]:
            self.devices[name].present = False
        for name in drawn[offline : offline + failing]:
            self.devices[name].failing = True

    def _named(self, device: str) -> ObedientDevice:
        return self.devices[DeviceId(device)]

    def _appear(self, device: ObedientDevice) -> None:
        """Until somebody hears it: a broker that lost its sessions takes it for nobody."""

        def heard(is_heard: bool) -> None:
            if not is_heard and device.present:
                asyncio.get_running_loop().call_later(_APPEAR_AGAIN_S, self._appear, device)

        self._publish(device, device.up.state, State(online=True, model="Obedient", firmware="1.0.0"), heard)
        if self._habits.reports_at_start or device.running.version:
            self._publish(device, device.up.config, device.running)
        for result in list(device.untold.values()):
            self._tell(device, result)

    def _configure(self, device: ObedientDevice, desired: DesiredConfig) -> None:
        if device.failing and desired.version > device.running.version:
            rejected = RejectedConfig(desired.version, dict.fromkeys(list(desired.values)[:1], FAILING))
            said = ReportedConfig(device.running.version, device.running.values, rejected)
        else:
            before = device.running.version
            said = answer(device.running, desired, device.settings)
            if said.rejected is None:
                device.running = said
            self.configured[device.id, said.version] += said.version > before
        self._publish(device, device.up.config, said)

    def _take(self, device: ObedientDevice, command: Command) -> None:
        known = device.results.get(command.id)
        if known is not None:
            self._tell(device, known)
            return
        try:
            values = understood(device.profile, command, _now_ms())
        except BadInput as error:
            self.refused += 1
            self._end(device, CommandResult(command.id, "failed", error.detail))
            return
        self._end(device, CommandResult(command.id, "accepted"))
        timer = self._after_a_while(partial(self._execute, device, command, values))
        if timer is not None:
            device.at_work[command.id] = timer

    def _execute(self, device: ObedientDevice, command: Command, values: dict[str, ConfigValue]) -> None:
        device.at_work.pop(command.id, None)
        if device.failing:
            self._end(device, CommandResult(command.id, "failed", FAILING))
            return
        self.executed[command.id] += 1
        self.executed_on.setdefault(command.id, []).append(device.id)
        self._end(device, CommandResult(command.id, "succeeded", {"name": command.name, "args": values}))

    def _end(self, device: ObedientDevice, result: CommandResult) -> None:
        device.results[result.id] = device.untold[result.id] = result
        self._tell(device, result)

    def _tell(self, device: ObedientDevice, result: CommandResult) -> None:
        def told(is_heard: bool) -> None:
            if is_heard and device.untold.get(result.id) is result:
                del device.untold[result.id]

        self._publish(device, device.up.result, result, told)

    def _after_a_while(self, deed: partial[None]) -> asyncio.TimerHandle | None:
        low, high = self._habits.latency_s
        if high > 0:
            return asyncio.get_running_loop().call_later(self._luck.uniform(low, high), deed)
        deed()
        return None

    def _publish(self, device: ObedientDevice, topic: str, message: Any, told: Delivered | None = None) -> None:
        if device.present and self._both_up():
            self._waiting.append((topic, message if isinstance(message, bytes) else msgspec.json.encode(message), told))
            self._flush()

    def _flush(self) -> None:
        """All through one connection: what a device says stays in its order."""
        voice = self._links[0]
        while self._waiting and voice.room > 0:
            topic, payload, told = self._waiting.popleft()
            self._number += 1
            self._under_way.add(self._number)
            voice.publish(topic, payload, partial(self._delivered, self._number, told))

    def _delivered(self, number: int, told: Delivered | None, is_heard: bool) -> None:
        self._under_way.discard(number)
        if told is not None:
            told(is_heard)

    def _both_up(self) -> bool:
        return len(self._links) == 2 and all(link.up for link in self._links)

    async def run(self, broker: BrokerSettings) -> None:
        """Until cancelled; over restarts of the broker."""
        tls = partial(client_context, ca_file=broker.ca_file, cert_file=broker.cert_file, key_file=broker.key_file)
        endpoint = Endpoint(broker.host, broker.port, "localhost")
        handshakes = asyncio.Semaphore(2)
        name = f"obedient-{random.SystemRandom().getrandbits(48):012x}"
        for channel in ("command", "config"):
            hello = Hello(f"{name}-{channel}", "", b"", f"{topics.ROOT}/+/+/+/down/{channel}")
            self._links.append(Link(endpoint, tls, hello, handshakes=handshakes, inflight_max=_INFLIGHT_MAX, wait_s=_wait_s))
        async with asyncio.TaskGroup() as tasks:
            for link in self._links:
                tasks.create_task(link.run(self))

    async def connected(self, times: int = 1) -> None:
        """At least so often, and now."""

        async def up() -> bool:
            return self._both_up() and all(link.connections >= times for link in self._links)

        await until(up)

    def close(self) -> None:
        for device in self.devices.values():
            for timer in device.at_work.values():
                timer.cancel()
        for link in self._links:
            link.stop()


@asynccontextmanager
async def obedient_fleet(
    broker: BrokerSettings, devices: Sequence[tuple[str, str, str]], habits: Habits | None = None
) -> AsyncIterator[ObedientFleet]:
    """Connected, and what they say at the start is with the broker. devices: (site, device, profile id) each.

    broker: Broker.sp_twins of tests.servers.
    """
    fleet = ObedientFleet(devices, habits or Habits())
    running = asyncio.create_task(fleet.run(broker))
    try:
        await fleet.connected()
        await fleet.all_sent()
        yield fleet
    finally:
        fleet.close()
        await asyncio.wait([running], timeout=60.0)
        running.cancel()


def _wait_s(_failures: int, _reason: str) -> float:
    return 0.1


def _now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000
