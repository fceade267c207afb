"""The wide-CSV engine: formats by declaration, and what files do that nobody declared."""

from collections.abc import Sequence

import msgspec
import pytest

from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv, faults, wide_format
from tests.file_reading import at
from tests.samples.wide_samples import AUTUMN, SPRING, clock, instants, told, values

POWER = Column("Power (kW)", "pv_power_w")
TIME = TimeCells(at=("Time",))
PLAIN = WideCsv(time=TIME, columns=(POWER,))
NOON = at("2024-07-01T12:00:00+02:00")


def recognised(declaration: WideCsv, text: str) -> bool:
    return wide_format("x", "x", "x", "logger", declaration).recognises(text.encode())


# columns ----------------------------------------------------------------------------------------------------------


def test_columns_are_found_by_name_whatever_their_case_accents_and_place() -> None:
    declaration = WideCsv(
        time=TimeCells(at=("Horodaté",)),
        columns=(Column("énergie  totale", "pv_energy_wh"), Column("Température", "module_temp_c", "°C")),
        decimal=",",
    )
    found = told(declaration, "TEMPERATURE;\ufeffHorodate;Énergie Totale (kWh);unknown\n31,5;2024-07-01 12:00;18,25;x\n")
    assert found.rows == {None: {NOON: {"pv_energy_wh": 18250.0, "module_temp_c": 31.5}}}
    assert found.refusals == []


def test_units_stand_in_brackets_or_in_a_row_of_their_own_or_are_declared() -> None:
    bare = Column("P", "pv_power_w", "MW")
    assert values(told(WideCsv(time=TIME, columns=(bare,)), "Time;P [kW]\n2024-07-01 12:00;1.5\n"), "pv_power_w") == [1500.0]
    row = WideCsv(time=TIME, columns=(bare,), units_row=1, lines_after=1)
    assert values(told(row, "Time;P\n;kW\n2024-07-01 12:00;1.5\n"), "pv_power_w") == [1500.0]
    assert values(told(WideCsv(time=TIME, columns=(bare,)), "Time;P\n2024-07-01 12:00;1.5\n"), "pv_power_w") == [1.5e6]


def test_va_offered_as_w_refuses_the_file() -> None:
    found = told(WideCsv(time=TIME, columns=(Column("P", "grid_power_w", "W"),)), "Time;P (VA)\n2024-07-01 12:00;900\n")
    assert found.unreadable is not None
    assert (found.unreadable.code, found.unreadable.column) == ("wrong_unit", 2)


def test_factor_and_sign() -> None:
    column = Column("Grid", "grid_power_w", factor=10, sign=-1)
    assert values(told(WideCsv(time=TIME, columns=(column,)), "Time;Grid\n2024-07-01 12:00;12.5\n"), "grid_power_w") == [
        -125.0
    ]


def test_a_number_in_a_name_is_the_measures() -> None:
    declaration = WideCsv(
        time=TIME, columns=(Column("Upv{n}", "dc_voltage_v_{n}"), Column("Uac{n}", "ac_voltage_v_l{n}", optional=True))
    )
    found = told(declaration, "Time;Upv01;Upv12;Upv99;Uac3;Uac4\n2024-07-01 12:00;1;2;3;4;5\n")
    assert found.rows == {None: {NOON: {"dc_voltage_v_1": 1.0, "dc_voltage_v_12": 2.0, "ac_voltage_v_l3": 4.0}}}


def test_several_columns_of_one_measure_are_added_up() -> None:
    declaration = WideCsv(time=TIME, columns=(Column("HC", "import_energy_wh"), Column("HP", "import_energy_wh")))
    found = told(declaration, "Time;HC;HP\n2024-07-01 12:00;100;200\n2024-07-01 13:00;101;\n")
    assert values(found, "import_energy_wh") == [300.0]


def test_columns_of_one_name_are_told_apart_by_their_number() -> None:
    declaration = WideCsv(time=TIME, columns=(Column("Watt", "dc_power_w_1"), Column("Watt", "dc_power_w_2", nth=2)))
    assert told(declaration, "Time;Watt;Watt\n2024-07-01 12:00;1;2\n").rows[None][NOON] == {
        "dc_power_w_1": 1.0,
        "dc_power_w_2": 2.0,
    }


def test_without_headings_columns_have_positions() -> None:
    declaration = WideCsv(time=TimeCells(at=(1, 2)), columns=(Column(4, "pv_power_w", "kW"),), header=False, lines_before=1)
    text = "some remark\n2024-07-01;12:00;x;1.5\n2024-07-01;12:05;y;2.5\n"
    assert values(told(declaration, text), "pv_power_w") == [1500.0, 2500.0]
    assert recognised(declaration, text)
    assert not recognised(declaration, "some remark\nTime;Power;a;b\n")
    assert told(declaration, "some remark\na;b\n").unreadable is not None


# devices ----------------------------------------------------------------------------------------------------------


