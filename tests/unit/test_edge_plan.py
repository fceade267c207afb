"""The made-up fleet."""

import pytest

from edge.plan import GRID_MS, make_fleet
from fleet import profiles
from fleet.ids import device_id, site_id

NOW = 1_790_000_123_456


def test_the_same_seed_gives_the_same_fleet_and_another_seed_another() -> None:
    assert make_fleet(30, 5, NOW, 30) == make_fleet(30, 5, NOW, 30)
    assert make_fleet(30, 5, NOW, 30) != make_fleet(30, 6, NOW, 30)


def test_a_larger_fleet_begins_with_the_smaller_one() -> None:
    assert make_fleet(100, 5, NOW, 30).sites[:30] == make_fleet(30, 5, NOW, 30).sites


def test_ids_are_legal_and_unique_in_a_large_fleet() -> None:
    sites = make_fleet(12_000, 1, NOW, 1).sites
    devices = [device.id for site in sites for device in site.devices]
    serials = {device.serial for site in sites for device in site.devices}
    assert len({site.id for site in sites}) == 12_000
    assert len(set(devices)) == len(devices) == len(serials)
    assert [site_id(site.id) for site in sites] == [site.id for site in sites]
    assert [device_id(device) for device in devices] == devices


def test_sites_look_like_france() -> None:
    sites = make_fleet(200, 3, NOW, 30).sites
    known = {profile.id for profile in profiles.shipped()}
    for site in sites:
        assert 41 < site.latitude < 51.5
        assert -5.2 < site.longitude < 9.7
        low, high = (3_000, 9_000) if site.use == "home" else (36_000, 250_000)
        assert low <= site.peak_power_w <= high
        assert {device.profile_id for device in site.devices} <= known
        assert (site.battery_wh is not None) == any(device.profile_id == "battery" for device in site.devices)
        assert sum(device.profile_id == "meter" for device in site.devices) == 1
    assert 0.2 < sum(site.battery_wh is not None for site in sites) / len(sites) < 0.5
    assert {site.use for site in sites[:10]} == {"home", "farm", "school", "public"}


@pytest.mark.parametrize("days", [1, 30, 400])
def test_the_past_begins_on_the_models_grid(days: int) -> None:
    plan = make_fleet(1, 1, NOW, days)
    assert plan.history_from % GRID_MS == 0
    assert 0 <= NOW - days * 86_400_000 - plan.history_from < GRID_MS
