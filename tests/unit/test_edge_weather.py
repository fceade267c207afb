"""The simulated light and what panels make of it: what anyone knows of French roofs."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from edge.plan import DAY_MS, GRID_MS, make_fleet
from edge.site_model import SiteModel
from edge.weather import Place, sun
from fleet.fleet_plan import PlannedSite
from fleet.sun import elevation_deg

PARIS = ZoneInfo("Europe/Paris")
PEAK_W = 6000.0
SKIES = range(16)  # seeds: among so many, one is clear at any hour
CITIES = {"Lille": (50.63, 3.06), "Strasbourg": (48.58, 7.75), "Nantes": (47.22, -1.55), "Toulon": (43.12, 5.93)}
VALENCE = (44.93, 4.89)


def south_roof(latitude: float, longitude: float) -> PlannedSite:
    site = make_fleet(1, 1, 0, 1).sites[0]
    return msgspec.structs.replace(
        site,
        latitude=latitude,
        longitude=longitude,
        tilt_deg=30.0,
        azimuth_deg=180.0,
        peak_power_w=PEAK_W,
        battery_wh=None,
    )


def day_shares(month: int, day: int, place: tuple[float, float] = VALENCE) -> npt.NDArray[np.float64]:
    """Power as a share of the peak, every five minutes of a local day, one row per sky."""
    midnight = round(datetime(2026, month, day, tzinfo=PARIS).timestamp() * 1000)
    times = range(midnight, midnight + DAY_MS, GRID_MS)
    models = (SiteModel(south_roof(*place), seed=seed, history_from=midnight) for seed in SKIES)
    return np.array([model.read(times).pv_power_w / PEAK_W for model in models])


def at(hour: int, minute: int = 0) -> int:
    return hour * 12 + minute // 5


@pytest.mark.parametrize("place", [*CITIES.values(), VALENCE])
def test_the_sun_stands_where_the_platform_sees_it(place: tuple[float, float]) -> None:
    """Two libraries, two formulas: the devices' sky and the platform's idea of day must agree at the horizon too."""
    at_s = datetime(2026, 11, 18, tzinfo=UTC).timestamp() + np.arange(0, 365 * 86_400, 5_417.0)
    simulated = 90 - sun(Place(*place, 30, 180), at_s).zenith_deg
    expected = np.array([elevation_deg(*place, round(t * 1000)) for t in at_s])
    high = expected > -1
    assert np.abs(simulated - expected)[high].max() < 0.7  # degrees: bent light lifts a sun at the horizon by half of one


def test_a_november_morning_begins_slowly() -> None:
    shares = day_shares(11, 18)  # the sun rises at 07:42
    assert shares[:, : at(7, 40)].max() == 0.0
    assert shares[:, at(8)].max() < 0.04
    assert shares[:, at(8, 30)].max() < 0.25
    assert shares[:, at(9)].max() > 0.1


@pytest.mark.parametrize(("month", "day"), [(11, 18), (12, 21), (3, 20), (6, 21)])
@pytest.mark.parametrize("city", CITIES)
def test_no_edge_at_sunrise_and_sunset(month: int, day: int, city: str) -> None:
    shares = day_shares(month, day, CITIES[city])
    lit = np.flatnonzero(shares.max(axis=0))
    first, last = lit[0], lit[-1]
    for minutes, share in ((0, 0.01), (5, 0.03), (10, 0.05), (15, 0.07), (30, 0.15)):
        assert shares[:, first + minutes // 5].max() < share
        assert shares[:, last - minutes // 5].max() < share


def test_noons_are_the_seasons() -> None:
    """The brightest of many skies is a clear one, perhaps with a cloud's edge beside the sun: up to 5 % more."""
    november, june = day_shares(11, 18), day_shares(6, 21)
    assert 0.55 < november[:, at(12, 30)].max() < 0.68
    assert 0.78 < june[:, at(13, 45)].max() < 0.90
    assert june[:, at(8)].max() < 0.2  # the sun stands in the north-east, beside the panels' plane


@pytest.mark.parametrize("city", CITIES)
def test_a_year_yields_what_a_french_roof_yields(city: str) -> None:
    start = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    readings = SiteModel(south_roof(*CITIES[city]), seed=7, history_from=start).read([start, start + 365 * DAY_MS])
    kwh_per_kwp = (readings.pv_mwh[1] - readings.pv_mwh[0]) / 1000 / PEAK_W
    assert 950 < kwh_per_kwp < 1450
