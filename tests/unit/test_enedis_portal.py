"""The files of Enedis's customer portal: each trap of theirs."""

import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from fleet.codecs.files import refusals, registry
from fleet.codecs.files.reading import Found, Unreadable
from tests.enedis_files import (
    AUTUMN,
    CALENDAR,
    PARIS,
    PRM,
    SPRING,
    Interval,
    curve,
    day_after,
    energy_of,
    found,
    index,
    index_row,
    intervals,
    points,
    preamble,
    read_as,
    refusals_of,
    rows,
    stamp,
)

DAY = datetime(2024, 7, 1, tzinfo=PARIS)


def ms(at: datetime) -> int:
    return round(at.timestamp()) * 1000


def format_of(text: str) -> str | None:
    known = registry.recognised(text.encode())
    return None if known is None else known.id


def codes(told: list[Found]) -> list[str]:
    for each in refusals_of(told):
        assert refusals.words(each, french=True)
        assert refusals.words(each, french=False)
        assert PRM not in f"{each}"
    return [each.code for each in refusals_of(told)]


# Load curves


def test_mean_watts_become_the_energy_of_the_half_hour_that_ends() -> None:
    told = intervals(DAY)
    (block,) = rows(found(curve(told)))
    assert block.serial == PRM
    assert block.measures == ("import_interval_wh", "interval_s")
    assert block.t[0] == ms(DAY + timedelta(minutes=30))
    assert block.t[-1] == ms(DAY + timedelta(days=1))
    assert dict(zip(block.t, block.values[0], strict=True)) == energy_of(told)
    assert set(block.values[1]) == {1800.0}
    assert not block.corrected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\ufeff", ""),
        ("Unite", "Unité"),
        ("Etape metier", "Etape métier"),
        ("Type de donnees", "Type de donn\ufffdes"),
        ("Grandeur metier", "Grandeur mÃ©tier"),
        (";W;30", ";;30"),
        (";W;30", ";W;"),
        (";Pas en minutes\n", "\n"),
        ("\n\n", "\n"),
        ("\n", "\r\n"),
        ("\n", "\r"),
        ("Horodate;Valeur\n", "Horodate;Valeur;\n"),
        ('Horodate;Valeur\n', '"Horodate";"Valeur"\n'),
    ],
)  # fmt: skip
def test_what_varies_between_portal_files_changes_nothing(old: str, new: str) -> None:
    told = intervals(DAY)
    varied = curve(told).replace(old, new)
    assert format_of(varied) == "enedis-curve"
    assert points(found(varied)) == energy_of(told)


def test_latin_1_is_read_too() -> None:
    text = curve(intervals(DAY)).removeprefix("\ufeff").replace("Unite", "Unité").replace("metier", "métier")
    assert points(found(text.encode("latin-1"))) == energy_of(intervals(DAY))


def test_production_is_what_was_fed_in_never_a_yield() -> None:
    told = found(curve(intervals(DAY), direction="Production"))
    assert {measure for block in rows(told) for measure in block.measures} == {"export_interval_wh", "interval_s"}
    assert points(told, "export_interval_wh") == energy_of(intervals(DAY))


@pytest.mark.parametrize(("unit", "factor"), [("W", 0.5), ("", 0.5), ("kW", 500.0), ("Wh", 1.0), ("kWh", 1000.0)])
def test_units(unit: str, factor: float) -> None:
    told = [Interval(each.start, 30, 6) for each in intervals(DAY)]
    assert set(points(found(curve(told, unit=unit))).values()) == {6 * factor}


@pytest.mark.parametrize("unit", ["VA", "kVA", "VAr", "kVAr", "VArh", "A"])
def test_what_is_no_active_power_never_becomes_watts(unit: str) -> None:
    told = found(curve(intervals(DAY), unit=unit))
    assert rows(told) == []
    assert codes(told) == ["not_active_power"]


