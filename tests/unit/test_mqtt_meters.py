"""Meters and plugs on a house's broker: Shelly, Tasmota, and French meters in all their shapes. Values are made up."""

from typing import Any

import msgspec
import pytest

from fleet.codecs.registry import decode_raw
from fleet.errors import BadInput
from fleet.telemetry import RawMessage, Sample
from tests.samples.mqtt_samples import BERNAERTS, EM, PLUG, TASMOTA_ENERGY, TELEINFO2MQTT, TIC, ZLINKY

T = 1_782_036_007_123  # arrival: 2026-06-21 10:00:07 UTC
ON_THE_GRID = 1_782_036_000_000
SUMMER = 1_719_837_000_000  # 2024-07-01 14:30:00 legal time: 12:30 UTC


def samples(codec: str, topic: str, told: Any) -> dict[str | None, Sample]:
    payload = told if isinstance(told, bytes) else msgspec.json.encode(told)
    return {serial: sample for serial, sample, _ in decode_raw(codec, RawMessage(T, topic, payload))}


def values(codec: str, topic: str, told: Any) -> dict[str | None, dict[str, float | None]]:
    return {serial: sample.v for serial, sample in samples(codec, topic, told).items()}


# Shelly ------------------------------------------------------------------------------------------------------------


def notify(told: dict[str, Any], method: str = "NotifyStatus") -> dict[str, Any]:
    return {"src": "shellypro3em-0a0b0c0d0e0f", "dst": "roof-em/events", "method": method, "params": told}


def test_a_plug_holds_both_directions_in_one_counter() -> None:
    assert values("shelly", "plug/status/switch:0", PLUG) == {
        "plug": {
            "grid_power_w": -412.5, "ac_voltage_v": 236.0, "ac_current_a": 1.78, "ac_frequency_hz": 50.0,
            "import_energy_wh": 345.178, "export_energy_wh": 12_000.5, "pv_power_w": 412.5, "pv_energy_wh": 12_000.5,
        }
    }  # fmt: skip
    assert values("shelly", "plug/status/pm1:0", PLUG) == values("shelly", "plug/status/switch:0", PLUG)


def test_what_a_plug_drew_never_falls_below_nothing() -> None:
    told = {"id": 0, "aenergy": {"total": 100.0}, "ret_aenergy": {"total": 100.25}}
    assert values("shelly", "plug/status/pm1:0", told)["plug"]["import_energy_wh"] == 0.0


def test_a_plug_without_a_direction_counts_one() -> None:
    told = {"id": 0, "apower": 412.5, "aenergy": {"total": 100.0, "by_minute": [1, 2, 3], "minute_ts": 1_719_828_300}}
    assert values("shelly", "plug/status/switch:0", told) == {
        "plug": {"grid_power_w": 412.5, "import_energy_wh": 100.0, "pv_power_w": 412.5, "pv_energy_wh": 100.0}
    }


def test_a_clamp_around_an_inverter_may_be_turned() -> None:
    told = {"id": 1, "total_act_energy": 12.5, "total_act_ret_energy": 8_140.75}
    assert values("shelly", "pro/status/em1data:1", told) == {
        "pro/1": {"import_energy_wh": 12.5, "export_energy_wh": 8140.75, "pv_energy_wh": 8140.75}
    }
    assert values("shelly", "pro/status/em1data:0", told) == {
        "pro": {"import_energy_wh": 12.5, "export_energy_wh": 8140.75}
    }  # the first one is the grid's
    assert "pv_energy_wh" not in values("shelly", "pro/status/em1data:1", {"total_act_ret_energy": 8_140.75})["pro/1"]


@pytest.mark.parametrize(
    ("ts", "t"),
    [
        ({"ts": 1_719_828_300.12}, 1_719_828_300_000),
        ({}, ON_THE_GRID),
        ({"ts": 12.5}, ON_THE_GRID),  # since its start: the clock is not set
        ({"ts": None}, ON_THE_GRID),
        ({"ts": 4_000_000_000.0}, ON_THE_GRID),
    ],
)
def test_shelly_tells_the_time_once_it_knows_it(ts: dict[str, Any], t: int) -> None:
    for method in ("NotifyStatus", "NotifyFullStatus"):
        assert samples("shelly", "roof-em/events/rpc", notify({**ts, "em:0": EM}, method))["roof-em"].t == t


