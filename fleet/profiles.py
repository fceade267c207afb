"""What a device is: its kind, what it measures and in which order, how often it speaks, how it is configured."""

from functools import cached_property
from importlib import resources
from typing import Literal

import msgspec

from fleet.device_setting import Setting
from fleet.errors import BadInput
from fleet.measures import REGISTERS, is_measure

DeviceKind = Literal["inverter", "meter", "battery", "sensor", "gateway"]


class DeviceProfile(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """Shipped as fleet/profile_data/*.json, kept in registry.profile with every version that there was.

    channels        measures in storage order; only ever extended at the end
    site_registers  which of its counters count for the site (a hybrid inverter beside a meter must not count twice)
    interval_s      how often it reports when all is well
    sleeps_at_night an inverter without sun says nothing, and that is normal
    counter_step_wh the counters' smallest step: 1000 for a device that counts whole kWh
    codec           what its raw messages are written in (fleet.codecs); None: it speaks the native protocol only
    settings        what it can be told to be
    default_config  what a new device runs with, where that is not the settings' own default
    commands        what it can be asked to do, by name (fleet.command_catalog)
    """

    id: str
    kind: DeviceKind
    label_fr: str
    label_en: str
    channels: tuple[str, ...]
    site_registers: tuple[str, ...]
    interval_s: float
    sleeps_at_night: bool = False
    counter_step_wh: float = 1.0
    codec: str | None = None
    settings: tuple[Setting, ...] = ()
    default_config: dict[str, float | str | bool] = {}
    commands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for channel in self.channels:
            if not is_measure(channel):
                raise BadInput("unknown_measure", f"profile {self.id}: no measure is called {channel!r}")
        for register in self.site_registers:
            if register not in REGISTERS or register not in self.channels:
                raise BadInput("unknown_measure", f"profile {self.id}: {register!r} is not one of its counters")

    @cached_property
    def index(self) -> dict[str, int]:
        """Measure → position in `channels`."""
        return {channel: position for position, channel in enumerate(self.channels)}


def shipped() -> list[DeviceProfile]:
    """The profiles that come with the platform, by id."""
    folder = resources.files("fleet").joinpath("profile_data")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda entry: entry.name)
    return [msgspec.json.decode(entry.read_bytes(), type=DeviceProfile) for entry in files]
