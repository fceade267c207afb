"""What the agent is told to do beyond its configuration, by real processes: limits, registers, its log."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.local.ports import free_port
from fleet.order_messages import CommandResult, DesiredConfig
from tests.agent_platform import Heard, Platform, hearing, platform
from tests.integration.test_agent_run import command, config, until
from tests.servers import Database
from tests.sunspec_device import LOOPBACK, SunSpecDevice

NOON = '[[inputs]]\ntype = "simulated"\nperiod_s = 1.0\nsun = "noon"\npeak_power_w = 5000.0\n'


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, database) as running:
        yield running


@pytest.fixture
async def sky(parts: Platform) -> AsyncIterator[Platform]:
    async with hearing(parts) as running:
        yield running


def sunspec(device: SunSpecDevice) -> str:
    return f'[[inputs]]\ntype = "sunspec"\nhost = "{LOOPBACK}"\nport = {device.port}\nperiod_s = 1.0\n'


def power_w(heard: Heard) -> float:
    samples = heard.messages[-1].samples if heard.messages else []
    return (samples[-1].v.get("pv_power_w") or 0.0) if samples else 0.0


async def obeyed(sky: Platform, heard: Heard, command_id: str, name: str, **args: Any) -> CommandResult:
    """The result, once the device has said how it ended."""
    await sky.tell(heard.id, "down/command", command(command_id, name, **args))
    await until(lambda: heard.status_of(command_id)[-1:] in (["succeeded"], ["failed"]), f"{name} ends")
    return [result for result in heard.results if result.id == command_id][-1]


async def test_a_power_limit_holds_for_its_time_also_over_a_power_cut_and_then_the_configurations(
    sky: Platform, tmp_path: Path
) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-inv", "inverter")
    config(agent, NOON)
    agent.start("run")
    await until(lambda: power_w(heard) > 3_000, "full power")
    await sky.tell(heard.id, "down/config", DesiredConfig(1, {"report_interval_s": 1, "active_power_limit_pct": 40}))
    await until(lambda: power_w(heard) == 2_000.0, "the configuration's limit")
    done = await obeyed(sky, heard, "l-1", "set_power_limit", active_power_limit_pct=10, duration_s=600)
    assert (done.status, done.detail["active_power_limit_pct"]) == ("succeeded", 10.0)
    await until(lambda: power_w(heard) == 500.0, "the command's limit")
    agent.kill()
    spoken = len(heard.messages)
    agent.start("run")
    await until(lambda: len(heard.messages) > spoken and power_w(heard) == 500.0, "it holds over the power cut")
    agent.kill()
    limit_file = agent.state / "limit.json"
    held = msgspec.json.decode(limit_file.read_bytes())
    limit_file.write_bytes(msgspec.json.encode(held | {"until": time.time_ns() // 1_000_000 + 5_000}))  # nobody waits for it
    agent.start("run")
    await until(lambda: power_w(heard) == 2_000.0, "the configuration's own again, by itself")
    refused = await obeyed(sky, heard, "l-2", "set_power_limit", active_power_limit_pct=110)
    assert set(heard.status_of("l-2")) == {"failed"}
    assert "out_of_range" in refused.detail
    agent.stop()


async def test_an_inverter_is_limited_and_its_registers_are_read(sky: Platform, tmp_path: Path) -> None:
    async with SunSpecDevice.limited_inverter() as inverter:
        agent, heard = await sky.agent(tmp_path, "roof-inv", "sunspec-inverter")
        config(agent, sunspec(inverter) + NOON)
        agent.start("run")
        await until(lambda: heard.messages, "it speaks")
        done = await obeyed(sky, heard, "l-1", "set_power_limit", active_power_limit_pct=20, duration_s=30)
        assert done.status == "succeeded"
        assert [value for _, value in inverter.writes[1:]] == [2_000, 1]  # after the time until it returns by itself
        read = await obeyed(sky, heard, "r-1", "read_registers", count=2)
        assert read.detail == {"input": "sunspec", "address": 40_000, "registers": [0x5375, 0x6E53]}
        wrong = await obeyed(sky, heard, "r-2", "read_registers", input="simulated")
        assert (wrong.status, "no registers" in wrong.detail) == ("failed", True)
        nobody = await obeyed(sky, heard, "r-3", "read_registers", input="cellar")
        assert "simulated" in nobody.detail
        beyond = await obeyed(sky, heard, "r-4", "read_registers", address=1)
        assert "refuses" in beyond.detail
        await until(lambda: inverter.said(123, "WMaxLim_Ena") == 0, "the limit ends by itself")
        agent.stop()


async def test_a_limit_that_fails_leaves_what_holds_another_commands_and_the_installers(
    sky: Platform, tmp_path: Path
) -> None:
    inverter = SunSpecDevice.limited_inverter(port=free_port(), WMaxLimPct=7_000, WMaxLim_Ena=1)  # by whoever installed it
    agent, heard = await sky.agent(tmp_path, "roof-inv", "sunspec-inverter")
    config(agent, sunspec(inverter))
    agent.start("run")
    await until(lambda: heard.configs, "it is there")
    away = await obeyed(sky, heard, "l-0", "set_power_limit", active_power_limit_pct=50)
    assert away.status == "failed"
    async with inverter:
        await until(lambda: power_w(heard) == 7_000.0, "it gives what its installer allows")
        assert inverter.writes == []
        held = await obeyed(sky, heard, "l-1", "set_power_limit", active_power_limit_pct=30)
        assert held.status == "succeeded"
        inverter.stubborn = True
        for number in (2, 3):
            refused = await obeyed(sky, heard, f"l-{number}", "set_power_limit", active_power_limit_pct=50, duration_s=60)
            assert (refused.status, "limit_not_taken" in refused.detail) == ("failed", True)
        tried = len(inverter.writes)
        await sky.tell(heard.id, "down/command", command("l-4", "set_power_limit", active_power_limit_pct=50, duration_s=60))
        await until(lambda: len(inverter.writes) > tried, "it is tried")
        agent.kill()
        inverter.stubborn = False
        inverter.tell(123, WMaxLimPct=5_000)  # it took it all the same
        agent.start("run")
        await until(lambda: heard.status_of("l-4")[-1:] == ["failed"], "nobody knows that it was done")
        await until(lambda: inverter.said(123, "WMaxLimPct") == 3_000, "the limit that holds")
        assert inverter.said(123, "WMaxLim_Ena") == 1
        info = await obeyed(sky, heard, "i-1", "read_info")
        assert info.detail["active_power_limit_pct"] == 30.0
        agent.stop()


async def test_an_inverter_that_cannot_be_limited_is_not_called_limited(sky: Platform, tmp_path: Path) -> None:
    async with SunSpecDevice.inverter() as inverter:
        agent, heard = await sky.agent(tmp_path, "roof-inv", "sunspec-inverter")
        config(agent, sunspec(inverter))
        agent.start("run")
        await until(lambda: heard.messages, "it speaks")
        refused = await obeyed(sky, heard, "l-1", "set_power_limit", active_power_limit_pct=20)
        assert (refused.status, "123" in refused.detail) == ("failed", True)
        await sky.tell(heard.id, "down/config", DesiredConfig(1, {"active_power_limit_pct": 20}))
        await until(lambda: heard.configs[-1].rejected, "nor is it configured")
        rejected = heard.configs[-1].rejected
        assert rejected is not None
        assert "123" in rejected.errors["active_power_limit_pct"]
        info = await obeyed(sky, heard, "i-1", "read_info")
        assert info.detail["active_power_limit_pct"] in (None, 100.0)
        agent.stop()


async def test_it_gives_its_own_log_and_refuses_what_its_profile_does_not_list(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    config(agent, NOON)
    agent.start("run")
    await until(lambda: heard.messages, "it speaks")
    unknown = await obeyed(sky, heard, "l-1", "set_power_limit", active_power_limit_pct=20)  # a meter
    assert unknown.detail.startswith("unknown command")
    await obeyed(sky, heard, "b-1", "blink", duration_s=1)
    log = await obeyed(sky, heard, "log", "take_log", lines=500)
    assert any("agent.blink" in line for line in log.detail["lines"])
    assert any('"id": "l-1"' in line for line in log.detail["lines"])
    short = await obeyed(sky, heard, "log-2", "take_log", lines=1)
    assert len(short.detail["lines"]) == 1
    agent.stop()
