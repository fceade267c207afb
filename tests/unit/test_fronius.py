"""What Fronius's push service sends: logged intervals, meters, what is going on now. Values are made up."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.fronius import FORMAT
from fleet.codecs.files.reading import ReadingSettings
from tests.file_reading import Reading, at, read

START = "2024-07-01T00:00:00+02:00"
NOON = at("2024-07-01T12:00:00+02:00")
FIVE_PAST = NOON + 300_000


def answer(body: Any, *, timestamp: str = "2024-07-01T12:00:00+02:00", **arguments: str) -> bytes:
    return msgspec.json.encode(
        {"Head": {"RequestArguments": arguments, "Status": {"Code": 0}, "Timestamp": timestamp}, "Body": {"Data": body}}
    )


def channels(start: str = START, **values: dict[str, float | None]) -> dict[str, Any]:
    return {
        "NodeType": 97, "Start": start, "End": "2024-07-01T23:59:59+02:00",
        "Data": {name: {"Unit": "Wh", "Values": each, "_comment": "x"} for name, each in values.items()},
    }  # fmt: skip


def data(body: Any, stamp: Any = None, **kept: str) -> Reading:
    raw = answer(body, **kept)
    assert FORMAT.recognises(raw)
    return read(FORMAT, raw, settings=ReadingSettings(stamp=stamp))


def test_energy_of_intervals_ends_at_start_and_key() -> None:
    found = data({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={"43200": 251.5, "43500": 249})})
    assert found.codes == []
    assert found.rows == {
        "inverter/1": {
            NOON: {"pv_interval_wh": 251.5, "interval_s": 300.0},
            FIVE_PAST: {"pv_interval_wh": 249.0, "interval_s": 300.0},
        }
    }


def test_whoever_knows_that_keys_begin_intervals_says_so() -> None:
    found = data({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={"43200": 251.5})}, stamp="start")
    assert found.rows == {"inverter/1": {FIVE_PAST: {"pv_interval_wh": 251.5, "interval_s": 300.0}}}


def test_how_long_an_interval_is() -> None:
    told = data({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={"43200": 9}, TimeSpanInSec={"43200": 299})})
    assert told.rows["inverter/1"][NOON]["interval_s"] == 299.0
    quarters = {"900": 0.0, "1800": 0.0, "2700": 0.0, "43200": 9.0, "43500": 3.0}  # a night between them, and an odd one
    rows = data({"inverter/1": channels(EnergyReal_WAC_Sum_Produced=quarters)}).rows["inverter/1"]
    assert [each["interval_s"] for each in rows.values()] == [900.0, 900.0, 900.0, 900.0, 300.0]


def test_an_inverters_other_channels() -> None:
    found = data({
        "inverter/1": channels(
            EnergyReal_WAC_Sum_Produced={"43200": 251.5}, PowerReal_PAC_Sum={"43200": -3},
            Voltage_DC_String_2={"43200": 401.5}, Current_DC_String_1={"43200": None},
            Temperature_Powerstage={"43200": 41}, Voltage_AC_Phase_1={"43200": 231},
            InverterEvents={}, Digital_Channel_1={"43200": 0}, Foo={"43200": 1},
        ),
        "inverter/2": channels(Foo={"43200": 1}),
    })  # fmt: skip
    assert found.codes == ["unknown_column"]
    assert found.refusals[0].gaps == {"name": "Foo", "unit": "–"}
    assert found.rows["inverter/1"][NOON] == {
        "pv_power_w": 0.0, "inverter_temp_c": 41.0, "ac_voltage_v_l1": 231.0, "dc_voltage_v_2": 401.5,
        "pv_interval_wh": 251.5, "interval_s": 300.0,
    }  # fmt: skip


def meter(location: float) -> dict[str, Any]:
    return channels(
        EnergyReal_WAC_Plus_Absolute={"43200": 1_739_327}, EnergyReal_WAC_Minus_Absolute={"43200": 739_014},
        EnergyReal_WAC_Sum_Produced={"43200": 12}, Meter_Location_Current={"43200": location},
    )  # fmt: skip


def test_a_meters_counters_are_lifetime() -> None:
    found = data({"meter:15480258": meter(0)})
    assert found.codes == []
    assert found.rows == {"15480258": {NOON: {"import_energy_wh": 1_739_327.0, "export_energy_wh": 739_014.0}}}


def test_a_meter_elsewhere_does_not_count_the_grid() -> None:
    found = data({"meter:15480258": meter(256)})
    assert (found.codes, found.rows) == (["meter_elsewhere"], {})


@pytest.mark.parametrize(
    "body", [None, {}, [], {"inverter/1": None}, {"inverter/1": channels()}, {"inverter/1": {"Start": None, "Data": None}}]
)
def test_at_night_nothing_comes_and_that_is_no_error(body: Any) -> None:
    found = data(body)
    assert (found.unreadable, found.codes, found.rows) == (None, [], {})


def test_nulls_are_missing_and_zeros_are_not() -> None:
    found = data({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={"300": None, "600": 0})})
    assert list(found.rows["inverter/1"].values()) == [{"pv_interval_wh": 0.0, "interval_s": 300.0}]


def test_the_day_on_which_summer_time_begins_and_ends() -> None:
    """Keys are seconds that went by, so the clock does not matter."""
    day = {str(hour * 3_600): 100.0 for hour in range(1, 26)}
    spring = data({"inverter/1": channels("2024-03-31T00:00:00+01:00", EnergyReal_WAC_Sum_Produced=day)})
    assert at("2024-04-01T00:00:00+02:00") in spring.rows["inverter/1"]
    assert min(spring.rows["inverter/1"]) == at("2024-03-31T01:00:00+01:00")
    autumn = data({"inverter/1": channels("2024-10-27T00:00:00+02:00", EnergyReal_WAC_Sum_Produced=day)})
    assert max(autumn.rows["inverter/1"]) == at("2024-10-28T00:00:00+01:00")


def test_what_is_going_on_now() -> None:
    system = {
        "PAC": {"Unit": "W", "Values": {"1": 3_210, "2": None}},
        "TOTAL_ENERGY": {"Unit": "Wh", "Values": {"1": 9_000_000, "2": 8_000_000}},
        "DAY_ENERGY": {"Unit": "Wh", "Values": {"1": 9_000}},
    }
    assert data(system).rows == {
        "inverter/1": {NOON: {"pv_power_w": 3_210.0, "pv_energy_wh": 9_000_000.0}},
        "inverter/2": {NOON: {"pv_energy_wh": 8_000_000.0}},
    }
    one = {
        "PAC": {"Unit": "kW", "Value": 3.21},
        "DAY_ENERGY": {"Unit": "Wh", "Value": 9_000},
        "UDC": {"Unit": "V", "Value": 400},
    }
    assert data(one, DeviceId="1").rows == {
        "inverter/1": {NOON: {"pv_power_w": 3_210.0, "pv_day_energy_wh": 9_000.0, "dc_voltage_v_1": 400.0}}
    }


def test_a_meter_of_now() -> None:
    smart = {"Details": {"Serial": "15480258"}, "PowerReal_P_Sum": -834.2, "EnergyReal_WAC_Plus_Absolute": 1_739_327,
             "PowerApparent_S_Sum": 854, "Voltage_AC_Phase_1": 231.2, "Meter_Location_Current": 0}  # fmt: skip
    assert data({"0": smart}).rows == {
        "15480258": {
            NOON: {
                "grid_power_w": -834.2, "import_energy_wh": 1_739_327.0, "apparent_power_va": 854.0,
                "ac_voltage_v_l1": 231.2,
            }
        }
    }  # fmt: skip
    assert data({"0": smart | {"Meter_Location_Current": 1}}).codes == ["meter_elsewhere"]


def test_powerflow_and_its_signs() -> None:
    site = {
        "P_PV": 3_000,
        "P_Grid": -1_200.5,
        "P_Load": -800,
        "P_Akku": -1_000,
        "E_Total": 9_000_000,
        "E_Day": 9_000,
        "rel_Autonomy": 100,
    }
    body = {"Site": site, "Inverters": {"1": {"DT": 99, "P": 3_000, "SOC": 71}}}
    assert data(body).rows == {
        None: {
            NOON: {
                "pv_power_w": 3_000.0, "grid_power_w": -1_200.5, "load_power_w": 800.0, "battery_power_w": 1_000.0,
                "pv_energy_wh": 9_000_000.0, "battery_soc_pct": 71.0,
            }
        }
    }  # fmt: skip
    night = {"Site": {"P_PV": None, "P_Grid": 300, "P_Load": None, "P_Akku": None, "E_Total": None, "E_Day": None}}
    assert data(night).rows == {None: {NOON: {"grid_power_w": 300.0}}}


def test_several_answers_in_one_file() -> None:
    raw = (
        b"[" + answer({"Site": {"P_PV": 1}}) + b"," + answer({"Site": {"P_PV": 2}}, timestamp="2024-07-01T10:05:00Z") + b"]"
    )
    assert FORMAT.recognises(raw)
    assert read(FORMAT, raw).rows == {None: {NOON: {"pv_power_w": 1.0}, FIVE_PAST: {"pv_power_w": 2.0}}}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (answer({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={"43200": 1})}).replace(b":1}", b":NaN}"), "bad_json"),
        (answer({"Site": {"P_PV": 1}}).replace(b":1}", b":Infinity}"), "bad_json"),
        (answer({"Site": {"P_PV": 1}})[:-5], "bad_json"),
        (answer({"Site": {"P_PV": 1}}, timestamp="soon"), "bad_time"),
        (answer({"inverter/1": channels("", EnergyReal_WAC_Sum_Produced={"0": 1})}), "bad_time"),
        (answer({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={"0": 61_200})}, SeriesType="DailySum"), "daily_sums"),
        (answer({"inverter/1": channels(InverterEvents={"43200": 1})}), "not_readings"),
        (answer({"0": {"Controller": {}}}), "not_readings"),
        (b"[" * 100_000, "bad_json"),
    ],
)
def test_what_is_refused_as_a_whole(raw: bytes, code: str) -> None:
    found = read(FORMAT, raw)
    assert found.unreadable is not None
    assert found.unreadable.code == code


def test_a_channel_that_is_damaged_costs_itself_only() -> None:
    body = {
        "inverter/1": channels(
            EnergyReal_WAC_Sum_Produced={"43200": 9}, PowerReal_PAC_Sum={"-300": 1}, Voltage_AC_Phase_1={"0": "x"}
        )
    }  # type: ignore[dict-item]
    found = data(body)
    assert sorted(found.codes) == ["bad_number", "bad_time"]
    assert found.rows == {"inverter/1": {NOON: {"pv_interval_wh": 9.0, "interval_s": 300.0}}}


def test_devices_that_are_something_else() -> None:
    found = data({"ohmpilot/0": channels(PowerReal_PAC_Sum={"0": 1})})
    assert (found.codes, found.rows) == (["not_an_inverter"], {})


@pytest.mark.parametrize("head", [b"", b"{}", b'{"Head":{}}', b'[{"n":"x","v":1}]', b'{"Body":{"x":1}}', b"\x00\xff"])
def test_other_files_are_not_recognised(head: bytes) -> None:
    assert not FORMAT.recognises(head)


DAY = {str(key): float(key % 250) for key in range(300, 86_400, 300)}


@given(keys=st.permutations(list(DAY)[:40]), chunk=st.integers(1, 500))
@settings(max_examples=40, deadline=None)
def test_the_order_of_keys_changes_nothing(keys: list[str], chunk: int) -> None:
    shuffled = answer({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={key: DAY[key] for key in keys})})
    sorted_ = answer({"inverter/1": channels(EnergyReal_WAC_Sum_Produced={key: DAY[key] for key in sorted(keys)})})
    assert read(FORMAT, shuffled, chunk=chunk).rows == read(FORMAT, sorted_).rows


WORDS = st.sampled_from([
    "Data", "Start", "Values", "Unit", "Value", "PAC", "Site", "P_PV", "inverter/1", "meter:1", "0", "300", "E_Total",
    "Details", "EnergyReal_WAC_Sum_Produced", "EnergyReal_WAC_Plus_Absolute", "TimeSpanInSec",
])  # fmt: skip
PLAIN = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.sampled_from(["", START])
)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=25
)


@given(body=JSON, cut=st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_any_json_is_refused_or_read(body: Any, cut: int) -> None:
    raw = answer(body)
    for each in (raw, raw[:cut], b"[" + raw + b"]"):
        FORMAT.recognises(each)
        read(FORMAT, each)
