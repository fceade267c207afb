"""WebdynSun and WebdynSunPM: blocks, definitions, scales, dates. Values are made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files import webdyn_definition, webdyn_notices
from fleet.codecs.files.reading import FileFormat, ReadingSettings
from fleet.codecs.files.refusals import words
from fleet.codecs.files.webdyn import FORMAT
from tests.file_reading import Reading, at, read

NAME = "WPM0A1B2C_INV_240702_000512.csv.gz"
INI = """1;Pac;;;Pac;W;10;0;4
2;Et;;;E-Total;kWh;0.1;0;4
3;T;;;Temperature;°C;0.1;-40;4
"""
MAKER = {"WPM0A1B2C_INV_MAKER.ini": INI}
INVERTERS = """SNINV;2110012345;001
TypeINV;WPM0A1B2C_INV_MAKER.ini
3;1;2;3
01/07/24-12:10:00;402;81230;903
01/07/24-12:20:00;408;81300;898
SNINV;ADDR08;002
TypeINV;WPM0A1B2C_INV_MAKER.ini
3;1;2;3
01/07/24-12:10:00;399;77100;901
"""
PM = """modbusTCP;Inverter;Maker;Model 9
1;3;40001;2;;AC power;PAC;10;0;W;2
2;3;40003;2;;Total energy;;1;;Wh;4
3;3;40005;2;;State;;1;0;;8
4;3;40007;2;;Nominal power;;1;0;W;1
5;3;40009;2;;DC voltage 1;UDC1;0.1;0;V;0
"""


def data(
    text: str, *, name: str = NAME, definitions: dict[str, str] | None = None, chunk: int = 1 << 16, **kept: object
) -> Reading:
    return read(
        FORMAT, text.encode(), name=name, definitions=MAKER if definitions is None else definitions, chunk=chunk,
        settings=ReadingSettings(**kept),  # type: ignore[arg-type]
    )  # fmt: skip


def pm(rows: str, ids: str | None = "3;1;2;3", definitions: dict[str, str] | None = None) -> Reading:
    heading = "DEVICEINDEX;0\nmodbusTCP;WPM0A1B2C_x.csv\n" + (f"{ids}\n" if ids else "")
    return data(
        heading + rows, name="WPM0A1B2C_MODBUS_240702_000512.csv", definitions=definitions or {"WPM0A1B2C_x.csv": PM}
    )


# blocks and headings ----------------------------------------------------------------------------------------------


def test_a_block_per_inverter_raw_values_scaled() -> None:
    assert FORMAT.recognises(INVERTERS.encode())
    found = data(INVERTERS)
    assert found.codes == []
    ten_past = at("2024-07-01T12:10:00+02:00")
    assert found.rows["2110012345"][ten_past] == pytest.approx(
        {"pv_power_w": 4_020.0, "pv_energy_wh": 8_123_000.0, "inverter_temp_c": 50.3}
    )
    assert set(found.rows["2110012345"]) == {ten_past, at("2024-07-01T12:20:00+02:00")}
    assert found.rows["ADDR08"][ten_past]["pv_energy_wh"] == pytest.approx(7_710_000.0)


def test_lines_that_a_spreadsheet_filled_up() -> None:
    filled = "".join(f"{line}{';' * (8 - line.count(';'))}\r\n" for line in INVERTERS.splitlines())
    assert FORMAT.recognises(filled.encode())
    assert data(filled).rows == data(INVERTERS).rows
    assert data(filled).codes == []


def test_nothing_of_a_block_is_stored_without_its_definition() -> None:
    found = data(INVERTERS, definitions={"another.ini": INI})
    assert found.rows == {}
    assert found.codes == ["definition_missing"]  # once for the file
    assert found.refusals[0].gaps == {"name": "WPM0A1B2C_INV_MAKER.ini"}
    assert "WPM0A1B2C_INV_MAKER.ini" in words(found.refusals[0], french=True)


def test_a_block_with_its_definition_counts_beside_one_without() -> None:
    other = "SNINV;ADDR09;003\nTypeINV;other.ini\n1;1\n01/07/24-12:10:00;399\n"
    found = data(other + INVERTERS)
    assert found.codes == ["definition_missing"]
    assert set(found.rows) == {"2110012345", "ADDR08"}


@pytest.mark.parametrize(
    ("heading", "serial"),
    [
        ("SNINV;2110012345;001\nTypeINV;def.csv\n", "2110012345"),
        ("ADDRMODBUS;7;001\nTypeMODBUS;def.csv\n", "ADDR07"),
        ("ADDRMODBUS;7;001\nTypeMODBUS;def.csv;INV-NORTH\n", "INV-NORTH"),
        ("DEVICEINDEX;3\nmodbusRTU;def.csv\n", "device-3"),
        ("TypeIO;def.csv\n", None),
    ],
)
@pytest.mark.parametrize("labels", ["", "date;AC power;Total\n"])
def test_every_heading(heading: str, serial: str | None, labels: str) -> None:
    definition = "modbusRTU;Inverter;M;X\n1;;;;;AC power;PAC;1;0;W;4\n2;;;;;Total yield;;1;0;kWh;4\n"
    text = heading + "2;1;2\n" + labels + "01/07/24-12:10:00;3120;44\n"
    assert FORMAT.recognises(text.encode())
    found = data(text, definitions={"def.csv": definition})
    assert found.codes == []
    assert found.rows == {serial: {at("2024-07-01T12:10:00+02:00"): {"pv_power_w": 3_120.0, "pv_energy_wh": 44_000.0}}}


def test_the_configuration_gives_serials_to_indexes() -> None:
    daq = (
        "index;interface;name;address;acqPeriod(s);timeout(ms);serialNumber;parameters;category;model;defFile\n"
        "IO;;Io;;36000;;;;WebdynSunPM;ioSunPM;WPM0A1B2C_IO.csv\n"
        "0;SERIAL1;serial1_5;0;600;0;2000388220;1;Inverter;WR21;WPM0A1B2C_x.csv\n"
        "1;192.0.2.7:502;ethernet 192.0.2.7_126;126;600;5000;;1;Meter;M;WPM0A1B2C_m.csv\n"
    )
    assert webdyn_definition.FORMAT.recognises(daq.encode())
    kept = read(webdyn_definition.FORMAT, daq.encode(), name="CONFIG/WPM0A1B2C_daq.csv").definitions
    assert [each.name for each in kept] == ["WPM0A1B2C_daq.csv"]
    meter = ";;;\n1;;;;;Active power;;1;0;W;4\n"
    found = data(
        "DEVICEINDEX;0\nmodbusRTU;WPM0A1B2C_x.csv\n1;2\n01/07/24-12:10:00;5\n"
        "DEVICEINDEX;1\nmodbusTCP;WPM0A1B2C_m.csv\n1;1\n01/07/24-12:10:00;-5\n",
        definitions={"WPM0A1B2C_daq.csv": kept[0].text, "WPM0A1B2C_x.csv": PM, "WPM0A1B2C_m.csv": meter},
    )
    t = at("2024-07-01T12:10:00+02:00")
    assert found.rows == {"2000388220": {t: {"pv_energy_wh": 5.0}}, "ethernet-192.0.2.7_126": {t: {"grid_power_w": -5.0}}}


# columns ----------------------------------------------------------------------------------------------------------


def test_minimum_maximum_and_average_are_three_columns() -> None:
    found = pm("01/07/24-12:10:00;300;400;350;8123;512\n")
    assert found.rows["device-0"] == {at("2024-07-01T12:10:00+02:00"): {"pv_power_w": 3_500.0, "pv_energy_wh": 8_123.0}}
    assert found.codes == ["unknown_column"]
    assert found.refusals[0].gaps == {"name": "State", "unit": "–"}


@pytest.mark.parametrize("ids", ["5;1;1;1;2;3", "1 min;1 max;1 avg;2;3", "5;1 min;1 max;1 avg;2;3", None])
def test_columns_named_one_by_one_or_not_at_all(ids: str | None) -> None:
    found = pm("01/07/24-12:10:00;300;400;350;8123;512\n", ids=ids)
    assert found.rows["device-0"] == {at("2024-07-01T12:10:00+02:00"): {"pv_power_w": 3_500.0, "pv_energy_wh": 8_123.0}}


def test_a_line_that_was_cut_is_refused_alone() -> None:
    found = pm(
        "01/07/24-12:10:00;300;400;350;8123;512\n01/07/24-12:20:00;300;400\n01/07/24-12:30:00;301;401;351;8130;512;\n"
    )
    assert found.codes == ["unknown_column", "wrong_field_count"]
    assert (found.refusals[1].line, found.refusals[1].gaps) == (5, {"found": "3", "expected": "6"})
    assert len(found.rows["device-0"]) == 2


def test_what_is_no_number_is_missing() -> None:
    found = data(INVERTERS.replace("402", "").replace("81300", "8_130").replace("898", "nan").replace("399", "inf"))
    assert found.codes == ["bad_number", "bad_number"]
    assert [(each.line, each.column, each.text) for each in found.refusals] == [(5, 3, "8_130"), (9, 2, "inf")]
    first, second = found.rows["2110012345"].values()
    assert "pv_power_w" not in first
    assert second == {"pv_power_w": 4_080.0}


def test_a_production_is_never_negative() -> None:
    assert data(INVERTERS.replace(";402;", ";-1;")).rows["2110012345"][at("2024-07-01T12:10:00+02:00")]["pv_power_w"] == 0.0


def test_va_is_no_power_and_two_columns_are_not_one() -> None:
    ini = "1;;;;Pac;VA;1;0;4\n2;;;;Pac;W;1;0;4\n3;;;;Puissance AC;kW;1;0;4\n"
    found = data(INVERTERS, definitions={"WPM0A1B2C_INV_MAKER.ini": ini})
    assert found.codes == ["unknown_column", "column_twice"]
    assert found.refusals[0].gaps == {"name": "Pac", "unit": "VA"}
    assert found.rows["ADDR08"] == {at("2024-07-01T12:10:00+02:00"): {"pv_power_w": 77_100.0}}


def test_variables_that_the_definition_does_not_have() -> None:
    found = data(INVERTERS.replace("3;1;2;3", "3;1;2;17"))
    assert found.codes == ["unknown_column"]
    assert found.refusals[0].gaps == {"name": "17", "unit": "?"}
    assert set(found.rows["ADDR08"][at("2024-07-01T12:10:00+02:00")]) == {"pv_power_w", "pv_energy_wh"}


def test_rows_without_a_heading() -> None:
    found = data(INVERTERS.split("\n", 3)[3])
    assert found.codes == ["no_heading", "no_heading"]
    assert set(found.rows) == {"ADDR08"}


# TIC --------------------------------------------------------------------------------------------------------------


def test_tic_blocks_are_the_meters_text() -> None:
    text = (
        "SNTIC;041876097654;001\nTypeTIC;WPM0A1B2C_TIC.csv\n5;EAST;EAIT;SINSTS;NGTF;X9\n"
        "01/07/24-12:10:00;012345678;003210987;00910;BASE;1\n01/07/24-12:20:00;012345699;;0091O;BASE;1\n"
    )
    assert FORMAT.recognises(text.encode())
    found = data(text, definitions={})
    assert found.codes == ["unknown_column", "bad_number"]
    assert found.rows == {
        "041876097654": {
            at("2024-07-01T12:10:00+02:00"): {
                "import_energy_wh": 12_345_678.0, "export_energy_wh": 3_210_987.0, "apparent_power_va": 910.0,
            },
            at("2024-07-01T12:20:00+02:00"): {"import_energy_wh": 12_345_699.0},
        }
    }  # fmt: skip


def test_tic_columns_by_a_definitions_indexes() -> None:
    tic = "tic;Meter;;\n1;HCHC;;;;Heures creuses;;1;0;Wh;4\n2;HCHP;;;;Heures pleines;;1;0;Wh;4\n3;ADCO;;;;Adresse;;;;;1\n"
    text = "SNTIC;041876097654;001\nTypeTIC;def.csv\n{}01/07/24-12:10:00;004500000;006700000\n"
    for ids in ("2;1;2\n", ""):
        found = data(text.format(ids), definitions={"def.csv": tic})
        assert found.rows == {"041876097654": {at("2024-07-01T12:10:00+02:00"): {"import_energy_wh": 11_200_000.0}}}
    assert data(text.format(""), definitions={}).codes == ["definition_missing"]


# dates and clocks -------------------------------------------------------------------------------------------------


def days(*dates: str) -> str:
    return (
        INVERTERS.split("\n0", 1)[0]
        + "\n"
        + "".join(f"{day}-12:10:00;402;8{place:04};903\n" for place, day in enumerate(dates))
    )


@pytest.mark.parametrize(
    ("text", "name", "order", "first"),
    [
        (days("01/07/24"), NAME, None, "2024-07-01"),
        (days("24/07/01"), NAME, None, "2024-07-01"),
        (days("24/07/23"), "x_INV_240724_000512.csv", None, "2024-07-23"),
        (days("23/07/24"), "x_INV_240724_000512.csv", None, "2024-07-23"),
        (days("11/02/03"), "x_INV_110204_000512.csv", None, "2011-02-03"),
        (days("11/02/03"), "x_INV_030212_000512.csv", None, "2003-02-11"),
        (days("24/07/01", "24/07/02"), "renamed.csv", None, "2024-07-01"),
        (days("01/07/24", "02/07/24"), "renamed.csv", None, "2024-07-01"),
        (days("31/01/24", "01/02/24"), "renamed.csv", None, "2024-01-31"),
        (days("24/07/24"), "renamed.csv", None, "2024-07-24"),
        (days("11/02/03"), "renamed.csv", "ymd", "2011-02-03"),
        (days("11/02/03"), "renamed.csv", "dmy", "2003-02-11"),
    ],
)
def test_day_first_or_year_first(text: str, name: str, order: str | None, first: str) -> None:
    kept = {} if order is None else {"date_order": order}
    assert next(iter(data(text, name=name, **kept).rows["2110012345"])) == at(
        f"{first}T12:10:00+02:00" if "-07-" in first else f"{first}T12:10:00+01:00"
    )


def test_a_single_day_that_could_be_two_is_refused() -> None:
    found = data(days("11/02/03"), name="renamed.csv")
    assert found.unreadable is not None
    assert (found.unreadable.code, found.unreadable.line, found.unreadable.text) == ("ambiguous_date", 4, "11/02/03")


def test_impossible_days_and_times() -> None:
    found = data(INVERTERS.replace("01/07/24-12:10:00;402", "31/06/24-12:10:00;402").replace("12:20:00", "24:20:00"))
    assert found.codes == ["bad_time", "bad_time"]


def test_the_day_on_which_summer_time_begins_and_ends() -> None:
    heading = INVERTERS.split("\n0", 1)[0]

    def day(date: str, *times: str) -> Reading:
        rows = "".join(f"\n{date}-{time}:00;402;8{place:04};903" for place, time in enumerate(times))
        return data(heading + rows, name="renamed.csv", date_order="dmy")

    autumn = day("27/10/24", "01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    assert [t for _, t in autumn.order] == [
        at("2024-10-27T01:30:00+02:00"), at("2024-10-27T02:00:00+02:00"), at("2024-10-27T02:30:00+02:00"),
        at("2024-10-27T02:00:00+01:00"), at("2024-10-27T02:30:00+01:00"), at("2024-10-27T03:00:00+01:00"),
    ]  # fmt: skip
    spring = day("31/03/24", "01:50", "02:00", "03:00")
    assert [t for _, t in spring.order] == [at("2024-03-31T01:50:00+01:00"), at("2024-03-31T03:00:00+02:00")]
    assert spring.codes == ["time_does_not_exist"]
    assert spring.refusals[0].line == 5


# definitions and the rest -----------------------------------------------------------------------------------------

TABLE = """# Definition of packets
Modbus_RequestsTables={
1;request;3;0;0;4;1;2
}
Modbus_VariablesTables={
1;1;Pac;3;2;1;;;1;0;W;4
}
"""


@pytest.mark.parametrize("text", [INI, PM, TABLE, "# by hand\n\n" + INI])
def test_definitions_are_kept_under_their_files_name(text: str) -> None:
    assert webdyn_definition.FORMAT.recognises(text.encode())
    found = read(webdyn_definition.FORMAT, text.encode(), name="DEF/WPM0A1B2C_INV_MAKER.ini.gz")
    assert [each.name for each in found.definitions] == ["WPM0A1B2C_INV_MAKER.ini"]
    block = "SNINV;ABC;1\nTypeINV;wpm0a1b2c_inv_maker.INI\n1;1\n01/07/24-12:10:00;5\n"
    assert "definition_missing" not in data(block, definitions={each.name: each.text for each in found.definitions}).codes


def test_a_modbus_table_of_the_first_generation() -> None:
    text = "ADDRMODBUS;7;001\nTypeMODBUS;d.ini\n1;1\n01/07/24-12:10:00;5\n"
    assert data(text, definitions={"d.ini": TABLE}).rows["ADDR07"] == {at("2024-07-01T12:10:00+02:00"): {"pv_power_w": 5.0}}


def test_coefficients_that_are_missing_are_one_and_nothing() -> None:
    found = webdyn_definition.device_definition("1;;;;Pac;W;;;4\n2;;;;Uac;V;x;0;4\n3;;;;Iac;A;nan;0;4\n")
    assert [(each.id, each.a, each.b) for each in found.variables.values()] == [("1", 1.0, 0.0)]


ALARMS = "24/07/01-12:00:00;GATEWAY;POWER OFF\n24/07/01-12:10:00;MODBUS;def.ini;Slave 1;12;1\n"
CONFIG = "NTP_TimeZone=1\nFTP_Addr=192.0.2.1\nFTP_Login=x\n"
COMMANDS = '[{"callerId":"1","rpcName":"status","result":{}}]'


@pytest.mark.parametrize("text", [ALARMS, CONFIG, COMMANDS, "24/07/01-12:00:00 Connected\n24/07/01-12:00:02 Sent\n"])
def test_alarms_logs_and_commands_hold_no_readings(text: str) -> None:
    assert webdyn_notices.FORMAT.recognises(text.encode())
    found = read(webdyn_notices.FORMAT, text.encode())
    assert found.unreadable is not None
    assert found.unreadable.code == "not_readings"
    assert found.unreadable.text == ""  # a configuration holds passwords


SAMPLES = {FORMAT: (INVERTERS, "TypeIO;x\n1;1\n01/07/24-12:10:00;5\n"), webdyn_definition.FORMAT: (INI, PM, TABLE),
           webdyn_notices.FORMAT: (ALARMS, CONFIG, COMMANDS)}  # fmt: skip


def test_each_file_is_of_one_kind() -> None:
    for file_format, texts in SAMPLES.items():
        for text in texts:
            assert [each for each in SAMPLES if each.recognises(text.encode())] == [file_format]


# whatever comes ---------------------------------------------------------------------------------------------------

BLOCK_LINES = INVERTERS.splitlines()
LINES = st.sampled_from([
    *BLOCK_LINES, "SNTIC;1;2", "TypeTIC;x", "2;EAST;PAPP", "DEVICEINDEX;", "SNINV", ";;;", "01/07/24-12:10:00", "1;1;1;1",
    "32/13/24-99:99:99;1;2;3", "01/07/24-12:10:00;1e999;-;x", "TypeIO;WPM0A1B2C_INV_MAKER.ini", "1 min;1 max",
])  # fmt: skip


@given(chosen=st.lists(LINES, max_size=25), chunk=st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_any_lines_are_refused_or_read(chosen: list[str], chunk: int) -> None:
    text = "\n".join(chosen)
    for file_format in SAMPLES:
        file_format.recognises(text.encode())
    data(text, chunk=chunk)
    read(webdyn_definition.FORMAT, text.encode())


@given(raw=st.binary(max_size=300), file_format=st.sampled_from([*SAMPLES]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_refused_or_read(raw: bytes, file_format: FileFormat) -> None:
    file_format.recognises(raw)
    read(file_format, raw, definitions=MAKER)


def blocks() -> list[str]:
    heading = "SNINV;{};1\nTypeINV;WPM0A1B2C_INV_MAKER.ini\n3;1;2;3\n"
    return [
        heading.format(serial) + f"01/07/24-12:{minute}:00;402;8{minute}00;903\n"
        for serial in ("AAA", "BBB")
        for minute in (10, 20, 30)
    ]


@given(order=st.permutations(blocks() + blocks()[:2]), chunk=st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_order_repetition_and_pieces_change_nothing(order: list[str], chunk: int) -> None:
    assert data("".join(order), chunk=chunk).rows == data("".join(blocks())).rows


@given(cut=st.integers(0, len(INVERTERS)))
@settings(max_examples=60, deadline=None)
def test_a_file_that_was_cut_tells_nothing_that_is_wrong(cut: int) -> None:
    """But for a number whose last digits are missing, which no reader can see; the whole file corrects it."""
    whole = data(INVERTERS).rows
    for serial, rows in data(INVERTERS[: INVERTERS.rfind("\n", 0, cut) + 1]).rows.items():
        assert rows.items() <= whole[serial].items()
