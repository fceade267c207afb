"""Huawei SmartLogger, SMA CSV1 and CSV3, SBFspot, Solar-Log CSV. Values are made up."""

import pytest

from fleet.codecs.files import huawei, sma_csv, solar_log_csv
from fleet.codecs.files.reading import FileFormat, ReadingSettings
from tests.file_reading import Reading, at, read
from tests.samples.wide_samples import (
    AUTUMN,
    HUAWEI,
    HUAWEI_COLUMNS,
    SBFSPOT,
    SBFSPOT_SPOT,
    SMA_CSV1,
    SMA_CSV3,
    SMA_MONTH,
    SOLAR_LOG_CSV,
    SPRING,
    clock,
    instants,
    values,
)

NOON = at("2024-07-01T12:00:00+02:00")
FIVE = 300_000


def told(file_format: FileFormat, text: str | bytes, *, name: str = "export.csv", **kept: object) -> Reading:
    raw = text.encode() if isinstance(text, str) else text
    return read(file_format, raw, name=name, settings=ReadingSettings(**kept))  # type: ignore[arg-type]


# Huawei -----------------------------------------------------------------------------------------------------------


def test_huawei_blocks_newest_first() -> None:
    found = told(huawei.FORMAT, HUAWEI)
    first, second = found.rows["210100000000000001"], found.rows["210100000000000002"]
    assert found.order[:2] == [("210100000000000001", NOON + FIVE), ("210100000000000001", NOON)]
    assert first[NOON] == {
        "pv_power_w": 19105.0, "reactive_power_var": 0.0, "pv_energy_wh": 150608820.0, "pv_day_energy_wh": 59620.0,
        "dc_voltage_v_1": 600.9, "dc_voltage_v_2": 597.7, "dc_current_a_1": 4.1, "dc_current_a_2": 4.0,
        "ac_voltage_v_l1": 230.0, "ac_voltage_v_l2": 229.9, "ac_voltage_v_l3": 230.2, "ac_current_a_l1": 28.1,
        "ac_current_a_l2": 28.0, "ac_current_a_l3": 27.8, "ac_frequency_hz": 50.0, "power_factor": 0.999,
        "inverter_temp_c": 48.0, "state": 512.0,
    }  # fmt: skip
    assert set(second[NOON]) == {"pv_power_w", "pv_interval_wh", "interval_s", "dc_voltage_v_1", "dc_current_a_1"}


def test_huawei_energy_of_the_cycle_where_there_is_no_counter() -> None:
    rows = told(huawei.FORMAT, HUAWEI).rows["210100000000000002"]
    morning, midnight = at("2024-07-01T06:00:00+02:00"), at("2024-07-01T00:00:00+02:00")
    assert (rows[NOON]["pv_interval_wh"], rows[NOON]["interval_s"]) == (760.0, 300.0)
    assert (rows[morning]["pv_interval_wh"], rows[morning]["interval_s"]) == (20.0, 295 * 60.0)
    assert rows[midnight] == {"pv_power_w": 0.0, "dc_voltage_v_1": 0.0, "dc_current_a_1": 0.0}  # a cycle of no length


def test_huawei_other_devices_are_told_of_and_not_fatal() -> None:
    found = told(huawei.FORMAT, HUAWEI)
    assert [(each.code, each.line, each.gaps) for each in found.refusals] == [("unknown_block", 12, {"rows": "2"})]
    only = told(huawei.FORMAT, "#SmartLogger ESN:1021\n" + HUAWEI[HUAWEI.index("#EMI1") :])
    assert (only.unreadable, only.rows, only.codes) == (None, {}, ["unknown_block"])


def test_huawei_an_inverter_by_any_name_is_one_by_its_columns() -> None:
    again = told(huawei.FORMAT, HUAWEI.replace("#INV2 ESN", "#SUN2000(COM1-2) ESN"))
    assert (again.rows, again.codes) == (told(huawei.FORMAT, HUAWEI).rows, ["unknown_block"])


