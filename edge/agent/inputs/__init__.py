"""Where the agent's data comes from: a broker in the house, registers, SunSpec, or a simulated device.

An input knows nothing of certificates, numbers or disks: it hands on what it read, and its owner looks after that.
"""

from pathlib import Path
from typing import Protocol

from edge.agent.inputs.settings import (
    InputSettings,
    ModbusSettings,
    MqttSettings,
    SimulatedSettings,
    SunspecSettings,
)
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


def make_input(settings: InputSettings, *, profile: str, state_folder: Path) -> Input:
    """profile: the id of the agent's own; state_folder: where an input may keep a small file of its own.

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

            return SunspecInput(settings, profile)
        case SimulatedSettings():
            from edge.agent.inputs.simulated import SimulatedInput  # noqa: PLC0415 - as above

            return SimulatedInput(settings, profile, state_folder)


__all__ = [
    "Input",
    "InputSettings",
    "ModbusSettings",
    "MqttSettings",
    "SimulatedSettings",
    "Sink",
    "SunspecSettings",
    "make_input",
]
