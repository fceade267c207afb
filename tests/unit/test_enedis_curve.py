"""Load curves from Enedis's customer portal: each trap of theirs."""

import random
from datetime import datetime, timedelta

import pytest

from fleet.codecs.files.reading import Unreadable
from tests.samples.enedis_files import (
    AUTUMN,
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
    intervals,
    ms,
    points,
    read_as,
    refusals_of,
    rows,
    stamp,
)

DAY = datetime(2024, 7, 1, tzinfo=PARIS)


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
