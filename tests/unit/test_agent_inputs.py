"""What the agent's inputs make of what they read, without a wire."""

import math
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec2.device import Model

from edge.agent import settings as agent_settings
from edge.agent.inputs import InputSettings, NoLimit, SimulatedSettings, make_input
from edge.agent.inputs import sunspec_models as models
from edge.agent.inputs.modbus import ModbusInput, decoded
from edge.agent.inputs.mqtt import MqttInput
from edge.agent.inputs.settings import ModbusSettings, MqttSettings, Register, SimulatedDevice
from edge.agent.inputs.simulated import SimulatedInput
from edge.agent.inputs.simulated_house import Registers, clear_sky_w_m2, elevation_deg
from edge.limits import RAW_BATCH_BYTES_MAX, RAW_MESSAGES_PER_S_MAX, RAW_PAYLOAD_BYTES_MAX
from fleet.errors import BadInput
from fleet.limits import PAYLOAD_BYTES_MAX, RAW_PER_MESSAGE_MAX, RAW_TOPIC_CHARS_MAX
from fleet.measures import is_measure
from fleet.sun import elevation_deg as true_elevation_deg
from fleet.telemetry import RawMessage, Sample, Telemetry
from tests.sunspec_device import common, meter, mppt, three_phase_inverter

NOON = 1_782_036_000_000  # 2026-06-21 10:00 UTC
NIGHT = NOON + 12 * 3_600_000


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str | None, Sample]] = []
        self.batches: list[list[RawMessage]] = []

    def samples(self, samples: list[Sample], source: str | None) -> None:
        self.said += [(source, sample) for sample in samples]

    def raw(self, messages: list[RawMessage]) -> None:
        self.batches.append(messages)


# SunSpec ----------------------------------------------------------------------------------------------------------


def read(*described: Model) -> dict[str, float]:
    return models.measures([models.model_of(model.model_id, model.get_mb()) for model in described])


def test_an_inverter_with_two_dc_inputs() -> None:
    said = read(three_phase_inverter(), mppt((6_012, 410, 2_465), (5_988, 822, 4_922)))
    assert said["pv_power_w"] == 7_250.0
    assert said["pv_energy_wh"] == 18_250_340.0
    assert said["ac_voltage_v_l2"] == 232.0
    assert said["ac_current_a_l3"] == 3.49
    assert said["ac_frequency_hz"] == 50.01
    assert said["inverter_temp_c"] == 41.7
    assert (said["dc_voltage_v_1"], said["dc_current_a_1"], said["dc_power_w_1"]) == (601.2, 4.1, 2_465.0)
    assert (said["dc_voltage_v_2"], said["dc_current_a_2"], said["dc_power_w_2"]) == (598.8, 8.22, 4_922.0)
    assert said["state"] == 4.0


def test_what_is_not_implemented_is_missing_and_never_zero() -> None:
    said = read(three_phase_inverter(W=-32_768, WH=0, TmpCab=-32_768, PhVphA=0xFFFF, St=0xFFFF))
    assert not {"pv_power_w", "pv_energy_wh", "inverter_temp_c", "ac_voltage_v_l1", "state"} & said.keys()
    assert "pv_power_w" not in read(three_phase_inverter(W_SF=-32_768))
    assert "pv_power_w" not in read(three_phase_inverter(W_SF=300))  # no scale factor: nobody knows how many watts that is


def test_an_inverter_that_draws_a_little_at_night_produces_nothing() -> None:
    assert read(three_phase_inverter(W=-12))["pv_power_w"] == 0.0


def der_ac(**points: float) -> Model:
    newer = Model(701)
    said = {"W_SF": 0, "W": 4_200, "TotWh_SF": 0, "TotWhInj": 9_000_000, "V_SF": -1, "VL1": 2_301, "InvSt": 3}
    for point, value in (said | points).items():
        newer.points[point].value = value
    return newer


