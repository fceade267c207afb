"""Inverters on a house's broker: grott, SBFspot, WebdynSunPM. Values are made up."""

from typing import Any

import msgspec
import pytest

from fleet.codecs.registry import decode_raw
from fleet.errors import BadInput
from fleet.telemetry import RawMessage, Sample
from tests.samples.mqtt_samples import GROTT, SBFSPOT, WEBDYN

T = 1_782_036_007_123
ON_THE_GRID = 1_782_036_000_000


def samples(codec: str, told: Any, topic: str = "a/b") -> list[tuple[str | None, Sample]]:
    message = RawMessage(T, topic, msgspec.json.encode(told))
    return [(serial, sample) for serial, sample, _ in decode_raw(codec, message)]


# grott -------------------------------------------------------------------------------------------------------------


def growatt(**values: Any) -> dict[str, float | None]:
    ((_, sample),) = samples("grott", {**GROTT, "values": values})
    return sample.v


def test_grotts_integers_are_divided() -> None:
    assert samples("grott", GROTT) == [
        (
            "NLDDB2A0XY",
            Sample(
                ON_THE_GRID,
                {
                    "pv_power_w": 1749.0, "pv_energy_wh": 1_601_000.0, "ac_frequency_hz": 50.01, "inverter_temp_c": 41.2,
                    "ac_voltage_v": 236.1, "dc_voltage_v_1": 410.2, "dc_current_a_1": 4.4, "dc_power_w_1": 1803.0,
                    "dc_power_w_2": 0.0,
                },
            ),
        )
    ]  # fmt: skip


def test_what_grott_buffered_has_no_time_that_anybody_knows() -> None:
    with pytest.raises(BadInput) as refused:
        samples("grott", {**GROTT, "buffered": "yes"})
    assert refused.value.code == "unknown_time"
    ((_, sample),) = samples("grott", {**GROTT, "buffered": "yes", "time": "2024-07-01T12:05:00+02:00"})
    assert sample.t == 1_719_828_300_000


def test_a_hybrids_production_is_that_of_its_panels() -> None:
    found = growatt(
        pvpowerin=18_030, pvpowerout=25_000, epvtotal=16_010, eactotal=19_000, pdischarge1=7_500, p1charge1=0, SOC=64,
        pactousertot=0, pactogridtot=4_000, etouser_tot=110, etogrid_tot=220, edischarge1_tot=330, eharge1_tot=440,
    )  # fmt: skip
    assert found == {
        "pv_power_w": 1803.0, "pv_energy_wh": 1_601_000.0, "battery_power_w": -750.0, "battery_soc_pct": 64.0,
        "grid_power_w": -400.0, "import_energy_wh": 11_000.0, "export_energy_wh": 22_000.0, "charge_energy_wh": 44_000.0,
        "discharge_energy_wh": 33_000.0,
    }  # fmt: skip
    assert growatt(p1charge1=7_500, SOC=6_400) == {"battery_power_w": 750.0, "battery_soc_pct": 64.0}


def test_an_off_grid_inverters_output_is_its_load() -> None:
    found = growatt(ppv1=5_000, ppv2=2_500, op_watt=3_000, pvpowerout=3_000, BatWatt=-4_200, batterySoc=81, epvTotal=910)
    assert found == {
        "pv_power_w": 750.0, "pv_energy_wh": 91_000.0, "battery_power_w": 420.0, "battery_soc_pct": 81.0,
        "dc_power_w_1": 500.0, "dc_power_w_2": 250.0,
    }  # fmt: skip


def test_growatts_meter_and_its_three_phases() -> None:
    found = growatt(
        voltage_l1=2311, voltage_l2=2322, voltage_l3=2333, Current_l1=11, pos_rev_act_power=-8_124, pos_act_energy=15_203,
        rev_act_energy=8_801, frequency=500, powerfactor=980,
    )  # fmt: skip
    assert found == {
        "grid_power_w": -812.4, "import_energy_wh": 1_520_300.0, "export_energy_wh": 880_100.0, "ac_frequency_hz": 50.0,
        "ac_voltage_v_l1": 231.1, "ac_voltage_v_l2": 232.2, "ac_voltage_v_l3": 233.3, "ac_current_a": 1.1,
    }  # fmt: skip


def test_a_growatt_counter_at_zero_was_not_read() -> None:
    assert "pv_energy_wh" not in growatt(pvpowerout=10, pvenergytotal=0)


# SBFspot -----------------------------------------------------------------------------------------------------------


def test_sbfspots_timestamp_is_that_of_its_pc() -> None:
    expected: dict[str, float | None] = {
        "pv_power_w": 3144.0, "pv_energy_wh": 12_345_940.0, "ac_frequency_hz": 50.01, "inverter_temp_c": 41.2,
        "dc_voltage_v_1": 410.2, "dc_current_a_1": 4.1, "dc_power_w_1": 1682.0, "ac_voltage_v": 235.1,
    }  # fmt: skip
    assert samples("sbfspot", SBFSPOT, "sbfspot_2100000001") == [("2100000001", Sample(ON_THE_GRID, expected))]
    assert samples("sbfspot", {name.lower(): value for name, value in SBFSPOT.items()}) == [
        ("2100000001", Sample(ON_THE_GRID, expected))
    ]


