"""What the people under the roof use: BDEW standard load profiles in local time, made individual by noise."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from demandlib.bdew import G25, H25, L25

from edge.noise import Floats, bell, field_seed
from fleet.fleet_plan import PlannedSite

QUARTER_S: Final = 900
SLOW_S, MIDDLE_S, FAST_S = 8 * 3600.0, 2700.0, 600.0  # a mood of the day, a wash, a kettle


class Habit(NamedTuple):
    """profile: of demandlib. spread: how far it strays, as the sigma of log-normal factors (slow, middle, fast)."""

    profile: Callable[..., Sequence[float]]
    spread: tuple[float, float, float]


HABITS: Final = {
    "home": Habit(H25, (0.25, 0.40, 0.40)),
    "farm": Habit(L25, (0.15, 0.15, 0.12)),
    "school": Habit(G25, (0.10, 0.12, 0.10)),
    "public": Habit(G25, (0.12, 0.12, 0.10)),
}


def load_power_w(seed: int, site: PlannedSite, at_s: Floats) -> Floats:
    """at_s: Unix seconds, ascending. Over a year it adds up to about site.annual_load_kwh."""
    habit = HABITS[site.use]
    wall_s = wall_clock_s(at_s, site.timezone)
    first, last = int(np.min(wall_s) // QUARTER_S) - 1, int(np.max(wall_s) // QUARTER_S) + 1
    centres_s, kw_per_gwh = _profile(site.use, first, last)
    mean_w = np.interp(wall_s, centres_s, kw_per_gwh) * site.annual_load_kwh / 1e6 * 1000
    factor = np.ones_like(at_s)
    for name, sigma, period_s in zip(("slow", "middle", "fast"), habit.spread, (SLOW_S, MIDDLE_S, FAST_S), strict=True):
        factor *= np.exp(sigma * bell(field_seed(seed, f"{site.id}:{name}"), at_s / period_s) - sigma**2 / 2)
    return np.asarray(mean_w * factor)


def wall_clock_s(at_s: Floats, timezone: str) -> Floats:
    """What the site's clocks show, as seconds since 1970 without a zone: jumps and repeats with summer time."""
    local = pd.DatetimeIndex(at_s.astype("datetime64[s]"), tz="UTC").tz_convert(ZoneInfo(timezone)).tz_localize(None)
    return local.to_numpy().astype("datetime64[s]").astype(np.float64)


@lru_cache(maxsize=16)
def _profile(use: str, first: int, last: int) -> tuple[Floats, Floats]:
    """Centres of the local quarter-hours numbered first..last, and the power there in kW for 1 GWh a year."""
    starts_s = np.arange(first, last + 1, dtype=np.float64) * QUARTER_S
    index = pd.date_range(pd.Timestamp(starts_s[0], unit="s"), periods=len(starts_s), freq="15min")
    return starts_s + QUARTER_S / 2, np.asarray(HABITS[use].profile(timeindex=index), dtype=np.float64)