def test_an_inverter_with_the_newer_models_only() -> None:
    head = (714).to_bytes(2, "big") + (18 + 2 * 25).to_bytes(2, "big")
    ports = models.model_of(714, head + bytes(2 * 18 + 4 * 25))
    for point, value in {"NPrt": 2, "DCA_SF": -1, "DCV_SF": 0, "DCW_SF": 0}.items():
        ports.points[point].value = value
    ports = models.model_of(714, ports.get_mb())
    for number, kind in enumerate((1, 0)):  # a battery first, then panels
        for point, value in {"PrtTyp": kind, "DCV": 400 + number, "DCA": 52, "DCW": 2_080}.items():
            ports.groups["Prt"][number].points[point].value = value
    said = models.measures([der_ac(), ports])
    assert (said["pv_power_w"], said["pv_energy_wh"], said["ac_voltage_v_l1"], said["state"]) == (4_200, 9_000_000, 230.1, 4)
    assert (said["dc_voltage_v_1"], said["dc_current_a_1"], said["dc_power_w_1"]) == (401.0, 5.2, 2_080.0)
    assert "dc_power_w_2" not in said


def test_what_is_said_by_old_and_new_models_is_read_once() -> None:
    assert read(three_phase_inverter(W=1_000), der_ac(W=2_000))["pv_power_w"] == 1_000.0


def test_a_meter_counts_import_as_positive() -> None:
    said = read(meter(W=-1_840))
    assert said["grid_power_w"] == -1_840.0
    assert (said["import_energy_wh"], said["export_energy_wh"]) == (12_345_678.0, 3_210_987.0)


@pytest.mark.parametrize(
    ("status", "power_w", "expected"), [(4, 900, 900.0), (3, 900, -900.0), (3, -900, -900.0), (6, 5, None)]
)
def test_a_batterys_sign_is_that_of_its_charge_status(status: int, power_w: int, expected: float | None) -> None:
    battery = Model(802)
    for point, value in {"W_SF": 0, "W": power_w, "ChaSt": status, "SoC_SF": -1, "SoC": 645}.items():
        battery.points[point].value = value
    said = read(battery)
    assert said["battery_soc_pct"] == 64.5
    assert said.get("battery_power_w") == expected


@given(model=st.sampled_from(sorted(models.READ)), data=st.binary(max_size=400))
def test_whatever_the_registers_hold_there_are_measures_or_nothing(model: int, data: bytes) -> None:
    head = model.to_bytes(2, "big") + (len(data) // 2).to_bytes(2, "big")
    said = models.measures([models.model_of(model, head + data)])
    assert all(is_measure(name) and math.isfinite(value) for name, value in said.items())


@pytest.mark.parametrize("length", [0, 9, 8 + 19, 8 + 21])
def test_a_block_that_is_cut_has_no_inputs(length: int) -> None:
    head = (160).to_bytes(2, "big") + length.to_bytes(2, "big")
    assert models.measures([models.model_of(160, head + bytes(2 * length))]) == {}


def test_a_common_model_names_the_device() -> None:
    model = models.model_of(1, common("INV-0001").get_mb())
    assert (models.text(model, "SN"), models.text(model, "Mn")) == ("INV-0001", "Made Up")


# Modbus -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "words", "value"),
    [
        (Register("pv_power_w", 0, "i16", scale=10), [0xFFFF], -10.0),
        (Register("pv_power_w", 0, "u16"), [0xFFFF], 65_535.0),
        (Register("pv_power_w", 0, "u16", missing=0xFFFF), [0xFFFF], None),
        (Register("pv_energy_wh", 0, "u32", scale=100), [0x0001, 0x0002], 6_553_800.0),
        (Register("pv_energy_wh", 0, "u32", word_order="little"), [0x0002, 0x0001], 65_538.0),
        (Register("grid_power_w", 0, "i32"), [0xFFFF, 0xFFFE], -2.0),
        (Register("ac_voltage_v", 0, "float32"), [0x4366, 0x8000], 230.5),
        (Register("ac_voltage_v", 0, "float32"), [0x7FC0, 0x0000], None),
        (Register("ambient_temp_c", 0, "i16", scale=0.1, offset=-40), [650], 25.0),
    ],
)
def test_registers(register: Register, words: list[int], value: float | None) -> None:
    assert decoded(register, words) == value