def test_a_full_status_is_all_components() -> None:
    told = {
        "ts": 1_719_828_300.0, "ble": {}, "cloud": {"connected": True}, "em:0": EM, "mqtt": {"connected": True},
        "emdata:0": {"id": 0, "total_act": 1520310.22, "total_act_ret": 880140.75}, "sys": {"unixtime": 1_719_828_300},
        "switch:100": {"apower": 5}, "temperature:0": {"tC": 40.1},
    }  # fmt: skip
    found = decode_raw("shelly", RawMessage(T, "roof-em/events/rpc", msgspec.json.encode(notify(told, "NotifyFullStatus"))))
    merged: dict[str, float | None] = {}
    for each in found:
        merged |= each.sample.v
    assert merged == {
        "grid_power_w": -812.4, "ac_voltage_v_l1": 236.1, "import_energy_wh": 1520310.22, "export_energy_wh": 880140.75,
    }  # fmt: skip


def test_an_answer_says_whose_it_is_inside() -> None:
    one = {"id": 1, "src": "shellyproem50-0a0b0c0d0e0f", "dst": "app", "result": {"id": "1", "act_power": 90.5}}
    assert values("shelly", "app/rpc", one) == {"shellyproem50-0a0b0c0d0e0f/1": {"grid_power_w": 90.5, "pv_power_w": 90.5}}
    all_of_it = {"id": 2, "src": "shellyproem50-0a0b0c0d0e0f", "result": {"em1:0": {"id": 0, "act_power": -5.0}}}
    assert values("shelly", "app/rpc", all_of_it) == {"shellyproem50-0a0b0c0d0e0f": {"grid_power_w": -5.0}}
    assert values("shelly", "app/rpc", {"id": 3, "src": "x", "result": {"id": "1:9", "act_power": 1}}) == {}


@pytest.mark.parametrize("wrong", [{"aenergy": 5}, {"aenergy": {"total": "5"}}, {"apower": True}])
def test_a_plug_that_talks_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        values("shelly", "plug/status/switch:0", wrong)
    assert refused.value.code == "bad_payload"


# Tasmota -----------------------------------------------------------------------------------------------------------

ENERGY = {
    "grid_power_w": -812.0, "import_energy_wh": 123_456.0, "ac_voltage_v": 236.0, "ac_current_a": 3.4,
    "pv_power_w": 812.0, "pv_energy_wh": 123_456.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "wrap"),
    [
        ("tele/plug/SENSOR", False),
        ("plug/tele/SENSOR", False),
        ("home/tele/plug/SENSOR", False),
        ("stat/plug/STATUS8", True),
        ("stat/plug/STATUS10", True),
    ],
)
def test_tasmotas_topics_are_free(topic: str, wrap: bool) -> None:
    told: dict[str, Any] = {"Time": "2024-07-01T12:05:00", "ENERGY": TASMOTA_ENERGY}
    ((serial, sample),) = samples("tasmota", topic, {"StatusSNS": told} if wrap else told).items()
    assert (serial, sample.v, sample.t) == ("plug", ENERGY, ON_THE_GRID)  # its local time says no instant
    assert values("tasmota", "tele/SENSOR", told) == {None: ENERGY}


@pytest.mark.parametrize(
    ("told", "t"),
    [
        ({"Time": "2024-07-01T14:30:00+02:00"}, SUMMER),
        ({"Time": "2024-07-01T12:30:00Z"}, SUMMER),
        ({"Time": "2024-07-01T14:30:00", "Epoch": 1_719_837_000}, SUMMER),
        ({"Time": 1_719_837_000}, SUMMER),
        ({"Time": "1970-01-01T00:00:10+01:00"}, ON_THE_GRID),
        ({"Time": "2099-01-01T00:00:10Z"}, ON_THE_GRID),
    ],
)
def test_tasmotas_time_counts_where_it_has_an_offset(told: dict[str, Any], t: int) -> None:
    assert samples("tasmota", "tele/plug/SENSOR", {**told, "ENERGY": TASMOTA_ENERGY})["plug"].t == t


