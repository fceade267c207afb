"""A described format: form to declaration and back, choices that survive another delimiter, faults at their columns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv, faults
from tests.format_forms import EXPORT, begun, sent
from web.language import Language
from web.pages import format_words
from web.pages.format_form import (
    FormatFields,
    declaration_of,
    fields_from,
    fields_typed,
    first_lines,
    heading_of,
    units_offered,
)

LANGUAGES: tuple[Language, ...] = ("fr", "en")


def typed(changes: dict[str, str], text: str = EXPORT) -> FormatFields:
    return fields_typed(sent(begun(text)) | changes, first_lines(text.encode()))


def test_a_guess_goes_through_the_form_unchanged() -> None:
    fields = begun()
    assert (fields.heading, fields.date_at, fields.time_at, fields.delimiter, fields.decimal) == (3, 1, 2, ";", ",")
    assert fields.columns[2].choice == "pv_power_w"
    assert (fields.columns[2].told, fields.columns[4].choice) == ("kW", "")
    back = fields_typed(sent(fields), first_lines(EXPORT.encode()))
    assert back == fields
    declaration, wrong = declaration_of(back)
    assert wrong == []
    assert declaration is not None
    assert declaration.time.at == ("Date", "Heure")
    assert [column.at for column in declaration.columns] == ["Puissance AC (kW)", "Soutirage"]


def test_what_a_person_chooses_is_declared() -> None:
    fields = typed(
        {"measure-3": "", "measure-4": "import_interval_wh:mean_power", "unit-4": "kW", "factor-4": "1,5", "turned-4": "yes",
         "order": "dmy", "zone": "+01:00", "stamp": "start", "step_s": "3600", "serial_at": "5"}
    )  # fmt: skip
    declaration, wrong = declaration_of(fields)
    assert wrong == []
    assert declaration is not None
    assert declaration.columns == (Column("Soutirage", "import_interval_wh", "kW", "mean_power", sign=-1, factor=1.5),)
    assert declaration.time == TimeCells(("Date", "Heure"), order="dmy", zone="+01:00", stamp="start", step_s=3_600)
    assert declaration.serial_at == "Commentaire"


def test_a_unit_against_the_heading_counts() -> None:
    declaration, wrong = declaration_of(typed({"unit-3": "W"}))  # the heading says kW
    assert wrong == []
    assert declaration is not None
    assert declaration.columns[0].factor == pytest.approx(0.001)
    assert declaration.columns[0].unit is None


@pytest.mark.parametrize(
    ("changes", "column", "code"),
    [
        ({"date_at": "0", "time_at": "0"}, None, "no_time"),
        ({"measure-3": "", "measure-4": ""}, None, "no_measures"),
        ({"measure-3": "apparent_power_va"}, 2, "wrong_unit"),
        ({"measure-4": "import_interval_wh", "unit-4": "VA"}, 3, "wrong_unit"),
        ({"measure-4": "nonsense"}, 3, "unknown_measure"),
        ({"measure-4": "pv_power_w:mean_power"}, 3, "wrong_kind"),
        ({"pattern": "tomorrow"}, None, "bad_pattern"),
        ({"zone": "Mars/Olympus"}, None, "unknown_zone"),
        ({"stamp": "middle"}, None, "bad_format"),
        ({"measure-4": "import_interval_wh", "factor-4": "1e999"}, 3, "bad_factor"),
        ({"measure-4": "import_interval_wh", "factor-4": "0"}, 3, "bad_factor"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(changes: dict[str, str], column: int | None, code: str) -> None:
    _, wrong = declaration_of(typed(changes))
    assert (wrong[0].column, wrong[0].code) == (column, code)
    assert all("_" not in format_words.fault(code, language) for language in LANGUAGES)


def test_a_wrong_delimiter_and_back_loses_nothing() -> None:
    first = typed({"measure-5": "state"})
    broken = fields_typed(sent(first) | {"delimiter": ","}, first_lines(EXPORT.encode()))
    assert len(broken.columns) == 1
    mended = fields_typed(sent(broken) | {"delimiter": ";"}, first_lines(EXPORT.encode()))
    assert (mended.date_at, mended.time_at) == (1, 2)
    assert [column.choice for column in mended.columns][:4] == [column.choice for column in begun().columns][:4]


def test_another_line_of_headings_suggests_what_its_names_mean() -> None:
    text = "a;b;c\nTime;Export energy (kWh);Note\n2024-06-13 10:00;1;x\n2024-06-13 11:00;2;y\n"
    fields = fields_typed(sent(begun(text)) | {"heading": "1"}, first_lines(text.encode()))
    assert [column.choice for column in fields.columns] == ["", "", ""]
    again = fields_typed(sent(fields) | {"heading": "2"}, first_lines(text.encode()))
    assert again.columns[1].choice.startswith("export_")


def test_columns_of_one_name_keep_apart() -> None:
    text = "Date;P;P\n2024-06-13 10:00;1;2\n2024-06-13 11:00;3;4\n"
    declaration, wrong = declaration_of(typed({"measure-2": "pv_power_w", "measure-3": "load_power_w"}, text))
    assert wrong == []
    assert declaration is not None
    assert [(column.at, column.nth) for column in declaration.columns] == [("P", 1), ("P", 2)]
    shown = first_lines(text.encode())
    back = fields_from(declaration, shown, heading_of(declaration, shown))
    assert [column.choice for column in back.columns] == ["", "pv_power_w", "load_power_w"]


def test_without_headings_columns_are_counted() -> None:
    text = "2024-06-13 10:00;1,5;7\n2024-06-13 11:00;2,5;8\n"
    fields = typed({"measure-2": "pv_power_w"}, text)
    assert fields.heading == 0
    declaration, wrong = declaration_of(fields)
    assert wrong == []
    assert declaration is not None
    assert (declaration.header, declaration.time.at, declaration.columns[0].at) == (False, (1,), 2)


@given(st.dictionaries(st.sampled_from([*sent(begun()), "heading", "measure-50", "base"]), st.text(max_size=30)))
@settings(max_examples=60, deadline=None)
def test_no_form_is_too_strange(changes: dict[str, str]) -> None:
    fields = typed(changes)
    declaration, wrong = declaration_of(fields)
    assert wrong or (declaration is not None and faults(declaration) == [])


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_no_file_is_too_strange(head: bytes) -> None:
    shown = first_lines(head)
    declaration_of(fields_typed({"heading": "1", "date_at": "1", "measure-2": "pv_power_w"}, shown))


def test_all_choices_can_be_read() -> None:
    choices = [code for language in LANGUAGES for _, its in format_words.measure_groups(language) for code, _ in its]
    for code in choices:
        measure, _, kind = code.partition(":")
        column = Column(2, measure, kind="mean_power" if kind else None)
        assert faults(WideCsv(TimeCells((1,)), (column, Column(3, "pv_power_w")))) == [], code
    assert {"kWh", "W", "VA", "%"} <= set(units_offered())
    assert all("_" not in text for _, its in format_words.measure_groups("fr") for _, text in its)
