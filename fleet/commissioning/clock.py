"""Is a device's clock right? Its samples' times against the times at which they came."""

from typing import Final

from fleet.commissioning.facts import Check, CommissioningFacts, DeviceFacts, Fix, Recent

_RIGHT_WITHIN_S: Final = 60.0  # a sample may wait for the next report, and that for the network
_ZONE_WITHIN_S: Final = 180.0  # of a whole hour: a clock set by hand to the wrong zone
_ZONE_HOURS_MAX: Final = 14
_YEARS_S: Final = 300 * 86_400.0
_RECENT: Final = 10
_SLACK_MS: Final = 60_000  # the measured offset may be wrong by so much, and the first samples must not be left out


def clock_check(facts: CommissioningFacts) -> Check:
    """Whole hours are a time zone. After an outage samples come late without any fault: then it has to wait."""
    device = facts.device
    refused_s = _refused_ahead_s(device)
    latest = sorted(device.recent, key=lambda recent: recent.received_at)[-_RECENT:]
    if refused_s is not None:
        return _judged(device, refused_s)
    if latest:
        return _heard(device, latest)
    if device.sample_at is not None and device.seen_at is not None:
        return _judged(device, (device.sample_at - device.seen_at) / 1000)
    if not device.profile.channels:
        return Check("clock", "not_applicable")
    return Check("clock", "waiting", {"reason": "not_heard_yet"})


def _heard(device: DeviceFacts, latest: list[Recent]) -> Check:
    ahead_s = [(recent.at - recent.received_at) / 1000 for recent in latest]
    best_s = max(ahead_s)  # what came with the least delay
    if best_s < -_RIGHT_WITHIN_S and best_s - min(ahead_s) > _RIGHT_WITHIN_S:
        return Check("clock", "later", {"reason": "backlog", "clock_ahead_s": best_s})
    return _judged(device, best_s)


def _judged(device: DeviceFacts, ahead_s: float) -> Check:
    if abs(ahead_s) <= _RIGHT_WITHIN_S:
        return Check("clock", "ok", {"clock_ahead_s": ahead_s})
    hours = round(ahead_s / 3600)
    reason, value_s = "drift", -float(round(ahead_s))
    if 1 <= abs(hours) <= _ZONE_HOURS_MAX and abs(ahead_s - hours * 3600) <= _ZONE_WITHIN_S:
        reason, value_s = "time_zone", -float(hours * 3600)
    elif abs(ahead_s) >= _YEARS_S:
        reason = "years"
    # What a gateway passes on has the times of others, each with a correction of its own
    fix = Fix("clock", "", value_s, device.since - _SLACK_MS) if device.profile.channels else None
    return Check("clock", "failed", {"reason": reason, "clock_ahead_s": ahead_s}, fix)


def _refused_ahead_s(device: DeviceFacts) -> float | None:
    """By times that were refused after the last one that was taken."""
    taken_at = max((recent.received_at for recent in device.recent), default=0)
    refused = [one for one in device.refusals if one.ahead_s is not None and one.at > taken_at]
    return max(refused, key=lambda one: one.at).ahead_s if refused else None