def test_tasmota_three_channels_are_one_line_and_two_are_two() -> None:
    three = {"Total": [1.0, 2.0, 3.0], "ExportActive": [0.5, 0.0, 0.0], "Power": [100, -50, 20], "Voltage": [231, 232, 233]}
    assert values("tasmota", "tele/pro/SENSOR", {"ENERGY": {**three, "Current": [1, 2, 3]}}) == {
        "pro": {
            "grid_power_w": 70.0, "import_energy_wh": 6_000.0, "export_energy_wh": 500.0, "pv_power_w": 70.0,
            "pv_energy_wh": 6_000.0, "ac_voltage_v_l1": 231.0, "ac_voltage_v_l2": 232.0, "ac_voltage_v_l3": 233.0,
            "ac_current_a_l1": 1.0, "ac_current_a_l2": 2.0, "ac_current_a_l3": 3.0,
        }
    }  # fmt: skip
    two = {"Total": 5.0, "Power": [-800, 310], "Voltage": 231, "Current": [3.4, 1.3]}
    assert values("tasmota", "tele/pro/SENSOR", {"ENERGY": two}) == {
        "pro": {"grid_power_w": -800.0, "pv_power_w": 800.0, "ac_voltage_v": 231.0, "ac_current_a": 3.4},
        "pro/1": {"grid_power_w": 310.0, "pv_power_w": 310.0, "ac_voltage_v": 231.0, "ac_current_a": 1.3},
    }  # a total of both is that of neither
    both = values("tasmota", "tele/pro/SENSOR", {"ENERGY": {**two, "Total": [4.0, 1.0]}})
    assert [each["import_energy_wh"] for each in both.values()] == [4_000.0, 1_000.0]


@pytest.mark.parametrize(
    "group",
    [
        {"Total_in": 12345.678, "Total_out": 880.14, "Power_curr": -812},
        {"E_in": "12345.678", "E_out": "880.14", "Power": "-812"},
        {"Zählerstand Bezug": 12345.678, "Zählerstand_Einspeisung": 880.14, "Leistung_aktuell": -812, "Verbrauch": 5},
        {"1.8.0": 12345.678, "2.8.0": 880.14, "16.7.0": -812, "Meter_Number": "0a01484c590000c6b2a1"},
        {"Bezug": 12345.678, "Einspeisung": 880.14, "Momentanleistung": -812, "bezug_kwh": 1},
        {"import_active": 12345.678, "export_active": 880.14, "current_consumption": -812, "power_in": 5},
        {"total_consumed": 12345.678, "total_delivered": 880.14, "P_L1_L2_L3": -812, "total": 5},
        {"Zaehler_A+": 12345.678, "Zaehler_A-": 880.14, "Momentanwirkleistung": -812},
        {"pos_Wirk_tariflos": 12345.678, "neg_Wirk_tariflos": 880.14, "P": -812},
        {"Haus_1.8.0": 12345.678, "Haus_2.8.0": 880.14, "Haus_16.7.0": 5, "watt": -812},
        {"total": 12345.678, "E_out": 880.14, "P": -812},
    ],
)
def test_a_script_may_call_them_as_people_do(group: dict[str, Any]) -> None:
    assert values("tasmota", "tele/reader/SENSOR", {"Time": "2024-07-01T12:05:00", "Haus": group}) == {
        "reader": {"import_energy_wh": 12_345_678.0, "export_energy_wh": 880_140.0, "grid_power_w": -812.0}
    }


@pytest.mark.parametrize(
    "group",
    [{"PV_1.8.0": 12.5, "Haus_1.8.0": 880.14}, {"total": 5}, {"P": 5}, {"11.8.0": 5}, {"Zaehler_A": 5}, {"power_in": 5}],
)
def test_what_may_mean_something_else_is_nothing(group: dict[str, Any]) -> None:
    assert values("tasmota", "tele/reader/SENSOR", {"Haus": group}) == {}


def test_a_script_may_name_phases_in_many_ways() -> None:
    told = {"volt_l1_curr": 231.5, "Volt_p2": 232, "amperage_l1_curr": 1.5, "amperage_p3": 2, "Total_in": 5}
    assert values("tasmota", "tele/reader/SENSOR", {"SML": told})["reader"] == {
        "ac_voltage_v_l1": 231.5, "ac_voltage_v_l2": 232.0, "ac_current_a_l1": 1.5, "ac_current_a_l3": 2.0,
        "import_energy_wh": 5_000.0,
    }  # fmt: skip


