"""What free names come to, and above all which of them stay nobody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.codecs.naming import Meaning, meaning, name_words
from fleet.codecs.units import unit_of
from fleet.measures import is_measure


@pytest.mark.parametrize(
    ("name", "unit", "measure", "factor"),
    [
        ("Solar/Power", "W", "pv_power_w", 1.0),
        ("PV power", "kW", "pv_power_w", 1e3),
        ("Puissance de production", "W", "pv_power_w", 1.0),
        ("Onduleur/ActivePower", "W", "pv_power_w", 1.0),
        ("Grid/Power", None, "grid_power_w", 1.0),
        ("meter_power_kW", "", "grid_power_w", 1e3),
        ("Current house load power", "", "load_power_w", 1.0),
        ("MPPT1/Power", "W", "dc_power_w_1", 1.0),
        ("pv2_power", "W", "dc_power_w_2", 1.0),
        ("Production/Energy", "MWh", "pv_energy_wh", 1e6),
        ("Solar energy today", "kWh", "pv_day_energy_wh", 1e3),
        ("Énergie injectée", "kWh", "export_energy_wh", 1e3),
        ("Énergie soutirée (kWh)", None, "import_energy_wh", 1e3),
        ("Grid consumption", "kWh", "import_energy_wh", 1e3),
        ("Énergie injectée aujourd'hui", "Wh", "export_day_energy_wh", 1.0),
        ("Battery charge energy", "kWh", "charge_energy_wh", 1e3),
        ("Énergie de décharge batterie", "Wh", "discharge_energy_wh", 1.0),
        ("Voltage", "V", "ac_voltage_v", 1.0),
        ("VoltageL2", "V", "ac_voltage_v_l2", 1.0),
        ("Phase C/Current", "A", "ac_current_a_l3", 1.0),
        ("a_current", "mA", "ac_current_a_l1", 1e-3),
        ("String 3 voltage", "V", "dc_voltage_v_3", 1.0),
        ("DC/Current", "A", "dc_current_a_1", 1.0),
        ("Frequency", "Hz", "ac_frequency_hz", 1.0),
        ("Inverter temperature", "°C", "inverter_temp_c", 1.0),
        ("Température module", "Cel", "module_temp_c", 1.0),
        ("Battery SoC", "%", "battery_soc_pct", 1.0),
        ("soc", "/", "battery_soc_pct", 100.0),
        ("Power factor", "", "power_factor", 1.0),
        ("Linky apparent power", "VA", "apparent_power_va", 1.0),
        ("Irradiance", "W/m2", "irradiance_w_m2", 1.0),
        ("Grid energy in", "kWh", "import_energy_wh", 1e3),
        ("Grid energy out", "kWh", "export_energy_wh", 1e3),
        ("Battery energy in", "kWh", "charge_energy_wh", 1e3),
        ("Battery energy out", "kWh", "discharge_energy_wh", 1e3),
        ("Grid energy exported in kWh", None, "export_energy_wh", 1e3),
        ("EAIT", "Wh", "export_energy_wh", 1.0),
        ("PV output (actual)", "W", "pv_power_w", 1.0),
        ("site/battery_power_w", "kW", "battery_power_w", 1e3),  # a name of ours
        ("battery_soc_pct", None, "battery_soc_pct", 1.0),
    ],
)
def test_names_that_say_what_they_are(name: str, unit: str | None, measure: str, factor: float) -> None:
    found = meaning(name, unit)
    assert found is not None, name
    assert found.measure == measure
    assert found.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Power", "W"),  # of whom?
        ("Kitchen power", "W"),
        ("Total", "kWh"),
        ("Grid energy", "kWh"),  # which way?
        ("Import power", "W"),  # 0 while it exports
        ("Grid export power", "W"),
        ("Battery power", "W"),  # which sign?
        ("Battery discharge power", "W"),
        ("Solar apparent power", "VA"),
        ("Grid power", "VA_"),
        ("Grid apparent power", "W"),
        ("Solar export energy", "kWh"),  # made, or given away?
        ("Charge energy", "kWh"),  # of a car, most likely
        ("EV charge energy", "kWh"),
        ("Solar boiler power", "W"),
        ("Solar power forecast", "W"),
        ("Solar power max", "W"),
        ("Production this month", "kWh"),
        ("Solar energy yesterday", "kWh"),
        ("Grid L1 power", "W"),
        ("Grid power in", "W"),
        ("Grid energy in kWh", ""),
        ("Energy produced a", "kWh"),  # of one clamp
        ("SolarEdge power", "W"),  # of their inverter, or their meter?
        ("Solar and grid power", "W"),
        ("Voltage L1-L2", "V"),
        ("U12", "V"),
        ("Solar voltage", "V"),
        ("Battery voltage", "V"),
        ("Battery", "%"),  # of a door sensor
        ("CH1 YieldTotal", "kWh"),  # of one input
        ("Solar power", "mw"),  # milli or mega?
        ("Solar temperature", "°F"),
        ("pv_power_w", "V"),  # a name of ours, with a unit that contradicts it
        ("", "W"),
        ("Solar", None),
    ],
)
def test_names_that_stay_nobodys(name: str, unit: str | None) -> None:
    assert meaning(name, unit) is None


def test_a_devices_name_decides_where_the_value_says_nothing_of_its_own() -> None:
    assert meaning("Power", "W", "inv-1 roof") == Meaning("pv_power_w", 1.0)
    assert meaning("ActivePower", "W", "meter_main") == Meaning("grid_power_w", 1.0)
    assert meaning("Energy", "kWh", "inverter") == Meaning("pv_energy_wh", 1e3)
    assert meaning("Kitchen power", "W", "inverter") is None
    assert meaning("Power consumption", "W", "house") == Meaning("load_power_w", 1.0)
    assert meaning("Power consumption", "W", "electricity meter") is None  # shows 0 while it exports
    assert meaning("Power", "W", "solar grid") is None
    assert meaning("Power", "W", "solar boiler") is None
    assert meaning("Grid power", "W", "inverter") == Meaning("grid_power_w", 1.0)
    assert meaning("Power", "W", "", role="grid") == Meaning("grid_power_w", 1.0)
    assert meaning("AC/Power", "W") is None
    assert meaning("AC/Power", "W", ac_is_pv=True) == Meaning("pv_power_w", 1.0)
    assert meaning("AC/Power", "W", "meter", ac_is_pv=True) == Meaning("grid_power_w", 1.0)


def test_what_a_device_calls_itself_says_nothing_in_the_names_of_its_values() -> None:
    """Whoever announces them puts it before each of them, or not."""
    assert meaning("SMA AC Power", "W", "SMA Inverter 2100000001", device="SMA Inverter 2100000001") == Meaning(
        "pv_power_w", 1.0
    )
    assert meaning("SMA AC Power", "W", "SMA Inverter 2100000001") is None
    assert meaning("Solar roof grid power", "W", device="Solar roof") == Meaning("grid_power_w", 1.0)
    assert meaning("SDM230 Power", "W", "SDM230", device="SDM230") is None
    assert meaning("Kitchen power", "W", "Kitchen", device="Kitchen") is None
    assert meaning("AC Power actual", "W", "meter0 SolarEdge") == Meaning("grid_power_w", 1.0)


def test_what_a_meter_calls_produced_went_out() -> None:
    meter = "Bidirectional energy meter"
    assert meaning("Produced energy", "kWh", meter, device=meter) == Meaning("export_energy_wh", 1e3)
    assert meaning("Production", "W", meter, device=meter) is None
    assert meaning("Production", "kWh", "Solar meter", device="Solar meter") == Meaning("pv_energy_wh", 1e3)


def test_units_are_told_apart_by_their_case_where_it_matters() -> None:
    assert unit_of("MW") == ("power", 1e6)
    assert unit_of("mW") == ("power", 1e-3)
    assert unit_of("mw") is None
    assert unit_of("KWH") == ("energy", 1e3)
    assert unit_of("J") == ("energy", 1 / 3_600)
    assert unit_of("furlong") is None


def test_words_are_split_where_people_see_them() -> None:
    assert name_words("ActivePowerL1") == ("active", "power", "l", "1")
    assert name_words("Énergie injectée (kWh)") == ("energie", "injectee", "kwh")
    assert name_words("BatterySoC") == ("battery", "soc")


@given(st.text(max_size=60), st.none() | st.text(max_size=6) | st.sampled_from(["W", "kWh", "V", "%"]), st.text(max_size=30))
def test_whatever_a_name_is_it_means_a_measure_of_ours_or_nothing(name: str, unit: str | None, about: str) -> None:
    found = meaning(name, unit, about)
    assert found is None or (is_measure(found.measure) and found.factor > 0)


@given(
    st.lists(
        st.sampled_from([*"abcl123/ ", "ab", "bc", "power", "phase", "voltage", "total", "pv", "mppt", "ph"]), max_size=6
    )
)
def test_letters_that_are_no_phase_are_no_end(words: list[str]) -> None:
    for name in ("AB/Power", "bc voltage", "/".join(words), "".join(words), " ".join(words)):
        for unit in ("W", "V", "Wh", "kVA", None):
            found = meaning(name, unit)
            assert found is None or is_measure(found.measure)
