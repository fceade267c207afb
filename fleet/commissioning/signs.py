"""Do powers flow the right way? Production is never negative, consumption neither; batteries fill while they charge."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from fleet.commissioning.facts import Check, CommissioningFacts, DeviceFacts, Evidence, Fix, Recent
from fleet.commissioning.sun import PV_POWER, dark, is_stale, peak_power_w, sunlight
from fleet.limits import SUN_WAKES_MIN_DEG
from fleet.telemetry import UnixMs

GRID_POWER: Final = "grid_power_w"
BATTERY_POWER: Final = "battery_power_w"
_ORDER: Final = ("failed", "waiting", "later", "ok")
_TOGETHER_MS: Final = 120_000  # readings of two devices that may be set against each other
_PAIRED_MS: Final = 30_000
_IDLE_W: Final = 30.0  # standby, and what meters err by


def worst(found: Sequence[Check]) -> Check:
    return min(found, key=lambda check: _ORDER.index(check.state))


def sign_check(facts: CommissioningFacts) -> Check:
    """A reversed clamp, or a device that counts the other way around."""
    device = facts.device
    judges = {PV_POWER: _production, GRID_POWER: _grid, BATTERY_POWER: _battery}
    found = [judge(facts) for measure, judge in judges.items() if measure in device.profile.index]
    return worst(found) if found else Check("sign", "not_applicable")


def consumption_check(facts: CommissioningFacts) -> Check:
    """Production + import - export - charge: when that is negative, the meter's clamp is reversed."""
    device = facts.device
    if GRID_POWER not in device.profile.index:
        return Check("consumption", "not_applicable")
    grid_w = device.readings.get(GRID_POWER)
    if grid_w is None or device.sample_at is None or is_stale(facts):
        return Check("consumption", "waiting", {"reason": "not_heard_yet"})
    beside = _beside(facts, device.sample_at)
    if isinstance(beside, str):
        return Check("consumption", "waiting", {"reason": beside, "grid_power_w": grid_w})
    pv_w, battery_w = beside
    load_w = pv_w + grid_w - battery_w
    evidence: Evidence = {
        "consumption_w": load_w, "pv_power_w": pv_w, "grid_power_w": grid_w, "battery_power_w": battery_w,
    }  # fmt: skip
    if load_w >= -_tolerance_w(pv_w, battery_w):
        return Check("consumption", "ok", evidence)
    return Check("consumption", "failed", {"reason": "negative", **evidence}, _turned(device, GRID_POWER))


def _production(facts: CommissioningFacts) -> Check:
    device, power_w = facts.device, facts.device.readings.get(PV_POWER)
    if power_w is None or device.sample_at is None:
        return Check("sign", "waiting", {"reason": "not_heard_yet"})
    evidence: Evidence = {"pv_power_w": power_w}
    something_w = max(_IDLE_W, 0.01 * peak_power_w(facts))  # less is what an inverter draws for itself
    if power_w < -something_w:
        return Check("sign", "failed", {"reason": "negative_production", **evidence}, _turned(device, PV_POWER))
    if power_w > something_w:
        return Check("sign", "ok", evidence)
    return dark("sign", facts, evidence)


def _grid(facts: CommissioningFacts) -> Check:
    """Of the two ways in which the clamp can sit, one may be impossible: nobody feeds in more than he makes.

    Where both are possible, production's changes tell: a cloud makes the right import rise.
    """
    device, grid_w = facts.device, facts.device.readings.get(GRID_POWER)
    if grid_w is None or device.sample_at is None or is_stale(facts):
        return Check("sign", "waiting", {"reason": "not_heard_yet"})
    beside = _beside(facts, device.sample_at)
    if isinstance(beside, str):
        return Check("sign", "waiting", {"reason": beside, "grid_power_w": grid_w})
    pv_w, battery_w = beside
    evidence: Evidence = {"grid_power_w": grid_w, "pv_power_w": pv_w, "battery_power_w": battery_w}
    most_w = max(pv_w - battery_w, 0.0) + max(_IDLE_W, _tolerance_w(pv_w, battery_w))  # that can be fed in
    if -grid_w > most_w:
        return Check("sign", "failed", {"reason": "impossible_export", **evidence}, _turned(device, GRID_POWER))
    if grid_w > most_w:
        return Check("sign", "ok", evidence)
    return _by_slope(facts, evidence)