def test_huawei_a_file_that_grows_or_begins_without_the_loggers_own_line() -> None:
    lines = HUAWEI.splitlines(keepends=True)
    half = told(huawei.FORMAT, "".join(lines[:4]) + lines[4][:60])
    assert values(half, "pv_power_w", "210100000000000001") == [19210.0]
    assert half.codes == ["wrong_field_count"]
    assert huawei.recognises("".join(lines[1:]).encode())
    assert told(huawei.FORMAT, "".join(lines[1:4])).rows.keys() == {"210100000000000001"}


@pytest.mark.parametrize(
    "text", ["#SmartLogger ESN:1021\n", f"#SmartLogger ESN:1021\n#INV1 ESN:21010001\n{HUAWEI_COLUMNS}\n"]
)
def test_huawei_nothing_measured_yet(text: str) -> None:
    found = told(huawei.FORMAT, text)
    assert found.unreadable is not None
    assert found.unreadable.code == "header_only"


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_huawei_days_of_23_and_25_hours(day: object) -> None:
    expected = instants(day, 5)  # type: ignore[arg-type]
    rows = "".join(f"{clock(t, '%Y-%m-%d %H:%M:%S')};{n};\n" for n, t in reversed(list(enumerate(expected))))
    blocks = "".join(f"#INV{n} ESN:2101000{n}\n#Time;Pac\n{rows}" for n in (1, 2))
    found = told(huawei.FORMAT, "#SmartLogger ESN:1021\n" + blocks)
    assert found.refusals == []
    for serial in ("21010001", "21010002"):
        assert values(found, "pv_power_w", serial) == [n * 1000.0 for n in range(len(expected))]
        assert sorted(found.rows[serial]) == expected


# SMA --------------------------------------------------------------------------------------------------------------


def test_sma_two_columns_per_inverter() -> None:
    found = told(sma_csv.CSV1, SMA_CSV1)
    assert found.refusals == []
    midnight = at("2024-07-01T00:00:00+02:00")
    assert found.rows == {
        "2100000001": {
            midnight: {"pv_energy_wh": 12340000.0},  # a short first row
            NOON: {"pv_energy_wh": 12345678.0, "pv_power_w": 3204.0},
            NOON + FIVE: {"pv_energy_wh": 12345940.0, "pv_power_w": 3144.0},
        },
        "2100000002": {NOON: {"pv_energy_wh": 9345678.0, "pv_power_w": 2204.0}},
    }


def test_sma_what_the_file_declares_need_not_be_true() -> None:
    """The PC's country decides, line ends may be others, and the language of the labels is anybody's guess."""
    lied = SMA_CSV1.replace("Decimalpoint comma", "Decimalpoint dot").replace("sep=;\n", "").replace("\n", "\r\n")
    other = lied.replace("Gesamtertrag;Leistung", "Production totale;Puissance")
    for raw in (lied.encode(), other.encode("cp1252"), ("\ufeff" + lied).encode("utf-16-le")):
        assert sma_csv.CSV1.recognises(raw)
        assert told(sma_csv.CSV1, raw).rows == told(sma_csv.CSV1, SMA_CSV1).rows
    dots = SMA_CSV1.replace(",", ".")
    assert told(sma_csv.CSV1, dots).rows == told(sma_csv.CSV1, SMA_CSV1).rows


def test_sma_the_pattern_of_the_dates_is_the_files() -> None:
    for pattern, written in (("dd/MM/yyyy HH:mm:ss", "01/07/2024 12:00:00"), ("MM/dd/yyyy HH:mm", "07/01/2024 12:00")):
        text = SMA_CSV1[: SMA_CSV1.index("dd.MM")] + f"{pattern};kWh;kW;kWh;kW\n{written};1,5;2,5;3,5;4,5\n"
        assert list(told(sma_csv.CSV1, text).rows["2100000001"]) == [NOON]


