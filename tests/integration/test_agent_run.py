"""The agent at work: real processes on a real broker, with the authority beside it, and a shard where rows count."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from edge.agent.agent import RESTART_CODE
from edge.spool import DiskSpool
from fleet.ids import DeviceId
from fleet.order_messages import Command, CommandResult, DesiredConfig
from tests.acked import check_acked, stored_rows
from tests.agent_platform import Heard, Platform, hearing, platform
from tests.agent_rig import AgentProcess
from tests.authority import owner
from tests.fleet_rig import running_shard, twins_settings
from tests.servers import Database

FAST = '[[inputs]]\ntype = "simulated"\nperiod_s = 1.0\nsun = "noon"\n'
DEADLINE_S = 90.0


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, database) as running:
        yield running


@pytest.fixture
async def sky(parts: Platform) -> AsyncIterator[Platform]:
    async with hearing(parts) as running:
        yield running


async def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


def config(agent: AgentProcess, text: str = FAST) -> None:
    (agent.state / "agent.toml").write_text(text)


def command(command_id: str, name: str, expires_in_s: float = 60.0, **args: object) -> Command:
    return Command(command_id, name, round((time.time() + expires_in_s) * 1000), args)


@pytest.mark.timeout(420)  # many processes, one after the other, on a machine that may be busy
async def test_what_the_platform_acked_is_stored_and_the_rest_is_still_there_whenever_it_is_killed(
    sky: Platform, tmp_path: Path
) -> None:
    luck = random.Random(5)
    meter, heard = await sky.agent(tmp_path, "roof-met")
    inverter, heard_too = await sky.agent(tmp_path, "roof-inv", "inverter")
    async with running_shard(twins_settings(sky.database.sp_twins, sky.broker.sp_twins)):
        for agent in (meter, inverter):
            config(agent)
        for _ in range(6):
            for agent in (meter, inverter):
                agent.start("run")
            told = sum(heard.told.values())
            await until(lambda told=told: sum(heard.told.values()) > told, "acks come on")  # type: ignore[misc]
            at = time.monotonic() + luck.uniform(0.0, 1.5)
            await until(lambda at=at: time.monotonic() > at, "")  # type: ignore[misc]
            for agent in (meter, inverter):
                agent.kill()
            await check_acked(sky.database, [heard, heard_too], sky.caught_up)
        for agent in (meter, inverter):
            agent.start("run")
        await until(lambda: len(heard.offered) > 8 and len(heard_too.offered) > 8, "all is sent")
        for agent, ear in ((meter, heard), (inverter, heard_too)):
            config(agent, "")
            await finish(sky, agent, ear)
        await check_acked(sky.database, [heard, heard_too], sky.caught_up)
        async with owner(sky.database) as connection:
            rows = await stored_rows(connection)
        for ear in (heard, heard_too):
            assert sorted(ear.offered) == list(range(1, len(ear.offered) + 1))  # nothing was given up
            times = {sample.t for samples in ear.offered.values() for sample in samples}
            assert {instant.t for instant in rows if instant.device == ear.id} == times


async def answered(sky: Platform, ear: Heard, command_id: str) -> CommandResult:
    """Told again until it answers, as the platform does: what is told while a connection is made anew is lost."""
    asked = command(command_id, "read_info")
    end = time.monotonic() + DEADLINE_S
    while True:
        assert time.monotonic() < end, "it answers"
        await sky.tell(ear.id, "down/command", asked)
        again = time.monotonic() + 3.0
        await until(lambda: bool(_ended(ear, command_id)) or time.monotonic() > again, "")  # noqa: B023 - of this round
        if _ended(ear, command_id):
            return _ended(ear, command_id)[-1]


def _ended(ear: Heard, command_id: str) -> list[CommandResult]:
    return [result for result in ear.results if result.id == command_id and result.status == "succeeded"]


async def finish(sky: Platform, agent: AgentProcess, ear: Heard) -> None:
    """Starts it without inputs, until it has nothing left to tell."""
    agent.kill()
    online = len(ear.states)
    agent.start("run")
    await until(lambda: any(state.online for state in ear.states[online:]), "it is back")
    held = 1
    while held:
        command_id = f"held-{len(ear.results)}"
        held = (await answered(sky, ear, command_id)).detail["held_messages"]
    agent.stop()
    spool = DiskSpool(agent.state / "spool.sqlite")
    shelf = spool.shelf(DeviceId(ear.id))
    spool.close()
    assert shelf.oldest > shelf.last  # nothing is held
    assert shelf.last == max(ear.offered)


async def test_a_gateway_speaks_for_the_devices_behind_it(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-gw", "gateway")
    agent.start("run", "--simulate")
    await until(lambda: len({said.source for said in heard.messages}) == 2, "both are heard of")
    assert {said.source for said in heard.messages} == {"SIM-INVERTER-1", "SIM-METER-1"}
    another = AgentProcess(tmp_path / "another")
    another.state = agent.state
    twice = another.call("run", "--simulate")
    assert twice.returncode != 0
    assert "Another agent is running" in twice.stderr
    assert agent.stop() == 0


async def test_without_room_the_oldest_go_first_and_the_log_says_so(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    config(agent, "spool_bytes_max = 4096\n" + FAST)
    spool = DiskSpool(agent.state / "spool.sqlite", 1_000_000)
    for number in range(100):
        spool.append(DeviceId("roof-met"), b'[{"t":%d,"v":{"grid_power_w":1}}]' % (time.time_ns() // 1_000_000 + number))
    spool.commit()
    spool.close()
    agent.start("run")
    await agent.until(lambda: agent.events("agent.gave_up_oldest"), "it is said")
    await until(lambda: heard.messages and heard.messages[-1].seq and heard.messages[-1].seq > 101, "new ones are sent")
    newest = heard.messages[-1]
    assert newest.oldest
    assert newest.oldest > 1  # and the platform is told what will never come
    sky.acks = True
    await sky.tell("roof-met", "down/ack", {"seq": newest.seq, "stream": newest.stream})
    await until(lambda: heard.messages[-1].oldest and heard.messages[-1].oldest > (newest.seq or 0), "it goes on")
    agent.stop()


async def test_it_says_who_it_is_and_runs_what_it_is_told(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    config(agent, FAST + '[[inputs]]\ntype = "simulated"\nname = "second"\nperiod_s = 1.0\n')
    agent.start("run")
    await until(lambda: heard.offered and heard.states and heard.configs, "it reports")
    assert heard.states[-1].online
    assert heard.states[-1].model == "Site agent"
    assert heard.configs[-1].version == 0  # nothing was told to it yet, and it says what it runs
    assert heard.configs[-1].values == {"report_interval_s": 1.0, "input.simulated": True, "input.second": True}
    wrong = DesiredConfig(3, {"report_interval_s": "soon", "colour": "red", "input.second": False})
    await sky.tell("roof-met", "down/config", wrong)
    await until(lambda: heard.configs[-1].rejected, "the refusal")
    rejected = heard.configs[-1].rejected
    assert heard.configs[-1].version == 0
    assert rejected
    assert rejected.version == 3
    assert {key: why.partition(":")[0] for key, why in rejected.errors.items()} == {
        "report_interval_s": "wrong_type",
        "colour": "unknown_key",
    }
    right = DesiredConfig(4, {"report_interval_s": 600.0, "input.second": False})
    await sky.tell("roof-met", "down/config", right)
    await until(lambda: heard.configs[-1].version == 4, "it runs the new one")
    assert heard.configs[-1].values == right.values | {"input.simulated": True}
    await sky.tell("roof-met", "down/command", command("i-1", "read_info"))
    await until(lambda: heard.status_of("i-1")[-1:] == ["succeeded"], "the answer")
    assert list(dict.fromkeys(heard.status_of("i-1"))) == ["accepted", "succeeded"]  # each may be told twice
    assert heard.results[-1].detail["inputs"] == {"simulated": "ok", "second": "off"}
    agent.kill()
    agent.start("run")
    reports = len(heard.configs)
    await until(lambda: len(heard.configs) > reports, "it reports again")
    assert heard.configs[-1].version == 4  # kept over a power cut
    await sky.tell("roof-met", "down/config", right)
    await until(lambda: len(heard.configs) > reports + 1, "and is told again")
    assert len(agent.events("agent.config_applied")) == 1  # but not applied again
    assert "version 4" in agent.call("status").stdout
    agent.stop()


async def test_a_command_is_executed_at_most_once(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    light = tmp_path / "light"
    light.write_text("0\n")
    config(agent, f'led_file = "{light}"\n' + FAST)
    agent.start("run")
    await until(lambda: heard.states, "connected")
    await sky.tell("roof-met", "down/command", command("late", "blink", expires_in_s=-1))
    await sky.tell("roof-met", "down/command", command("what", "explode"))
    await sky.tell("roof-met", "down/command", command("long", "blink", duration_s=999))
    await sky.tell("roof-met", "down/command", command("b-1", "blink", duration_s=300))
    await until(lambda: light.read_text() == "1\n", "the light is on")
    for refused, why in (("late", "it came too late"), ("what", "nobody knows it"), ("long", "for its argument")):
        await until(lambda refused=refused: heard.status_of(refused), why)  # type: ignore[misc]
        assert set(heard.status_of(refused)) == {"failed"}
    agent.kill()
    light.write_text("0\n")
    agent.start("run")
    await until(lambda: heard.status_of("b-1")[-1:] == ["failed"], "what was cut short is not called done")
    repeated = len(heard.status_of("b-1"))
    await sky.tell("roof-met", "down/command", command("b-1", "blink", duration_s=300))
    await until(lambda: len(heard.status_of("b-1")) > repeated, "its answer is repeated")
    assert heard.status_of("b-1")[-1] == "failed"
    assert light.read_text() == "0\n"
    await sky.tell("roof-met", "down/command", command("r-1", "restart"))
    await until(lambda: not agent.running, "it ends")
    assert agent.process
    assert agent.process.returncode == RESTART_CODE
    agent.start("run")
    await until(lambda: heard.status_of("r-1")[-1:] == ["succeeded"], "the one after it tells")
    await sky.tell("roof-met", "down/command", command("r-1", "restart"))
    await until(lambda: len(heard.status_of("r-1")) >= 3, "told again")
    assert agent.running
    agent.stop()


async def test_what_is_held_is_sent_again_on_demand(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    config(agent)
    agent.start("run")
    await until(lambda: len(heard.offered) >= 3, "it speaks")
    before = len([said for said in heard.messages if said.seq == 2])
    await sky.tell("roof-met", "down/command", command("s-1", "resend", from_seq=2))
    await until(lambda: len([said for said in heard.messages if said.seq == 2]) > before, "again")
    await until(lambda: heard.status_of("s-1")[-1:] == ["succeeded"], "and says so")
    assert heard.results[-1].detail["from_seq"] == 2
    agent.stop()


async def test_an_input_that_fails_is_told_once_and_the_others_go_on(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    config(agent, FAST + '[[inputs]]\ntype = "sunspec"\nhost = "127.0.0.1"\nport = 1\nperiod_s = 1.0\n')
    agent.start("run")
    await until(lambda: len(heard.offered) >= 5, "the other one goes on")
    assert len(agent.events("agent.input_failed")) <= 1
    await sky.tell("roof-met", "down/command", command("i-1", "read_info"))
    await until(lambda: heard.status_of("i-1")[-1:] == ["succeeded"], "the answer")
    agent.stop()


async def test_it_survives_a_broker_that_is_killed(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    config(agent)
    sky.acks = True
    agent.start("run")
    await until(lambda: heard.told, "it is acked")
    sky.broker.server.kill()
    await agent.until(lambda: agent.events("agent.not_connected"), "it notices")
    sky.broker.server.start()
    before = len(heard.offered)
    await until(lambda: len(heard.offered) > before + 2, "it goes on")
    assert agent.stop() == 0
    await until(lambda: heard.states[-1:] and not heard.states[-1].online, "and says good-bye")
