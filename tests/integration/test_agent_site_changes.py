"""Somebody beside the machine changes what a running agent runs: the platform hears of it, and has the last word."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleet.order_messages import DesiredConfig
from tests.agent_platform import Platform, hearing, platform
from tests.servers import Database

INPUTS = '[[inputs]]\ntype = "simulated"\nsun = "noon"\n'
INTERVAL = "report_interval_s"


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, database) as running:
        yield running


@pytest.fixture
async def sky(parts: Platform) -> AsyncIterator[Platform]:
    async with hearing(parts) as running:
        yield running


async def test_a_change_on_site_is_reported_survives_a_power_cut_and_is_overwritten_from_afar(
    sky: Platform, tmp_path: Path
) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    (agent.state / "agent.toml").write_text(INPUTS)
    assert agent.call("set", INTERVAL, "0").returncode == 3
    agent.start("run")
    await agent.until(lambda: heard.configs, "it says what it runs")
    assert heard.configs[-1].values == {INTERVAL: 10.0, "input.simulated": True}
    await sky.tell("roof-met", "down/config", DesiredConfig(1, {INTERVAL: 600.0}))
    await agent.until(lambda: heard.configs[-1].version == 1, "it runs what it is told")

    done = agent.call("set", INTERVAL, "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "report_interval_s = 1 s" in done.stdout
    await agent.until(lambda: heard.configs[-1].values[INTERVAL] == 1.0, "it is told of")
    assert heard.configs[-1].version == 1  # that is drift
    before = len(heard.offered)
    await agent.until(lambda: len(heard.offered) > before + 1, "and it is what runs")
    listed = agent.call("config").stdout
    assert "version 1 of the platform" in listed
    assert "report_interval_s = 1 s   (changed on site; the platform wants 600 s)" in listed
    assert "changed on site" in agent.call("status").stdout

    refused = agent.call("set", "colour", "red")
    assert refused.returncode == 3
    assert "There is no colour; there are: input.simulated, report_interval_s" in refused.stderr
    reports = len(heard.configs)
    agent.kill()
    agent.start("run")
    await agent.until(lambda: len(heard.configs) > reports, "it reports again")
    assert (heard.configs[-1].version, heard.configs[-1].values[INTERVAL]) == (1, 1.0)

    await sky.tell("roof-met", "down/config", DesiredConfig(2, {INTERVAL: 300.0}))
    await agent.until(lambda: heard.configs[-1].version == 2, "the platform has the last word")
    assert heard.configs[-1].values == {INTERVAL: 300.0, "input.simulated": True}
    assert "changed on site" not in agent.call("config").stdout
    agent.stop()


async def test_what_is_changed_while_nothing_runs_counts_from_the_next_start(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    (agent.state / "agent.toml").write_text(INPUTS)
    assert "No agent is running" in agent.call("set", INTERVAL, "2,5").stdout
    agent.start("run")
    await agent.until(lambda: heard.configs, "it says what it runs")
    assert (heard.configs[-1].version, heard.configs[-1].values[INTERVAL]) == (0, 2.5)
    assert agent.call("set", INTERVAL, "10").returncode == 0
    await agent.until(lambda: heard.configs[-1].values[INTERVAL] == 10.0, "as it was")
    agent.stop()


async def test_a_change_that_is_cut_short_anywhere_leaves_what_was_or_what_shall_be(sky: Platform, tmp_path: Path) -> None:
    agent, _ = await sky.agent(tmp_path, "roof-met")
    (agent.state / "agent.toml").write_text(INPUTS)
    aside = agent.state / "config.site.json.new"
    for number in range(2, 5):
        before = agent.call("config").stdout
        agent.start("set", INTERVAL, f"{number}")
        agent.kill_when(aside.exists)
        after = agent.call("config").stdout
        assert after == before or f"report_interval_s = {number} s" in after
    assert agent.call("set", INTERVAL, "9").returncode == 0
    assert "report_interval_s = 9 s" in agent.call("config").stdout


async def test_a_machine_that_is_nothing_yet_has_nothing_to_set(sky: Platform, tmp_path: Path) -> None:
    agent, _ = await sky.agent(tmp_path, "roof-met")
    agent.state = tmp_path / "elsewhere"
    for command in (("config",), ("set", INTERVAL, "5")):
        answer = agent.call(*command)
        assert answer.returncode == 8
        assert "Nothing is enrolled" in answer.stderr
    assert not agent.state.exists()