def test_a_register_map_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="neither registers nor"):
        ModbusInput(ModbusSettings(host="h"))
    twice = (Register("pv_power_w", 0, "u16"), Register("pv_power_w", 1, "u16"))
    with pytest.raises(BadInput, match="same measure"):
        ModbusInput(ModbusSettings(host="h", registers=twice))
    file = tmp_path / "map.toml"
    file.write_text('[[registers]]\nmeasure = "pv_power_w"\naddress = 3\ntype = "u16"\nscale = 0.1\n')
    ModbusInput(ModbusSettings(host="h", registers_file=str(file)))
    for wrong in ('measure = "warp_factor"', 'measure = "pv_power_w"\ntyp = "u16"', "measure ="):
        file.write_text(f'[[registers]]\naddress = 3\ntype = "u16"\n{wrong}\n')
        with pytest.raises(BadInput) as refused:
            ModbusInput(ModbusSettings(host="h", registers_file=str(file)))
        assert refused.value.code == "bad_register_map"


# MQTT -------------------------------------------------------------------------------------------------------------


def mqtt_input() -> MqttInput:
    return MqttInput(MqttSettings(host="h", topics=("#",)))


def test_messages_go_on_untouched_but_giants_do_not() -> None:
    source, sink = mqtt_input(), Kept()
    said = [RawMessage(NOON, "solar/1/0/power", b"\x00\xff"), RawMessage(NOON, "solar/1/0/power", b"old", retained=True)]
    for message in said:
        source.take(message, NOON)
    source.take(RawMessage(NOON, "solar/1/0/power", b"x" * (RAW_PAYLOAD_BYTES_MAX + 1)), NOON)
    source.take(RawMessage(NOON, "t" * (RAW_TOPIC_CHARS_MAX + 1), b""), NOON)
    source.flush(sink)
    assert sink.batches == [said]
    assert source.dropped == 2


def test_a_platform_is_told_of_a_copy_and_of_nothing_that_it_would_not_know() -> None:
    assert msgspec.json.encode(RawMessage(1, "a", b"")) == b'{"t":1,"topic":"a","payload":""}'
    copy = RawMessage(1, "a", b"", retained=True)
    assert msgspec.json.decode(msgspec.json.encode(copy), type=RawMessage) == copy


