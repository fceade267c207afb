"""The engine of topics, and the formats that are declared on it. Shapes as documented, values made up."""

import msgspec
import pytest

from fleet.codecs.registry import decode_raw
from fleet.codecs.topic_template import Field, Template, codec
from fleet.errors import BadInput
from fleet.telemetry import RawMessage

T = 1_782_036_007_123
Read = list[tuple[str | None, dict[str, float | None]]]


def decoded(name: str, topic: str, payload: bytes | dict[str, object]) -> Read:
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    return [(serial, sample.v) for serial, sample, _ in decode_raw(name, RawMessage(T, topic, body))]


# The engine --------------------------------------------------------------------------------------------------------

HEATER = codec(
    Template(
        "{base}/meters/{device}/{line}/{field}",
        "{device}",
        {
            "kw": Field("grid_power_w", "kW", sign=-1),
            "out": (Field("pv_power_w", "W", at_least=0.0), Field("grid_power_w", "W", magnitude=True)),
            "count": Field("pv_energy_wh", "kWh", zero_is_missing=True),
            "volt": Field("ac_voltage_v_l{line}", "V"),
        },
        {"line": "[0-3]"},
        channel="line",
        own_ids="[0-9]{4}",
    ),
    Template("{base}/json/{device}", "{device}", {"p": Field("pv_power_w", "W")}, payload="object"),
    Template("{base}/deep/{device}/{field}", "{device}", {"p": Field("pv_power_w", "W")}, payload=("a", "b")),
)


def told(topic: str, payload: bytes) -> list[tuple[str | None, dict[str, float | None], bool]]:
    return [(serial, sample.v, local) for serial, sample, local in HEATER(RawMessage(T, topic, payload)) or []]


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("meters/roof/0/kw", b"1.2345", ("roof", {"grid_power_w": -1234.5}, True)),
        ("/meters/roof/0/kw", b"1", ("roof", {"grid_power_w": -1000.0}, True)),
        ("a/b/meters/roof/0/kw", b"0", ("roof", {"grid_power_w": 0.0}, True)),
        ("meters/1234/0/out", b"-7", ("1234", {"pv_power_w": 0.0, "grid_power_w": 7.0}, False)),
        ("meters/1234/2/volt", b" 231.5\n", ("1234/2", {"ac_voltage_v_l2": 231.5}, False)),
        ("meters/roof/0/count", b"18250.3404", ("roof", {"pv_energy_wh": 18_250_340.4}, True)),
        ("json/roof", b'{"p": 5, "q": "five"}', ("roof", {"pv_power_w": 5.0}, True)),
        ("deep/roof/p", b'{"a": {"b": 5}}', ("roof", {"pv_power_w": 5.0}, True)),
    ],
)
def test_a_value_is_scaled_signed_and_named(topic: str, payload: bytes, expected: object) -> None:
    assert told(topic, payload) == [expected]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("meters/roof/0/count", b"0"),
        ("meters/roof/0/kw", b""),
        ("meters/roof/0/kw", b"unavailable"),
        ("meters/roof/0/watts", b"5"),
        ("meters/roof/4/kw", b"5"),
        ("xmeters/roof/0/kw", b"5"),
        ("json/roof", b"5"),
        ("json/roof", b'{"p": null}'),
        ("deep/roof/p", b'{"a": 5}'),
    ],
)
def test_what_tells_no_value_is_nothing(topic: str, payload: bytes) -> None:
    assert told(topic, payload) == []


def test_another_formats_topic_is_not_ours() -> None:
    assert HEATER(RawMessage(T, "meters/roof/0/watts", b"5")) == []
    assert HEATER(RawMessage(T, "meters/roof/4/kw", b"5")) is None


def test_nothing_is_ever_minus_zero() -> None:
    ((_, values, _),) = told("meters/roof/0/kw", b"0")
    assert str(values["grid_power_w"]) == "0.0"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [("meters/roof/0/kw", b"much"), ("json/roof", b'{"p": "5"}'), ("json/roof", b"{"), ("deep/roof/p", b"[]")],
)
def test_what_should_be_a_number_and_is_none_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        told(topic, payload)
    assert refused.value.code == "bad_payload"


# AhoyDTU -----------------------------------------------------------------------------------------------------------


def test_ahoy_counts_in_kilowatt_hours_whatever_its_manual_says() -> None:
    assert decoded("ahoy", "inverter/HM-800/ch0/YieldTotal", b"465.294") == [("HM-800", {"pv_energy_wh": 465_294.0})]
    assert decoded("ahoy", "inverter/HM-800/ch0/YieldTotal", b"0") == []
    assert decoded("ahoy", "inverter/HM-800/ch1/YieldTotal", b"110.819") == []  # of one panel: its inverter's holds it


