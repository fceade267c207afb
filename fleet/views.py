"""What the twins tell those who ask: answers to asks, and the live feed's payload."""

from typing import Literal

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs

# From best to worst; a site is as well as its worst device.
HealthStatus = Literal["ok", "asleep", "unknown", "warning", "fault", "offline"]
HEALTH_ORDER: tuple[HealthStatus, ...] = ("ok", "asleep", "unknown", "warning", "fault", "offline")

Severity = Literal["info", "warning", "critical"]
AlertState = Literal["raised", "acknowledged", "resolved"]


class Health(msgspec.Struct, frozen=True):
    """reason: a code that the interface translates (fleet.health lists them); for a site, "<code>:<device>" of the worst."""

    status: HealthStatus
    since: UnixMs
    reason: str


class PowerFlow(msgspec.Struct, frozen=True):
    """Powers of a site now. None = nobody says. load = pv + grid − battery where it is not measured itself."""

    pv_power_w: float | None = None
    grid_power_w: float | None = None
    battery_power_w: float | None = None
    load_power_w: float | None = None
    battery_soc_pct: float | None = None


class AlertView(msgspec.Struct, frozen=True):
    id: str
    site: SiteId
    device: str  # '' for the site itself
    rule: str
    severity: Severity
    raised_at: UnixMs
    evidence: dict[str, float | str | None] = {}
    acked_at: UnixMs | None = None
    acked_by: str | None = None
    resolved_at: UnixMs | None = None


class DeviceLive(msgspec.Struct, frozen=True):
    device: DeviceId
    name: str
    kind: str
    health: Health
    seen_at: UnixMs | None
    sample_at: UnixMs | None
    readings: dict[str, float]


class SiteLive(msgspec.Struct, frozen=True):
    """Also the payload of the site's `live` topic, as JSON."""

    site: SiteId
    at: UnixMs
    flow: PowerFlow
    health: Health
    devices: list[DeviceLive]
    alerts: list[AlertView]  # open ones


class SiteSummary(msgspec.Struct, frozen=True):
    """One line of the list of sites."""

    site: SiteId
    flow: PowerFlow
    health: Health
    devices_online: int
    devices: int
    open_alerts: int


class ShardStats(msgspec.Struct, frozen=True):
    """Counters since the shard's start; the reader makes rates from two of them."""

    shard: int
    epoch: int
    started_at: UnixMs
    at: UnixMs
    connected: bool
    messages: int
    samples: int
    duplicates: int
    dead_letters: int
    throttled: int
    batches: int
    commit_failures: int
    acked_messages: int
    platform_acks: int
    twins: int
    devices_online: int
    devices: int
    queued_messages: int
    lag_ms: float  # arrival → committed, of the latest batch
    rss_bytes: int
    dead_letters_by_code: dict[str, int] = {}
    slots: int = 0
    busy_s: float = 0.0  # since the batch under way was begun; it grows while PostgreSQL is away
    commit_s: float = 0.0  # spent on storing batches
    failed_rounds: dict[str, int] = {}  # by work
    trace_failures: int = 0
