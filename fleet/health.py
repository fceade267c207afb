"""How a device is doing, from when it last spoke and where the sun stands; how a site is doing, from its devices.

reporting     ok       it spoke within its silence limit
night         asleep   an inverter without enough sun says nothing, and that is normal
never_seen    unknown  registered, and not heard of yet; offline when that lasts for FIRST_CONTACT_S
not_heard_yet unknown  the platform has just started
silent        offline  nothing came for longer than the limit
disconnected  offline  the same, and its last word (or its last will) was good-bye
revoked       unknown  it may not speak any more, so its silence is no fault; its site is judged by the others
no_devices    unknown  a site without devices
"""

from collections.abc import Iterable
from typing import Final

from fleet.ids import DeviceId
from fleet.limits import FIRST_CONTACT_S, RESTART_GRACE_S, SILENT_INTERVALS, SILENT_MIN_S, SUN_WAKES_MIN_DEG
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs
from fleet.views import HEALTH_ORDER, Health, HealthStatus

_RANK: Final = {status: rank for rank, status in enumerate(HEALTH_ORDER)}
_FIRST_CONTACT_MS: Final = FIRST_CONTACT_S * 1000
_GRACE_MS: Final = RESTART_GRACE_S * 1000


def silence_limit_ms(interval_s: float) -> float:
    """How long a device may say nothing that reports as often as that."""
    return max(interval_s * SILENT_INTERVALS, SILENT_MIN_S) * 1000


def device_health(
    previous: Health | None,
    *,
    profile: DeviceProfile,
    interval_s: float,
    created_at: UnixMs | None,
    seen_at: UnixMs | None,
    online: bool,
    sun_elevation_deg: float,
    grace_until: UnixMs,
    now: UnixMs,
) -> Health:
    """`previous` itself when the status is what it was: a sweep over a quiet fleet makes no objects.

    interval_s   how often it reports when all is well
    seen_at      when the platform last received anything from it, its last will too
    online       it is connected, or something of it has come since by another way; a good-bye counts as silence only once
                 the limit is over, since most come back at once
    grace_until  RESTART_GRACE_S after the platform began to listen; until then nobody newly becomes offline, and whoever
                 reports rarely has its own limit from that start on

    Offline stays offline until it speaks, at night as well, so that a long outage is one outage.
    """
    limit_ms = silence_limit_ms(interval_s)
    if seen_at is not None and online and now - seen_at <= limit_ms:
        return _became(previous, "ok", "reporting", now)
    lasting = None if previous is None else _lasting(previous, seen_at, now)
    if lasting is not None:
        return lasting
    if seen_at is None:
        waiting = created_at is None or now - created_at <= _FIRST_CONTACT_MS or now < grace_until
        return _became(previous, "unknown" if waiting else "offline", "never_seen", now)
    if profile.sleeps_at_night and sun_elevation_deg < SUN_WAKES_MIN_DEG:
        return _became(previous, "asleep", "night", now)
    if now < grace_until or now - max(seen_at, grace_until - _GRACE_MS) <= limit_ms:
        return previous or Health("unknown", now, "not_heard_yet")
    return _became(previous, "offline", "silent" if online else "disconnected", now)


def revoked_health(previous: Health | None, now: UnixMs) -> Health:
    """In place of device_health while it is revoked."""
    return previous if previous is not None and previous.reason == "revoked" else Health("unknown", now, "revoked")


def site_health(previous: Health | None, devices: Iterable[tuple[DeviceId, Health]], now: UnixMs) -> Health:
    """As well as the worst device; of several, the one that has been so for longest. `previous` if nothing changed."""
    culprit: DeviceId | None = None
    worst: Health | None = None
    rank = -1
    for device, health in devices:
        its_rank = _RANK[health.status]
        if worst is None or its_rank > rank or (its_rank == rank and (health.since, device) < (worst.since, culprit)):
            culprit, worst, rank = device, health, its_rank
    if worst is None:
        return _became(previous, "unknown", "no_devices", now)
    reason = worst.reason if worst.status == "ok" else f"{worst.reason}:{culprit}"
    if previous is not None and previous.status == worst.status and previous.reason != reason:
        return Health(worst.status, previous.since, reason)
    return _became(previous, worst.status, reason, now)


def _lasting(previous: Health, seen_at: UnixMs | None, now: UnixMs) -> Health | None:
    """What time alone does not change, for a device that is silent."""
    if previous.status == "offline":
        return previous
    if previous.reason == "revoked":  # no longer: new hardware was enrolled, whose first word is awaited
        return Health("unknown", now, "never_seen")
    if previous.reason == "never_seen" and seen_at is not None:  # the hardware before was seen
        return previous if now - previous.since <= _FIRST_CONTACT_MS else Health("offline", now, "never_seen")
    return None


def _became(previous: Health | None, status: HealthStatus, reason: str, now: UnixMs) -> Health:
    if previous is not None and previous.status == status:
        return previous
    return Health(status, now, reason)
