"""What the variables of a Webdyn logger are, from names that makers and installers chose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.codecs.webdyn_names import DeviceRole, meaning, role_of
from fleet.measures import is_measure

INVERTER = {
    ("Pac", "W"): ("pv_power_w", 1.0),
    ("PAC", "kW"): ("pv_power_w", 1e3),
    ("AC power", "W"): ("pv_power_w", 1.0),
    ("Puissance AC", "kW"): ("pv_power_w", 1e3),
    ("ActivePower", "W"): ("pv_power_w", 1.0),
    ("GridMs.TotW", "W"): ("pv_power_w", 1.0),
    ("Total active power", "MW"): ("pv_power_w", 1e6),
    ("PDC1", "W"): ("dc_power_w_1", 1.0),
    ("MPPT2 power", "W"): ("dc_power_w_2", 1.0),
    ("UAC", "V"): ("ac_voltage_v", 1.0),
    ("Uac1", "V"): ("ac_voltage_v_l1", 1.0),
    ("Tension L2", "V"): ("ac_voltage_v_l2", 1.0),
    ("Phase C voltage", "V"): ("ac_voltage_v_l3", 1.0),
    ("GridMs.PhV.phsA", "V"): ("ac_voltage_v_l1", 1.0),
    ("Upv-Ist", "V"): ("dc_voltage_v_1", 1.0),
    ("Tension DC n°2", "V"): ("dc_voltage_v_2", 1.0),
    ("Courant chaîne 4", "A"): ("dc_current_a_4", 1.0),
    ("Iac-Ist", "mA"): ("ac_current_a", 1e-3),
    ("IL1", "A"): ("ac_current_a_l1", 1.0),
    ("E-Total", "kWh"): ("pv_energy_wh", 1e3),
    ("EnergyTotal", "Wh"): ("pv_energy_wh", 1.0),
    ("Énergie totale", "MWh"): ("pv_energy_wh", 1e6),
    ("Metering.TotWhOut", "Wh"): ("pv_energy_wh", 1.0),
    ("E-Day", "kWh"): ("pv_day_energy_wh", 1e3),
    ("Énergie du jour", "Wh"): ("pv_day_energy_wh", 1.0),
    ("Fac", "Hz"): ("ac_frequency_hz", 1.0),
    ("Fréquence", "Hz"): ("ac_frequency_hz", 1.0),
    ("Température interne", "°C"): ("inverter_temp_c", 1.0),
    ("Facteur de puissance", ""): ("power_factor", 1.0),
    ("Qac", "kvar"): ("reactive_power_var", 1e3),
    ("103_W", "W"): ("pv_power_w", 1.0),
    ("103_WH", ""): ("pv_energy_wh", 1.0),
    ("103_PF", "Pct"): ("power_factor", 0.01),
    ("160_2_DCV", "V"): ("dc_voltage_v_2", 1.0),
}
METER = {
    ("Énergie active soutirée", "kWh"): ("import_energy_wh", 1e3),
    ("Active energy export", "Wh"): ("export_energy_wh", 1.0),
    ("Index injection", "Wh"): ("export_energy_wh", 1.0),
    ("Puissance active totale", "kW"): ("grid_power_w", 1e3),
    ("Puissance apparente", "kVA"): ("apparent_power_va", 1e3),
    ("U1", "V"): ("ac_voltage_v_l1", 1.0),
    ("203_TotWhImp", "Wh"): ("import_energy_wh", 1.0),
}


@pytest.mark.parametrize(("said", "meant"), INVERTER.items())
def test_an_inverters_variables(said: tuple[str, str], meant: tuple[str, float]) -> None:
    assert meaning(*said, role="pv") == meant


@pytest.mark.parametrize(("said", "meant"), METER.items())
def test_a_meters_variables(said: tuple[str, str], meant: tuple[str, float]) -> None:
    assert meaning(*said, role="grid") == meant


@pytest.mark.parametrize(
    ("name", "unit", "role"),
    [
        ("Pac", "VA", "pv"),  # never a W
        ("Pac", "", "pv"),  # of what?
        ("Pac", "%", "pv"),
        ("PacMax", "W", "pv"),
        ("Consigne puissance active", "kW", "pv"),
        ("Puissance L1", "W", "pv"),
        ("DC power", "W", "pv"),
        ("Energie du mois", "kWh", "pv"),
        ("Energy yesterday", "kWh", "pv"),
        ("Upv-Soll", "V", "pv"),
        ("Bus voltage", "V", "pv"),
        ("Uab", "V", "pv"),
        ("L1-L2 voltage", "V", "grid"),
        ("Neutral current", "A", "grid"),
        ("Total active energy", "kWh", "grid"),  # of both directions?
        ("Énergie soutirée HP", "kWh", "grid"),  # a part
        ("Énergie réactive", "kvarh", "grid"),
        ("Battery power", "W", "battery"),  # with which sign?
        ("123_WMaxLimPct", "%", "pv"),
        ("Active power", "W", None),  # of an inverter, or of a meter?
        ("Total energy", "kWh", None),
        ("", "", None),
    ],
)
def test_what_is_not_certain_is_nothing(name: str, unit: str, role: DeviceRole | None) -> None:
    assert meaning(name, unit, role=role) is None


def test_the_tag_helps_out() -> None:
    assert meaning("Variable 17", "W", tag="PAC", role="pv") == ("pv_power_w", 1.0)


@pytest.mark.parametrize(
    ("name", "unit", "measure"),
    [("Pac", "W", "pv_power_w"), ("E-Total", "kWh", "pv_energy_wh"), ("Énergie injectée", "Wh", "export_energy_wh")],
)
def test_names_that_say_all_need_no_role(name: str, unit: str, measure: str) -> None:
    found = meaning(name, unit)
    assert found is not None
    assert found.measure == measure


@pytest.mark.parametrize(
    ("category", "role"),
    [
        ("Inverter", "pv"),
        ("Onduleur", "pv"),
        ("Meter", "grid"),
        ("Compteur d'énergie", "grid"),
        ("Sensor", None),
        ("", None),
    ],
)
def test_categories(category: str, role: DeviceRole | None) -> None:
    assert role_of(category) == role


@given(
    name=st.text(max_size=40),
    unit=st.sampled_from(("W", "kW", "mW", "Wh", "kWh", "V", "A", "Hz", "°C", "%", "", "VA", "var", "W/m²", "?")),
    role=st.sampled_from(("pv", "grid", "battery", "load", None)),
)
def test_whatever_comes_out_is_a_measure(name: str, unit: str, role: DeviceRole | None) -> None:
    found = meaning(name, unit, role=role)
    assert found is None or is_measure(found.measure)