def _by_slope(facts: CommissioningFacts, evidence: Evidence) -> Check:
    slope = _answer_to_production(facts)
    if slope is None or abs(slope) <= 0.5:
        return Check("sign", "later", {"reason": "both_possible", **evidence})
    if slope < 0:
        return Check("sign", "ok", {"slope": slope, **evidence})
    turned = _turned(facts.device, GRID_POWER)
    return Check("sign", "failed", {"reason": "follows_production", "slope": slope, **evidence}, turned)


def _battery(facts: CommissioningFacts) -> Check:
    device = facts.device
    heard = [recent for recent in device.recent if BATTERY_POWER in recent.values]
    if not heard and BATTERY_POWER not in device.readings:
        return Check("sign", "waiting", {"reason": "not_heard_yet"})
    mean_w = sum(recent.values[BATTERY_POWER] for recent in heard) / len(heard) if heard else 0.0
    evidence: Evidence = {"battery_power_w": device.readings.get(BATTERY_POWER, mean_w)}
    filled = _filled(heard)
    if abs(mean_w) < _IDLE_W or filled is None:
        return Check("sign", "later", {"reason": "idle", **evidence})
    if (filled > 0) != (mean_w > 0):
        reason = {"reason": "fills_while_discharging" if filled > 0 else "empties_while_charging"}
        return Check("sign", "failed", {**reason, "mean_power_w": mean_w, **evidence}, _turned(device, BATTERY_POWER))
    return Check("sign", "ok", {"mean_power_w": mean_w, **evidence})


def _filled(heard: Sequence[Recent]) -> float | None:
    """Whether it has got fuller (> 0) or emptier: by its counters (Wh), else by its state of charge (%)."""
    for plus, minus, enough in (("charge_energy_wh", "discharge_energy_wh", 2.0), ("battery_soc_pct", "", 0.5)):
        known = [recent.values for recent in heard if plus in recent.values and (not minus or minus in recent.values)]
        if len(known) >= 2:
            change = known[-1][plus] - known[0][plus] - (known[-1][minus] - known[0][minus] if minus else 0.0)
            if abs(change) >= enough:
                return change
    return None


def _beside(facts: CommissioningFacts, at: UnixMs) -> tuple[float, float] | str:
    """Production and the battery's power at that time, in W; or why they are not known."""
    pv_w = battery_w = 0.0
    asleep = sunlight(facts, at).elevation_deg < SUN_WAKES_MIN_DEG
    for device in facts.devices:
        together = device.sample_at is not None and abs(device.sample_at - at) <= _TOGETHER_MS
        if PV_POWER in device.profile.index:
            if together and PV_POWER in device.readings:
                pv_w += device.readings[PV_POWER]
            elif not asleep:
                return "production_not_heard"
        if BATTERY_POWER in device.profile.index:
            if not together or BATTERY_POWER not in device.readings:
                return "battery_not_heard"
            battery_w += device.readings[BATTERY_POWER]
    return pv_w, battery_w


def _answer_to_production(facts: CommissioningFacts) -> float | None:
    """By how many W the grid's power changes when production rises by one: about -1 where the clamp sits right.

    Least squares through the origin over consecutive changes; None where production has changed too little.
    """
    makers = [device.recent for device in facts.devices if PV_POWER in device.profile.index]
    if len(makers) != 1:
        return None
    pairs = [
        (recent.values[GRID_POWER], pv_w)
        for recent in facts.device.recent
        if GRID_POWER in recent.values and (pv_w := _near(makers[0], recent.at)) is not None
    ]
    changes = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(pairs)]
    step_w = max(50.0, 0.02 * peak_power_w(facts))
    large = [(grid_w, pv_w) for grid_w, pv_w in changes if abs(pv_w) >= step_w]
    if len(large) < 3:
        return None
    return sum(grid_w * pv_w for grid_w, pv_w in large) / sum(pv_w**2 for _, pv_w in large)


def _near(recent: Iterable[Recent], at: UnixMs) -> float | None:
    known = [(abs(one.at - at), one.values[PV_POWER]) for one in recent if PV_POWER in one.values]
    distance_ms, power_w = min(known, default=(_PAIRED_MS + 1, 0.0))
    return power_w if distance_ms <= _PAIRED_MS else None


def _tolerance_w(pv_w: float, battery_w: float) -> float:
    """Readings of several devices are seconds apart."""
    return max(50.0, 0.05 * max(abs(pv_w), abs(battery_w)))


def _turned(device: DeviceFacts, measure: str) -> Fix:
    return Fix("sign", measure, -1.0, device.since)
