"""Are values told in the unit that they should have? kW for W is the usual slip, and Wh told in kWh."""

from collections.abc import Sequence
from itertools import pairwise
from math import log10
from typing import Final

from fleet.commissioning.facts import Check, CommissioningFacts, Evidence, Fix, Recent
from fleet.commissioning.signs import BATTERY_POWER, GRID_POWER, worst
from fleet.commissioning.sun import PV_POWER, dark, is_stale, peak_power_w, sunlight

_CONNECTION_MAX_W: Final = 300_000.0  # 1.2 x 250 kVA, the largest low-voltage connection
_KW_BELOW_W: Final = 15.0  # a house in which everything is off still takes more
_KW_SAMPLES_MIN: Final = 12
_INTEGRAL_MIN_MS: Final = 180_000
_STEPS_MIN: Final = 3.0  # of the counter, so that its rounding does not matter
_VOLTS: Final = (180.0, 265.0)  # EN 50160 allows 230 V ± 10 %; beyond that it is another unit, or another grid
# Counter growth / energy of the powers, where units differ: powers of ten, and joules for Wh
_RATIOS: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 3600.0)
_REGISTERS: Final = (
    (PV_POWER, 1, "pv_energy_wh"),
    (GRID_POWER, 1, "import_energy_wh"),
    (GRID_POWER, -1, "export_energy_wh"),
    (BATTERY_POWER, 1, "charge_energy_wh"),
    (BATTERY_POWER, -1, "discharge_energy_wh"),
)


def unit_check(facts: CommissioningFacts) -> Check:
    device = facts.device
    measures = [measure for measure in (PV_POWER, GRID_POWER, BATTERY_POWER) if measure in device.profile.index]
    if not measures:
        return Check("unit", "not_applicable")
    if not any(measure in device.readings for measure in measures) or device.sample_at is None:
        return _unheard(facts)
    found = [_power(facts, measure) for measure in measures if measure in device.readings]
    found += [check for check in (_counted(facts, *register) for register in _REGISTERS) if check is not None]
    chosen = worst(found)
    if chosen.state == "later" and any(check.state == "ok" and "counted_wh" in check.evidence for check in found):
        chosen = next(check for check in found if "counted_wh" in check.evidence)
    return Check("unit", chosen.state, {**chosen.evidence, **_voltages(device.readings)}, chosen.fix)


def _unheard(facts: CommissioningFacts) -> Check:
    """Perhaps it speaks, but in words that its profile does not know."""
    refused = [one for one in facts.device.refusals if one.code in ("unknown_measure", "bad_value")]
    if refused:
        latest = max(refused, key=lambda one: one.at)
        return Check("unit", "failed", {"reason": latest.code, "detail": latest.detail})
    return Check("unit", "waiting", {"reason": "not_heard_yet"})


def _power(facts: CommissioningFacts, measure: str) -> Check:
    by_current = _by_current(facts, measure)
    if by_current is not None:
        return by_current
    if measure == PV_POWER:
        return _production(facts)
    power_w = facts.device.readings[measure]
    evidence: Evidence = {measure: power_w}
    if abs(power_w) > max(_CONNECTION_MAX_W, 2 * peak_power_w(facts)):
        fix = _factor(facts, measure, 0.001) if abs(power_w) / 1000 <= _CONNECTION_MAX_W else None
        return Check("unit", "failed", {"reason": "too_much", **evidence}, fix)
    if measure == GRID_POWER and _looks_like_kw(facts):
        return Check("unit", "failed", {"reason": "kilowatts", **evidence}, _factor(facts, measure, 1000.0))
    return Check("unit", "ok", evidence)