def test_a_meter_that_was_not_read_yet_says_nothing() -> None:
    unread = {"Total_in": 0, "Total_out": 0, "Power_curr": 0, "Volt_p1": 0}
    assert values("tasmota", "tele/reader/SENSOR", {"SML": unread}) == {}
    assert values("tasmota", "tele/reader/SENSOR", {"SML": {"Total_in": 5, "Total_out": 0, "Volt_p1": 231.5}}) == {
        "reader": {"import_energy_wh": 5_000.0, "export_energy_wh": 0.0, "ac_voltage_v_l1": 231.5}
    }
    two = {"SML": {"Total_in": 5}, "DS18B20": {"Id": "0316A2", "Temperature": 21.1}, "WP": {"Total_in": 7, "power_l1": 3}}
    assert set(values("tasmota", "tele/reader/SENSOR", two)) == {"reader", "reader/1"}


def test_the_teleinfo_drivers_total_is_not_the_meters() -> None:
    told = {"Time": "2024-07-01T12:05:00", "ENERGY": {"Total": 9098.245, "Power": 170, "Load": 6}, "TIC": TIC}
    labels = {"import_energy_wh": 11_200_000.0, "apparent_power_va": 910.0, "ac_current_a": 4.0}
    assert values("tasmota", "tele/linky/SENSOR", told) == {"linky": labels}
    assert values("tasmota", "tele/linky/SENSOR", {"ENERGY": {"Total": 9098.245, "Power": 170, "Load": 6}}) == {}


def test_a_message_with_what_has_changed_is_of_the_same_device() -> None:
    assert values("tasmota", "tele/linky/SENSOR", {"TIC": {"PAPP": 905}}) == {"linky": {"apparent_power_va": 905.0}}
    # one tariff's index of two says nothing of all: the sum would fall
    assert values("tasmota", "tele/linky/SENSOR", {"TIC": {"HCHP": 6_700_001}}) == {}
    told = {"DATE": "E240701143000", "EAST": "012345678", "EAIT": "003210987", "SINSTI": "01840"}
    raw = {"ADSC": "021528603314", "VTIC": 2, "EAST": 12_345_678, "IRMS1": 2}
    assert values("tasmota", "tele/linky/RESULT", raw) == {
        "linky": {"import_energy_wh": 12_345_678.0, "ac_current_a_l1": 2.0}
    }
    assert values("any", "tele/linky/RESULT", {"EAST": 5, "POWER": "ON"}) == {}
    assert samples("tasmota", "tele/linky/TIC", told) == {
        "linky": Sample(
            SUMMER, {"import_energy_wh": 12_345_678.0, "export_energy_wh": 3_210_987.0, "export_apparent_power_va": 1840.0}
        )
    }


def test_bernaerts_tells_watts_and_lifetime_counters() -> None:
    assert values("tasmota", "tele/linky/SENSOR", BERNAERTS) == {
        "linky": {
            "apparent_power_va": 0.0, "export_apparent_power_va": 1840.0, "grid_power_w": -1712.0, "ac_voltage_v": 236.0,
            "ac_current_a": 7.8, "import_energy_wh": 12_345_678.0, "export_energy_wh": 3_210_987.0,
        }
    }  # fmt: skip
    young = {"METER": {"PH": 1, "P": 910, "W": 0, "I": 4, "PP": 0, "PW": 0}}  # its power factor is not known yet
    assert "grid_power_w" not in values("tasmota", "tele/linky/SENSOR", young)["linky"]
    live = {"METER": {"PH": 1, "P": 0, "W": 0, "I": 7, "U1": 230}}
    # 0 while it injects without a contract, and a voltage that the firmware made up
    assert values("tasmota", "tele/linky/LIVE", live) == {"linky": {"apparent_power_va": 0.0, "ac_current_a": 7.0}}


