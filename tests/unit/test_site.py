"""A site's flow: what its devices make together, and what nobody knows."""

from fleet.device import DeviceTwin
from tests.factories import NOON, device_twin, site_twin, telemetry


def with_reading(kind: str, at: int = NOON, device: str = "d-1", **values: float) -> DeviceTwin:
    twin = device_twin(device, kind)
    twin.take_samples(telemetry((at, dict(values))), NOON)
    return twin


def test_load_is_production_plus_grid_minus_battery() -> None:
    site = site_twin(
        with_reading("inverter", device="i", pv_power_w=3_000),
        with_reading("meter", device="m", grid_power_w=-500),
        with_reading("battery", device="b", battery_power_w=1_000, battery_soc_pct=40),
    )
    flow = site.flow(NOON)
    assert (flow.pv_power_w, flow.grid_power_w, flow.battery_power_w, flow.load_power_w) == (3_000, -500, 1_000, 1_500)
    assert flow.battery_soc_pct == 40


def test_two_inverters_add_up() -> None:
    site = site_twin(with_reading("inverter", device="a", pv_power_w=1), with_reading("inverter", device="b", pv_power_w=2))
    assert site.flow(NOON).pv_power_w == 3


def test_an_old_power_is_not_now() -> None:
    site = site_twin(with_reading("meter", at=NOON - 3_600_000, grid_power_w=100))
    assert site.flow(NOON).grid_power_w is None
    assert site.flow(NOON).load_power_w is None


def test_without_a_meter_nobody_knows_the_load() -> None:
    assert site_twin(with_reading("inverter", pv_power_w=1_000)).flow(NOON).load_power_w is None


def test_a_new_device_is_adopted_once() -> None:
    site = site_twin(device_twin("a"))
    assert site.adopt([device_twin("a"), device_twin("b", serial="S1")]) == 1
    assert site.by_serial("S1") is site.devices["b"]  # type: ignore[index]
