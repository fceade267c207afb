"""What files do that no declaration says: cut, glued, saved by a browser, in other encodings, with other columns."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv, wide_format
from tests.file_reading import at
from tests.samples.wide_samples import told, values

POWER = Column("Power (kW)", "pv_power_w")
TIME = TimeCells(at=("Time",))
PLAIN = WideCsv(time=TIME, columns=(POWER,))
NOON = at("2024-07-01T12:00:00+02:00")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_file"),
        ("\n \n\r\n", "empty_file"),
        ("Time;Power (kW)\n", "header_only"),
        ("Time;Power (kW)\n\n;\n", "header_only"),
        ("<!DOCTYPE html>\n<html><body>Please log in</body></html>", "html_file"),
        ("\n  <HTML>\n", "html_file"),
        ("a;b\n1;2\n", "columns_not_found"),
        ("x\n" * 300, "columns_not_found"),
        ("Time;Power (kW)\n2024-07-01 12:00;1\0\n", "nul_bytes"),
        ("Time;" + ";" * 5_000 + "Power (kW)\n2024-07-01 12:00;1\n", "too_many_columns"),
        ("Time;Power (kW)\n01/07/24 12:00;1\n", "ambiguous_date"),
        ("Time;" + "x" * 70_000 + "\n", "line_too_long"),
    ],
)
def test_whole_files_are_refused_with_a_reason(text: str, code: str) -> None:
    found = told(PLAIN, text)
    assert found.unreadable is not None
    assert found.unreadable.code == code
    assert found.rows == {}


def test_bad_cells_and_lines_are_refused_and_the_rest_counts() -> None:
    found = told(
        PLAIN,
        "Time;Power (kW)\n2024-07-01 12:00;1\nnonsense;2\n2024-07-01 12:05;abc\n2024-07-01 12:10;3;4;5\n"
        "2024-07-01 12:15;1_0\n2024-07-01 12:20;inf\n2024-07-01 12:25;NaN\n2024-07-01 12:30;6\n2024-07-01 12:3",
    )
    assert [(each.code, each.line, each.column) for each in sorted(found.refusals, key=lambda each: each.line)] == [
        ("bad_time", 3, 1), ("bad_number", 4, 2), ("wrong_field_count", 5, None), ("bad_number", 6, 2), ("bad_number", 7, 2),
        ("wrong_field_count", 10, None),
    ]  # fmt: skip
    assert values(found, "pv_power_w") == [1000.0, 6000.0]


def test_a_bad_cell_takes_no_other_with_it() -> None:
    declaration = WideCsv(time=TIME, columns=(POWER, Column("U", "ac_voltage_v")))
    found = told(declaration, "Time;Power (kW);U\n2024-07-01 12:00;abc;230\n")
    assert found.rows == {None: {NOON: {"ac_voltage_v": 230.0}}}


def test_columns_that_are_swapped_in_the_middle_are_found_again() -> None:
    declaration = WideCsv(time=TIME, columns=(POWER, Column("U", "ac_voltage_v")))
    found = told(
        declaration,
        "Time;Power (kW);U\n2024-07-01 12:00;1;230\nU;Time;Power (kW)\n231;2024-07-01 12:05;2\nTime;U;Power (kW);extra\n"
        "2024-07-01 12:10;232;3;9\nTime;U;Power (kW);extra\n2024-07-01 12:15;233;4;9\n",
    )
    assert found.refusals == []
    assert values(found, "ac_voltage_v") == [230.0, 231.0, 232.0, 233.0]
    assert values(found, "pv_power_w") == [1000.0, 2000.0, 3000.0, 4000.0]


def test_line_ends_marks_and_encodings_as_they_come() -> None:
    declaration = WideCsv(time=TIME, columns=(Column("Énergie", "pv_energy_wh"),))
    rows = ["Time;Énergie", "2024-07-01 12:00;1", "2024-07-01 12:05;2", ""]
    raws = ["\r".join(rows).encode(), "\r\n".join(rows).encode("cp1252"), ("\ufeff" + "\n".join(rows)).encode("utf-16")]
    raws.append("\n".join(rows).encode() + "\ufeff".encode() + "\n".join(rows[1:]).encode())  # files glued together
    for raw in raws:
        for chunk in (1, 7, 1 << 16):
            found = told(declaration, raw, chunk=chunk)
            assert (values(found, "pv_energy_wh"), found.codes) == ([1.0, 2.0], [])


def test_quoted_cells_may_hold_the_delimiter() -> None:
    declaration = WideCsv(time=TIME, columns=(Column("Power, AC", "pv_power_w"),), delimiter=",", thousands=",")
    assert values(told(declaration, '"Time","Power, AC"\n"2024-07-01 12:00","1,234.5"\n'), "pv_power_w") == [1234.5]


def test_rows_that_are_none_and_short_ones() -> None:
    declaration = WideCsv(
        time=TIME, columns=(POWER, Column("U", "ac_voltage_v")), skip=("Total", "Sous-total"), short_rows=True
    )
    found = told(
        declaration,
        "Time;Power (kW);U\n2024-07-01 12:00;1\n2024-07-01 12:05;2;230\nTotal;3\nsous-total;3;4\n2024-07-01 12:10;3\n",
    )
    assert [(each.code, each.line) for each in found.refusals] == [("wrong_field_count", 6)]  # cut off: the file's end
    assert values(found, "pv_power_w") == [1000.0, 2000.0]


def test_the_settings_and_the_dates_themselves_order_day_and_month() -> None:
    text = "Time;Power (kW)\n01/07/24 12:00;1\n"
    assert list(told(PLAIN, text, date_order="mdy").rows[None]) == [at("2024-01-07T12:00:00+01:00")]
    assert min(told(PLAIN, text + "13/07/24 12:00;2\n").rows[None]) == NOON


def test_a_file_of_any_size_comes_in_blocks() -> None:
    declaration = WideCsv(time=TimeCells(at=("t",), pattern="unix_s"), columns=(POWER,), delimiter=",")
    text = "t,Power (kW)\n" + "".join(f"{1_700_000_000 + n},1\n" for n in range(40_000))
    found = told(declaration, text)
    assert len(found.order) == len(found.rows[None]) == 40_000


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_that_comes_in_breaks_it(data: st.DataObject) -> None:
    cell = st.sampled_from(
        [
            "Time",
            "Power (kW)",
            "2024-07-01 12:00",
            "31/03/2024 02:30",
            "1",
            "1,5",
            "",
            '"',
            "-",
            "\ufeff",
            "é",
            "#INV1 ESN:x-1",
            "0" * 50,
        ]
    )
    lines = data.draw(st.lists(st.lists(cell, max_size=5).map(";".join), max_size=12))
    raw = data.draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines).encode() + data.draw(st.binary(max_size=4))
    for declaration in (
        PLAIN,
        msgspec.structs.replace(PLAIN, serial_at="Power (kW)", short_rows=True),
        msgspec.structs.replace(PLAIN, serial_line="#INV* ESN:{serial}", decimal=","),
        WideCsv(time=TimeCells(at=(1,), stamp="start"), columns=(Column(2, "pv_interval_wh"),), header=False),
    ):
        told(declaration, raw)
        wide_format("x", "x", "x", "logger", declaration).recognises(raw)
