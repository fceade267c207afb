"""The labels of French meters: lines, checksums, clocks, and what a frame comes to. Values are made up."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.codecs import tic
from fleet.measures import is_measure


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def test_every_measure_of_the_table_is_one_of_ours() -> None:
    assert [each for each in tic.LABELS.values() if each.measure is not None and not is_measure(each.measure)] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("DATE\tE240701143000\t\t4", ("DATE", "E240701143000", "")),
        ("EAST\t012345678\t3", ("EAST", None, "012345678")),
        ("EAIT\t003210987\t#", ("EAIT", None, "003210987")),
        ("SINSTI\t01840\tI", ("SINSTI", None, "01840")),
        ("CCAIN\tE240701143000\t01712\t/", ("CCAIN", "E240701143000", "01712")),
        ("HCHP 006700000  ", ("HCHP", None, "006700000")),
        ("PAPP 00910 +", ("PAPP", None, "00910")),
    ],
)
def test_lines_of_both_outputs(line: str, expected: tuple[str, str | None, str]) -> None:
    assert tic.decode_line(line) == expected


def test_a_value_can_hold_spaces() -> None:
    checked = "OPTARIF BBR( "
    assert tic.decode_line(f"{checked} {tic.checksum(checked)}") == ("OPTARIF", None, "BBR( ")


@pytest.mark.parametrize("line", ["PAPP 00910 ,", "PAPP 00911 +", "EAST\t012345678\t4", "HCHP 006700000 !"])
def test_a_checksum_that_is_wrong_by_one(line: str) -> None:
    with pytest.raises(tic.BadLine) as refused:
        tic.decode_line(line)
    assert refused.value.code == "bad_checksum"


@pytest.mark.parametrize(
    "line", ["", " ", "PAPP", "PAPP 00910", "HCHP 006700000", "\t", "EAST\t012345678", "a\tb\tc\td\te\tf", "papp 1 x"]
)
def test_what_is_no_line(line: str) -> None:
    """Among them the line whose checksum, a space, somebody stripped: it might as well be cut."""
    with pytest.raises(tic.BadLine):
        tic.decode_line(line)


@given(st.text(max_size=80))
def test_any_text_is_a_line_or_none(text: str) -> None:
    try:
        decoded = tic.decode_line(text)
    except tic.BadLine:
        return
    assert decoded.label in text


@pytest.mark.parametrize(
    ("horodate", "expected"),
    [
        ("E240701143000", "2024-07-01T14:30:00+02:00"),
        ("H240101000000", "2024-01-01T00:00:00+01:00"),
        ("E241027023000", "2024-10-27T02:30:00+02:00"),  # the repeated hour is no riddle
        ("H241027023000", "2024-10-27T02:30:00+01:00"),
        ("H240229235959", "2024-02-29T23:59:59+01:00"),
    ],
)
def test_a_clock_that_says_its_season(horodate: str, expected: str) -> None:
    assert tic.utc(horodate) == ms(expected)


@pytest.mark.parametrize(
    "horodate",
    [
        "e240701143000",
        "h240101000000",
        " 240701143000",
        "",
        "E240231120000",
        "E240701240000",
        "E240701126000",
        "E24070114300",
        "240701143000",
    ],
)
def test_a_clock_that_is_not_to_be_trusted(horodate: str) -> None:
    assert tic.utc(horodate) is None


def test_the_standard_output() -> None:
    labels = {
        "ADSC": "041876097654", "DATE": "", "EAST": "012345678", "EASF01": "007000000", "EASF02": "005345678",
        "EAIT": "003210987", "SINSTS": "00000", "SINSTI": "01840", "CCAIN": "01712", "CCASN": "00120", "IRMS1": "008",
        "URMS1": "236", "UMOY1": "235",
        "PRM": "12345678901234", "STGE": "003A0301", "ERQ1": "000000123",
    }  # fmt: skip
    assert tic.reading(labels) == {
        "import_energy_wh": 12_345_678.0,
        "export_energy_wh": 3_210_987.0,
        "apparent_power_va": 0.0,
        "export_apparent_power_va": 1_840.0,
        "ac_current_a_l1": 8.0,
        "ac_voltage_v_l1": 236.0,
    }
    assert tic.serial(labels) == "041876097654"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"BASE": "001234567"}, 1_234_567.0),
        ({"HCHC": "004500000", "HCHP": "006700000"}, 11_200_000.0),
        ({"EJPHN": "000000100", "EJPHPM": "000000023"}, 123.0),
        ({f"BBRH{hour}J{day}": "000000010" for hour in "CP" for day in "BWR"}, 60.0),
        ({f"EASF{number:02}": "000000007" for number in range(1, 11)}, 70.0),
        ({"EAST": "000000100", **{f"EASF{number:02}": "000000007" for number in range(1, 11)}}, 100.0),
        ({"HCHC": 4_500_000, "HCHP": "6700000"}, 11_200_000.0),  # a bridge has made numbers of some
    ],
)
def test_all_that_was_drawn(labels: dict[str, str | float], expected: float) -> None:
    assert tic.reading(labels) == {"import_energy_wh": expected}


@pytest.mark.parametrize(
    "labels",
    [
        {"HCHC": "004500000"},
        {"HCHP": "004500000"},
        {"HCHC": "004500000", "HCHP": "??"},
        {f"EASF{number:02}": "000000007" for number in range(1, 10)},
        {f"BBRH{hour}J{day}": "000000010" for hour in "CP" for day in "BW"},
        {"EAST": ""},
        {"EAST": float("nan")},
    ],
)
def test_half_a_tariff_is_no_total(labels: dict[str, str | float]) -> None:
    assert tic.reading(labels) == {}


def test_a_historic_meter() -> None:
    labels = {
        "ADCO": "041876097654",
        "BASE": "000123456",
        "IINST": "004",
        "PAPP": "00910",
        "PTEC": "TH..",
        "IMAX": "090",
        "ISOUSC": "45",
    }
    assert tic.reading(labels) == {"import_energy_wh": 123_456.0, "ac_current_a": 4.0, "apparent_power_va": 910.0}