def test_sma_a_month_is_days_and_their_second_column_no_power() -> None:
    found = told(sma_csv.CSV1, SMA_MONTH)
    assert found.rows["2100000001"] == {
        at("2024-03-31T00:00:00+01:00"): {"pv_interval_wh": 6423.0, "interval_s": 86_400.0},
        at("2024-04-01T00:00:00+02:00"): {"pv_interval_wh": 13349.0, "interval_s": 82_800.0},
        at("2024-10-28T00:00:00+01:00"): {"pv_interval_wh": 3349.0, "interval_s": 90_000.0},
    }


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_sma_days_of_276_and_300_rows(day: object) -> None:
    expected = instants(day, 5)  # type: ignore[arg-type]
    above = SMA_CSV1[: SMA_CSV1.index("01.07.2024")]
    text = above + "".join(f"{clock(t, '%d.%m.%Y %H:%M')};{n},5;1,0;{n},5;1,0\n" for n, t in enumerate(expected))
    found = told(sma_csv.CSV1, text)
    assert found.refusals == []
    assert sorted(found.rows["2100000001"]) == sorted(found.rows["2100000002"]) == expected
    assert values(found, "pv_energy_wh", "2100000001") == [n * 1000.0 + 500.0 for n in range(len(expected))]


def test_sma_a_pc_that_ignores_summer_time() -> None:
    expected = instants(SPRING, 5)
    above = SMA_CSV1[: SMA_CSV1.index("01.07.2024")]
    text = above + "".join(f"{clock(t, '%d.%m.%Y %H:%M', 'Etc/GMT-1')};1,5;1,0;1,5;1,0\n" for t in expected)
    wrong = told(sma_csv.CSV1, text)
    assert wrong.codes == ["time_does_not_exist"] * 12  # once for each line, however many inverters
    right = told(sma_csv.CSV1, text, timezone="+01:00")
    assert (right.codes, sorted(right.rows["2100000001"])) == ([], expected)


def test_sma_a_cut_last_line() -> None:
    found = told(sma_csv.CSV1, SMA_CSV1 + "01.07.2024 12:10;123")
    assert found.codes == ["wrong_field_count"]
    assert len(found.rows["2100000001"]) == 3


def test_sma_channels_by_name() -> None:
    found = told(sma_csv.CSV3, SMA_CSV3)
    two = at("2024-07-01T14:00:00+02:00")  # hh is not of a 12-hour clock
    assert found.rows == {
        "3000000001": {
            two: {"pv_energy_wh": 1000450.0, "pv_power_w": 3000.5, "dc_power_w_1": 1500.0, "dc_power_w_2": 1600.0},
            two + FIVE: {"pv_energy_wh": 1000700.0},
        }
    }
    assert found.refusals == []


WEBBOX = """sep=;
Version CSV1|Tool WebBox|Linebreaks CR/LF|Delimiter semicolon|Decimalpoint comma

;SN: 155000001;SN: 155000001;SN: 2110000001;SN: 2110000001;SN: 2110000002;SN: 2110000002;SN: 40001;SN: 40001
;WebBox-20;WebBox-20;SB 3000TL-20;SB 3000TL-20;STP 12000TL-10;STP 12000TL-10;SENS0700;SENS0700
;155000001;155000001;2110000001;2110000001;2110000002;2110000002;40001;40001
;Metering.TotWhOut;GridMs.TotW;Metering.TotWhOut;GridMs.TotW;Metering.TotWhOut;DcMs.Amp[A];IntSolIrr;TmpMdul C
;Counter;Analog;Counter;Analog;Counter;Analog;Analog;Analog
dd.MM.yyyy HH:mm;kWh;W;kWh;W;kWh;mA;W/m^2;°C
01.07.2024 12:00;3804,60;4594,00;881,10;1038,00;2923,50;5874,00;801,00;41,50
"""


def test_sma_a_webbox_adds_up_its_inverters() -> None:
    text = WEBBOX.replace("40001", "140001")
    found = told(sma_csv.CSV1, text)
    assert found.codes == ["sum_of_others"]
    assert found.rows == {
        "2110000001": {NOON: {"pv_energy_wh": 881_100.0, "pv_power_w": 1_038.0}},
        "2110000002": {NOON: {"pv_energy_wh": 2_923_500.0, "dc_current_a_1": 5.874}},
        "140001": {NOON: {"irradiance_w_m2": 801.0, "module_temp_c": 41.5}},
    }
    alone = "\n".join(";".join(line.split(";")[:3]) if ";SN" in line or ";" in line else line for line in text.splitlines())
    assert told(sma_csv.CSV1, alone).rows == {"155000001": {NOON: {"pv_energy_wh": 3_804_600.0, "pv_power_w": 4_594.0}}}