def test_a_missing_value_is_missing_and_a_zero_is_a_value() -> None:
    told = [each._replace(watts=(None, 0, 40)[position % 3]) for position, each in enumerate(intervals(DAY))]
    read = points(found(curve(told)))
    assert read == energy_of(told)
    assert len(read) == 32
    assert 0.0 in read.values()


@pytest.mark.parametrize(("day", "halves"), [(DAY, 48), (SPRING, 46), (AUTUMN, 50)])
@pytest.mark.parametrize("named", ["start", "end"])
def test_days_on_which_the_clock_moves(day: datetime, halves: int, named: str) -> None:
    told = intervals(day)
    read = points(found(curve(told, named)))
    assert read == energy_of(told)
    assert len(read) == halves


def test_the_file_tells_which_end_its_times_are() -> None:
    starts = intervals(DAY, minutes=10, days=2)
    assert points(found(curve(starts, "start", step=""))) == energy_of(starts)
    ends = intervals(DAY, minutes=30, days=2)
    assert points(found(curve(ends, "end", step=""))) == energy_of(ends)
    hours = intervals(DAY, minutes=60, days=2)
    assert points(found(curve(hours, "start", step=""))) == energy_of(hours)


def test_a_person_can_tell_it_too() -> None:
    middle = intervals(DAY)[20:30]
    assert points(found(curve(middle, "end"))) == energy_of(middle)  # up to 36 kVA: the usual
    assert points(found(curve(middle, "start"), stamp="start")) == energy_of(middle)
    fine = intervals(DAY, minutes=10)[50:60]
    assert points(found(curve(fine, "start", step="10"))) == energy_of(fine)  # above 36 kVA: the usual
    assert points(found(curve(fine, "end", step="10"), stamp="end")) == energy_of(fine)


def test_lost_readings_before_midnight_do_not_turn_a_curve_around() -> None:
    told = [each for each in intervals(DAY, minutes=60, days=9) if each.end.astimezone(PARIS).hour != 23]
    read = points(found(curve(told, "end", step="60")))
    assert read == energy_of(told)


def test_the_step_changes_within_the_file() -> None:
    hours, halves = intervals(DAY, minutes=60, days=3), intervals(day_after(day_after(day_after(DAY))), days=4)
    for step in ("", "30"):
        for named in ("start", "end"):
            assert points(found(curve([*hours, *halves], named, step=step))) == energy_of([*hours, *halves])


def test_after_a_gap_the_step_is_that_of_what_follows() -> None:
    hours = intervals(DAY, minutes=60, days=2)
    halves = intervals(DAY + timedelta(days=20), days=2)
    told = [*hours[:30], *halves[7:]]
    assert points(found(curve(told, step=""))) == energy_of(told)


def test_a_reading_alone_is_as_long_as_the_heading_or_most_others_say() -> None:
    told = [*intervals(DAY), intervals(DAY + timedelta(days=5))[20]]
    assert points(found(curve(told, step=""))) == energy_of(told)
    alone = [intervals(DAY)[20]]
    assert points(found(curve(alone, step="30"))) == energy_of(alone)
    unknown = found(curve(alone, step=""))
    assert (rows(unknown), codes(unknown)) == ([], ["step_unknown"])


def test_order_and_repetition_do_not_matter() -> None:
    told = intervals(AUTUMN - timedelta(days=2), days=5)
    shuffled = list(told)
    random.Random(7).shuffle(shuffled)
    for varied in (told[::-1], shuffled, told + told, told[:100] + told[80:]):
        assert points(found(curve(varied))) == energy_of(told)


def test_a_file_that_is_cut_tells_the_same_as_far_as_it_goes() -> None:
    text = curve(intervals(DAY, days=2), step="").encode()
    whole = points(found(text))
    body = text.index(b"2024-07-01T00:30")
    for cut in range(body + 200, len(text), 97):
        told = read_as("enedis-curve", text[:cut])
        read = points(told)
        *but_the_last, last = sorted(read)
        assert {t: read[t] for t in but_the_last} == {t: whole[t] for t in but_the_last}
        assert last in whole  # a value may be cut to fewer digits
        assert codes(told) in ([], ["bad_time"], ["wrong_field_count"])