def test_ahoy_topics_and_ahoy_json_say_the_same() -> None:
    topics = {"P_AC": 71.0, "YieldTotal": 465.294, "U_AC": 233.3, "F_AC": 49.99, "Temp": 19.8}
    one_by_one: dict[str, float | None] = {}
    for field, value in topics.items():
        ((serial, values),) = decoded("ahoy", f"ahoy/dtu/Süd/ch0/{field}", str(value).encode())
        assert serial == "S-d"
        one_by_one |= values
    assert decoded("ahoy", "ahoy/dtu/Süd/ch0", {**topics, "YieldDay": 51.0, "EVT": 9}) == [("S-d", one_by_one)]
    assert decoded("ahoy", "inverter/HM-1/ch2", {"U_DC": 38.9, "I_DC": 0.64, "P_DC": 25.0, "Irradiation": 5.65}) == [
        ("HM-1", {"dc_voltage_v_2": 38.9, "dc_current_a_2": 0.64, "dc_power_w_2": 25.0})
    ]


def test_a_name_may_be_shorter_than_a_serial() -> None:
    assert decoded("ahoy", "inverter/pv/ch0/P_AC", b"5") == [("mqtt-pv", {"pv_power_w": 5.0})]


# evcc --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topics", "payload", "serial", "expected"),
    [
        (("grid/power", "gridPower"), b"-812.4", "evcc/grid", {"grid_power_w": -812.4}),
        (("grid/energy",), b"1234.567", "evcc/grid", {"import_energy_wh": 1_234_567.0}),
        (("grid/returnEnergy",), b"77", "evcc/grid", {"export_energy_wh": 77_000.0}),
        (("grid/currents/2", "gridCurrents/l2"), b"3.4", "evcc/grid", {"ac_current_a_l2": 3.4}),
        (("pvPower",), b"-3", "evcc/pv", {"pv_power_w": 0.0}),
        (("pv/2/power",), b"1830", "evcc/pv/2", {"pv_power_w": 1830.0}),
        (("pv/2/energy",), b"812.34", "evcc/pv/2", {"pv_energy_wh": 812_340.0}),
        (("battery/power", "batteryPower"), b"500", "evcc/battery", {"battery_power_w": -500.0}),  # it discharges
        (("battery/soc", "batterySoc"), b"64", "evcc/battery", {"battery_soc_pct": 64.0}),
        (("battery/1/power", "battery/devices/1/power"), b"-250", "evcc/battery/1", {"battery_power_w": 250.0}),
    ],
)
def test_evcc_in_both_generations(
    topics: tuple[str, ...], payload: bytes, serial: str, expected: dict[str, float | None]
) -> None:
    for topic in topics:
        assert decoded("evcc", f"evcc/site/{topic}", payload) == [(serial, expected)]
        assert decoded("evcc", f"home/evcc/site/{topic}", b"") == []


def test_evcc_says_nothing_of_what_is_no_meter_of_ours() -> None:
    for topic in ("site/homePower", "site/battery", "site/pv", "site/battery/energy", "loadpoints/1/chargePower", "status"):
        assert decoded("evcc", f"evcc/{topic}", b"5") == []


# Shelly's first generation -----------------------------------------------------------------------------------------


def test_shelly_gen1_clamps() -> None:
    base = "shellies/shellyem-A1B2C3/emeter"
    assert decoded("shelly", f"{base}/0/power", b"-812.41") == [("shellyem-A1B2C3", {"grid_power_w": -812.41})]
    assert decoded("shelly", f"{base}/0/total", b"18250340.2") == [("shellyem-A1B2C3", {"import_energy_wh": 18_250_340.2})]
    assert decoded("shelly", f"{base}/0/total_returned", b"77.5") == [("shellyem-A1B2C3", {"export_energy_wh": 77.5})]
    assert decoded("shelly", f"{base}/0/voltage", b"236.1") == [("shellyem-A1B2C3", {"ac_voltage_v": 236.1})]
    assert decoded("shelly", f"{base}/1/total", b"5") == [
        ("shellyem-A1B2C3/1", {"import_energy_wh": 5.0, "pv_energy_wh": 5.0})
    ]


def test_shelly_gen1_ids_may_have_three_parts() -> None:
    for name, local in (("shellyplug-s-C3B2A1", False), ("shellyem-A1B2C3", False), ("kitchen-plug", True)):
        (found,) = decode_raw("shelly", RawMessage(T, f"shellies/{name}/relay/0/power", b"412.5"))
        assert (found.serial, found.local) == (name, local)


def test_shelly_gen1_watt_minutes_are_no_counter() -> None:
    assert decoded("shelly", "shellies/shellyem-A1B2C3/emeter/0/energy", b"8123") == []
    assert decoded("shelly", "shellies/shellyplug-s-A1B2C3/relay/0/energy", b"8123") == []
    assert decoded("shelly", "shellies/shellyplug-s-A1B2C3/relay/0/power", b"412.5") == [
        ("shellyplug-s-A1B2C3", {"grid_power_w": 412.5, "pv_power_w": 412.5})
    ]
