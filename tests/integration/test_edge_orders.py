"""Simulated devices that are told things, as real processes on a real broker, killed and started again."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from edge.plan import make_fleet
from fleet.fleet_plan import FleetPlan
from fleet.order_messages import Command as Order
from fleet.order_messages import CommandResult, DesiredConfig, ReportedConfig
from fleet.telemetry import State, Telemetry
from tests.integration.test_obedient import Heard, eventually, hearing
from tests.servers import Broker


class Simulation:
    """The plan's devices in one process. kill() is kill -9."""

    def __init__(self, broker: Broker, folder: Path, sites: int) -> None:
        self.plan: FleetPlan = make_fleet(sites, 4, time.time_ns() // 1_000_000, 1)
        self.inverter = next(device.id for device in self.plan.sites[0].devices if device.profile_id == "inverter")
        self.site = self.plan.sites[0].id
        (folder / "plan.json").write_bytes(msgspec.json.encode(self.plan))
        broker.pki.devices([device.id for site in self.plan.sites for device in site.devices])
        self._command = [
            sys.executable, "-m", "edge", "simulate", "--plan", str(folder / "plan.json"), "--state", str(folder / "state"),
            "--certs", str(broker.pki.folder / "devices"), "--ca", str(broker.pki.server_trust),
            "--broker-host", broker.host, "--broker-port", str(broker.device_port),
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        self.process = subprocess.Popen([*self._command, *more])

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=90)


@pytest.fixture
def simulated(broker: Broker, tmp_path: Path) -> Iterator[Callable[[int], Simulation]]:
    """Makes one of so many sites; stops them at the end."""
    made: list[Simulation] = []

    def make(sites: int) -> Simulation:
        made.append(Simulation(broker, tmp_path, sites))
        return made[-1]

    yield make
    for each in made:
        each.kill(signal.SIGTERM)


@pytest.fixture
def simulation(simulated: Callable[[int], Simulation]) -> Simulation:
    return simulated(1)


def order(command_id: str, name: str, **args: object) -> Order:
    return Order(command_id, name, round((time.time() + 3_600) * 1000), args)


async def test_a_simulated_device_runs_what_it_is_told_also_after_kill_9(broker: Broker, simulation: Simulation) -> None:
    site, inverter = simulation.site, simulation.inverter
    async with hearing(broker) as heard:
        simulation.start("--interval-s", "60")
        await eventually(lambda: heard.of(inverter, ReportedConfig))
        assert heard.of(inverter, ReportedConfig)[0].version == 0
        before = len(heard.of(inverter, Telemetry))
        await heard.tell(site, inverter, DesiredConfig(2, {"report_interval_s": 1, "active_power_limit_pct": 40}))
        await eventually(lambda: heard.of(inverter, ReportedConfig)[-1].version == 2)
        await eventually(lambda: len(heard.of(inverter, Telemetry)) > before + 3)  # and not once a minute
        await heard.tell(site, inverter, DesiredConfig(3, {"report_interval_s": -1}))
        await eventually(lambda: heard.of(inverter, ReportedConfig)[-1].rejected)
        assert heard.of(inverter, ReportedConfig)[-1].version == 2
        simulation.kill()
        heard.said.clear()
        simulation.start("--interval-s", "60")
        await eventually(lambda: heard.of(inverter, ReportedConfig))
        assert heard.of(inverter, ReportedConfig)[-1].version == 2
        await heard.tell(site, inverter, order("i-1", "read_info"))
        await eventually(lambda: statuses(heard, inverter, "i-1") == ["accepted", "succeeded"])
        assert heard.of(inverter, CommandResult)[-1].detail["active_power_limit_pct"] == 40


def statuses(heard: Heard, device: str, command_id: str) -> list[str]:
    return [said.status for said in heard.of(device, CommandResult) if said.id == command_id]


async def test_commands_are_obeyed_once_whatever_is_killed(broker: Broker, simulation: Simulation) -> None:
    site, inverter = simulation.site, simulation.inverter
    async with hearing(broker) as heard:
        simulation.start("--interval-s", "1")
        await eventually(lambda: heard.of(inverter, Telemetry))
        limit = order("l-1", "set_power_limit", active_power_limit_pct=30, duration_s=3_600)
        await heard.tell(site, inverter, limit)
        await eventually(lambda: statuses(heard, inverter, "l-1") == ["accepted", "succeeded"])
        until = heard.of(inverter, CommandResult)[-1].detail["until"]
        simulation.kill()
        heard.said.clear()
        simulation.start("--interval-s", "1")
        await eventually(lambda: heard.of(inverter, Telemetry))
        await heard.tell(site, inverter, limit)
        await eventually(lambda: statuses(heard, inverter, "l-1"))
        assert heard.of(inverter, CommandResult)[-1].detail["until"] == until  # not begun anew
        boots = {said.boot for said in heard.of(inverter, State) if said.online}
        await heard.tell(site, inverter, order("r-1", "restart"))
        await eventually(lambda: statuses(heard, inverter, "r-1")[-1:] == ["succeeded"])
        assert {said.boot for said in heard.of(inverter, State) if said.online} > boots
        await heard.tell(site, inverter, order("x-1", "explode"))
        await heard.tell(site, inverter, order("log", "take_log", lines=5))
        await eventually(lambda: statuses(heard, inverter, "log")[-1:] == ["succeeded"])
        assert statuses(heard, inverter, "x-1") == ["failed"]
        assert any("x-1 refused: unknown command" in line for line in heard.of(inverter, CommandResult)[-1].detail["lines"])
        await heard.tell(site, inverter, order("g-1", "read_registers", count=2))
        await eventually(lambda: statuses(heard, inverter, "g-1")[-1:] == ["succeeded"])
        assert len(heard.of(inverter, CommandResult)[-1].detail["registers"]) == 2


async def test_the_demo_has_one_device_that_was_changed_on_site_and_the_platform_can_put_it_right(
    broker: Broker, simulated: Callable[[int], Simulation]
) -> None:
    simulation = simulated(5)
    async with hearing(broker) as heard:
        simulation.start("--demo-fault")
        devices = {device.id: site for site in simulation.plan.sites for device in site.devices}
        away = {device.id for device in simulation.plan.sites[2].devices}
        await eventually(lambda: all(heard.of(name, ReportedConfig) for name in devices.keys() - away))
        paces = {name: heard.of(name, ReportedConfig)[-1].values["report_interval_s"] for name in devices.keys() - away}
        changed = [name for name, pace in paces.items() if pace != 10]
        assert [devices[name].id for name in changed] == [simulation.plan.sites[3].id]
        drifted = changed[0]
        await heard.tell(devices[drifted].id, drifted, DesiredConfig(1, {"report_interval_s": 10}))
        await eventually(lambda: heard.of(drifted, ReportedConfig)[-1].values["report_interval_s"] == 10)
        simulation.kill()
        heard.said.clear()
        simulation.start("--demo-fault")
        await eventually(lambda: heard.of(drifted, ReportedConfig))
        assert heard.of(drifted, ReportedConfig)[-1].values["report_interval_s"] == 10