def _production(facts: CommissioningFacts) -> Check:
    """Against what the sun allows at that moment, and a thousandth and a thousandfold of it."""
    device, peak_w = facts.device, peak_power_w(facts)
    power_w = abs(device.readings[PV_POWER])
    if device.sample_at is None or peak_w <= 0:
        return Check("unit", "ok", {PV_POWER: power_w})
    light = sunlight(facts, device.sample_at)
    evidence: Evidence = {PV_POWER: power_w, "clear_sky_power_w": light.clear_w, "bound_w": light.bound_w}
    if power_w > light.bound_w:
        is_milli = 0.002 * peak_w <= power_w / 1000 <= light.bound_w
        reason, fix = ("milliwatts", _factor(facts, PV_POWER, 0.001)) if is_milli else ("too_much", None)
        return Check("unit", "failed", {"reason": reason, **evidence}, fix)
    if light.clear_w < 0.1 * peak_w:
        return Check("unit", "ok", evidence) if power_w > 0.005 * peak_w else dark("unit", facts, evidence)
    if 0 < power_w < 0.002 * peak_w and 0.01 * light.clear_w <= power_w * 1000 <= light.bound_w:
        return Check("unit", "failed", {"reason": "kilowatts", **evidence}, _factor(facts, PV_POWER, 1000.0))
    return Check("unit", "ok", evidence)


def _looks_like_kw(facts: CommissioningFacts) -> bool:
    """Minute after minute a few units with decimals, at a site whose battery does not hold the grid at zero."""
    if is_stale(facts) or any(BATTERY_POWER in device.profile.index for device in facts.devices):
        return False
    told = [recent.values[GRID_POWER] for recent in facts.device.recent if GRID_POWER in recent.values]
    return (
        len(told) >= _KW_SAMPLES_MIN
        and all(0 < abs(power) < _KW_BELOW_W for power in told)
        and any(power != round(power) for power in told)
    )


def _by_current(facts: CommissioningFacts, measure: str) -> Check | None:
    """Apparent power is voltage times current: a thousandth of it is kW. None where they are not told, or agree."""
    readings = facts.device.readings
    apparent_va = readings.get("ac_voltage_v", 0.0) * abs(readings.get("ac_current_a", 0.0))
    if measure == BATTERY_POWER or apparent_va < 100:
        return None
    share = abs(readings[measure]) / apparent_va * 1000
    if not 0.5 <= share <= 1.2:
        return None
    evidence: Evidence = {"reason": "kilowatts", measure: readings[measure], "apparent_power_va": apparent_va}
    return Check("unit", "failed", evidence, _factor(facts, measure, 1000.0))


def _counted(facts: CommissioningFacts, measure: str, direction: int, register: str) -> Check | None:
    """The counter's growth over the last minutes against the energy of the powers; None where that says nothing."""
    heard = [one for one in facts.device.recent if measure in one.values and register in one.values]
    if len(heard) < 4 or heard[-1].at - heard[0].at < _INTEGRAL_MIN_MS:
        return None
    counted_wh = heard[-1].values[register] - heard[0].values[register]
    flowed_wh = _integral_wh(heard, measure, direction)
    if counted_wh <= 0 or flowed_wh <= 0:
        return None
    ratio = min(_RATIOS, key=lambda known: abs(_decades(counted_wh / flowed_wh, known)))
    evidence: Evidence = {"counted_wh": counted_wh, "flowed_wh": flowed_wh, "register": register}
    told_step_wh = facts.device.profile.counter_step_wh / (1000 if ratio < 1 else 1)
    if counted_wh < _STEPS_MIN * told_step_wh or abs(_decades(counted_wh / flowed_wh, ratio)) > 0.15:
        return None
    if ratio == 1:
        return Check("unit", "ok", evidence)
    if _power(facts, measure).state == "failed" and ratio == 1000:
        return None  # the power alone is wrong, and that is said already
    return Check("unit", "failed", {"reason": "counter", **evidence}, _factor(facts, register, 1 / ratio))


def _integral_wh(heard: Sequence[Recent], measure: str, direction: int) -> float:
    """By the trapezoidal rule, of what flows in this direction."""
    return sum(
        (max(direction * a.values[measure], 0.0) + max(direction * b.values[measure], 0.0)) / 2 * (b.at - a.at) / 3_600_000
        for a, b in pairwise(heard)
    )


def _decades(a: float, b: float) -> float:
    return log10(a / b)


def _voltages(readings: dict[str, float]) -> Evidence:
    """Said, not judged: those that are no 230 V."""
    low_v, high_v = _VOLTS
    return {
        f"unusual_{name}": value
        for name, value in readings.items()
        if name.startswith("ac_voltage_v") and value != 0 and not low_v <= value <= high_v
    }


def _factor(facts: CommissioningFacts, measure: str, value: float) -> Fix:
    return Fix("factor", measure, value, facts.device.since)
