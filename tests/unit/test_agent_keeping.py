"""An input that fails is started again, told once, and nobody else notices."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.agent.configuration import Configuration, known_keys
from edge.agent.inputs import NoLimit, SimulatedSettings, Sink
from edge.agent.keeping import Inputs, Keeper
from edge.obeying import INTERVAL
from fleet.errors import Unavailable
from fleet.order_messages import DesiredConfig
from fleet.telemetry import RawMessage, Sample


class Taken:
    """Where the recorder stands."""

    def __init__(self) -> None:
        self.heard: list[Sample] = []
        self.more = asyncio.Event()

    def samples(self, samples: list[Sample], source: str | None) -> None:
        self.heard += samples
        self.more.set()

    def raw(self, messages: list[RawMessage]) -> None:
        raise AssertionError


class Flaky:
    """An input whose device answers at the third try."""

    name = "flaky"

    def __init__(self, tries: list[int]) -> None:
        self._tries = tries

    async def run(self, sink: Sink) -> None:
        self._tries.append(1)
        if len(self._tries) == 1:
            raise Unavailable("device_silent", "no answer")
        if len(self._tries) == 2:
            raise ZeroDivisionError  # a fault of the input itself
        sink.samples([Sample(1, {"pv_power_w": 1.0})], None)
        await asyncio.Event().wait()


async def test_an_input_that_fails_is_told_once_and_when_it_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.agent.keeping.AGENT_INPUT_RETRY_FIRST_S", 0.01)
    taken, tries = Taken(), []
    keeper = Keeper("flaky", taken)
    with capture_logs() as logs:
        keeping = asyncio.create_task(keeper.keep(lambda: Flaky(tries)))
        await asyncio.wait_for(taken.more.wait(), 60)
        keeping.cancel()
        await asyncio.wait([keeping])
    assert [log["event"] for log in logs] == ["agent.input_failed", "agent.input_broke", "agent.input_recovered"]
    assert keeper.failure == ""
    assert len(tries) == 3


class Swallowing:
    """An input that is told to stop when it loses its device: as of Python 3.11 the loss can take the order's place."""

    name = "swallowing"

    def __init__(self, tries: list[int], again: asyncio.Event) -> None:
        self._tries = tries
        self._again = again

    async def run(self, sink: Sink) -> None:
        self._tries.append(1)
        if len(self._tries) > 1:
            self._again.set()
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        raise Unavailable("device_silent", "no answer")


async def test_an_input_that_is_stopped_just_when_it_loses_its_device_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.agent.keeping.AGENT_INPUT_RETRY_FIRST_S", 0.01)
    tries: list[int] = []
    again = asyncio.Event()
    keeping = asyncio.create_task(Keeper("swallowing", Taken()).keep(lambda: Swallowing(tries, again)))
    going_on = asyncio.create_task(again.wait())
    await asyncio.wait((keeping, going_on), timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert keeping.cancelled()
    going_on.cancel()


async def test_the_configuration_says_which_inputs_run_and_at_which_pace(tmp_path: Path) -> None:
    listed = (SimulatedSettings(name="one", period_s=1.0), SimulatedSettings(name="two", period_s=1.0))
    config = Configuration(tmp_path / "config.json", known_keys("meter", ["one", "two"], 10.0))
    taken = Taken()
    inputs = Inputs(listed, config, taken, NoLimit(), "meter", tmp_path)
    inputs.apply()
    assert inputs.states() == {"one": "ok", "two": "ok"}
    await asyncio.wait_for(taken.more.wait(), 60)
    config.take(DesiredConfig(1, {INTERVAL: 3_600.0, "input.two": False}))
    inputs.apply()
    assert inputs.states() == {"one": "ok", "two": "off"}
    assert {settings.name: settings for settings, _ in inputs._tasks.values()} == {
        "one": SimulatedSettings(name="one", period_s=3_600.0)
    }
    await inputs.stop()