def test_sbfspot_without_a_serial_has_it_in_its_topic() -> None:
    told = {"PACTot": "312.5", "ETotal": 0, "EToday": 0, "UAC1": 231, "UAC2": 232, "UAC3": 233}
    assert samples("sbfspot", told, "home/sbfspot_2100000001") == [
        (
            "2100000001",
            Sample(
                ON_THE_GRID,
                {"pv_power_w": 312.5, "ac_voltage_v_l1": 231.0, "ac_voltage_v_l2": 232.0, "ac_voltage_v_l3": 233.0},
            ),
        )
    ]
    assert samples("sbfspot", told, "home/pv") == []


# WebdynSunPM -------------------------------------------------------------------------------------------------------

AT = 1_719_828_600_000  # 2024-07-01 10:10 UTC
RECORD: dict[str, Any] = {"date": "24/07/01-12:10:00", "timestamp": AT}


def test_a_webdyn_record_has_the_time_of_its_timestamp_to_the_second() -> None:
    expected = [("SN-00123", Sample(AT, {"pv_power_w": 4021.0, "pv_energy_wh": 18_250_000.0}))]
    assert samples("webdyn", WEBDYN) == expected
    late = [{**WEBDYN[0], "timestamp": AT + 456}]  # the row of the file has seconds, and is the same one
    assert samples("webdyn", late) == expected


@pytest.mark.parametrize(
    "told",
    [
        {"devices": [{"name": "Onduleur 1", "data": [{**RECORD, "PAC": {"value": 4.02, "unit": "kW"}}]}]},
        {"Onduleur 1": {**RECORD, "PAC": {"value": "4.02", "unit": "kW"}}},
        [{"device": "Onduleur 1", "variables": [{"name": "PAC", "unit": "W", "values": [{**RECORD, "value": 4020}]}]}],
        [{"name": "Onduleur 1", "measures": [{**RECORD, "name": "PAC", "unit": "W", "min": 1, "max": 9, "avg": 4020}]}],
    ],
)
def test_a_webdyn_value_is_found_wherever_it_stands(told: Any) -> None:
    assert samples("webdyn", told) == [("Onduleur-1", Sample(AT, {"pv_power_w": 4020.0}))]


def test_a_webdyn_message_with_several_devices_and_times() -> None:
    later = {"date": "24/07/01-12:20:00", "timestamp": AT + 600_000}
    told = [
        {"device": "INV1", "category": "inverter", **record, "values": [{"name": "AC power", "value": w, "unit": "W"}]}
        for record, w in ((RECORD, 4021), (later, 4088))
    ] + [{"device": "MTR1", "category": "meter", **RECORD, "values": [{"name": "Active power", "value": -1, "unit": "kW"}]}]
    assert samples("webdyn", told) == [
        ("INV1", Sample(AT, {"pv_power_w": 4021.0})),
        ("INV1", Sample(AT + 600_000, {"pv_power_w": 4088.0})),
        ("MTR1", Sample(AT, {"grid_power_w": -1_000.0})),
    ]


@pytest.mark.parametrize("date", ["24/07/01-10:10:00", "24/07/01-12:10:30", "24/07/01-15:55:00", "24/07/02-00:10:00"])
def test_a_webdyn_clock_may_be_in_any_zone(date: str) -> None:
    assert len(samples("webdyn", [{**WEBDYN[0], "date": date}])) == 1


@pytest.mark.parametrize("date", ["24/07/01-12:17:00", "24/07/04-12:10:00", "23/07/01-12:10:00"])
def test_two_webdyn_times_that_are_no_zone_apart_are_not_believed(date: str) -> None:
    with pytest.raises(BadInput) as refused:
        samples("webdyn", [{**WEBDYN[0], "date": date}])
    assert refused.value.code == "times_disagree"


def test_what_webdyn_calls_by_no_known_name_is_nothing() -> None:
    told = [{"device": "INV1", **RECORD, "values": [{"name": "Puissance apparente", "value": 5, "unit": "VA"}]}]
    assert samples("webdyn", told) == []


def test_webdyns_records_hold_plain_values_by_the_names_of_its_configuration() -> None:
    inverter = {"AC power": 4021, "103_WH": 18_250_340, "Cos phi": 0.98, "State": "RUN", "Energie jour": 12_300}
    told = {
        "INV1": [{**inverter, **RECORD}, {"AC power": 4088.5, "date": "24/07/01-12:20:00", "timestamp": AT + 600_000}],
        "Compteur 1": [{"Puissance active": -1_250, "Energie importee kWh": "812.5", "PAC max": 5, **RECORD}],
        "Station": [],
    }
    assert samples("any", told) == [
        (
            "INV1",
            Sample(
                AT,
                {"pv_power_w": 4021.0, "pv_energy_wh": 18_250_340.0, "power_factor": 0.98, "pv_day_energy_wh": 12_300.0},
            ),
        ),
        ("INV1", Sample(AT + 600_000, {"pv_power_w": 4088.5})),
        ("Compteur-1", Sample(AT, {"grid_power_w": -1_250.0, "import_energy_wh": 812_500.0})),
    ]


def test_webdyns_alarms_are_no_values() -> None:
    alarm = {"defName": "INV", "deviceName": "INV1", "source": "PAC", "value": 4021, "variableIndex": 3, **RECORD}
    told = {"alarms": [alarm], "alarmsDevice": [{"type": 1, "info": 2, "Power": 5, **RECORD}]}
    assert samples("any", told) == []
    assert samples("any", {"data": [{"103_W": 4021, **RECORD}]}) == [(None, Sample(AT, {"pv_power_w": 4021.0}))]
