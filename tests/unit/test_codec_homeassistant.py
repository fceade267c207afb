"""Home Assistant's discovery: what is announced, what of it counts, and the values that come later."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.decoded import Decoded
from fleet.codecs.memory import Memory
from fleet.codecs.registry import decode_raw
from fleet.errors import BadInput
from fleet.limits import MEMORY_ENTRIES_PER_SENDER_MAX
from fleet.measures import is_measure
from fleet.telemetry import RawMessage

T = 1_782_036_007_123
GRID = T - T % 10_000
SAMPLE: dict[str, Any] = {
    "~": "plant/inv1", "stat_t": "~/state", "val_tpl": "{{ value_json.pac | float / 10 }}", "unit_of_meas": "W",
    "dev_cla": "power", "stat_cla": "measurement", "uniq_id": "inv1_pac",
}  # fmt: skip


def take(
    memory: Memory, topic: str, body: object, *, t: int = T, retained: bool = False, codec: str = "homeassistant"
) -> list[Decoded]:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return decode_raw(codec, RawMessage(t, topic, raw, retained), memory)


def announced(*configs: dict[str, Any], retained: bool = True) -> Memory:
    memory = Memory()
    for number, config in enumerate(configs):
        assert take(memory, f"homeassistant/sensor/n{number}/config", config, retained=retained) == []
    return memory


def said(found: list[Decoded]) -> list[tuple[str | None, dict[str, float | None]]]:
    return [(serial, sample.v) for serial, sample, _ in found]


def entity(name: str, unit: str, device_class: str | None = None, **more: Any) -> dict[str, Any]:
    about = {"name": name, "unit_of_measurement": unit, "state_topic": f"x/{name}", "device": {"ids": ["SN12345678"]}}
    return about | ({} if device_class is None else {"device_class": device_class}) | more


def test_the_published_sample() -> None:
    memory = announced(SAMPLE)
    assert take(memory, "plant/inv1/state", {"pac": 12_345}) == [
        Decoded("inv1", decode_raw("opendtu", RawMessage(T, "1141829407/0/power", b"1234.5"))[0].sample, True)
    ]
    assert take(memory, "plant/inv2/state", {"pac": 12_345}) == []


def test_what_was_announced_outlives_the_process_and_retained_values_are_none() -> None:
    memory = announced(SAMPLE)
    again = Memory({key: value for key, value in memory.learned().items() if value is not None})
    assert said(take(again, "plant/inv1/state", {"pac": 10})) == [("inv1", {"pv_power_w": 1.0})]
    assert take(again, "plant/inv1/state", {"pac": 10}, retained=True) == []


def test_an_empty_payload_takes_an_announcement_back() -> None:
    memory = announced(SAMPLE)
    take(memory, "homeassistant/sensor/n0/config", b"")
    assert take(memory, "plant/inv1/state", {"pac": 10}) == []
    assert len(memory) == 0


@pytest.mark.parametrize(
    ("config", "measure", "value"),
    [
        (entity("Solar power", "kW", "power", state_class="measurement"), "pv_power_w", 12_500.0),
        (entity("Grid power", "W", "power"), "grid_power_w", 12.5),
        (entity("Production", "kWh", "energy", state_class="total_increasing"), "pv_energy_wh", 12_500.0),
        (entity("Énergie injectée", "MWh", "energy", stat_cla="total_increasing"), "export_energy_wh", 12_500_000.0),
        (entity("Soutirage", "Wh", "energy", stat_cla="total_increasing"), "import_energy_wh", 12.5),
        (entity("Solar energy today", "kWh", "energy", stat_cla="total_increasing"), "pv_day_energy_wh", 12_500.0),
        (entity("Linky apparent power", "VA", "apparent_power"), "apparent_power_va", 12.5),
        (entity("Storage SoC", "%", "battery"), "battery_soc_pct", 12.5),
        (entity("Irradiance", "W/m²", "irradiance"), "irradiance_w_m2", 12.5),
    ],
)
def test_classes_units_and_names(config: dict[str, Any], measure: str, value: float) -> None:
    memory = announced(config)
    assert said(take(memory, config["state_topic"], b"12.5")) == [("SN12345678", {measure: value})]


@pytest.mark.parametrize(
    "config",
    [
        entity("Solar power", "VA", "power"),  # VA offered as W
        entity("Solar power", "VA", "apparent_power"),
        entity("Solar power", "kWh", "power"),
        entity("Power", "W", "power"),  # of whom?
        entity("Kitchen power", "W", "power"),
        entity("Solar energy", "kWh", "energy", state_class="total", last_reset_value_template="{{ 1 }}"),  # may fall
        entity("Solar energy", "kWh", "energy"),
        entity("Solar energy", "kWh", "energy", state_class="measurement"),
        entity("Solar power", "W", "power", state_class="total_increasing"),
        entity("Solar power", "W", "duration"),
        entity("Solar power", "", "power"),
        entity("Door battery", "%", "battery"),
        entity("Voltage", "V", "voltage"),  # of a device that tells nothing else
        entity("Outdoor temperature", "°C", "temperature"),
        entity("Solar power", "W", "power", state_topic=None),
    ],
)
def test_what_stays_nobodys(config: dict[str, Any]) -> None:
    memory = announced(config)
    assert take(memory, "x/" + config["name"], b"12.5") == []


def test_what_comes_out_of_an_inverter_counts_before_what_goes_into_it() -> None:
    device = {"ids": "NLDDB2A0XY", "name": "NLDDB2A0XY", "manufacturer": "GrowWatt"}
    both = [
        entity(f"NLDDB2A0XY PV {name} (Actual)", "W", "power", device=device, state_topic=f"g/{name}")
        for name in ("Input", "Output")
    ]
    memory = announced(*both)
    assert said(take(memory, "g/Output", b"950")) == [("NLDDB2A0XY", {"pv_power_w": 950.0})]
    assert take(memory, "g/Input", b"1000") == []
    assert said(take(announced(both[0]), "g/Input", b"1000")) == [("NLDDB2A0XY", {"pv_power_w": 1000.0})]


@pytest.mark.parametrize(("maker", "takes"), [("SolarEdge", False), ("HUAWEI", False), ("Fronius", True)])
def test_a_meter_that_may_count_the_other_way_around_tells_no_power(maker: str, takes: bool) -> None:
    device = {"ids": ["SN12345678"], "name": "meter0", "manufacturer": maker}
    memory = announced(
        entity("Power actual", "W", "power", device=device),
        entity("Energy imported", "kWh", "energy", state_class="total_increasing", device=device),
    )
    assert said(take(memory, "x/Power actual", b"-812")) == ([("SN12345678", {"grid_power_w": -812.0})] if takes else [])
    assert said(take(memory, "x/Energy imported", b"5")) == [("SN12345678", {"import_energy_wh": 5_000.0})]


def test_where_the_name_says_nothing_ids_and_device_do() -> None:
    device = {"ids": "meter_9f31c2", "name": "Linky", "mdl": "TIC"}
    memory = announced({"name": "Power", "unit_of_meas": "W", "dev_cla": "power", "stat_t": "a/b", "dev": device})
    assert take(memory, "a/b", b"-5")[0].sample.v == {"grid_power_w": -5.0}
    unnamed = {"name": None, "unit_of_meas": "W", "dev_cla": "power", "stat_t": "a/b", "uniq_id": "pv_roof_power"}
    (found,) = take(announced(unnamed), "a/b", b"7")
    assert (found.serial, found.local, found.sample.v) == ("pv_roof", True, {"pv_power_w": 7.0})


def test_serials_are_identifiers_and_a_houses_own_names_are_local() -> None:
    for ids, serial, local in (
        (["0x00158d0004c0ffee"], "0x00158d0004c0ffee", False),
        ("opendtu-114182940773", "opendtu-114182940773", False),
        (["facade sud"], "facade-sud", True),
        ([4711], "4711", True),
        ([], "solar", True),
    ):
        memory = announced(entity("Solar power", "W", "power", device={"ids": ids}, uniq_id="solar_power"))
        (found,) = take(memory, "x/Solar power", b"1")
        assert (found.serial, found.local) == (serial, local)
    addressed = entity("Solar power", "W", "power", device={"cns": [["mac", "02:5b:26:a8:dc:12"]]}, uniq_id="solar_power")
    assert take(announced(addressed), "x/Solar power", b"1")[0].serial == "02-5b-26-a8-dc-12"


def test_a_device_announces_all_of_its_values_at_once() -> None:
    config = {
        "dev": {"ids": "SN12345678", "name": "Hybrid"},
        "o": {"name": "bridge"},
        "state_topic": "bridge/SN12345678",
        "cmps": {
            "power": {"p": "sensor", "name": "Solar power", "unit_of_meas": "W", "val_tpl": "{{ value_json.p }}"},
            "volt": {"p": "sensor", "name": "Voltage L1", "unit_of_meas": "V", "val_tpl": "{{ value_json.u[0] }}"},
            "relay": {"p": "switch", "name": "Solar power", "unit_of_meas": "W", "cmd_t": "x"},
            "gone": {"p": "sensor"},
        },
    }  # fmt: skip
    memory = Memory()
    take(memory, "homeassistant/device/bridge/SN12345678/config", config)
    body = {"p": 5, "u": [231.4, None]}
    assert said(take(memory, "bridge/SN12345678", body)) == [("SN12345678", {"pv_power_w": 5.0, "ac_voltage_v_l1": 231.4})]
    assert take(memory, "bridge/SN12345678", body)[0].sample.t == GRID


def test_values_of_one_measure_exclude_each_other_unless_one_is_the_total() -> None:
    one, two = entity("East solar power", "W", "power"), entity("West solar power", "W", "power")
    memory = announced(one, two)
    assert take(memory, "x/East solar power", b"1") == []
    memory = announced(one, two, entity("Total solar power", "W", "power"))
    assert take(memory, "x/East solar power", b"1") == []
    assert said(take(memory, "x/Total solar power", b"3")) == [("SN12345678", {"pv_power_w": 3.0})]
    memory = announced(one, one)  # announced in two ways
    assert take(memory, "x/East solar power", b"1")


def test_a_template_that_is_not_understood_is_refused_once_and_the_others_count() -> None:
    memory = Memory()
    config = {
        "dev": {"ids": "SN12345678"},
        "cmps": {
            "a": entity("Solar power", "W", "power") | {"p": "sensor", "val_tpl": "{{ value | float if value else 0 }}"},
            "b": entity("Grid power", "W", "power") | {"p": "sensor"},
            "c": entity("Kitchen power", "W", "power") | {"p": "sensor", "value_template": "{% raw %}"},  # nobody's anyway
        },
    }  # fmt: skip
    with pytest.raises(BadInput) as refused:
        take(memory, "homeassistant/device/x/config", config)
    assert refused.value.code == "template_unsupported"
    assert "a: this template" in refused.value.detail
    assert take(memory, "homeassistant/device/x/config", config) == []  # known by now
    assert take(memory, "x/Grid power", b"1")
    assert take(memory, "x/Solar power", b"1") == []


def test_values_that_are_none() -> None:
    memory = announced(entity("Grid power", "W", "power"))
    for body in (b"unavailable", b"unknown", b"", b"nan", b"None", b"12 W", b"1" * 65, b"\xff\xfe"):
        assert take(memory, "x/Grid power", body) == []
    memory = announced(SAMPLE)
    assert take(memory, "plant/inv1/state", {"other": 1}) == []
    with pytest.raises(BadInput) as refused:
        take(memory, "plant/inv1/state", b"{NaN")
    assert refused.value.code == "bad_payload"


def test_the_same_announcement_again_changes_nothing_and_another_one_counts_from_then_on() -> None:
    memory = announced(SAMPLE)
    assert len(memory.learned()) == 1
    take(memory, "homeassistant/sensor/n0/config", SAMPLE, t=T + 60_000)
    assert memory.learned() == {}
    take(memory, "homeassistant/sensor/n0/config", SAMPLE | {"val_tpl": "{{ value_json.pac }}"}, t=T + 60_000)
    assert take(memory, "plant/inv1/state", {"pac": 10}, t=T + 1_000) == []  # told before: taken in then
    assert said(take(memory, "plant/inv1/state", {"pac": 10}, t=T + 61_000)) == [("inv1", {"pv_power_w": 10.0})]
    take(memory, "homeassistant/sensor/n0/config", SAMPLE | {"unit_of_meas": "dB"})
    assert len(memory) == 0


def test_what_is_remembered_of_a_house_is_bounded() -> None:
    memory, refused = Memory(), None
    for number in range(MEMORY_ENTRIES_PER_SENDER_MAX + 1):
        config = entity("Solar power", "W", "power") | {"device": {"ids": f"SN1234{number:04}"}}
        try:
            take(memory, f"homeassistant/sensor/n{number}/config", config)
        except BadInput as error:
            refused = error.code
    assert refused == "memory_full"
    assert 300 < len(memory) <= MEMORY_ENTRIES_PER_SENDER_MAX
    take(memory, "homeassistant/sensor/n0/config", b"")
    take(memory, "homeassistant/sensor/later/config", entity("Solar power", "W", "power"))


def test_topics_with_a_base_at_either_end_and_any_prefix() -> None:
    memory = Memory()
    take(memory, "ha/sensor/device/a/config", entity("Solar power", "W", "power") | {"~": "p/q", "state_topic": "state/~"})
    assert take(memory, "state/p/q", b"1")
    for topic in ("homeassistant/switch/a/config", "homeassistant/status", "homeassistant/sensor/a/b/c/d/config"):
        assert take(Memory(), topic, b"online") == []


def test_a_format_of_its_own_comes_first() -> None:
    memory = Memory()
    config = entity("Power", "W", "power") | {"state_topic": "solar/114182940773/0/power"}
    take(memory, "homeassistant/sensor/114182940773/power/config", config, codec="any", retained=True)
    assert len(memory) == 1
    assert said(take(memory, "solar/114182940773/0/power", b"5", codec="any")) == [("114182940773", {"pv_power_w": 5.0})]
    take(memory, "homeassistant/sensor/own/config", SAMPLE, codec="any", retained=True)
    assert said(take(memory, "plant/inv1/state", {"pac": 10}, codec="any")) == [("inv1", {"pv_power_w": 1.0})]


WORDS = st.sampled_from(
    ["Solar power", "Grid", "W", "kWh", "power", "energy", "total_increasing", "a/b", "~/b", "{{ value }}", "sensor", "\x00"]
) | st.text(max_size=6)  # fmt: skip
KEYS = st.sampled_from(
    ["name", "stat_t", "val_tpl", "unit_of_meas", "dev_cla", "stat_cla", "uniq_id", "dev", "ids", "cns", "cmps", "p", "~"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=8),
    max_leaves=15,
)
TOPICS = st.sampled_from(["homeassistant/sensor/a/config", "homeassistant/device/a/config", "a/b", "/b", "b"])
BODIES = JSON.map(msgspec.json.encode) | st.binary(max_size=60) | st.just(b"12.5")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TOPICS, BODIES, st.booleans()), max_size=8))
def test_whatever_comes_is_samples_or_a_coded_refusal(messages: list[tuple[str, bytes, bool]]) -> None:
    memory = Memory()
    for topic, body, retained in messages:
        try:
            found = take(memory, topic, body, retained=retained)
        except BadInput:
            continue
        for _, sample, _ in found:
            assert all(is_measure(measure) and value is not None for measure, value in sample.v.items())
    Memory({key: value for key, value in memory.learned().items() if value is not None})
