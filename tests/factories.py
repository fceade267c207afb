"""Valid objects, one line each."""

from fleet.device import DeviceTwin, Snapshot
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile, shipped
from fleet.site import SiteRecord, SiteTwin
from fleet.telemetry import Sample, Telemetry, UnixMs

NOON = 1_782_036_000_000  # 2026-06-21 10:00 UTC: noon in France

_PROFILES = {profile.id: profile for profile in shipped()}


def profile(kind: str = "meter") -> DeviceProfile:
    return _PROFILES[kind]


def device_twin(
    device: str = "d-1", kind: str = "meter", snapshot: Snapshot | None = None, serial: str | None = None
) -> DeviceTwin:
    return DeviceTwin(DeviceId(device), device, serial, profile(kind), snapshot or Snapshot(), None, NOON)


def site_record(site: str = "s-1", peak_power_w: float = 6_000) -> SiteRecord:
    return SiteRecord(SiteId(site), f"Site {site}", "Europe/Paris", 44.73, 5.02, peak_power_w)


def site_twin(*devices: DeviceTwin, site: str = "s-1") -> SiteTwin:
    return SiteTwin(site_record(site), list(devices), NOON)


def telemetry(*samples: tuple[UnixMs, dict[str, float | None]], seq: int | None = None, **more: object) -> Telemetry:
    return Telemetry([Sample(t, v) for t, v in samples], seq, **more)  # type: ignore[arg-type]
