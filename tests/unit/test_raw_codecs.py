"""What other people's messages come to. The shapes are those of the formats' documentation, the values made up."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.codecs.decoded import Further
from fleet.codecs.registry import CODECS, decode_raw
from fleet.errors import BadInput
from fleet.limits import RAW_PAYLOAD_BYTES_MAX
from fleet.measures import is_measure
from fleet.profiles import shipped
from fleet.serials import is_serial, serial_from
from fleet.telemetry import RawMessage

T = 1_782_036_007_123


def decoded(codec: str, topic: str, payload: bytes | dict[str, Any]) -> list[tuple[str | None, dict[str, float | None]]]:
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    return [(serial, sample.v) for serial, sample, _ in decode_raw(codec, RawMessage(T, topic, body))]


def test_every_profile_names_a_codec_that_there_is() -> None:
    assert {profile.codec for profile in shipped()} - {None} <= set(CODECS)


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("solar/114182940773/0/power", b"312.4", {"pv_power_w": 312.4}),
        ("solar/114182940773/0/yieldtotal", b"1234.567", {"pv_energy_wh": 1_234_567.0}),
        ("solar/114182940773/2/voltage", b"34.1", {"dc_voltage_v_2": 34.1}),
        ("/114182940773/0/power", b"312.4", {"pv_power_w": 312.4}),
        ("house/solar/114182940773/0/temperature", b"-3.5", {"inverter_temp_c": -3.5}),
    ],
)
def test_opendtu_says_each_value_by_itself(topic: str, payload: bytes, expected: dict[str, float]) -> None:
    assert decoded("opendtu", topic, payload) == [("114182940773", expected)]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("solar/114182940773/0/yieldtotal", b"0"),  # a lost radio link
        ("solar/114182940773/0/power", b"nan"),
        ("solar/114182940773/0/yieldday", b"812"),
        ("solar/ac/power", b"312"),
        ("solar/dtu/status", b"online"),
        ("solar/114182940773/status/reachable", b"1"),
        ("solar/114182940773/name", b"Roof"),
    ],
)
def test_opendtu_leaves_out_what_is_no_measurement(topic: str, payload: bytes) -> None:
    assert decoded("opendtu", topic, payload) == []


def test_values_that_come_one_by_one_share_an_instant() -> None:
    times = {
        decode_raw("opendtu", RawMessage(T + late_ms, f"solar/114182940773/0/{metric}", b"1"))[0].sample.t
        for late_ms, metric in enumerate(("power", "voltage", "current", "frequency"))
    }
    assert len(times) == 1
    assert 0 <= T - times.pop() < 10_000


@pytest.mark.parametrize(
    ("path", "value", "serial", "expected"),
    [
        ("pvinverter/30/Ac/Power", 1830, "c0619ab1d2e3/pvinverter/30", {"pv_power_w": 1830.0}),
        ("pvinverter/30/Ac/Power", -4, "c0619ab1d2e3/pvinverter/30", {"pv_power_w": 0.0}),
        ("pvinverter/30/Ac/Energy/Forward", 812.34, "c0619ab1d2e3/pvinverter/30", {"pv_energy_wh": 812_340.0}),
        ("solarcharger/258/Yield/System", 5.1, "c0619ab1d2e3/solarcharger/258", {"pv_energy_wh": 5_100.0}),
        ("solarcharger/258/Pv/V", 81.5, "c0619ab1d2e3/solarcharger/258", {"dc_voltage_v_1": 81.5}),
        ("solarcharger/258/Pv/0/V", 81.5, "c0619ab1d2e3/solarcharger/258", {"dc_voltage_v_1": 81.5}),
        ("multi/0/Yield/Power", 2140, "c0619ab1d2e3/multi/0", {"pv_power_w": 2140.0}),
        ("multi/0/Yield/System", 812.34, "c0619ab1d2e3/multi/0", {"pv_energy_wh": 812_340.0}),
        ("inverter/1/Pv/3/P", 640, "c0619ab1d2e3/inverter/1", {"dc_power_w_4": 640.0}),
        ("grid/40/Ac/Power", -512.5, "c0619ab1d2e3/grid/40", {"grid_power_w": -512.5}),
        ("grid/40/Ac/Energy/Reverse", 77.0, "c0619ab1d2e3/grid/40", {"export_energy_wh": 77_000.0}),
        ("grid/40/Ac/L2/Voltage", 231.2, "c0619ab1d2e3/grid/40", {"ac_voltage_v_l2": 231.2}),
        ("battery/512/Dc/0/Power", -250, "c0619ab1d2e3/battery/512", {"battery_power_w": -250.0}),
        ("battery/512/Soc", 64, "c0619ab1d2e3/battery/512", {"battery_soc_pct": 64.0}),
    ],
)
def test_victron_paths(path: str, value: float, serial: str, expected: dict[str, float]) -> None:
    assert decoded("victron", f"N/c0619ab1d2e3/{path}", {"value": value}) == [(serial, expected)]


def test_victron_null_and_empty_are_missing() -> None:
    assert decoded("victron", "N/c0619ab1d2e3/battery/512/Soc", {"value": None}) == []
    assert decoded("victron", "N/c0619ab1d2e3/battery/512/Soc", {"value": []}) == []
    assert decoded("victron", "N/c0619ab1d2e3/battery/512/Soc", b"") == []
    assert decoded("victron", "N/c0619ab1d2e3/system/0/Dc/Battery/Power", {"value": 5}) == []
    assert decoded("victron", "N/c0619ab1d2e3/full_publish_completed", {"value": 1}) == []


def test_shelly_three_phases_both_ways() -> None:
    em = {"id": 0, "a_act_power": -812.4, "a_voltage": 236.1, "total_act_power": -812.4, "n_current": None}
    expected = {"grid_power_w": -812.4, "ac_voltage_v_l1": 236.1}
    rpc = {"src": "shellypro3em-0a0b", "method": "NotifyStatus", "params": {"ts": 1719828300.12, "em:0": em}}
    assert decoded("shelly", "roof-em/events/rpc", rpc) == [("roof-em", expected)]
    assert decoded("shelly", "roof-em/status/em:0", em) == [("roof-em", expected)]
    assert decoded("shelly", "status/em:0", em) == decoded("shelly", "/status/em:0", em) == [(None, expected)]
    energy = {"id": 0, "total_act": 1520310.22, "total_act_ret": 880140.75}
    assert decoded("shelly", "roof-em/status/emdata:0", energy) == [
        ("roof-em", {"import_energy_wh": 1520310.22, "export_energy_wh": 880140.75})
    ]


def test_a_second_clamp_is_another_device() -> None:
    clamp = {"id": 1, "act_power": 90.0, "voltage": 231.0}
    expected = {"grid_power_w": 90.0, "ac_voltage_v": 231.0, "pv_power_w": 90.0}  # its device's profile takes one of the two
    assert decoded("shelly", "roof-em/status/em1:1", clamp) == [("roof-em/1", expected)]
    (nameless,) = decode_raw("shelly", RawMessage(T, "status/em1:1", msgspec.json.encode(clamp)))
    assert (nameless.serial, type(nameless)) == (None, Further)  # of the sender itself, and not what it is around


@pytest.mark.parametrize(
    ("topic", "serial", "local"),
    [
        ("shellypro3em-0a0b0c0d0e0f/status/em:0", "shellypro3em-0a0b0c0d0e0f", False),
        ("house/shellypro3em-0a0b0c0d0e0f/status/em:0", "shellypro3em-0a0b0c0d0e0f", False),
        ("/shellypro3em-0a0b0c0d0e0f/status/em:0", "shellypro3em-0a0b0c0d0e0f", False),
        ("Compteur général/status/em:0", "Compteur-g-n-ral", True),
        ("###/status/em:0", None, None),
    ],
)
def test_a_name_that_its_owner_chose_is_local(topic: str, serial: str | None, local: bool | None) -> None:
    found = decode_raw("shelly", RawMessage(T, topic, b'{"total_act_power": 1}'))
    assert [(each.serial, each.local) for each in found] == ([] if serial is None else [(serial, local)])


@given(st.text(max_size=100))
def test_what_is_made_of_a_name_is_short_and_stays_as_it_is(name: str) -> None:
    made = serial_from(name)
    assert len(made) < 3 or is_serial(made)
    assert serial_from(made) == made


def test_linky_counts_in_kilowatt_hours_and_its_powers_are_apparent() -> None:
    message = {
        "current_summ_delivered": 12345.68, "current_summ_received": 3210.99, "apparent_power": 0, "injected_v_a": 1840,
        "rms_voltage": 236, "linkquality": 120,
    }  # fmt: skip
    apparent = {"apparent_power_va": 0.0, "export_apparent_power_va": 1840.0}
    counters = {"import_energy_wh": 12_345_680.0, "export_energy_wh": 3_210_990.0}
    assert decoded("zlinky", "zigbee2mqtt/linky", message) == [("linky", counters | apparent | {"ac_voltage_v": 236.0})]
    tiers = {"current_summ_delivered": 0, "current_tier1_summ_delivered": 7000, "current_tier2_summ_delivered": 5345.68}
    assert decoded("zlinky", "zigbee2mqtt/linky", tiers) == [("linky", {"import_energy_wh": 12_345_680.0})]
    unread = {"current_summ_delivered": 0, "current_summ_received": 0, "rms_voltage": 236}
    assert decoded("zlinky", "zigbee2mqtt/linky", unread) == []
    assert decoded("zlinky", "zigbee2mqtt/bridge/state", {"current_summ_delivered": 1}) == []


def test_a_gateway_for_everything_knows_formats_by_their_topics() -> None:
    assert decoded("any", "solar/114182940773/0/power", b"3")[0][0] == "114182940773"
    assert decoded("any", "N/c0619ab1d2e3/grid/40/Ac/Power", {"value": 3})[0][0] == "c0619ab1d2e3/grid/40"
    assert decoded("any", "roof-em/status/em:0", {"total_act_power": 3})[0][0] == "roof-em"
    assert decoded("any", "zigbee2mqtt/linky", {"current_summ_delivered": 3})[0][0] == "linky"
    assert decoded("any", "homeassistant/light/kitchen/state", b"ON") == []


@pytest.mark.parametrize(
    ("codec", "topic", "payload", "code"),
    [
        ("opendtu", "solar/114182940773/0/power", b"many", "bad_payload"),
        ("opendtu", "solar/114182940773/0/power", b"1_000", "bad_payload"),
        ("opendtu", "solar/114182940773/0/power", b"9" * 80, "bad_payload"),
        ("victron", "N/c0619ab1d2e3/grid/40/Ac/Power", b'{"value": NaN}', "bad_payload"),
        ("victron", "N/c0619ab1d2e3/grid/40/Ac/Power", b'{"value": "12"}', "bad_payload"),
        ("victron", "N/c0619ab1d2e3/grid/40/Ac/Power", b'{"value": true}', "bad_payload"),
        ("victron", "N/c0619ab1d2e3/grid/40/Ac/Power", b'{"value": 1' + b"0" * 400 + b"}", "bad_payload"),
        ("victron", "N/c0619ab1d2e3/grid/40/Ac/Power", b"[1]", "bad_payload"),
        ("shelly", "roof-em/status/em:0", b"\xff\xfe", "bad_payload"),
        ("shelly", "roof-em/events/rpc", b"[" * 5_000, "bad_payload"),
        ("shelly", "roof-em/events/rpc", b" " * (RAW_PAYLOAD_BYTES_MAX + 1), "too_large"),
        ("sorcery", "a", b"", "unknown_codec"),
    ],
)
def test_nonsense_is_refused_with_a_code(codec: str, topic: str, payload: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        decoded(codec, topic, payload)
    assert refused.value.code == code


TOPICS = st.one_of(
    st.sampled_from(
        [
            "solar/114182940773/0/power", "solar/114182940773/0/yieldtotal", "N/c0619ab1d2e3/battery/1/Soc",
            "N/a/grid/1/Ac/Power", "x/events/rpc", "events/rpc", "x/status/em:0", "x/status/em1data:1", "zigbee2mqtt/linky",
        ]
    ),
    st.text(max_size=300),
)  # fmt: skip
KEYS = ["value", "params", "em:0", "emdata:0", "total_act", "total_act_power", "current_summ_delivered", "rms_voltage"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
PAYLOADS = st.one_of(st.binary(max_size=200), st.text(max_size=40).map(str.encode), JSON.map(msgspec.json.encode))


@given(codec=st.sampled_from(sorted(CODECS)), topic=TOPICS, payload=PAYLOADS, t=st.integers(0, 2**45))
def test_whatever_comes_is_samples_or_a_coded_refusal(codec: str, topic: str, payload: bytes, t: int) -> None:
    try:
        found = decode_raw(codec, RawMessage(t, topic, payload))
    except BadInput:
        return
    for serial, sample, _ in found:
        assert serial is None or is_serial(serial)
        assert sample.t <= t
        assert sample.v
        assert all(is_measure(measure) for measure in sample.v)
        assert all(value is not None and math.isfinite(value) for value in sample.v.values())
