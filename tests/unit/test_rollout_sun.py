"""When a rollout may tell a device, as far as the sun is concerned; and what it does to the yield."""

from datetime import UTC, datetime

import pytest

from fleet.rollouts.energy import Slice, energy_finding
from fleet.rollouts.plan import EnergyOutcome, SolarWindow
from fleet.rollouts.window import SiteNow, is_open, share_of_peak_pct

NOON = round(datetime(2026, 6, 21, 12, 0, tzinfo=UTC).timestamp() * 1000)  # 14:00 in Paris
NIGHT = round(datetime(2026, 6, 21, 23, 0, tzinfo=UTC).timestamp() * 1000)  # 01:00
SITE = SiteNow(44.73, 5.02, "Europe/Paris", 6_000.0)


def _producing(power_w: float, at: int) -> SiteNow:
    return SiteNow(44.73, 5.02, "Europe/Paris", 6_000.0, power_w, at)


@pytest.mark.parametrize(
    ("site", "now", "opens"),
    [
        (_producing(299.0, NOON), NOON, True),
        (_producing(300.0, NOON), NOON, False),
        (_producing(0.0, NOON - 1_200_000), NOON, True),
        (_producing(0.0, NOON - 1_200_001), NOON, False),  # too long ago: the sky decides
        (_producing(5_000.0, NIGHT - 9_000_000), NIGHT, True),
        (SITE, NOON, False),
        (SITE, NIGHT, True),
        (SiteNow(44.73, 5.02, "Europe/Paris", 0.0, 10.0, NOON), NOON, False),
    ],
)
def test_only_while_little_is_produced(site: SiteNow, now: int, opens: bool) -> None:
    assert is_open(SolarWindow(max_share_of_peak_pct=5.0), site, now) == opens


def test_local_hours_and_over_midnight() -> None:
    assert is_open(None, SITE, NOON)
    assert is_open(SolarWindow(from_hour=14.0, until_hour=15.0), SITE, NOON)
    assert not is_open(SolarWindow(from_hour=12.0, until_hour=14.0), SITE, NOON), "its end is out of it"
    assert is_open(SolarWindow(from_hour=22.0, until_hour=5.0), SITE, NIGHT)
    assert not is_open(SolarWindow(from_hour=22.0, until_hour=5.0), SITE, NOON)
    reunion = SiteNow(-21.1, 55.5, "Indian/Reunion", 6_000.0)
    assert is_open(SolarWindow(from_hour=16.0, until_hour=17.0), reunion, NOON)
    assert not is_open(SolarWindow(5.0, 0.0, 24.0), SITE, NOON), "both must allow it"


def test_a_clear_summer_noon_is_nearly_peak() -> None:
    assert 80 < share_of_peak_pct(SITE, NOON) < 110
    assert share_of_peak_pct(SITE, NIGHT) == 0.0


def _slices(canary: float, neighbour: float, count: int = 8, canaries: int = 5, neighbours: int = 20) -> list[Slice]:
    return [Slice(number * 900_000, canaries, canary, neighbours, neighbour) for number in range(count)]


@pytest.mark.parametrize(
    ("before", "after", "verdict", "change_pct", "lacks"),
    [
        (_slices(0.5, 0.5), _slices(0.5, 0.5), "fine", 0.0, None),
        (_slices(0.5, 0.5), _slices(0.25, 0.25), "fine", 0.0, None),  # a cloud over all of them
        (_slices(0.8, 0.4), _slices(0.6, 0.3), "fine", 0.0, None),  # better roofs stay better
        (_slices(0.5, 0.5), _slices(0.475, 0.5), "dropped", -5.0, None),
        (_slices(0.5, 0.5), _slices(0.476, 0.5), "fine", -4.8, None),
        (_slices(0.5, 0.5), _slices(0.0, 0.5), "dropped", -100.0, None),
        (_slices(0.5, 0.5), _slices(0.6, 0.5), "fine", 20.0, None),
        (_slices(0.5, 0.5), _slices(0.1, 0.5, count=3), "unknown", None, "sun_since"),  # too little sun since
        (_slices(0.5, 0.05), _slices(0.5, 0.5), "unknown", None, "sun_before"),  # too little before
        (_slices(0.0, 0.5), _slices(0.5, 0.5), "unknown", None, "canaries_before"),  # they stood still before
        (_slices(0.5, 0.5), _slices(0.5, 0.0, neighbours=0), "unknown", None, "neighbours"),
        (_slices(0.5, 0.5), _slices(0.0, 0.5, canaries=0), "unknown", None, "canaries"),
        ([], _slices(0.5, 0.5), "unknown", None, "sun_before"),
        ([], [], "unknown", None, "sun_since"),
    ],
)
def test_the_canaries_are_judged_by_their_neighbours(
    before: list[Slice], after: list[Slice], verdict: str, change_pct: float | None, lacks: str | None
) -> None:
    finding = energy_finding(EnergyOutcome(4.9999, min_wh_per_w=0.5), before, after, NOON)
    assert (finding.verdict, finding.lacks) == (verdict, lacks)
    assert finding.change_pct == (None if change_pct is None else pytest.approx(change_pct))
