"""A fleet on paper: what the simulator makes up and the platform registers, and the history that comes with it."""

from typing import Literal

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.telemetry import Sample, UnixMs

SiteUse = Literal["home", "farm", "school", "public"]


class PlannedDevice(msgspec.Struct, frozen=True):
    id: DeviceId
    profile_id: str
    name: str
    serial: str


class PlannedSite(msgspec.Struct, frozen=True):
    """A place with panels.

    azimuth_deg   180 = south
    department    its French code, such as "26" or "2A"
    battery_wh    usable capacity; None = no battery
    """

    id: SiteId
    name: str
    latitude: float
    longitude: float
    timezone: str
    peak_power_w: float
    tilt_deg: float
    azimuth_deg: float
    department: str
    annual_load_kwh: float
    battery_wh: float | None
    devices: list[PlannedDevice]
    use: SiteUse = "home"


class FleetPlan(msgspec.Struct, frozen=True):
    """history_from: when every site of the plan went into service; its counters stand at 0 there."""

    seed: int
    history_from: UnixMs
    sites: list[PlannedSite]


class HistoryBlock(msgspec.Struct, frozen=True):
    """Past samples of one device, oldest first, for the bulk door."""

    site: SiteId
    device: DeviceId
    samples: list[Sample]
