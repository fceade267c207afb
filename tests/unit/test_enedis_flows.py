"""Enedis's flows of curves for third parties, inside their zips: R4x, R50, R6x; the curve by e-mail; Data Connect."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from fleet.codecs.files.reading import Unreadable
from tests.samples.enedis_files import (
    AUTUMN,
    OTHER_PRM,
    PARIS,
    PRM,
    R63,
    SPRING,
    Interval,
    codes,
    energy_of,
    flow,
    format_of,
    found,
    intervals,
    legal,
    ms,
    points,
    r4x,
    r4x_curve,
    r50,
    r63_csv,
    r63_json,
    refusals_of,
    rows,
    zipped,
)

DAY = datetime(2024, 7, 1, tzinfo=PARIS)
TENS = intervals(DAY, minutes=10)
DAYS = [(DAY, 48), (SPRING, 46), (AUTUMN, 50)]


def kilo(told: list[Interval]) -> dict[int, float]:
    return energy_of([each._replace(watts=None if each.watts is None else each.watts * 1000) for each in told])


# R4x


def test_r4x_times_are_starts_and_its_values_kilowatts() -> None:
    told = found(zipped({"ENEDIS_R4Q_CDC_20240702.xml": r4x(r4x_curve(TENS))}))
    (block,) = rows(told)
    assert format_of(r4x(r4x_curve(TENS))) == "enedis-r4x"
    assert block.t[0] == ms(DAY + timedelta(minutes=10))
    assert block.t[-1] == ms(DAY + timedelta(days=1))
    assert points(told) == kilo(TENS)
    assert set(points(told, "interval_s").values()) == {600}
    # no setting changes what the guide says
    assert points(found(r4x(r4x_curve(TENS)), stamp="end", timezone="+05:00")) == kilo(TENS)


@pytest.mark.parametrize(("day", "halves"), DAYS)
@pytest.mark.parametrize("minutes", [5, 10])
def test_r4x_on_days_on_which_the_clock_moves(day: datetime, halves: int, minutes: int) -> None:
    told = intervals(day, minutes=minutes)
    read = points(found(r4x(r4x_curve(told))))
    assert read == kilo(told)
    assert len(read) == halves * 30 / minutes


def test_r4x_corrected_outranks_raw() -> None:
    for nature, corrected in (("Brute", False), ("Corrigee", True), ("Corrigée", True)):
        (block,) = rows(found(r4x(r4x_curve(TENS), nature=nature)))
        assert block.corrected is corrected


def test_r4x_points_of_every_status_count_and_missing_ones_are_missing() -> None:
    for status in "RHPSTFGECKD":
        assert points(found(r4x(r4x_curve(TENS, status=status)))) == kilo(TENS)
    told = [each._replace(watts=None if position % 2 else 7) for position, each in enumerate(TENS)]
    read = points(found(r4x(r4x_curve(told))))
    assert read == kilo(told)
    assert len(read) == 72


def test_r4x_may_tell_points_as_children() -> None:
    attributes = re.compile(r'<Donnees_Point_Mesure Horodatage="(.*?)" Valeur_Point="(.*?)" Statut_Point="R"/>')
    children = r"<Donnees_Point_Mesure><Horodatage>\1</Horodatage><Valeur_Point>\2</Valeur_Point></Donnees_Point_Mesure>"
    text = attributes.sub(children, r4x(r4x_curve(TENS)))
    assert points(found(text)) == kilo(TENS)


def test_r4x_quantities_stay_apart() -> None:
    hundreds = [each._replace(watts=300 + position) for position, each in enumerate(TENS)]
    told = found(
        r4x(
            r4x_curve(TENS, direction=None),
            r4x_curve(hundreds, direction="PROD"),
            r4x_curve(hundreds, physical="ERI", unit="kWr"),
            r4x_curve(hundreds, physical="ERC", unit="kWr"),
            r4x_curve(hundreds, physical="E", unit="V"),
            r4x_curve(hundreds, direction="PROD", physical="ERI", unit="kWr"),
        )
    )
    assert points(told) == kilo(TENS)  # a missing direction is CONS
    assert points(told, "export_interval_wh") == kilo(hundreds)
    ends = [ms(each.end) for each in hundreds]
    assert points(told, "reactive_power_var") == {t: 1000.0 * (300 + position) for position, t in enumerate(ends)}
    assert points(told, "ac_voltage_v") == {t: 300.0 + position for position, t in enumerate(ends)}
    assert codes(told) == ["series_not_kept", "series_not_kept"]  # capacitive; fed-in reactive


# R50


@pytest.mark.parametrize(("day", "halves"), DAYS)
def test_r50_times_are_ends_and_its_values_watts(day: datetime, halves: int) -> None:
    first, second = intervals(day), [each._replace(watts=(each.watts or 0) + 1) for each in intervals(day)]
    told = found(zipped({"ERDF_R50_1.xml": r50({PRM: first, OTHER_PRM: second})}))
    assert points(told) == energy_of(first)
    assert points(told, serial=OTHER_PRM) == energy_of(second)
    assert len(points(told)) == halves
    assert min(points(told)) == ms(day + timedelta(minutes=30))


def test_r50_without_values() -> None:
    told = [each._replace(watts=None if position % 3 else 5) for position, each in enumerate(intervals(DAY))]
    text = r50({PRM: told})
    assert points(found(text)) == energy_of(told)
    assert points(found(text.replace("</H><IV>", "</H><V></V><IV>"))) == energy_of(told)
    assert points(found(text, role="pv"), "export_interval_wh") == energy_of(told)


def test_xml_lines_are_told_in_refusals() -> None:
    text = r50({PRM: intervals(DAY)}).replace("<V>13</V>", "<V>lots</V>")
    told = found(text)
    assert codes(told) == ["bad_number"]
    assert refusals_of(told)[0].line == 1
    assert len(points(told)) == 47


# R6x


@pytest.mark.parametrize("compose", [r63_csv, r63_json])
@pytest.mark.parametrize(("day", "halves"), DAYS)
@pytest.mark.parametrize("named", ["start", "end"])
def test_r63_tells_the_hour_that_comes_twice_by_its_order(compose: Any, day: datetime, halves: int, named: str) -> None:
    told = intervals(day)
    read = points(found(zipped({"ENEDIS_R63_P_CdC_M0_00001.x": compose(told, named)})))
    assert read == energy_of(told)
    assert len(read) == halves


@pytest.mark.parametrize("compose", [r63_csv, r63_json])
@pytest.mark.parametrize("minutes", [5, 10, 15, 30, 60])
def test_r63_tells_its_step_at_each_point(compose: Any, minutes: int) -> None:
    told = intervals(AUTUMN, minutes=minutes, days=2)
    named = "start" if minutes <= 10 else "end"
    assert points(found(compose(told, named))) == energy_of(told)
    alone = told[3 : 4 if minutes > 10 else 6]
    assert points(found(compose(alone, named))) == energy_of(alone)


@pytest.mark.parametrize("compose", [r63_csv, r63_json])
def test_r63_whose_step_changes_is_one_curve(compose: Any) -> None:
    told = [*intervals(DAY, minutes=60, days=2), *intervals(DAY + timedelta(days=2), days=2)]
    for named in ("start", "end"):
        assert points(found(compose(told, named))) == energy_of(told)


def test_r63_best_is_corrected_and_raw_is_not() -> None:
    both = r63_csv(TENS, "start") + r63_csv(TENS, "start", words="PA;CONS;BEST;W", heading=False)
    assert [block.corrected for block in rows(found(both))] == [False, True]
    assert [block.corrected for block in rows(found(r63_json(TENS, "start", stage="BEST")))] == [True]


def test_r63_quantities_and_meters_stay_apart() -> None:
    text = r63_csv(intervals(DAY)) + r63_csv(intervals(DAY), words="PA;PROD;BRUT;W", heading=False)
    text += r63_csv(intervals(DAY), words="PRI;CONS;BRUT;VAr", heading=False) + r63_csv(
        intervals(DAY), words="E;CONS;BRUT;V", heading=False
    )
    text += r63_csv(intervals(DAY), words="PRC;CONS;BRUT;VAr", heading=False)
    text += r63_csv(intervals(DAY), words="PA;CONS;BRUT;VA", heading=False)
    text += r63_csv(intervals(DAY), meter=OTHER_PRM, heading=False)
    told = found(text)
    assert points(told) == points(told, "export_interval_wh") == points(told, serial=OTHER_PRM) == energy_of(intervals(DAY))
    assert len(points(told, "reactive_power_var")) == len(points(told, "ac_voltage_v")) == 48
    assert codes(told) == ["series_not_kept", "not_active_power"]


def test_r63_meters_in_turns_are_the_same_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = r63_csv(intervals(AUTUMN)).splitlines()[1:], r63_csv(intervals(AUTUMN), meter=OTHER_PRM).splitlines()[1:]
    turns = R63 + "\n".join(each for pair in zip(first, second, strict=True) for each in pair)
    for held in (200_000, 20):
        monkeypatch.setattr("fleet.codecs.files.enedis.series.FILE_POINTS_HELD_MAX", held)
        told = found(turns)
        assert points(told) == points(told, serial=OTHER_PRM) == energy_of(intervals(AUTUMN))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{PRM};a;b;PA;CONS;BRUT;W;2024-07-02 00:30:00;5;B;PT30", "wrong_field_count"),
        (f"{PRM};a;b;PA;CONS;BRUT;W;2024-07-02 00:3;5;B;PT30M;0;0", "bad_time"),
        (f"{PRM};a;b;PA;CONS;BRUT;W;2024-03-31 02:30:00;5;B;PT30M;0;0", "time_does_not_exist"),
        (f"{PRM};a;b;PA;CONS;BRUT;W;2024-07-02 00:30:00;5W;B;PT30M;0;0", "bad_number"),
        (f"{PRM};a;b;PA;CONS;BRUT;W;2024-07-02 00:30:00;5;B;30 min;0;0", "bad_step"),
    ],
)
def test_a_bad_row_of_r63_is_refused_and_the_others_count(line: str, code: str) -> None:
    told = found(r63_csv(intervals(DAY)) + line + "\n")
    assert codes(told) == [code]
    assert refusals_of(told)[0].line == 50
    assert points(told) == energy_of(intervals(DAY))


def test_months_are_refused() -> None:
    monthly = R63 + f"{PRM};a;b;EA;CONS;BRUT;Wh;2024-07-01;5;B;P1M;0;0\n"
    for text in (monthly, flow("R67", [{"idPrm": PRM, "contexte": []}])):
        with pytest.raises(Unreadable, match="coarser_than_a_day"):
            found(text)


def test_r65_is_the_energy_of_days() -> None:
    quantity = {"grandeurPhysique": "EA", "grandeurMetier": "CONS", "unite": "Wh"}
    days = [("2024-03-31", "190205.98"), ("2024-07-01", 12_571), ("2024-10-27", 5)]
    text = flow("R65", [{"idPrm": PRM, "etapeMetier": "BRUT", "pas": "P1D",
                         "grandeur": [quantity | {"points": [{"d": d, "v": v} for d, v in days]}]}])  # fmt: skip
    csv = R63 + "".join(f"{PRM};a;b;EA;CONS;BRUT;Wh;{day};{value};B;P1D;0;0\n" for day, value in days)
    without_step = "\n".join(";".join(line.split(";")[:10]) for line in csv.splitlines())
    for told in (found(text), found(csv), found(without_step)):
        assert points(told) == {
            ms(datetime(2024, 4, 1, tzinfo=PARIS)): 190_205.98,
            ms(datetime(2024, 7, 2, tzinfo=PARIS)): 12_571,
            ms(datetime(2024, 10, 28, tzinfo=PARIS)): 5,
        }
        assert list(points(told, "interval_s").values()) == [82_800, 86_400, 90_000]


def test_r66_peaks_are_apparent_power_at_their_time() -> None:
    quantity = {"grandeurPhysique": "PMA", "grandeurMetier": "CONS", "unite": "VA"}
    measure = {"idPrm": PRM, "etapeMetier": "BRUT", "pas": "P1D",
               "grandeur": [quantity | {"points": [{"d": "2024-07-01 19:42:13", "v": "5820"}]}]}  # fmt: skip
    phase = {"grandeurPhysique": "PMA1", "points": [{"d": "2024-07-01 19:42:13", "v": "1820"}]}
    told = found(flow("R66", [measure, measure | {"grandeur": [quantity | phase]}]))
    assert points(told, "apparent_power_va") == {ms(DAY + timedelta(hours=19, minutes=42, seconds=13)): 5820}
    assert codes(told) == ["series_not_kept"]


# The curve by e-mail, Data Connect

EMAIL = (
    "Date de la mesure;Heure de la mesure;Valeur;Statut de la mesure;PRM;Type de données;Date de début;Date de fin;"
    "Grandeur métier;Grandeur physique;Statut demandé;Unité;Pas en minutes\n"
)


def email(told: list[Interval], day: str = "%d/%m/%Y", *, once: bool = False) -> str:
    common = f"{PRM};Courbe de charge;01/07/2024;02/07/2024;Consommation;Energie active;Brut;kW;10"
    local = [each.start.astimezone(PARIS) for each in told]
    return EMAIL + "".join(
        f"{at.strftime(day)};{at:%H:%M};{each.watts};R;{common if not (once and position) else ''}\n"
        for position, (at, each) in enumerate(zip(local, told, strict=True))
    )


@pytest.mark.parametrize(("day", "halves"), DAYS)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_curve_by_e_mail_names_starts(day: datetime, halves: int, encoding: str) -> None:
    told = intervals(day, minutes=10)
    assert format_of(email(told)) == "enedis-email"
    read = points(found(email(told).encode(encoding)))
    assert read == kilo(told)
    assert len(read) == halves * 3
    assert points(found(email(told, "%Y-%m-%d"))) == kilo(told)


def test_what_holds_for_all_rows_of_an_e_mail_may_stand_in_the_first() -> None:
    assert points(found(email(TENS, once=True))) == kilo(TENS)
    middle = TENS[40:60]
    assert points(found(email(middle))) == kilo(middle)


def test_data_connect_names_ends() -> None:
    told = intervals(AUTUMN)
    readings = [
        {"value": str(each.watts), "date": legal(each, "end"), "interval_length": "PT30M", "measure_type": "B"}
        for each in told
    ]
    kind = {"measurement_kind": "power", "unit": "W", "aggregate": "average"}
    answer = {
        "meter_reading": {"usage_point_id": PRM, "quality": "BRUT", "reading_type": kind, "interval_reading": readings}
    }
    text = json.dumps(answer)
    assert format_of(text) == "enedis-data-connect"
    assert points(found(text)) == energy_of(told)
    assert points(found(text, role="pv"), "export_interval_wh") == energy_of(told)
    answer["meter_reading"] |= {
        "reading_type": {"measurement_kind": "energy", "unit": "Wh", "measuring_period": "P1D"},
        "interval_reading": [{"value": "12571", "date": "2024-07-01"}],
    }
    assert points(found(json.dumps(answer))) == {ms(datetime(2024, 7, 2, tzinfo=PARIS)): 12_571}


def test_data_connect_later_answers_with_a_measure_alone() -> None:
    told = intervals(AUTUMN)
    read = [{"v": str(each.watts), "d": legal(each, "end"), "p": "PT30M", "n": "B"} for each in told]
    quantity = {"grandeurMetier": "CONS", "grandeurPhysique": "PA", "unite": "W", "points": read}
    answer = {"idPrm": PRM, "etapeMetier": "BRUT", "modeCalcul": "MESURE", "grandeur": [quantity]}
    assert format_of(json.dumps(answer)) == "enedis-data-connect"
    assert points(found(json.dumps(answer))) == energy_of(told)
    quantity["grandeurMetier"] = "PROD"
    assert points(found(json.dumps(answer)), "export_interval_wh") == energy_of(told)
    quantity |= {"grandeurPhysique": "EA", "unite": "Wh", "points": [{"v": "12571", "d": "2024-07-01"}]}
    day = points(found(json.dumps(answer | {"pas": "P1D"})), "export_interval_wh")
    assert day == {ms(datetime(2024, 7, 2, tzinfo=PARIS)): 12_571}


def test_blanks_before_the_xml_declaration() -> None:
    told = intervals(DAY)
    assert points(found("\n  " + r50({PRM: told}))) == energy_of(told)


def test_a_zip_may_hold_several_flows() -> None:
    told = found(zipped({"a.xml": r50({PRM: intervals(DAY)}), "b.csv": r63_csv(intervals(AUTUMN))}))
    assert points(told) == energy_of(intervals(DAY)) | energy_of(intervals(AUTUMN))
