"""Keeps the inputs at work: one that fails is started again with patience, and the others do not notice."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from random import uniform

import msgspec
import structlog

from edge.agent.configuration import Configuration
from edge.agent.inputs import (
    Input,
    InputSettings,
    Limit,
    Limiting,
    ModbusSettings,
    MqttSettings,
    Registered,
    Sink,
    SunspecSettings,
    make_input,
)
from edge.limits import AGENT_INPUT_RETRY_FIRST_S, AGENT_INPUT_RETRY_MAX_S, INPUT_PERIOD_MAX_S, INPUT_PERIOD_MIN_S
from fleet.errors import BadInput, FleetError, NotFound, Unavailable
from fleet.runtime.cancelled import end_if_cancelled
from fleet.telemetry import RawMessage, Sample

log = structlog.get_logger()

Make = Callable[[InputSettings], Input]


class Keeper:
    """One input. failure: why it does not work, '' when it does; told once when that begins and once when it ends."""

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.failure = ""
        self.at_work: Input | None = None
        self._sink = sink
        self._failures = 0

    async def keep(self, make: Callable[[], Input]) -> None:
        """Until cancelled. Waits are random up to a bound that doubles with every failure in a row."""
        while True:
            try:
                self.at_work = make()
                await self.at_work.run(self)
                self._note("it ended by itself")
            except (FleetError, OSError) as error:
                self._note(str(error) or type(error).__name__)
            except Exception as error:  # an input reads what anybody may send: its faults are not the others'
                log.exception("agent.input_broke", input=self.name)
                self._note(f"{type(error).__name__}: {error}")
            finally:
                self.at_work = None
            end_if_cancelled()  # its TaskGroup and pymodbus lose that when the device goes away just then
            bound_s = min(AGENT_INPUT_RETRY_MAX_S, AGENT_INPUT_RETRY_FIRST_S * 2 ** min(self._failures, 10))
            await asyncio.sleep(uniform(bound_s / 2, bound_s))

    # Called by the input

    def samples(self, samples: list[Sample], source: str | None) -> None:
        self._works()
        self._sink.samples(samples, source)

    def raw(self, messages: list[RawMessage]) -> None:
        self._works()
        self._sink.raw(messages)

    def _note(self, failure: str) -> None:
        if not self.failure:
            log.warning("agent.input_failed", input=self.name, reason=failure)
        self.failure = failure
        self._failures += 1

    def _works(self) -> None:
        if self.failure:
            log.info("agent.input_recovered", input=self.name, tries=self._failures)
        self.failure = ""
        self._failures = 0


class Inputs:
    """All of them, as the settings list them and the configuration lets them. apply() after a change of that."""

    def __init__(
        self,
        settings: tuple[InputSettings, ...],
        configuration: Configuration,
        sink: Sink,
        limit: Limit,
        profile: str,
        folder: Path,
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._limit = limit
        self._profile, self._folder = profile, folder
        self._keepers = {each.name: Keeper(each.name, sink) for each in settings}
        self._tasks: dict[str, tuple[InputSettings, asyncio.Task[None]]] = {}

    def apply(self) -> None:
        """Starts, stops, and starts anew what reads at another pace now."""
        for settings in self._settings:
            wanted = self._paced(settings) if self._configuration.runs(settings.name) else None
            at_work = self._tasks.get(settings.name)
            if at_work is not None and at_work[0] != wanted:
                at_work[1].cancel()
                del self._tasks[settings.name]
                at_work = None
            if wanted is not None and at_work is None:
                keeping = self._keepers[settings.name].keep(lambda wanted=wanted: self._make(wanted))  # type: ignore[misc]
                self._tasks[settings.name] = (wanted, asyncio.create_task(keeping))

    def states(self) -> Mapping[str, str]:
        """Input → "off", "ok", or why it does not work."""
        return {name: "off" if name not in self._tasks else keeper.failure or "ok" for name, keeper in self._keepers.items()}

    async def can_limit(self) -> None:
        """Asks every device, and changes nothing. Raises as obey_limit does."""
        _require_any([await each.can_limit() for each in self._limiting()])

    async def obey_limit(self) -> None:
        """Every device that can be told how much it may give is told now.

        Raises FleetError for the first that does not obey, Unavailable (no_limit_control) where none can.
        """
        _require_any([await each.obey_limit() for each in self._limiting()])

    @property
    def limit_problem(self) -> str:
        """Why a limit would be of no use, as far as it is known; '' otherwise."""
        return next((each.limit_problem for each in self._limiting() if each.limit_problem), "")

    async def read_registers(self, name: str, address: int, count: int) -> tuple[str, list[int]]:
        """Of this input, the first one with registers when it is ''; and its name. Raises NotFound (unknown_input), BadInput
        (no_registers), Unavailable.
        """
        known = {settings.name: settings for settings in self._settings}
        if not name:
            name = next((each.name for each in known.values() if isinstance(each, ModbusSettings | SunspecSettings)), "")
        if name not in known:
            there_are = ", ".join(known) or "none"
            raise NotFound("unknown_input", f"there is no input {name!r} with registers; the inputs are: {there_are}")
        source = self._keepers[name].at_work or self._make(known[name])
        if not isinstance(source, Registered):
            raise BadInput("no_registers", f"input {name} has no registers: it is neither modbus nor sunspec")
        return name, await source.read_registers(address, count)

    async def stop(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _limiting(self) -> list[Limiting]:
        inputs: list[object] = [keeper.at_work for keeper in self._keepers.values()]
        return [each for each in inputs if isinstance(each, Limiting)]

    def _make(self, settings: InputSettings) -> Input:
        return make_input(
            settings,
            profile=self._profile,
            state_folder=self._folder,
            limit=self._limit,
            configured=lambda: self._configuration.running.values,
        )

    def _paced(self, settings: InputSettings) -> InputSettings:
        interval_s = self._configuration.report_interval_s
        if interval_s is None or isinstance(settings, MqttSettings):  # whose pace is the house's broker's
            return settings
        period_s = min(max(interval_s, INPUT_PERIOD_MIN_S), INPUT_PERIOD_MAX_S)
        return msgspec.structs.replace(settings, period_s=period_s)


def _require_any(able: list[bool]) -> None:
    if not any(able):
        raise Unavailable("no_limit_control", "no input that is at work now can limit a device's power")