def test_a_long_file_is_the_same_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    told = intervals(DAY, minutes=60, days=3) + intervals(DAY + timedelta(days=3), days=30)
    for named in ("start", "end"):
        text = curve(told, named, step="")
        whole = points(found(text))
        monkeypatch.setattr("fleet.codecs.files.enedis.series.FILE_POINTS_HELD_MAX", 97)
        assert points(found(text)) == whole
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("2024-07-02T12:3", "wrong_field_count"),
        ("2024-07-02T12:3;7", "bad_time"),
        ("2410;2024-07-02T12:30:00+02:00", "bad_time"),
        ("2024-13-02T12:30:00+02:00;7", "bad_time"),
        ("2024-07-02T25:30:00+02:00;7", "bad_time"),
        ("2024-07-02T12:30:00+02:00;seven", "bad_number"),
        ("2024-07-02T12:30:00+02:00;1e999", "bad_number"),
        ("2024-07-02T12:30:00+02:00;inf", "bad_number"),
        ("2024-07-02T12:30:00+02:00;-7", "negative_energy"),
        ("2024-03-31T02:30:00;7", "time_does_not_exist"),
        (f"somewhere;{PRM};12", "bad_time"),
    ],
)
def test_a_bad_line_is_refused_and_the_others_count(line: str, code: str) -> None:
    told = found(curve(intervals(DAY)) + line + "\n")
    (refused,) = refusals_of(told)
    assert codes(told) == [code]
    assert refused.line == 5 + 48 - 1 + 1
    assert points(told) == energy_of(intervals(DAY))


def test_formulas_and_words_for_nothing() -> None:
    text = curve(intervals(DAY)) + "2024-07-02T00:30:00+02:00;NaN\n2024-07-02T01:00:00+02:00;null\n=1+1;2\n"
    told = found(text)
    assert codes(told) == ["bad_time"]
    assert points(told) == energy_of(intervals(DAY))


def test_the_shape_that_says_what_its_times_are() -> None:
    told = intervals(DAY)
    body = "horodate ISO fin de pas;puissance moyenne (W)\n" + "".join(
        f"{stamp(each, 'end')};{each.watts}\n" for each in told
    )
    with_meter = f"Identifiant PRM;{PRM};Type de donnees;Courbe de charge;\n{body}"
    assert format_of(with_meter) == format_of(body) == "enedis-curve"
    assert points(found(with_meter, stamp="start")) == energy_of(told)
    assert points(found(body), serial=None) == energy_of(told)


@pytest.mark.parametrize("meter", ["1,23457E+13", "1.23E+13"])
def test_a_meter_number_that_a_spreadsheet_has_spoilt(meter: str) -> None:
    with pytest.raises(Unreadable, match="cut_meter_number"):
        found(curve(intervals(DAY)).replace(PRM, meter))


def test_a_meter_number_whose_zero_a_spreadsheet_has_eaten() -> None:
    told = found(curve(intervals(DAY)).replace(PRM, "9876543210987"))
    assert {block.serial for block in rows(told)} == {"09876543210987"}


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
        found("Date;Production (en Wh)\n2024-06-01;10\n"),
        found(days, name="Enedis_Prod_Jour_20240601-20240602.csv"),
        found(days, role="pv"),
    ):
        assert list(points(told, "export_interval_wh", None).values()) == [10]
    assert list(points(found(days), "import_interval_wh", None).values()) == [10]
    both = found("Date;Consommation (en kWh);Production (en kWh)\n01/06/2024;1;2\n")
    assert list(points(both, "import_interval_wh", None).values()) == [1000]
    assert list(points(both, "export_interval_wh", None).values()) == [2000]


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
