"""Daily registers, totals and peaks from Enedis's customer portal."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from fleet.codecs.files.reading import Unreadable
from tests.samples.enedis_files import (
    AUTUMN,
    CALENDAR,
    PARIS,
    PRM,
    SPRING,
    Interval,
    codes,
    curve,
    day_after,
    energy_of,
    format_of,
    found,
    index,
    index_row,
    intervals,
    ms,
    points,
    preamble,
    rows,
)

DAY = datetime(2024, 7, 1, tzinfo=PARIS)


# Daily registers


def test_registers_stand_at_local_midnight_whatever_their_clock_says() -> None:
    rows_told = [("2024-01-15T00:00:00+01:00", 100_000), ("2024-07-01T01:00:00+02:00", 200_000)]  # made in winter
    rows_told += [("2024-07-02T00:00:00+02:00", 201_000), ("2024-12-31T23:00:00+01:00", 300_000)]  # made in summer
    told = found(index(rows_told))
    assert points(told, "import_energy_wh") == {
        ms(datetime(2024, 1, 15, tzinfo=PARIS)): 100_000,
        ms(datetime(2024, 7, 1, tzinfo=PARIS)): 200_000,
        ms(datetime(2024, 7, 2, tzinfo=PARIS)): 201_000,
        ms(datetime(2025, 1, 1, tzinfo=PARIS)): 300_000,
    }
    assert codes(told) == []


def even(day: datetime, days: int) -> list[Interval]:
    """Whole Wh in each half-hour."""
    return [each._replace(watts=(each.watts or 0) // 2 * 2) for each in intervals(day, days=days)]


@pytest.mark.parametrize("first", [SPRING - timedelta(days=3), AUTUMN - timedelta(days=3)])
def test_differences_of_registers_equal_the_curve_to_the_watt_hour(first: datetime) -> None:
    load = energy_of(even(first, 7))
    day, text = first, list[tuple[str, int]]()
    for _ in range(8):
        shown = "T01:00:00+02:00" if day.utcoffset() == timedelta(hours=2) else "T00:00:00+01:00"
        text.append((f"{day:%Y-%m-%d}{shown}", 5_000_000 + round(sum(wh for t, wh in load.items() if t <= ms(day)))))
        day = day_after(day)
    registers = points(found(index(text)), "import_energy_wh")
    load = points(found(curve(even(first, 7))))
    edges = sorted(registers)
    assert len(edges) == 8
    for start, end in pairwise(edges):
        assert registers[end] - registers[start] == sum(wh for t, wh in load.items() if start < t <= end)


def test_the_file_goes_on_with_calendars_and_daily_peaks() -> None:
    peaks = preamble("Puissance maximale quotidienne", unit="VA", step="") + "Horodate;Valeur\n"
    peaks += "2024-07-01T19:42:13+02:00;5820\n2024-07-02T00:00:00+02:00;\n"
    told = found(index([("2024-07-01T00:00:00+02:00", 1000), ("2024-07-02T00:00:00+02:00", None)]) + CALENDAR + peaks)
    assert codes(told) == []
    assert points(told, "import_energy_wh") == {ms(DAY): 1000}
    assert points(told, "apparent_power_va") == {ms(DAY + timedelta(hours=19, minutes=42, seconds=13)): 5820}
    assert {measure for block in rows(told) for measure in block.measures} == {"import_energy_wh", "apparent_power_va"}
    assert format_of(peaks) == "enedis-peaks"
    assert points(found(peaks.replace(";VA;", ";W;")), "grid_power_w") == {1719855733000: 5820}
    assert points(found(peaks.replace(";VA;", ";W;").replace("Consommation", "Production")), "grid_power_w") == {
        1719855733000: -5820
    }


def test_peaks_without_values_refuse_nothing() -> None:
    text = preamble("Puissance maximale quotidienne", unit="", step="") + "Horodate;Valeur\n2024-07-01T00:00:00+02:00;\n"
    assert found(text) == []
    assert codes(found(text + "2024-07-02T09:00:00+02:00;3000\n")) == ["series_not_kept"]


def test_the_total_register_counts_and_not_its_parts() -> None:
    text = index([]) + "2024-07-01T00:00:00+02:00;Arrêté quotidien;100;200;;;;;;;;;300;;;;350\n"
    assert list(points(found(text), "import_energy_wh").values()) == [350]
    parts = text.replace("EAS D1;EAS D2;EAS D3;EAS D4;EAS T", "EAS D1;EAS D2;EAS D3;EAS D4;Autre")
    assert list(points(found(parts), "import_energy_wh").values()) == [300]


def test_what_was_fed_in_is_told_by_the_heading() -> None:
    row = [("2024-07-01T00:00:00+02:00", 700)]
    assert list(points(found(index(row, "Production")), "export_energy_wh").values()) == [700]
    assert list(points(found(index(row).replace("EAS ", "EAI ")), "export_energy_wh").values()) == [700]
    producer = index([], "Production").rstrip("\n") + ";EAI T\n" + index_row("2024-07-01T00:00:00+02:00", None).rstrip("\n")
    assert points(found(producer + ";6658820\n"), "export_energy_wh") == {ms(datetime(2024, 7, 1, tzinfo=PARIS)): 6_658_820}
    both = index([]).rstrip("\n") + ";EAI T\n" + index_row("2024-07-01T00:00:00+02:00", 900).rstrip("\n") + ";40\n"
    assert list(points(found(both), "import_energy_wh").values()) == [900]
    assert list(points(found(both), "export_energy_wh").values()) == [40]


def test_bad_rows_of_registers() -> None:
    text = index([("2024-07-01T00:00:00+02:00", 1000)]) + "2024-07-02T00:00:00+02:00;Arrêté quotidien;12\n"
    text += index_row("2024-07-xx", 5) + index_row("2024-07-04T00:00:00+02:00", 5).replace(";5;", ";five;").replace(
        ";5\n", ";x\n"
    )
    told = found(text)
    assert codes(told) == ["wrong_field_count", "bad_time", "bad_number"]
    assert len(points(told, "import_energy_wh")) == 1


# Daily totals


WORKBOOK = f"Point Référence Mesure (PRM) : ;{PRM};Type de comptage : ;Consommation Quotidienne\nDate;Valeur (en kWh)\n"
DAILY = preamble("Consommation quotidienne", unit="Wh", step="") + "Date;Valeur (en Wh)\n"


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        (DAILY + "2024-06-01;12571\n2024-06-02;9800\n", PRM),
        ("Date;Consommation (en kWh)\n01/06/2024;12,571\n02/06/2024;9,8\n", None),
        ("Date;Consommation (en kWh)\r\n01/06/2024;12.571\r\n02/06/2024;9.8\r\nTotal;22,371\r\n", None),
        (WORKBOOK + "01/06/2024;12,571\n02/06/2024;9,8\n03/06/2024;NA\n", PRM),
    ],
)
def test_totals_of_days_end_at_the_next_midnight(text: str, serial: str | None) -> None:
    told = found(text)
    assert format_of(text) == "enedis-daily"
    assert points(told, serial=serial) == {
        ms(datetime(2024, 6, 2, tzinfo=PARIS)): 12571,
        ms(datetime(2024, 6, 3, tzinfo=PARIS)): 9800,
    }
    assert set(points(told, "interval_s", serial).values()) == {86_400}
    assert codes(told) == []


def test_days_on_which_the_clock_moves_are_as_long_as_they_are() -> None:
    told = found("Date;Valeur (en Wh)\n2024-03-31;10\n2024-10-27;10\n2024-10-28;10\n")
    assert list(points(told, "interval_s", None).values()) == [82_800, 90_000, 86_400]


def test_the_direction_of_totals() -> None:
    days = "Date;Valeur (en Wh)\n2024-06-01;10\n"
    fed = found(preamble("Injection quotidienne", "", "Wh", "") + days)
    assert list(points(fed, "export_interval_wh").values()) == [10]
    for told in (
        found(WORKBOOK.replace("Valeur (en kWh)", "Production (en Wh)").replace(PRM, "0" * 14) + "2024-06-01;10\n"),
        found(days, name="Enedis_Prod_Jour_20240601-20240602.csv"),
        found(days, role="pv"),
    ):
        (block,) = rows(told)
        assert (block.measures[0], block.values[0]) == ("export_interval_wh", [10.0])
    assert list(points(found(days), "import_interval_wh", None).values()) == [10]
    both = found(WORKBOOK.replace("Valeur (en kWh)", "Consommation (en kWh);Production (en kWh)") + "01/06/2024;1;2\n")
    assert list(points(both, "import_interval_wh").values()) == [1000]
    assert list(points(both, "export_interval_wh").values()) == [2000]


@pytest.mark.parametrize("month", ["2024-06;12571", "06/2024;12571"])
def test_months_make_no_curve(month: str) -> None:
    with pytest.raises(Unreadable, match="coarser_than_a_day"):
        found(f"Date;Valeur (en Wh)\n2024-06-01;1\n{month}\n")


def test_watts_of_a_day_are_no_energy() -> None:
    told = found("Date;Valeur (en W)\n2024-06-01;12\n")
    assert (rows(told), codes(told)) == ([], ["not_active_power"])


@pytest.mark.parametrize(
    "text", ["Date;Valeur\n2024-06-01;10\n", "Horodate;Valeur\n2024-06-01;10\n", "Date;Prix (EUR)\n1;2\n"]
)
def test_what_does_not_say_that_it_is_energy_is_not_recognised(text: str) -> None:
    assert format_of(text) is None