def test_sma_the_power_is_not_that_of_a_string() -> None:
    text = (
        "sep=;\nVersion CSV1|Tool WebBox|Delimiter semicolon\n\n;2000000001;2000000001;2000000001;2000000001\n"
        ";A.Ms.Watt;Plimit;Pac;E-Total\n;Analog;Analog;Analog;Counter\ndd.MM.yyyy HH:mm;W;W;W;kWh\n"
        "01.07.2024 12:00;1500;8000;1440;99,5\n"
    )
    assert told(sma_csv.CSV1, text).rows["2000000001"][NOON] == {
        "dc_power_w_1": 1_500.0, "pv_power_w": 1_440.0, "pv_energy_wh": 99_500.0,
    }  # fmt: skip


def test_sma_what_a_battery_puts_out_is_no_yield() -> None:
    text = SMA_CSV3.replace("DcMs.Watt,DcMs.Watt", "Bat.ChaStt,Bat.Vol").replace("[W],[W],[W],", "[W],[%],[V],")
    assert told(sma_csv.CSV3, text.replace(",1500,1600,", ",81,401,")).rows == {
        "3000000001": {at("2024-07-01T14:00:00+02:00"): {"battery_soc_pct": 81.0}}
    }
    spot = (
        "dd/MM/yyyy HH:mm:ss;DeviceName;DeviceType;Serial;PacTot;EToday;ETotal;SOC;TotWOut;TotWIn\n"
        "01/07/2024 12:00:00;SN3000000001;SBS2.5;3000000001;-800,000;1,000;90,000;81,000;0,000;250,000\n"
    )
    assert sma_csv.SBFSPOT.recognises(spot.encode())
    assert told(sma_csv.SBFSPOT, spot).rows == {"3000000001": {NOON: {"battery_soc_pct": 81.0, "grid_power_w": 250.0}}}


def test_sbfspot_day_and_spot_files() -> None:
    day = told(sma_csv.SBFSPOT, SBFSPOT)
    assert day.rows["2100000001"][NOON] == {"pv_energy_wh": 12345678.0, "pv_power_w": 3204.0}
    spot = told(sma_csv.SBFSPOT, SBFSPOT_SPOT)
    assert spot.rows["2100000002"][NOON] == {
        "pv_power_w": 1350.0, "pv_energy_wh": 9345940.0, "pv_day_energy_wh": 9340.0, "dc_power_w_1": 1400.0,
        "dc_voltage_v_1": 394.1, "dc_current_a_1": 3.7, "ac_frequency_hz": 50.01, "inverter_temp_c": 40.2,
    }  # fmt: skip


def test_sbfspot_without_the_extended_heading() -> None:
    spot = SBFSPOT_SPOT[SBFSPOT_SPOT.index("dd/MM") :]
    assert sma_csv.SBFSPOT.recognises(spot.encode())
    assert not sma_csv.CSV1.recognises(spot.encode())
    assert told(sma_csv.SBFSPOT, spot).rows == told(sma_csv.SBFSPOT, SBFSPOT_SPOT).rows
    bare = "dd/MM/yyyy HH:mm:ss;kWh;kW\n01/07/2024 12:00:00;1,500;2,000\n"
    assert sma_csv.CSV1.recognises(bare.encode())
    assert told(sma_csv.CSV1, bare).rows == {None: {NOON: {"pv_energy_wh": 1500.0, "pv_power_w": 2000.0}}}
    several = told(sma_csv.CSV1, "dd/MM/yyyy HH:mm:ss;kWh;kW;kWh;kW\n01/07/2024 12:00:00;1,500;2,000;1,500;2,000\n")
    assert several.unreadable is not None
    assert several.unreadable.code == "serials_missing"


def test_sma_times_alone_take_their_date_from_the_files_name() -> None:
    text = (
        "sep=;\nVersion CSV1|Tool WB\n\n;2100000001;2100000001\n;E-Total;Pac\n;Counter;Analog\nhh:mm;kWh;kW\n12:00;1,5;2,0\n"
    )
    found = told(sma_csv.CSV1, text, name="2024-07-01.csv")
    assert found.rows == {"2100000001": {NOON: {"pv_energy_wh": 1500.0, "pv_power_w": 2000.0}}}
    nameless = told(sma_csv.CSV1, text, name="x.csv")
    assert nameless.unreadable is not None
    assert nameless.unreadable.code == "date_missing"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SMA_CSV1[: SMA_CSV1.index("01.07.2024")], "header_only"),
        (SMA_CSV1[: SMA_CSV1.index("dd.MM")], "columns_not_found"),
        ("Version CSV1|Tool SBFspot\n\nDeviceType;SerNo;TimeStamp;EntryId;EventCode\n", "not_readings"),
        ("", "empty_file"),
    ],
)
def test_sma_files_without_readings(text: str, code: str) -> None:
    found = told(sma_csv.CSV1, text)
    assert found.unreadable is not None
    assert found.unreadable.code == code