def test_serials_in_a_column_row_by_row() -> None:
    declaration = WideCsv(time=TIME, columns=(POWER,), serial_at="Device")
    rows = [f"2024-07-01 12:0{minute};INV {n};{n}\n" for n in range(1, 4) for minute in (0, 5)]
    text = "Time;Device;Power (kW)\n" + "".join(rows)
    found = told(declaration, text + "2024-07-01 12:10;?;1\n2024-07-01 12:10;;9\n")
    assert sorted(found.rows, key=str) == ["INV-1", "INV-2", "INV-3", None]
    assert values(found, "pv_power_w", "INV-2") == [2000.0, 2000.0]
    assert found.codes == ["bad_serial"]


def test_serials_in_headings_above_columns_and_in_lines_of_their_own() -> None:
    in_headings = WideCsv(time=TIME, columns=(Column("{serial} Pac", "pv_power_w"),))
    above = WideCsv(time=TIME, columns=(Column("Pac", "pv_power_w"), Column("Pac", "pv_power_w", nth=2)), serial_row=-1)
    below = WideCsv(time=TIME, columns=(Column("Pac", "pv_power_w"), Column("Pac", "pv_power_w", nth=2)), serial_row=1)
    row = "2024-07-01 12:00;1;2\n"
    for declaration, text in (
        (in_headings, "Time;SN-101 Pac (W);SN-102 Pac (W)\n"),
        (above, "x\n;SN: SN-101;SN: SN-102\nTime;Pac;Pac\n"),
        (below, "Time;Pac;Pac\n;SN-101;SN-102\n"),
    ):
        assert told(declaration, text + row).rows == {
            "SN-101": {NOON: {"pv_power_w": 1.0}},
            "SN-102": {NOON: {"pv_power_w": 2.0}},
        }
    lines = WideCsv(time=TIME, columns=(POWER,), serial_line="#INV* ESN:{serial}")
    found = told(
        lines,
        "#INV1 ESN: A-1\nTime;Power (kW)\n2024-07-01 12:00;1\n#INV2 ESN:B-2\n2024-07-01 12:00;2\n"
        "#INV1 ESN:A-1\n2024-07-01 12:05;3\n",
    )
    assert (values(found, "pv_power_w", "A-1"), values(found, "pv_power_w", "B-2")) == ([1000.0, 3000.0], [2000.0])


def test_groups_repeat_for_each_device() -> None:
    declaration = WideCsv(
        time=TIME, group_at="Dev", columns=(Column("P", "pv_power_w"), Column("E", "pv_energy_wh", optional=True))
    )
    found = told(declaration, "Time;Dev;P;E;Dev;P\n2024-07-01 12:00;A-1;1;2;B-2;3\n2024-07-01 12:05;B-2;4;5;A-1;6\n")
    later = NOON + 300_000
    assert found.rows == {
        "A-1": {NOON: {"pv_power_w": 1.0, "pv_energy_wh": 2.0}, later: {"pv_power_w": 6.0}},
        "B-2": {NOON: {"pv_power_w": 3.0}, later: {"pv_power_w": 4.0, "pv_energy_wh": 5.0}},
    }


def test_too_many_devices_refuse_the_file() -> None:
    declaration = WideCsv(time=TIME, columns=(POWER,), serial_at="Device")
    text = "Time;Device;Power (kW)\n" + "".join(f"2024-07-01 12:00;INV-{n};1\n" for n in range(501))
    found = told(declaration, text)
    assert found.unreadable is not None
    assert found.unreadable.code == "too_many_serials"


# intervals --------------------------------------------------------------------------------------------------------


def rows_of(t: Sequence[int], value: str = "100") -> str:
    return "Time;E\n" + "".join(f"{clock(each, '%d.%m.%Y %H:%M')};{value}\n" for each in t)


ENERGY = Column("E", "import_interval_wh", "Wh")


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
@pytest.mark.parametrize("step", [15, 60])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("end", ["start", "end"])
def test_days_of_92_and_100_quarters(day: object, step: int, descending: bool, end: str) -> None:
    starts = instants(day, step)  # type: ignore[arg-type]
    told_times = starts if end == "start" else [t + step * 60_000 for t in starts]
    declaration = WideCsv(time=TimeCells(at=("Time",), stamp=end), columns=(ENERGY,))  # type: ignore[arg-type]
    found = told(declaration, rows_of(sorted(told_times, reverse=descending)))
    assert found.refusals == []
    assert sorted(found.rows[None]) == [t + step * 60_000 for t in starts]
    assert {row["interval_s"] for row in found.rows[None].values()} == {step * 60}


def test_a_clock_that_ignores_summer_time() -> None:
    fixed = instants(SPRING, 30)
    text = "Time;E\n" + "".join(f"{clock(t, '%Y-%m-%d %H:%M', 'Etc/GMT-1')};1\n" for t in fixed)
    declaration = WideCsv(time=TimeCells(at=("Time",), stamp="end"), columns=(ENERGY,))
    wrong = told(declaration, text)
    assert wrong.codes == ["time_does_not_exist"] * 2
    assert [each.line for each in wrong.refusals] == [6, 7]
    assert sorted(told(declaration, text, timezone="+01:00").rows[None]) == fixed


