"""The simulated world: plausible, and a function of time alone."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.channels import DeviceModel
from edge.history import site_history
from edge.household import load_power_w, wall_clock_s
from edge.plan import DAY_MS, GRID_MS, make_fleet
from edge.site_model import BLOCK_STEPS, SiteModel
from edge.weather import Place, weather
from fleet import profiles
from fleet.fleet_plan import PlannedSite
from fleet.telemetry import UnixMs

PROFILES = {profile.id: profile for profile in profiles.shipped()}
SUMMER = int(datetime(2026, 6, 10, tzinfo=UTC).timestamp() * 1000)
PLAN = make_fleet(20, 7, SUMMER + 30 * DAY_MS, 30)
WITH_BATTERY = next(site for site in PLAN.sites if site.battery_wh)
HOME = next(site for site in PLAN.sites if site.use == "home")
SPAN_MS = 3 * BLOCK_STEPS * GRID_MS


def model(site: PlannedSite = WITH_BATTERY, history_from: UnixMs = PLAN.history_from, **more: object) -> SiteModel:
    return SiteModel(site, seed=PLAN.seed, history_from=history_from, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def month() -> SiteModel:
    return model()


def test_nothing_is_produced_at_night_and_much_in_the_day(month: SiteModel) -> None:
    start = PLAN.history_from // DAY_MS * DAY_MS + DAY_MS
    nights = month.read([start + day * DAY_MS for day in range(20)])  # midnight UTC
    noons = month.read([start + day * DAY_MS + DAY_MS // 2 for day in range(20)])
    assert nights.pv_power_w.max() == 0.0
    assert noons.pv_power_w.min() > 0.0
    assert noons.pv_power_w.max() > 0.5 * WITH_BATTERY.peak_power_w


def test_a_june_noon_gives_more_than_a_december_noon() -> None:
    def noons(year: int, month: int) -> list[UnixMs]:
        first = datetime(year, month, 1, 12, tzinfo=UTC)
        return [int((first + timedelta(days=day)).timestamp() * 1000) for day in range(28)]

    for site in PLAN.sites[:5]:
        since = noons(2026, 6)[0] - DAY_MS
        mean = [float(model(site, since).read(noons(2026, month)).pv_power_w.mean()) for month in (6, 12)]
        assert mean[0] > 1.3 * mean[1]


def test_a_year_yields_what_france_yields() -> None:
    at_s = np.arange(0, 365 * 86_400, 900.0) + 1_767_225_600.0
    lille = weather(1, Place(50.6, 3.1, 30, 180), at_s).irradiance_w_m2.sum() / 4000
    toulon = weather(1, Place(43.1, 5.9, 30, 180), at_s).irradiance_w_m2.sum() / 4000
    assert 950 < lille < 1450  # kWh/m² on the plane of the panels
    assert 1600 < toulon < 2200
    assert lille < toulon


def test_neighbours_see_the_same_clouds_and_strangers_do_not() -> None:
    at_s = np.arange(0, 60 * 86_400, 900.0) + SUMMER / 1000

    def light(latitude: float, longitude: float) -> np.ndarray:
        return weather(3, Place(latitude, longitude, 0, 180), at_s).irradiance_w_m2

    here, near, far = light(47.0, 2.0), light(47.03, 2.03), light(43.5, 6.5)
    day = here > 50
    assert np.corrcoef(here[day], near[day])[0, 1] > 0.9
    assert np.corrcoef(here[day] - near[day], here[day])[0, 1] < np.corrcoef(here[day] - far[day], here[day])[0, 1]


def test_a_year_of_load_is_about_the_planned_energy() -> None:
    at_s = np.arange(0, 365 * 86_400, 300.0) + 1_767_225_600.0
    for site in PLAN.sites[:6]:
        year_kwh = load_power_w(PLAN.seed, site, at_s).sum() / 12 / 1000
        assert year_kwh == pytest.approx(site.annual_load_kwh, rel=0.1)


def test_people_live_by_their_clocks_through_both_changes_of_time() -> None:
    spring = datetime(2026, 3, 29, 0, tzinfo=UTC).timestamp()  # 01:00 in Paris; at 02:00 it becomes 03:00
    autumn = datetime(2026, 10, 25, 0, tzinfo=UTC).timestamp()  # 02:00 in Paris; at 03:00 it becomes 02:00
    assert wall_clock_s(np.array([spring, spring + 3600]), "Europe/Paris").tolist() == [spring + 3600, spring + 3 * 3600]
    assert wall_clock_s(np.array([autumn, autumn + 3600]), "Europe/Paris").tolist() == [autumn + 7200, autumn + 7200]


def test_powers_balance_exactly(month: SiteModel) -> None:
    r = month.read(range(PLAN.history_from, PLAN.history_from + SPAN_MS, 77_777))
    assert (
        np.abs(r.pv_power_w + r.grid_power_w - r.battery_power_w - r.load_power_w).max() < 1e-9 * WITH_BATTERY.peak_power_w
    )
    assert r.load_power_w.min() > 0


def test_energies_balance_as_well(month: SiteModel) -> None:
    r = month.read(range(PLAN.history_from, PLAN.history_from + SPAN_MS, GRID_MS))
    load_wh = (r.load_power_w[1:] + r.load_power_w[:-1]).sum() / 2 / 12
    flows_mwh = r.pv_mwh + r.import_mwh - r.export_mwh - r.charge_mwh + r.discharge_mwh
    assert flows_mwh[-1] / 1000 == pytest.approx(load_wh, rel=1e-6)


def test_counters_only_grow_and_are_the_integral_of_the_power(month: SiteModel) -> None:
    times = range(PLAN.history_from, PLAN.history_from + 2 * DAY_MS, 10_000)
    r = month.read(times)
    for counter in r[4:9]:
        assert (np.diff(counter) >= 0).all()
    positive = np.maximum(r.grid_power_w, 0)
    integral_mwh = np.cumsum((positive[1:] + positive[:-1]) / 2) * 10 / 3.6
    assert np.abs(r.import_mwh[1:] - integral_mwh).max() < 1e-3 * integral_mwh[-1] + 1000


def test_the_battery_keeps_within_its_limits_and_is_used(month: SiteModel) -> None:
    r = month.read(range(PLAN.history_from, PLAN.history_from + 20 * DAY_MS, 60_000))
    soc = month.soc_pct(r)
    assert soc.min() >= 5.0 - 1e-6
    assert soc.max() <= 100.0
    assert soc.max() - soc.min() > 50
    assert r.discharge_mwh[-1] > 0
    assert not (
        (r.battery_power_w > 1) & (r.grid_power_w > 1) & (r.pv_power_w == 0)
    ).any()  # never charged from the grid at night


@settings(max_examples=25, deadline=None)
@given(times=st.lists(st.integers(0, SPAN_MS), min_size=1, max_size=4))
def test_the_value_at_a_time_does_not_depend_on_what_was_asked_before(month: SiteModel, times: list[int]) -> None:
    asked = [PLAN.history_from + time for time in times]
    fresh = model()
    for at in asked:
        old, new = month.read([at]), fresh.read([at])
        assert all(np.array_equal(one, other) for one, other in zip(old, new, strict=True))


def test_history_and_live_values_are_the_same() -> None:
    until = PLAN.history_from + 5 * DAY_MS
    blocks = site_history(PLAN, WITH_BATTERY, from_at=PLAN.history_from, until=until, step_s=900)
    shows = {
        device.id: DeviceModel(model(), device, PROFILES[device.profile_id], seed=PLAN.seed)
        for device in WITH_BATTERY.devices
    }
    for block in blocks:
        assert len(block.samples) == 5 * 96 + (PLAN.history_from % 900_000 == 0)
        for sample in block.samples[::97]:
            assert shows[block.device].sample(sample.t) == sample


def test_every_channel_of_every_profile_is_filled_plausibly() -> None:
    noon = PLAN.history_from // DAY_MS * DAY_MS + 3 * DAY_MS + DAY_MS // 2
    for site in PLAN.sites[:6]:
        site_model = model(site)
        for device in site.devices:
            profile = PROFILES[device.profile_id]
            values = DeviceModel(site_model, device, profile, seed=PLAN.seed).sample(noon).v
            assert tuple(values) == profile.channels
            assert 205 < values.get("ac_voltage_v", 230) < 255  # type: ignore[operator]
            assert 0 <= values.get("battery_soc_pct", 50) <= 100  # type: ignore[operator]
            assert 0 <= values.get("dc_voltage_v_1", 380) < 1000  # type: ignore[operator]


def test_the_inverters_of_a_large_roof_share_its_production() -> None:
    site = next(site for site in PLAN.sites if sum(device.profile_id == "inverter" for device in site.devices) > 1)
    noon = PLAN.history_from // DAY_MS * DAY_MS + 2 * DAY_MS + DAY_MS // 2
    site_model = model(site)
    inverters = [device for device in site.devices if device.profile_id == "inverter"]
    shown = [DeviceModel(site_model, device, PROFILES["inverter"], seed=PLAN.seed).sample(noon).v for device in inverters]
    truth = site_model.read([noon])
    assert sum(values["pv_power_w"] or 0 for values in shown) == pytest.approx(truth.pv_power_w[0], abs=1)
    assert sum(values["pv_energy_wh"] or 0 for values in shown) == pytest.approx(truth.pv_mwh[0] / 1000, abs=len(inverters))


def test_an_outage_stops_production_and_the_meter_sees_it() -> None:
    begin, end = PLAN.history_from + 2 * DAY_MS, PLAN.history_from + 3 * DAY_MS
    broken, well = model(HOME, outages=[(begin, end)]), model(HOME)
    during = range(begin, end, GRID_MS)
    assert broken.read(during).pv_power_w.max() == 0
    assert broken.read([end]).pv_mwh[0] == broken.read([begin]).pv_mwh[0]
    assert broken.read([end]).import_mwh[0] > well.read([end]).import_mwh[0]
    assert broken.read([begin - DAY_MS]).pv_mwh[0] == well.read([begin - DAY_MS]).pv_mwh[0]


def test_before_its_first_day_a_site_says_nothing() -> None:
    with pytest.raises(ValueError, match="not in service"):
        model().read([PLAN.history_from - 1])
