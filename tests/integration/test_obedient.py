"""The obedient devices that benchmarks and crash runs are judged by: they must be right themselves."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import msgspec

from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import Command, CommandResult, DesiredConfig, ReportedConfig
from fleet.telemetry import State, Telemetry
from tests.fleet_rig import until
from tests.integration.test_local_mosquitto import as_platform
from tests.obedient import Habits, obedient_fleet
from tests.servers import Broker

_TYPES: dict[str, Any] = {
    "up/telemetry": Telemetry,
    "up/state": State,
    "up/config": ReportedConfig,
    "up/result": CommandResult,
}


class Heard:
    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.said: list[tuple[str, Any]] = []

    async def listen(self) -> None:
        async for message in self.client.messages:
            topic = topics.parse(str(message.topic))
            self.said.append((topic.device, msgspec.json.decode(message.payload, type=_TYPES[topic.channel])))

    async def tell(self, site: str, device: str, message: DesiredConfig | Command) -> None:
        down = topics.down(SiteId(site), DeviceId(device))
        topic = down.command if isinstance(message, Command) else down.config
        await self.client.publish(topic, msgspec.json.encode(message), 1)

    def of(self, device: str, kind: type) -> list[Any]:
        return [said for whose, said in self.said if whose == device and isinstance(said, kind)]


@asynccontextmanager
async def hearing(broker: Broker) -> AsyncIterator[Heard]:
    async with as_platform(broker) as client:
        await client.subscribe(f"{topics.ROOT}/+/+/+/up/#", qos=1)
        heard = Heard(client)
        task = asyncio.create_task(heard.listen())
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.wait([task])


async def eventually(condition: Any) -> None:
    async def holds() -> bool:
        return bool(condition())

    await until(holds)


def blink(command_id: str, expires_in_s: float = 60.0, name: str = "blink") -> Command:
    return Command(command_id, name, round((time.time() + expires_in_s) * 1000))


DEVICES = [(f"ob-{number // 5}", f"ob-{number}", "gateway") for number in range(500)]


async def test_shares_are_exact_and_everybody_there_says_so(broker: Broker) -> None:
    habits = Habits(seed=4, offline_share=0.1, failing_share=0.01)
    async with hearing(broker) as heard, obedient_fleet(broker.sp_twins, DEVICES, habits) as fleet:
        assert (len(fleet.offline), len(fleet.failing)) == (50, 5)
        assert not fleet.offline & fleet.failing
        await eventually(lambda: len(heard.said) == 900)
        assert {whose for whose, _ in heard.said} == fleet.devices.keys() - fleet.offline
        failing = next(iter(fleet.failing))
        site = fleet.devices[failing].site
        await heard.tell(site, failing, DesiredConfig(1, {"report_interval_s": 60}))
        await heard.tell(site, failing, blink("f-1"))
        await eventually(lambda: heard.of(failing, CommandResult)[1:] and heard.of(failing, ReportedConfig)[1:])
        assert heard.of(failing, ReportedConfig)[-1].rejected.version == 1
        assert [said.status for said in heard.of(failing, CommandResult)] == ["accepted", "failed"]
        back = sorted(fleet.offline)
        fleet.come_back(back)
        await eventually(lambda: heard.of(back[-1], State))
        assert heard.of(back[0], State) == [State(online=True, model="Obedient", firmware="1.0.0")]


async def test_a_configuration_is_checked_and_reported(broker: Broker) -> None:
    async with (
        hearing(broker) as heard,
        obedient_fleet(broker.sp_twins, [("ob-0", "ob-1", "gateway")]) as fleet,
    ):
        for wanted in (
            DesiredConfig(3, {"report_interval_s": 60}),
            DesiredConfig(2, {"report_interval_s": 5}),
            DesiredConfig(4, {"colour": "red"}),
        ):
            await heard.tell("ob-0", "ob-1", wanted)
        await eventually(lambda: len(heard.of("ob-1", ReportedConfig)) == 4)
        versions = [(said.version, said.rejected and said.rejected.version) for said in heard.of("ob-1", ReportedConfig)]
        assert versions == [(0, None), (3, None), (3, None), (3, 4)]
        assert fleet.running_config("ob-1").values["report_interval_s"] == 60
        fleet.change_on_site("ob-1", {"report_interval_s": 7})
        await eventually(lambda: heard.of("ob-1", ReportedConfig)[-1].values["report_interval_s"] == 7)


async def test_a_command_is_executed_once_however_often_it_comes(broker: Broker) -> None:
    habits = Habits(latency_s=(0.01, 0.02))
    devices = [("ob-0", "ob-1", "gateway")]
    async with hearing(broker) as heard, obedient_fleet(broker.sp_twins, devices, habits) as fleet:
        for command in (blink("c-1"), blink("c-1"), blink("c-2", -1), blink("c-3", name="explode")):
            await heard.tell("ob-0", "ob-1", command)
        await eventually(lambda: len(heard.of("ob-1", CommandResult)) == 5)
        await heard.tell("ob-0", "ob-1", blink("c-1"))
        await eventually(lambda: len(heard.of("ob-1", CommandResult)) == 6)
        assert [said.status for said in heard.of("ob-1", CommandResult) if said.id == "c-1"][-2:] == ["succeeded"] * 2
        assert fleet.executed == {"c-1": 1}
        assert fleet.refused == 2
        assert fleet.results("ob-1")["c-2"] == CommandResult("c-2", "failed", "expired")


async def test_what_a_power_cut_interrupts_is_not_called_done(broker: Broker) -> None:
    habits = Habits(latency_s=(60.0, 60.0))
    devices = [("ob-0", "ob-1", "gateway")]
    async with hearing(broker) as heard, obedient_fleet(broker.sp_twins, devices, habits) as fleet:
        await heard.tell("ob-0", "ob-1", blink("c-1"))
        await eventually(lambda: heard.of("ob-1", CommandResult))
        fleet.cut_power(["ob-1"])
        await eventually(lambda: not heard.of("ob-1", State)[-1].online)
        fleet.come_back(["ob-1"])
        await eventually(lambda: heard.of("ob-1", CommandResult)[-1].status == "failed")
        assert fleet.executed == {}


async def test_they_outlive_the_broker_and_say_again_what_it_did_not_take(broker: Broker) -> None:
    async with obedient_fleet(broker.sp_twins, DEVICES[:20]) as fleet:
        broker.server.kill()
        broker.server.start()
        await fleet.connected(times=2)
        async with hearing(broker) as heard:
            await heard.tell("ob-0", "ob-1", blink("c-1"))
            await eventually(lambda: heard.of("ob-1", CommandResult)[1:])
        assert fleet.executed == {"c-1": 1}
