"""A home battery that stores the surplus and gives it back: self-consumption, nothing else.

Its power runs linearly between the model's grid points. What it may take or give shrinks towards the end of its range so
that the state of charge approaches its limits and never crosses them, as the constant-voltage phase of a real one does.
"""

from typing import Final

from edge.plan import GRID_MS

STEP_H: Final = GRID_MS / 3_600_000
TAPER_H: Final = 0.25  # time constant near a limit
CHARGE_EFFICIENCY: Final = 0.95
DISCHARGE_EFFICIENCY: Final = 0.95
RATE_PER_H: Final = 0.5  # greatest power as a share of the capacity
RESERVE_SHARE: Final = 0.05  # never discharged below
START_SHARE: Final = 0.30


def stored_wh(capacity_wh: float, charged_mwh: int, discharged_mwh: int) -> float:
    """What is in the cells after these totals since the beginning."""
    moved_mwh = CHARGE_EFFICIENCY * charged_mwh - discharged_mwh / DISCHARGE_EFFICIENCY
    return START_SHARE * capacity_wh + moved_mwh / 1000


def run(capacity_wh: float, surplus_w: list[float], power_w: float, charged_mwh: int, discharged_mwh: int) -> list[float]:
    """Its power at every grid point (+ charge, − discharge), the given `power_w` at the first.

    surplus_w: pv − load at every point. The totals are those at the first point.
    """
    powers_w = [power_w]
    power_max_w = RATE_PER_H * capacity_wh
    held_wh = stored_wh(capacity_wh, charged_mwh, discharged_mwh)
    for surplus in surplus_w[1:]:
        room_wh = (capacity_wh - held_wh) / CHARGE_EFFICIENCY - max(power_w, 0.0) * STEP_H / 2
        left_wh = (held_wh - RESERVE_SHARE * capacity_wh) * DISCHARGE_EFFICIENCY + min(power_w, 0.0) * STEP_H / 2
        highest_w = min(power_max_w, max(room_wh, 0.0) / (TAPER_H + STEP_H / 2))
        lowest_w = -min(power_max_w, max(left_wh, 0.0) / (TAPER_H + STEP_H / 2))
        next_w = min(max(surplus, lowest_w), highest_w)
        charge = round(positive_wh(power_w, next_w) * 1000)
        discharge = round(positive_wh(-power_w, -next_w) * 1000)
        held_wh += (CHARGE_EFFICIENCY * charge - discharge / DISCHARGE_EFFICIENCY) / 1000
        powers_w.append(next_w)
        power_w = next_w
    return powers_w


def positive_wh(from_w: float, to_w: float) -> float:
    """Energy above zero of one grid step in which the power runs straight from one value to the other."""
    high, low = max(from_w, to_w), min(from_w, to_w)
    if low >= 0:
        return (high + low) / 2 * STEP_H
    return high * high / (2 * (high - low)) * STEP_H if high > 0 else 0.0