def test_days_are_as_long_as_the_calendar_says() -> None:
    declaration = WideCsv(time=TimeCells(at=("Time",), stamp="start", step_s=86_400), columns=(ENERGY,))
    found = told(declaration, "Time;E\n30.03.2024;1\n31.03.2024;2\n27.10.2024;3\n")
    assert found.rows[None] == {
        at("2024-03-31T00:00:00+01:00"): {"import_interval_wh": 1.0, "interval_s": 86_400.0},
        at("2024-04-01T00:00:00+02:00"): {"import_interval_wh": 2.0, "interval_s": 82_800.0},
        at("2024-10-28T00:00:00+01:00"): {"import_interval_wh": 3.0, "interval_s": 90_000.0},
    }


def test_mean_power_becomes_energy() -> None:
    declaration = WideCsv(
        time=TimeCells(at=("Time",), stamp="end"), columns=(Column("P", "import_interval_wh", "kW", kind="mean_power"),)
    )
    rows = ["11:00;1", "12:00;1", "13:00;1.5", "13:30;1.5", "14:00;2"]  # the step changes
    found = told(declaration, "Time;P\n" + "".join(f"2024-07-01 {row}\n" for row in rows))
    assert values(found, "import_interval_wh") == [1000.0, 1000.0, 1500.0, 750.0, 1000.0]


def test_the_settings_say_which_end_a_time_names() -> None:
    declaration = WideCsv(time=TimeCells(at=("Time",), stamp="end", step_s=900), columns=(ENERGY,))
    text = "Time;E\n2024-07-01 12:00;1\n"
    assert list(told(declaration, text).rows[None]) == [NOON]
    assert list(told(declaration, text, stamp="start").rows[None]) == [NOON + 900_000]


def test_one_row_does_not_tell_how_long_it_is() -> None:
    found = told(WideCsv(time=TimeCells(at=("Time",), stamp="end"), columns=(ENERGY,)), "Time;E\n2024-07-01 12:00;1\n")
    assert (found.codes, found.rows) == (["unknown_interval"], {})


def test_months_are_refused() -> None:
    text = "Time;E\n2024-07-01;1\n2024-08-01;2\n2024-09-01;3\n"
    found = told(WideCsv(time=TimeCells(at=("Time",), stamp="start"), columns=(ENERGY,)), text)
    assert found.unreadable is not None
    assert found.unreadable.code == "coarser_than_a_day"


# recognising ------------------------------------------------------------------------------------------------------


def test_recognised_by_all_headings_that_are_not_optional() -> None:
    declaration = WideCsv(
        time=TIME, columns=(POWER, Column("U", "ac_voltage_v"), Column("I", "ac_current_a", optional=True))
    )
    assert recognised(declaration, "remark\n\nU;Time;Power (kW)\n")
    assert not recognised(declaration, "Time;Power (kW)\n")
    assert not recognised(declaration, "")
    like = msgspec.structs.replace(declaration, header_like="#Time")
    assert recognised(like, "#Time;U;Power (kW)\n")
    assert not recognised(like, "U;Time;Power (kW)\n")


# declarations -----------------------------------------------------------------------------------------------------


def test_a_declaration_survives_the_database() -> None:
    declaration = WideCsv(
        time=TimeCells(at=(1, "Heure"), zone="UTC", stamp="end", step_s=900), columns=(POWER, ENERGY), decimal=","
    )
    assert msgspec.json.decode(msgspec.json.encode(declaration), type=WideCsv) == declaration
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(declaration), "pattern": "(a+)+"}, WideCsv)


@pytest.mark.parametrize(
    ("declaration", "code"),
    [
        (WideCsv(time=TIME, columns=()), "no_measures"),
        (WideCsv(time=TIME, columns=(Column("a", "apples"),)), "unknown_measure"),
        (WideCsv(time=TIME, columns=(Column("a", "grid_power_w", "VA"),)), "wrong_unit"),
        (WideCsv(time=TIME, columns=(Column("a", "pv_power_w", kind="lifetime"),)), "wrong_kind"),
        (WideCsv(time=TIME, columns=(Column("a", "pv_energy_wh", "W", kind="mean_power"),)), "wrong_kind"),
        (WideCsv(time=TimeCells(at=("t",), pattern="whenever"), columns=(POWER,)), "bad_pattern"),
        (WideCsv(time=TimeCells(at=("t",), zone="Mars/Base"), columns=(POWER,)), "unknown_zone"),
        (WideCsv(time=TIME, columns=(POWER,), header=False), "needs_position"),
        (WideCsv(time=TIME, columns=(POWER,), delimiter='"'), "bad_delimiter"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(declaration: WideCsv, code: str) -> None:
    assert code in [each.code for each in faults(declaration)]
    assert faults(PLAIN) == []
