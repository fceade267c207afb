"""A simulated house is what it is told to be: its export, its battery's reserve and powers."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.agent.inputs import NoLimit, SimulatedSettings
from edge.agent.inputs.simulated import OBEYED, SimulatedInput, told
from edge.agent.inputs.simulated_house import FREE, House, Registers, Told
from fleet.configuration import settings_of
from fleet.device_setting import defaults_of
from fleet.profiles import shipped

NOON = 1_750_000_000_000
HOUR = 3_600_000
SUNNY = House(6_000.0, 450.0, 46.5, 2.5, "noon", battery=False)
STORING = House(6_000.0, 450.0, 46.5, 2.5, "noon", battery=True)
DARK = House(0.001, 2_000.0, 46.5, 2.5, "noon", battery=True)


@given(st.floats(0, 10_000), st.integers(0, 24 * HOUR))
def test_never_more_is_exported_than_allowed(limit_w: float, later: int) -> None:
    powers = SUNNY.powers(NOON + later, 50.0, Told(export_max_w=limit_w))
    assert powers.grid >= -limit_w - 1e-6
    free = SUNNY.powers(NOON + later, 50.0)
    assert powers.pv <= free.pv
    if -free.grid <= limit_w:
        assert powers == free


def test_the_counters_follow(tmp_path: Path) -> None:
    values: dict[str, Any] = {"export_limit_enabled": True, "export_limit_w": 0.0}
    source = SimulatedInput(SimulatedSettings(sun="noon"), "meter", tmp_path, NoLimit(), lambda: values)
    registers = Registers()
    for step in range(3):
        source.samples(registers, NOON + step * HOUR)
    assert registers.export_energy_wh == pytest.approx(Registers().export_energy_wh, abs=1e-6)
    values["export_limit_enabled"] = False
    source.samples(registers, NOON + 3 * HOUR)
    assert registers.export_energy_wh > Registers().export_energy_wh + 3_000


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(50, 100), st.floats(0, 95))
def test_a_battery_keeps_its_reserve_its_fill_and_its_powers(
    soc_pct: float, charge_pct: float, discharge_pct: float, full_pct: float, reserve_pct: float
) -> None:
    wanted = Told(reserve_pct=reserve_pct, full_pct=full_pct, charge_pct=charge_pct, discharge_pct=discharge_pct)
    for house in (STORING, DARK):
        power_w = house.powers(NOON, soc_pct, wanted).battery
        assert -30.0 * discharge_pct - 1e-6 <= power_w <= 30.0 * charge_pct + 1e-6
        assert power_w <= 0 or soc_pct < full_pct
        assert power_w >= 0 or soc_pct > reserve_pct


def test_what_it_obeys_is_what_the_profiles_can_say_and_their_defaults_leave_it_as_it_is() -> None:
    profiles = {profile.id: profile for profile in shipped()}
    said = {setting.key for name in ("inverter", "battery") for setting in profiles[name].settings}
    assert said >= OBEYED
    for name in ("inverter", "battery", "meter"):
        assert told(None, defaults_of(settings_of(profiles[name]))) == FREE
    assert told(40.0, {"export_limit_enabled": True}) == Told(40.0, 0.0)
    assert told(None, {"export_limit_w": 5.0}) == FREE