def test_a_flood_is_cut_to_its_rate() -> None:
    source, sink = mqtt_input(), Kept()
    for number in range(200 * RAW_MESSAGES_PER_S_MAX):
        source.take(RawMessage(NOON, "t", b""), NOON + number * 20 // RAW_MESSAGES_PER_S_MAX)
    source.flush(sink)
    assert sum(map(len, sink.batches)) < 30 * RAW_MESSAGES_PER_S_MAX


@given(sizes=st.lists(st.integers(0, RAW_PAYLOAD_BYTES_MAX), max_size=300))
def test_batches_fit_into_the_platforms_messages(sizes: list[int]) -> None:
    source, sink = mqtt_input(), Kept()
    for size in sizes:
        source.take(RawMessage(NOON, "solar/114182940773/0/power", b"\xff" * size), NOON)
    source.flush(sink)
    assert sum(map(len, sink.batches)) == len(sizes)
    for batch in sink.batches:
        assert len(batch) <= RAW_PER_MESSAGE_MAX
        assert sum(len(message.payload) for message in batch) <= RAW_BATCH_BYTES_MAX + RAW_PAYLOAD_BYTES_MAX
        assert len(msgspec.json.encode(Telemetry([], 1, 1, "s", raw=batch))) <= PAYLOAD_BYTES_MAX


# Simulated --------------------------------------------------------------------------------------------------------


def simulated(folder: Path, profile: str = "gateway", **options: Any) -> SimulatedInput:
    return SimulatedInput(SimulatedSettings(**options), profile, folder, NoLimit())


def at(source: SimulatedInput, registers: Registers, now: int) -> dict[str | None, Sample]:
    return dict(source.samples(registers, now))


def test_a_gateway_speaks_for_an_inverter_and_a_meter_that_agree(tmp_path: Path) -> None:
    said = at(simulated(tmp_path, latitude=44.7, longitude=5.0), Registers(), NOON)
    inverter, meter_said = said["SIM-INVERTER-1"].v, said["SIM-METER-1"].v
    pv_w, grid_w = inverter["pv_power_w"], meter_said["grid_power_w"]
    assert pv_w is not None
    assert grid_w is not None
    assert 3_000 < pv_w < 6_000
    assert 100 < pv_w + grid_w < 1_000  # the house's load


def test_noon_can_be_played_at_night(tmp_path: Path) -> None:
    place = {"latitude": 44.7, "longitude": 5.0}
    assert at(simulated(tmp_path, "inverter", **place), Registers(), NIGHT)[None].v["pv_power_w"] == 0.0
    by_night = at(simulated(tmp_path, "inverter", sun="noon", **place), Registers(), NIGHT)[None].v["pv_power_w"]
    assert by_night is not None
    assert by_night > 3_000


def test_counters_grow_as_the_powers_say_and_survive_a_restart(tmp_path: Path) -> None:
    first = simulated(tmp_path, "inverter", sun="noon")
    registers = Registers()
    start = at(first, registers, NOON)[None].v["pv_energy_wh"]
    again = simulated(tmp_path, "inverter", sun="noon")
    kept = again._load()
    assert kept == registers
    hour_later = at(again, kept, NOON + 3_600_000)[None].v
    assert start is not None
    assert hour_later["pv_energy_wh"] is not None
    assert 4_000 < hour_later["pv_energy_wh"] - start < 5_500
    before = hour_later["pv_energy_wh"]
    assert at(again, kept, NOON)[None].v["pv_energy_wh"] == before  # a clock that goes back takes nothing back


class Limited:
    full_power_in_s = None

    def __init__(self, pct: float | None) -> None:
        self.pct = pct


@settings(deadline=None, max_examples=30)  # each writes to the disk
@given(pct=st.floats(0, 100), clouds=st.integers(0, 3_600_000))
def test_a_limit_caps_power_and_what_the_counters_add(pct: float, clouds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = SimulatedSettings(sun="noon", peak_power_w=5_000.0)
        source = SimulatedInput(settings, "inverter", Path(folder), Limited(pct))
        registers = Registers()
        start = at(source, registers, NOON + clouds)[None].v
        later = at(source, registers, NOON + clouds + 3_600_000)[None].v
    assert (start["pv_power_w"] or 0.0) <= 50.0 * pct + 1e-3
    grown = (later["pv_energy_wh"] or 0.0) - (start["pv_energy_wh"] or 0.0)
    assert 0 <= grown <= 50.0 * pct + 1


def test_a_limit_that_ends_gives_full_power_back(tmp_path: Path) -> None:
    limit = Limited(20.0)
    source = SimulatedInput(SimulatedSettings(sun="noon", peak_power_w=5_000.0), "inverter", tmp_path, limit)
    registers = Registers()
    assert at(source, registers, NOON)[None].v["pv_power_w"] == 1_000.0
    limit.pct = None
    assert (at(source, registers, NOON + 1_000)[None].v["pv_power_w"] or 0.0) > 3_000


def test_each_fault_of_an_installation_can_be_played(tmp_path: Path) -> None:
    sound = at(simulated(tmp_path, "meter", sun="noon"), Registers(), NOON)[None]
    turned = at(simulated(tmp_path, "meter", sun="noon", reversed=True), Registers(), NOON)[None]
    power_w = sound.v["grid_power_w"]
    assert power_w is not None
    assert turned.v["grid_power_w"] == -power_w
    assert turned.v["import_energy_wh"] == sound.v["export_energy_wh"]
    in_kw = at(simulated(tmp_path, "meter", sun="noon", power_scale=0.001), Registers(), NOON)[None]
    assert in_kw.v["grid_power_w"] == pytest.approx(power_w / 1000, abs=1e-3)
    assert in_kw.v["import_energy_wh"] == sound.v["import_energy_wh"]
    late = at(simulated(tmp_path, "meter", clock_offset_s=-7_200.0), Registers(), NOON)[None]
    assert late.t == NOON - 7_200_000


@pytest.mark.parametrize("profile", ["battery", "sunspec-inverter", "sunspec-meter", "irradiance", "opendtu-inverter"])
def test_every_kind_has_something_to_say(profile: str, tmp_path: Path) -> None:
    assert at(simulated(tmp_path, profile), Registers(), NOON)[None].v


def test_children_and_unknown_profiles(tmp_path: Path) -> None:
    children = (SimulatedDevice("BAT-1", "battery"),)
    assert list(at(simulated(tmp_path, devices=children), Registers(), NOON)) == ["BAT-1"]
    with pytest.raises(BadInput) as refused:
        simulated(tmp_path, "toaster")
    assert refused.value.code == "unknown_profile"


@given(now=st.integers(1_767_225_600_000, 1_798_761_600_000), latitude=st.floats(40, 52), longitude=st.floats(-5, 10))
def test_the_simple_sun_is_near_the_true_one(now: int, latitude: float, longitude: float) -> None:
    assert abs(elevation_deg(latitude, longitude, now) - true_elevation_deg(latitude, longitude, now)) < 5.0


def test_no_sun_below_the_horizon() -> None:
    assert clear_sky_w_m2(-1.0) == 0.0
    assert 900 < clear_sky_w_m2(62.0) < 1_000


# Settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        {"type": "mqtt", "host": "venus.local", "topics": ["N/#"], "victron_portal": "auto"},
        {"type": "modbus", "host": "h", "registers": [{"measure": "pv_power_w", "address": 1, "type": "u16"}]},
        {"type": "sunspec", "host": "h", "period_s": 5},
        {"type": "simulated", "sun": "noon", "reversed": True, "power_scale": 0.001, "clock_offset_s": 7200},
    ],
)
def test_settings_make_inputs(written: dict[str, Any], tmp_path: Path) -> None:
    settings = msgspec.convert(written, InputSettings)
    assert make_input(settings, profile="gateway", state_folder=tmp_path).name == written["type"]


@pytest.mark.parametrize(
    "written",
    [
        {"type": "mqtt", "host": "h"},
        {"type": "mqtt", "host": "h", "topics": ["#"], "user": "me"},
        {"type": "modbus", "host": "h", "port": 70_000},
        {"type": "sunspec", "host": "h", "period_s": 0.01},
        {"type": "simulated", "name": "../../etc/passwd"},
        {"type": "smoke-signals"},
    ],
)
def test_settings_are_checked(written: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, InputSettings)


def test_the_readmes_agent_toml_can_be_read(tmp_path: Path) -> None:
    section = (Path(__file__).parents[2] / "README.md").read_text().partition("## What an agent reads")[2]
    file = tmp_path / "agent.toml"
    file.write_text(section.partition("```toml\n")[2].partition("```")[0])
    inputs = agent_settings.read(file).inputs
    assert [make_input(each, profile="gateway", state_folder=tmp_path).name for each in inputs] == [
        "sunspec", "heat-meter", "mqtt", "simulated",
    ]  # fmt: skip