# Labels as topics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "payload", "serial", "expected"),
    [
        ("teleinfokit-A1B2C3/data/SINSTI", b"01840", "teleinfokit-A1B2C3", {"export_apparent_power_va": 1840.0}),
        ("teleinfokit-A1B2C3/data/URMS1", b"236", "teleinfokit-A1B2C3", {"ac_voltage_v_l1": 236.0}),
        ("WTeleInfo/021528603314/IINST", b"4", "021528603314", {"ac_current_a": 4.0}),
        ("teleinfokit/base", b"46578", "teleinfokit", {"import_energy_wh": 46_578.0}),
    ],
)
def test_a_label_may_have_a_topic_of_its_own(topic: str, payload: bytes, serial: str, expected: dict[str, float]) -> None:
    ((found, sample, local),) = decode_raw("any", RawMessage(T, topic, payload))
    assert (found, sample.v, local) == (serial, expected, serial == "teleinfokit")


# teleinfo2mqtt, ZLinky ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "season", "t"),
    [
        ("2024-07-01T14:30:00.000Z", "summer", SUMMER),
        ("2024-01-15T14:30:00.000Z", "winter", 1_705_325_400_000),
        ("2024-03-31T01:59:50.000Z", "winter", 1_711_846_790_000),
        ("2024-03-31T03:00:00.000Z", "summer", 1_711_846_800_000),
        ("2024-10-27T02:30:00.000Z", "summer", 1_729_989_000_000),
        ("2024-10-27T02:30:00.000Z", "winter", 1_729_992_600_000),  # the same on the clock, an hour later
        ("2024-10-27T02:30:00.000Z", "monsoon", ON_THE_GRID),
    ],
)
def test_teleinfo2mqtts_z_is_false(date: str, season: str, t: int) -> None:
    told = {**TELEINFO2MQTT, "DATE": {"raw": "", "timestamp": {"date": date, "dst": season}}}
    assert samples("teleinfo2mqtt", "teleinfo/021528603314", told) == {
        "021528603314": Sample(
            t,
            {
                "import_energy_wh": 12_345_678.0, "export_energy_wh": 3_210_987.0, "apparent_power_va": 0.0,
                "export_apparent_power_va": 1840.0, "ac_voltage_v_l1": 236.0,
            },
        )
    }  # fmt: skip


def test_a_zlinkys_powers_are_apparent_and_its_time_is_the_meters() -> None:
    ((serial, sample),) = samples("zlinky", "zigbee2mqtt/linky", ZLINKY).items()
    assert serial == "linky"
    assert sample == Sample(
        SUMMER,
        {
            "import_energy_wh": 12_345_680.0, "export_energy_wh": 3_210_990.0, "apparent_power_va": 0.0,
            "export_apparent_power_va": 1840.0, "ac_voltage_v": 236.0,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "t"),
    [
        ({"current_date": "E241027023000"}, 1_729_989_000_000),
        ({"current_date": "H241027023000"}, 1_729_992_600_000),
        ({"current_date": "e240701143005", "last_seen": "2024-07-01T14:30:05+02:00"}, SUMMER),  # the meter doubts its clock
        ({"last_seen": 1_719_837_005_123}, SUMMER),
        ({"last_seen": "N/A"}, ON_THE_GRID),
        ({}, ON_THE_GRID),
    ],
)
def test_a_zlinkys_time_is_the_meters_else_the_bridges_else_the_arrival(more: dict[str, Any], t: int) -> None:
    assert samples("zlinky", "zigbee2mqtt/linky", {"current_summ_delivered": 5, **more})["linky"].t == t


def test_a_zlinky_of_2021_counts_in_watt_hours() -> None:
    told = {"currentSummDelivered": 0, "currentTier1SummDelivered": 7_000_000, "currentTier2SummDelivered": 5_345_680}
    assert values("zlinky", "maison/compteur", {**told, "apparentPower": 910}) == {
        "compteur": {"import_energy_wh": 12_345_680.0, "apparent_power_va": 910.0}
    }


def test_a_zlinky_on_three_phases() -> None:
    told = {"current_summ_delivered": 5, "rms_current": 1, "rms_current_ph_b": 2, "rms_current_ph_c": 0, "rms_voltage": 0}
    assert values("zlinky", "zigbee2mqtt/linky", told)["linky"] == {
        "import_energy_wh": 5_000.0, "ac_current_a_l1": 1.0, "ac_current_a_l2": 2.0, "ac_current_a_l3": 0.0,
    }  # fmt: skip
