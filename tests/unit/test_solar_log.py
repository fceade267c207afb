"""Solar-Log's JavaScript files: blocks, strings, days, and what else gets into them. Values are made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.refusals import words
from fleet.codecs.files.solar_log import FORMAT
from tests.file_reading import Reading, at, read

MINUTES = """m[mi++]="01.07.24 12:05:00|3120;1590;1600;14250;402;398|2980;3050;13980;405"
m[mi++]="01.07.24 12:00:00|3098;1580;1590;13990;401;399|2950;3020;13735;406"
"""
BASE_VARS = """var AnlagenKWP=9300
var AnzahlWR = 3
var WRInfo = new Array(AnzahlWR)
WRInfo[0]=new Array("WR42MS05","1100082120",4100,1,"Süddach, oben",2,null,null,4200,null,1,0,0,972,null)
WRInfo[0][6]=new Array("Orange","Grün")
WRInfo[1]=new Array("WR21TL06","2000132324",2100,1,"SB 2100TL",1,null,null,2100,null,1,0,0,972,null)
WRInfo[2]=new Array("S0-IN","         1",20000,1,"Verbrauch",0,null,null,0,null,9,2,0,1000,null)
"""
PLANT = {"base_vars": BASE_VARS}
NOON = at("2024-07-01T12:00:00+02:00")
FIVE_PAST = at("2024-07-01T12:05:00+02:00")


def data(text: str, *, plant: bool = False, chunk: int = 1 << 16) -> Reading:
    return read(FORMAT, text.encode("latin-1"), definitions=PLANT if plant else {}, chunk=chunk)


def minutes(*rows: str) -> str:
    return "".join(f'm[mi++]="{row}"\n' for row in rows)


def test_five_minutes_of_two_inverters() -> None:
    assert FORMAT.recognises(MINUTES.encode())
    found = data(MINUTES)
    assert found.codes == []
    assert found.rows["inverter-1"][FIVE_PAST] == {
        "pv_power_w": 3_120.0, "dc_power_w_1": 1_590.0, "dc_power_w_2": 1_600.0, "pv_day_energy_wh": 14_250.0,
        "dc_voltage_v_1": 402.0, "dc_voltage_v_2": 398.0,
    }  # fmt: skip
    assert found.rows["inverter-2"] == {
        FIVE_PAST: {"pv_power_w": 2_980.0, "dc_power_w_1": 3_050.0, "pv_day_energy_wh": 13_980.0, "dc_voltage_v_1": 405.0},
        NOON: {"pv_power_w": 2_950.0, "dc_power_w_1": 3_020.0, "pv_day_energy_wh": 13_735.0, "dc_voltage_v_1": 406.0},
    }


def test_the_plants_description_is_kept_and_gives_serials() -> None:
    raw = BASE_VARS.encode("latin-1")
    assert FORMAT.recognises(raw)
    kept = read(FORMAT, raw).definitions
    assert [each.name for each in kept] == ["base_vars"]
    assert "Süddach" in kept[0].text
    assert set(data(MINUTES, plant=True).rows) == {"1100082120", "2000132324"}


def test_serials_that_are_none_or_not_one() -> None:
    plant = "".join(
        f'WRInfo[{place}]=new Array("A","{serial}",1,1,"WR",1)\n' for place, serial in enumerate(("0", "777", "777"))
    )
    found = read(FORMAT, minutes("01.07.24 12:00:00|9;9;9;9|9;9;9;9|9;9;9;9").encode(), definitions={"base_vars": plant})
    assert set(found.rows) == {"inverter-1", "inverter-2", "inverter-3"}


@pytest.mark.parametrize(
    ("block", "measures"),
    [
        ("462;470;1913", ["pv_power_w", "dc_power_w_1", "pv_day_energy_wh"]),
        ("900;950;1913;350", ["pv_power_w", "dc_power_w_1", "pv_day_energy_wh", "dc_voltage_v_1"]),
        ("2529;1346;1339;13059", ["pv_power_w", "dc_power_w_1", "dc_power_w_2", "pv_day_energy_wh"]),
        ("900;950;1913;350;41", ["pv_power_w", "dc_power_w_1", "pv_day_energy_wh", "dc_voltage_v_1", "inverter_temp_c"]),
    ],
)
@pytest.mark.parametrize("plant", [False, True])
def test_the_powers_tell_how_many_strings_there_are(block: str, measures: list[str], plant: bool) -> None:
    """Also against a WRInfo of later years, in which the inverters stand in another order."""
    found = data(
        minutes(f"03.11.06 15:00:00|{block}", f"03.11.06 05:00:00|{';'.join('0' * len(block.split(';')))}"), plant=plant
    )
    rows = next(iter(found.rows.values()))
    told = [float(each) for each in block.split(";")]
    assert rows[at("2006-11-03T15:00:00+01:00")] == dict(zip(measures, told, strict=True))
    assert rows[at("2006-11-03T05:00:00+01:00")].keys() == set(measures)


def test_an_inverter_that_does_not_tell_what_goes_in() -> None:
    """Its day's counter passes through the powers' size, and there are no powers to compare with."""
    day = [(900 + 40 * step, 75 * step, 395 + step % 3) for step in range(40)]
    found = data(
        minutes(*[f"01.07.24 {9 + n // 12:02}:{n % 12 * 5:02}:00|{p};0;{e};{v}" for n, (p, e, v) in enumerate(day)][::-1])
    )
    last = found.rows["inverter-1"][at("2024-07-01T12:15:00+02:00")]
    assert (last["pv_power_w"], last["pv_day_energy_wh"], last["dc_voltage_v_1"]) == (2_460.0, 2_925.0, 395.0)


def test_a_plant_that_was_changed_within_the_file() -> None:
    old = [f"01.07.24 12:{minute}:00|900;950;1{minute}0;350" for minute in (10, 15, 20, 25)]
    new = [f"02.07.24 12:{minute}:00|900;500;450;1{minute}0;350;351" for minute in (10, 15, 20)]
    found = data(minutes(*old, *new))
    assert found.codes == []
    assert len(found.rows["inverter-1"]) == 7


def test_blocks_with_a_wrong_number_of_values_are_skipped_and_counted() -> None:
    found = data(MINUTES + minutes("01.07.24 11:55:00|3098;1580;1590|2950;3020;13700;406"))
    assert found.codes == ["wrong_field_count"]
    assert (found.refusals[0].line, found.refusals[0].column, found.refusals[0].gaps["found"]) == (3, 2, "3")
    assert len(found.rows["inverter-1"]) == 2
    assert len(found.rows["inverter-2"]) == 3


def test_headers_and_another_files_text() -> None:
    text = "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\n\r\nvar m=new Array()\r\nmi=0\r\n" + MINUTES
    assert FORMAT.recognises(text.encode())
    found = data(text + "<html>\n" + 'm[mi++]="01.07.24 11:55:00|3098;15')  # and half a line
    assert found.codes == ["foreign_text"] * 4
    assert len(found.rows["inverter-1"]) == 2


def test_a_meter_among_the_inverters_is_left_out() -> None:
    found = data(
        minutes("01.07.24 12:00:00|9;9;9;9;9;9|9;9;9;9|500;3000", "01.07.24 12:05:00|9;9;9;9;9;9|9;9;9;9|500;3000"),
        plant=True,
    )
    assert found.codes == ["not_an_inverter"]
    assert "Verbrauch" in words(found.refusals[0], french=True)
    assert set(found.rows) == {"1100082120", "2000132324"}


def test_days_are_energy_of_the_local_day() -> None:
    text = 'da[dx++]="01.07.24|61200;4800|58110;4700"\nda[dx++]="31.03.24|23000;3000|"\nda[dx++]="27.10.24|25000;3000"\n'
    assert FORMAT.recognises(text.encode())
    found = data(text)
    assert found.codes == []
    assert found.rows == {
        "inverter-1": {
            at("2024-07-02T00:00:00+02:00"): {"pv_interval_wh": 61_200.0, "interval_s": 86_400.0},
            at("2024-04-01T00:00:00+02:00"): {"pv_interval_wh": 23_000.0, "interval_s": 82_800.0},
            at("2024-10-28T00:00:00+01:00"): {"pv_interval_wh": 25_000.0, "interval_s": 90_000.0},
        },
        "inverter-2": {at("2024-07-02T00:00:00+02:00"): {"pv_interval_wh": 58_110.0, "interval_s": 86_400.0}},
    }


@pytest.mark.parametrize("text", ['mo[mx++]="01.07.24|900000"\n', 'ye[yx++]="01.01.24|9000000"\n'])
def test_months_and_years_make_no_curve(text: str) -> None:
    assert FORMAT.recognises(text.encode())
    found = data(text)
    assert found.unreadable is not None
    assert found.unreadable.code == "coarser_than_a_day"
    assert data(MINUTES + text).codes == ["coarser_than_a_day"]


def test_the_day_on_which_summer_time_begins_and_ends() -> None:
    def day(date: str, *times: str) -> Reading:
        return data(minutes(*(f"{date} {time}:00|0;0;0;0" for time in times)))

    autumn = day("27.10.24", "03:00", "02:30", "02:00", "02:30", "02:00", "01:55")  # newest first
    assert [t for _, t in autumn.order] == [
        at("2024-10-27T03:00:00+01:00"), at("2024-10-27T02:30:00+01:00"), at("2024-10-27T02:00:00+01:00"),
        at("2024-10-27T02:30:00+02:00"), at("2024-10-27T02:00:00+02:00"), at("2024-10-27T01:55:00+02:00"),
    ]  # fmt: skip
    spring = day("31.03.24", "03:00", "02:30", "01:55")
    assert spring.codes == ["time_does_not_exist"]
    assert [t for _, t in spring.order] == [at("2024-03-31T03:00:00+02:00"), at("2024-03-31T01:55:00+01:00")]


@pytest.mark.parametrize(
    "when", ["32.07.24 12:00:00", "01.13.24 12:00:00", "01.07.24 24:00:00", "01.07.24", "01/07/24 12:00:00", ""]
)
def test_what_is_no_time(when: str) -> None:
    assert data(minutes(f"{when}|1;2;3;4")).codes == ["bad_time"]


def test_what_is_no_number_is_missing() -> None:
    found = data(minutes("01.07.24 12:00:00|3098;;nan;x", "01.07.24 12:05:00|1_0;1;1;1"))
    assert found.codes == ["bad_number", "bad_number", "bad_number"]
    assert found.rows == {"inverter-1": {NOON: {"pv_power_w": 3_098.0}}}


ROWS = [
    f"01.07.24 12:{minute:02}:00|3120;1590;1600;14{minute:02}0;402;398|2980;3050;13{minute:02}0;405"
    for minute in range(0, 60, 5)
]


@given(order=st.permutations(ROWS + ROWS[:3]), chunk=st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_order_repetition_and_pieces_change_nothing(order: list[str], chunk: int) -> None:
    assert data(minutes(*order), chunk=chunk).rows == data(minutes(*ROWS)).rows


@given(cut=st.integers(0, len(minutes(*ROWS))))
@settings(max_examples=80, deadline=None)
def test_a_file_that_was_cut_tells_nothing_that_is_wrong(cut: int) -> None:
    whole = data(minutes(*ROWS)).rows
    for serial, rows in data(minutes(*ROWS)[:cut]).rows.items():
        assert rows.items() <= whole[serial].items()


PIECES = [
    *MINUTES.splitlines(), *BASE_VARS.splitlines(), 'da[dx++]="01.07.24|6;4"', 'm[mi++]="01.07.24 12:00:00|1e999;-;x;"',
    'm[mi++]="', "|||", 'da[dx++]="99.99.99|1"', 'm[mi++]="01.07.24 12:00:00|"', 'WRInfo[999]=new Array("', 'ye[yx++]="x',
]  # fmt: skip


@given(
    raw=st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES)).map(lambda chosen: "\n".join(chosen).encode()))
)
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    FORMAT.recognises(raw)
    read(FORMAT, raw, definitions={"base_vars": raw.decode("latin-1")})
