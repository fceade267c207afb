"""Where the agent's data comes from: a broker in the house, registers, SunSpec, or a simulated device.

An input knows nothing of certificates, numbers or disks: it hands on what it read, and its owner looks after that.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge.agent.inputs.settings import (
    InputSettings,
    ModbusSettings,
    MqttSettings,
    SimulatedSettings,
    SunspecSettings,
)
from fleet.order_messages import ConfigValue
from fleet.telemetry import RawMessage, Sample


class Sink(Protocol):
    """Takes what an input has read; returns at once. source: serial of the device behind this one, None for itself."""

    def samples(self, samples: list[Sample], source: str | None) -> None: ...

    def raw(self, messages: list[RawMessage]) -> None: ...


class Input(Protocol):
    name: str

    async def run(self, sink: Sink) -> None:
        """Works until cancelled. Raises FleetError when it cannot go on: run it again after a while."""
        ...


class Limit(Protocol):
    """How much the plant may give, whenever it is asked."""

    @property
    def pct(self) -> float | None:
        """Of rated power; None: what is set at the device stays as it is."""

    @property
    def full_power_in_s(self) -> float | None:
        """When the limit ends, where that is foreseen."""


class NoLimit:
    pct = None
    full_power_in_s = None


@runtime_checkable
class Limiting(Protocol):
    """An input whose device can be told how much it may give."""

    limit_problem: str  # why it cannot, as far as it is known; '' otherwise

    async def can_limit(self) -> bool:
        """Asks it, and changes nothing; whether there is anything to limit. Raises FleetError: it would not obey now."""

    async def obey_limit(self) -> bool:
        """Tells it now, and looks whether it has taken it; whether there is anything to limit. Raises FleetError."""


@runtime_checkable
class Registered(Protocol):
    """An input whose device has registers."""

    async def read_registers(self, address: int, count: int) -> list[int]:
        """Holding registers. Raises Unavailable."""


def make_input(
    settings: InputSettings,
    *,
    profile: str,
    state_folder: Path,
    limit: Limit | None = None,
    configured: Callable[[], Mapping[str, ConfigValue]] = dict,
) -> Input:
    """profile: the id of the agent's own; state_folder: where an input may keep a small file of its own.

    configured: what the agent was told to be.

    Opens nothing yet. Raises BadInput (unknown_profile, bad_register_map) for settings that cannot work.
    """
    match settings:
        case MqttSettings():
            from edge.agent.inputs.mqtt import MqttInput  # noqa: PLC0415 - an agent loads the clients that it uses

            return MqttInput(settings)
        case ModbusSettings():
            from edge.agent.inputs.modbus import ModbusInput  # noqa: PLC0415 - as above

            return ModbusInput(settings)
        case SunspecSettings():
            from edge.agent.inputs.sunspec import SunspecInput  # noqa: PLC0415 - as above

            return SunspecInput(settings, profile, limit or NoLimit())
        case SimulatedSettings():
            from edge.agent.inputs.simulated import SimulatedInput  # noqa: PLC0415 - as above

            return SimulatedInput(settings, profile, state_folder, limit or NoLimit(), configured)


__all__ = [
    "Input",
    "InputSettings",
    "Limit",
    "Limiting",
    "ModbusSettings",
    "MqttSettings",
    "NoLimit",
    "Registered",
    "SimulatedSettings",
    "Sink",
    "SunspecSettings",
    "make_input",
]
