"""Unknown exports: the guess that an installer is shown. Values are made up."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.guess import Guess, guess, units_known
from fleet.codecs.files.guess_names import meaning
from fleet.codecs.files.reading import Context, ReadingSettings
from fleet.codecs.files.wide_csv import WideCsv, faults
from tests.file_reading import RECEIVED, at
from tests.samples.wide_samples import SAMPLES, told, values

NOON = at("2024-07-01T12:00:00+02:00")


def guessed(text: str, *, name: str = "export.csv", encoding: str = "utf-8", **kept: object) -> Guess:
    context = Context(name, "Europe/Paris", RECEIVED, ReadingSettings(**kept))  # type: ignore[arg-type]
    return guess(text.encode(encoding), context)


def measures(found: Guess) -> dict[str, str | None]:
    return {each.name: each.measure for each in found.columns if each.role is None}


def test_german_with_decimal_comma_and_thousands() -> None:
    text = (
        "Anlage Musterdorf\n\nDatum;Uhrzeit;Leistung (kW);Gesamtertrag (kWh);Modultemperatur;Bemerkung\n"
        "01.07.2024;12:00;1,5;12.345,6;33,1;ok\n01.07.2024;12:15;1,6;12.346,0;33,4;ok\n01.07.2024;12:30;1,6;12.346,4;33,4;ok\n"
    )
    found = guessed(text)
    assert found.header_line == 3
    assert measures(found) == {
        "Leistung": "pv_power_w", "Gesamtertrag": "pv_energy_wh", "Modultemperatur": "module_temp_c", "Bemerkung": None
    }  # fmt: skip
    declaration = found.declaration
    assert (declaration.delimiter, declaration.decimal, declaration.thousands) == (";", ",", ".")
    assert declaration.time.at == ("Datum", "Uhrzeit")
    assert found.doubts == ["unknown_columns"]
    read = told(declaration, text)
    assert values(read, "pv_energy_wh") == [12345600.0, 12346000.0, 12346400.0]
    assert min(read.rows[None]) == NOON


def test_french_with_a_row_of_units() -> None:
    rows = [f"{day:02}/07/2024 12:{minute:02};{minute // 10},5;0,1;0,2\n" for day in (1, 2) for minute in (0, 15, 30)]
    text = "Horodate;Production;Soutirage;Injection\n;kWh;kWh;kWh\n" + "".join(rows)
    found = guessed(text)
    assert measures(found) == {
        "Production": "pv_interval_wh", "Soutirage": "import_interval_wh", "Injection": "export_interval_wh"
    }  # fmt: skip
    assert (found.declaration.units_row, found.declaration.lines_after, found.declaration.time.order) == (1, 1, "dmy")
    assert found.doubts == ["unknown_stamp"]
    assert values(told(found.declaration, text), "export_interval_wh") == [200.0] * 6


def test_what_cannot_be_known_is_a_doubt() -> None:
    ambiguous = guessed("Date,Puissance AC\n01/07/24 12:00,1500\n01/07/24 12:05,1490\n")
    assert {"ambiguous_date", "no_unit"} == set(ambiguous.doubts)
    assert guessed("Date,Puissance AC (W)\n01/07/24 12:00,1500\n", date_order="dmy").doubts == []
    assert guessed("Date,Puissance AC (W)\n01/07/24 12:00,1500\n", name="240701.csv").doubts == []
    assert "ambiguous_decimal" in guessed("Date;Yield (kWh)\n2024-07-01;1.234\n2024-07-02;1.235\n").doubts
    power = guessed("Date;Soutirage (W)\n2024-07-01 12:00;900\n2024-07-01 12:30;800\n")
    assert (power.columns[1].kind, power.doubts) == ("mean_power", ["unknown_stamp", "mean_power"])
    several = guessed("Date;Inverter 1 (W);Inverter 2 (W)\n2024-07-01 12:00;900;800\n")
    assert several.doubts == ["same_measure"]


def rows(*columns: object, step_min: int = 5) -> str:
    """A day of rows: cells as told, a function of the row's number and of what the panels give, or a text."""
    told = []
    for row in range(24 * 60 // step_min):
        hour = row * step_min / 60
        sun = max(0.0, 3_000 - 80 * (hour - 13) ** 2)
        cells = [each(row, sun) if callable(each) else str(each) for each in columns]
        told.append(",".join([f"2024-07-14 {int(hour):02}:{row * step_min % 60:02}", *map(str, cells)]))
    return "\n".join(told) + "\n"


def test_of_columns_that_measure_the_same_one_counts() -> None:
    """Strings are no inverters, an output is no further yield, and only parts of one thing are added up."""
    heading = (
        "Time,Vpv1(V),Ppv1(W),Ppv2(W),Pac(W),PV1 input voltage(V),Power factor,Daily PV Yield(kWh),"
        "Daily inverter output (kWh)\n"
    )
    day = [0.0]

    def yields(_: int, sun: float) -> str:
        day[0] += sun / 12_000
        return f"{day[0]:.2f}"

    found = guessed(heading + rows(350, 40, 41, lambda _, sun: round(sun), 351, 1, yields, yields))
    assert measures(found) == {
        "Vpv1": "dc_voltage_v_1", "Ppv1": "dc_power_w_1", "Ppv2": "dc_power_w_2", "Pac": "pv_power_w",
        "PV1 input voltage": None, "Power factor": "power_factor",
        "Daily PV Yield": "pv_day_energy_wh", "Daily inverter output": None,
    }  # fmt: skip
    assert found.doubts == ["unknown_columns"]
    tariffs = guessed("Date;Index HP (kWh);Index HC (kWh)\n2024-07-14 00:00;9000;8000\n2024-07-15 00:00;9010;8010\n")
    assert tariffs.doubts == ["same_measure"]


def test_what_goes_which_way() -> None:
    heading = (
        "Time,Production Power(W),Consumption Power(W),Self Consumption(W),Purchasing Power(W),Feed-in Power(W),"
        "Charging Power(W),Discharging Power(W),Wallbox(W),Home(W),From Powerwall(W)\n"
    )
    found = guessed(heading + rows(*range(10)))
    assert measures(found) == {
        "Production Power": "pv_power_w", "Consumption Power": "load_power_w", "Self Consumption": None,
        "Purchasing Power": "import_interval_wh", "Feed-in Power": "export_interval_wh",
        "Charging Power": "charge_interval_wh", "Discharging Power": "discharge_interval_wh", "Wallbox": None, "Home": None,
        "From Powerwall": "battery_power_w",
    }  # fmt: skip
    assert next(each.sign for each in found.declaration.columns if each.measure == "battery_power_w") == -1
    grid = guessed("Time,Energy | Roof 8.2 (1),Energy from grid,Energy to grid\n,[Wh],[Wh],[Wh]\n" + rows(1, 2, 3))
    assert list(measures(grid).values()) == ["pv_interval_wh", "import_interval_wh", "export_interval_wh"]


def test_what_is_no_reading_of_the_plant() -> None:
    text = (
        "Date,Global Irradiation (kWh/m²),Theoretical Yield (kWh),PV Yield (kWh),Efficiency (kWh/kW),Revenue (€)\n"
        + "".join(f"2024-07-{day},5,30,{20 + day % 7},4,2\n" for day in range(10, 30))
    )
    assert [each for each in measures(guessed(text)).values() if each] == ["pv_interval_wh"]


def test_a_counter_that_rests_when_the_day_is_over() -> None:
    """Without a word of it, and a day is too short for it to begin anew."""
    told = [0.0]

    def energy(_: int, sun: float) -> str:
        told[0] += sun / 12
        return f"{told[0]:.0f}"

    assert guessed("Time,Energy Generation (Wh)\n" + rows(energy)).columns[1].measure == "pv_day_energy_wh"
    morning = "".join(f"2024-07-14 0{6 + row // 12}:{row % 12 * 5:02},{row * 4}\n" for row in range(30))
    assert guessed("Time,Energy Generation (Wh)\n" + morning).columns[1].measure == "pv_interval_wh"


@pytest.mark.parametrize("hour", ["{}", "{}h00", "{}h"])
def test_hours_in_a_column_of_their_own(hour: str) -> None:
    text = "Date;Heure;Production (kWh)\n" + "".join(
        f"{14 + row // 24}/07/2024;{hour.format(row % 24)};{row % 5},5\n" for row in range(48)
    )
    found = guessed(text)
    assert found.declaration.time.at == ("Date", "Heure")
    assert len(told(found.declaration, text).rows[None]) == 48


def test_rows_of_the_same_time_are_of_several_devices() -> None:
    text = "Start Time,Plant,Device Name,Active power(kW)\n" + "".join(
        f"2024-07-14 12:{minute:02}:00,Roofs,INV-{unit},{minute / 10 + unit}\n" for minute in (0, 5) for unit in (1, 2, 3)
    )
    found = guessed(text)
    assert found.declaration.serial_at == "Device Name"
    assert told(found.declaration, text).rows.keys() == {"INV-1", "INV-2", "INV-3"}


def test_devices_named_above_the_headings_and_a_time_without_a_name() -> None:
    text = (
        "timestamp,Battery Monitor [258],Battery Monitor [258],PV Inverter [20],Grid meter [30]\n"
        "Europe/Paris,Voltage,State of charge,L1 Power,L1 Power\n,V,%,W,W\n" + rows(52, 50, 900, -200)
    )
    found = guessed(text)
    assert [each.measure for each in found.columns[1:]] == [None, "battery_soc_pct", "pv_power_w", "grid_power_w"]
    days = '"";"Gesamtertrag / Messwert [kWh]"\n' + "".join(f'"{day}.07.2024";"2{day % 7},5"\n' for day in range(10, 30))
    assert measures(guessed(days)) == {"Gesamtertrag / Messwert": "pv_interval_wh"}


def test_days_begin_at_midnight() -> None:
    text = "Date;Production (kWh)\n2024-07-01;12.5\n2024-07-02;13.5\n"
    found = guessed(text)
    assert (found.declaration.time.stamp, found.declaration.time.step_s, found.doubts) == ("start", 86_400, [])
    assert min(told(found.declaration, text).rows[None]) == at("2024-07-02T00:00:00+02:00")


def test_counters_are_told_from_intervals_by_their_numbers() -> None:
    def energy(*numbers: float) -> str | None:
        rows = "".join(f"2024-07-01 {hour:02}:00;{number}\n" for hour, number in enumerate(numbers))
        return guessed("Time;Energy (kWh)\n" + rows).columns[1].measure

    assert energy(*(1000 + n / 10 for n in range(20))) == "pv_energy_wh"
    assert energy(*([0, 0, 0.5, 1, 2, 3, 4, 4, 4, 4, 4, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])) == "pv_day_energy_wh"
    assert energy(0, 0, 0.5, 1.2, 0.7, 0.9, 0.1) == "pv_interval_wh"


def test_serials_headings_without_units_and_utc() -> None:
    text = "Time (UTC);Serial number;Pac[W]\n2024-07-01 10:00;INV-A1;100\n2024-07-01 10:00;INV-A2;120\n"
    found = guessed(text)
    assert (found.declaration.serial_at, found.declaration.time.zone) == ("Serial number", "UTC")
    assert told(found.declaration, text).rows == {
        "INV-A1": {NOON: {"pv_power_w": 100.0}},
        "INV-A2": {NOON: {"pv_power_w": 120.0}},
    }


def test_without_headings_there_are_positions() -> None:
    found = guessed("1719828000\t150.5\n1719828300\t160.5\n")
    assert (found.header_line, found.declaration.header, found.declaration.time.pattern) == (None, False, "unix_s")
    assert found.doubts == ["no_measures"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_any_encoding(encoding: str) -> None:
    text = "Horodaté;Température (°C);Énergie totale (kWh)\n2024-07-01 12:00;21,5;1500,5\n2024-07-01 12:05;21,5;1500,6\n"
    assert measures(guessed(text, encoding=encoding)) == {"Température": "inverter_temp_c", "Énergie totale": "pv_energy_wh"}


@pytest.mark.parametrize(
    "text", ["", "\n\n", "hello", "a;b;c\n", "<html></html>", '{"a": 1}', "\0\0\0", "2024-07-01", ";;;;\n" * 50, '"' * 99]
)
def test_something_comes_out_of_anything(text: str) -> None:
    found = guessed(text)
    assert "no_measures" in found.doubts
    assert msgspec.json.decode(msgspec.json.encode(found.declaration), type=WideCsv) == found.declaration


@pytest.mark.parametrize(
    ("name", "unit", "measure"),
    [
        ("Production", "kWh", "pv_interval_wh"), ("Puissance AC", "W", "pv_power_w"), ("Leistung", "kW", "pv_power_w"),
        ("Energie totale", "kWh", "pv_energy_wh"), ("Tagesertrag", "kWh", "pv_day_energy_wh"),
        ("Netzbezug", "kWh", "import_interval_wh"), ("Einspeisung", "kWh", "export_interval_wh"),
        ("Energía importada", "kWh", "import_interval_wh"), ("Energia immessa", "kWh", "export_interval_wh"),
        ("Energia prodotta", "kWh", "pv_interval_wh"), ("Yield", "Wh", "pv_interval_wh"),
        ("Spannung L2", "V", "ac_voltage_v_l2"), ("Upv3", "V", "dc_voltage_v_3"),
        ("Strom MPPT 2", "A", "dc_current_a_2"), ("Puissance apparente", "VA", "apparent_power_va"),
        ("Frecuencia", "Hz", "ac_frequency_hz"), ("Einstrahlung", "W/m²", "irradiance_w_m2"),
        ("Batterie SOC", "%", "battery_soc_pct"), ("Décharge batterie", "kWh", "discharge_interval_wh"),
        ("Consommation", "kWh", None), ("grid_power_w", "", "grid_power_w"), ("Commentaire", "", None),
    ],
)  # fmt: skip
def test_names_in_five_languages(name: str, unit: str, measure: str | None) -> None:
    found = meaning(name, unit, "rises")
    assert (None if found is None else found.measure) == measure


def test_units_are_offered() -> None:
    assert units_known()["kWh"] == ("Wh", 1000.0)
    assert {base for base, _ in units_known().values()} >= {"W", "Wh", "VA", "var", "V", "A", "Hz", "°C", "%", "s"}


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_no_input_is_too_odd(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([*SAMPLES.values(), "a;b\n1;2\n"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=6)))
    raw = b"".join(text[a:b].encode() + data.draw(st.binary(max_size=4)) for a, b in pairwise(cuts))
    found = guess(raw, Context("x", "Europe/Paris", RECEIVED))
    assert {each.code for each in faults(found.declaration)} <= {"no_measures"}
    assert msgspec.json.decode(msgspec.json.encode(found), type=Guess) == found
    assert len(found.preview) <= 20
