"""The twin of a site: its devices, what they make together, and how it is doing."""

from collections.abc import Iterable

import msgspec

from fleet.alerts import OpenAlerts
from fleet.detectors import NOTHING_HOLDS
from fleet.device import DeviceTwin
from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs
from fleet.views import AlertView, DeviceLive, Health, PowerFlow, SiteLive, SiteSummary

_STALE_INTERVALS = 6  # a power older than this many reporting intervals is not "now" any more
_STALE_MIN_MS = 60_000


class SiteRecord(msgspec.Struct, frozen=True):
    """What the registry knows of a site."""

    id: SiteId
    name: str
    timezone: str
    latitude: float
    longitude: float
    peak_power_w: float


class SiteTwin:
    """Owns its device twins: one shard, one thread, so that rolling up is a function call."""

    __slots__ = ("_by_serial", "alerts", "devices", "health", "heard_at", "holding", "record", "relearned")

    def __init__(
        self,
        record: SiteRecord,
        devices: list[DeviceTwin],
        now: UnixMs,
        health: Health | None = None,
        alerts: Iterable[AlertView] = (),
    ) -> None:
        self.record = record
        self.devices: dict[DeviceId, DeviceTwin] = {device.id: device for device in devices}
        self._by_serial = {device.serial: device for device in devices if device.serial is not None}
        self.health = health
        self.alerts = OpenAlerts(record.id, alerts)
        self.holding = NOTHING_HOLDS
        self.heard_at = now
        self.relearned = False

    def adopt(self, devices: Iterable[DeviceTwin]) -> int:
        """Takes in the devices that it does not have yet. Returns how many."""
        new = [device for device in devices if device.id not in self.devices]
        for device in new:
            self.devices[device.id] = device
            if device.serial is not None:
                self._by_serial[device.serial] = device
        return len(new)

    def relearn(self, registered: "SiteTwin") -> None:
        """Takes over what the registry says now: of the site, of its devices, and which of them there are.

        What was taken in before and is not stored yet, is placed anew (`relearned`): its time may be another one now.
        """
        self.relearned = True
        self.record = registered.record
        for device in list(self.devices):
            if device not in registered.devices:
                del self.devices[device]
        for device, twin in registered.devices.items():
            live = self.devices.setdefault(device, twin)
            if live is not twin:
                live.relearn(twin)
        self._by_serial = {twin.serial: twin for twin in self.devices.values() if twin.serial is not None}

    def by_serial(self, serial: str) -> DeviceTwin | None:
        """The device that a gateway speaks for."""
        return self._by_serial.get(serial)

    def flow(self, now: UnixMs) -> PowerFlow:
        """Powers now, in W. Of two devices that measure the same thing the values add up (two inverters, two arrays)."""
        pv = self._total("pv_power_w", now)
        grid = self._total("grid_power_w", now)
        battery = self._total("battery_power_w", now)
        load = self._total("load_power_w", now)
        if load is None and grid is not None:
            load = (pv or 0.0) + grid - (battery or 0.0)
        return PowerFlow(pv, grid, battery, load, self._mean("battery_soc_pct", now))

    def live(self, now: UnixMs) -> SiteLive:
        devices = [_device_live(device) for device in self.devices.values()]
        return SiteLive(self.record.id, now, self.flow(now), self.health or _unjudged(now), devices, self.alerts.open)

    def summary(self, now: UnixMs) -> SiteSummary:
        online = sum(device.health.status == "ok" for device in self.devices.values())
        health = self.health or _unjudged(now)
        return SiteSummary(self.record.id, self.flow(now), health, online, len(self.devices), len(self.alerts.open))

    def _fresh(self, measure: str, now: UnixMs) -> list[float]:
        values = []
        for device in self.devices.values():
            value = device.reading(measure)
            if value is not None and device.sample_at is not None:
                stale_ms = max(_STALE_MIN_MS, device.interval_s * 1000 * _STALE_INTERVALS)
                if now - device.sample_at <= stale_ms:
                    values.append(value)
        return values

    def _total(self, measure: str, now: UnixMs) -> float | None:
        values = self._fresh(measure, now)
        return sum(values) if values else None

    def _mean(self, measure: str, now: UnixMs) -> float | None:
        values = self._fresh(measure, now)
        return sum(values) / len(values) if values else None


def _unjudged(now: UnixMs) -> Health:
    """Between the site's loading and the first sweep."""
    return Health("unknown", now, "not_heard_yet")


def _device_live(device: DeviceTwin) -> DeviceLive:
    pairs = zip(device.profile.channels, device.readings, strict=True)
    readings = {channel: value for channel, value in pairs if value is not None}
    return DeviceLive(device.id, device.name, device.profile.kind, device.health, device.seen_at, device.sample_at, readings)