# Solar-Log --------------------------------------------------------------------------------------------------------


def test_solar_log_groups_of_inverters() -> None:
    found = told(solar_log_csv.FORMAT, SOLAR_LOG_CSV)
    assert found.refusals == []
    half_past_two = at("2024-07-01T14:30:00+02:00")
    assert found.rows.keys() == {"inverter-1", "inverter-2"}
    assert found.rows["inverter-2"][half_past_two] == {
        "pv_power_w": 900.0, "pv_day_energy_wh": 4000.0, "dc_voltage_v_1": 220.0, "ac_voltage_v": 250.0, "state": 7.0,
    }  # fmt: skip


def test_solar_log_dates_and_clocks_of_its_firmwares() -> None:
    for written in (
        "01.07.24;14:30:00", "01/07/24;14:30:00", "01/07/24;2:30:00 PM", "01.07.2024;14:30:00", "01/07/24;14:30:00 PM",
    ):  # fmt: skip
        text = SOLAR_LOG_CSV.splitlines()[0] + f"\r\n{written};1;941;4546;7;0;0;228;252;0;0;2;900;4000;7;0;0;220;250;0;0\r\n"
        assert list(told(solar_log_csv.FORMAT, text).rows["inverter-1"]) == [at("2024-07-01T14:30:00+02:00")]


def test_solar_log_noon_of_a_12_hour_clock_and_temperatures() -> None:
    heading = "#Date;Time;INV;Pac;DaySum;Status;Error;Pdc1;Udc1;Temp;Uac;\n"
    found = told(solar_log_csv.FORMAT, heading + "01/07/24;0:30:00 PM;1;941;4546;7;0;990;228;41;252;\n")
    assert found.rows["inverter-1"][NOON + 6 * FIVE]["inverter_temp_c"] == 41.0
    assert told(solar_log_csv.FORMAT, heading + "01/07/24;13:30:00 AM;1;941;4546;7;0;990;228;41;252;\n").codes == [
        "bad_time"
    ]


def test_solar_log_lines_of_another_length_are_counted_and_skipped() -> None:
    found = told(solar_log_csv.FORMAT, SOLAR_LOG_CSV + "01/07/24;2:40:00 PM;1;941;4546\r\n")
    assert found.codes == ["wrong_field_count"]
    assert len(found.rows["inverter-1"]) == 2


def test_solar_log_knows_its_inverters_by_its_plant_file() -> None:
    plant = (
        'WRInfo[0]=new Array("SB","2100000001",3000,0,"Dach",1,null,null,null,null,null,0);\n'
        'WRInfo[1]=new Array("Meter","",0,0,"Verbrauch",1,null,null,null,null,null,2);\n'
    )
    found = read(solar_log_csv.FORMAT, SOLAR_LOG_CSV.encode(), definitions={"base_vars": plant})
    assert found.rows.keys() == {"2100000001"}
    assert found.codes == ["not_an_inverter"]


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
@pytest.mark.parametrize("newest_first", [False, True])
def test_solar_log_days_of_23_and_25_hours(day: object, newest_first: bool) -> None:
    expected = instants(day, 5)  # type: ignore[arg-type]
    rows = [f"{clock(t, '%d.%m.%y;%H:%M:%S')};1;{n};1\n" for n, t in enumerate(expected)]
    text = "#Date;Time;INV;Pac;DaySum\n" + "".join(reversed(rows) if newest_first else rows)
    found = told(solar_log_csv.FORMAT, text)
    assert values(found, "pv_power_w", "inverter-1") == [float(n) for n in range(len(expected))]
    assert sorted(found.rows["inverter-1"]) == expected
