"""Numbers, units, dates and lengths of intervals, as files write them."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.dates import AmbiguousDate, Times, decide_order, is_pattern, order_of
from fleet.codecs.files.intervals import are_all_too_long, lengths
from fleet.codecs.files.numbers import Numbers
from fleet.codecs.files.units import measured_in, scale_to, unit_named, units_known
from fleet.measures import is_measure
from tests.file_reading import RECEIVED, at

MINUTE = 60_000


def utc(text: str) -> int:
    return at(text + "+00:00")


@pytest.mark.parametrize(
    ("decimal", "thousands", "text", "value"),
    [
        (".", "", "12.5", 12.5),
        (".", "", " 12.5 ", 12.5),
        (".", "", "-0.14e1", -1.4),
        (",", "", "12,5", 12.5),
        (",", "", " 0,000", 0.0),
        (",", ".", "7.728.264,05", 7728264.05),
        (".", ",", "1,234.5", 1234.5),
        (",", " ", "1\u00a0234,5", 1234.5),
        (".", "'", "1'234.5", 1234.5),
        (".", "", "", None),
        (".", "", "-", None),
        (".", "", "NaN", None),
        (".", "", "NoneMsg", None),
        (".", "", "0", 0.0),
    ],
)
def test_numbers_by_their_own_marks(decimal: str, thousands: str, text: str, value: float | None) -> None:
    assert Numbers(decimal, thousands).one(text) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["abc", "1_000", "inf", "-Infinity", "1e999", "12,5", "1.2.3", "0x10", "１２", "12 kWh", "+"]
)
def test_what_is_no_number_with_a_dot(text: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        Numbers().one(text)


def test_a_dot_is_no_decimal_comma() -> None:
    """It may be thousands: 1.234 kWh is not 1234 kWh, and nobody can know."""
    for text in ("1.234", "1.234,5"):
        with pytest.raises(ValueError, match="comma"):
            Numbers(",").one(text)
        with pytest.raises(ValueError, match="comma"):
            Numbers(",").quick(text)


@given(st.text(max_size=20), st.sampled_from([".", ","]), st.sampled_from(["", ".", ",", " ", "'"]))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_finite_number_missing_or_refused(text: str, decimal: str, thousands: str) -> None:
    try:
        value = Numbers(decimal, thousands).one(text)  # type: ignore[arg-type]
    except ValueError:
        return
    assert value is None or math.isfinite(value)


# units ------------------------------------------------------------------------------------------------------------


def test_units_are_known_by_many_names() -> None:
    named = {
        "[kWh]": "kWh",
        "KWH": "kWh",
        "Mwh": "MWh",
        "kVAr": "kvar",
        "Watt": "W",
        "degC": "°C",
        "℃": "°C",
        "W/m2": "W/m²",
    }
    assert {text: unit_named(text) for text in named} == named
    assert unit_named("mW") == "mW"
    assert unit_named("MW") == unit_named("mw") == "MW"
    assert unit_named("bananas") is None
    assert all(scale > 0 and base in units_known() for base, scale in units_known().values())


def test_va_is_never_w() -> None:
    assert scale_to("pv_power_w", "kVA") is None
    assert scale_to("apparent_power_va", "kW") is None
    assert scale_to("import_interval_wh", "kW", mean_power=True) == 1000.0
    assert scale_to("import_interval_wh", "kW") is None
    assert scale_to("power_factor", "%") == 0.01
    assert scale_to("state", "") == 1.0


def test_each_measure_says_its_unit() -> None:
    units = {
        "pv_energy_wh": "Wh",
        "dc_current_a_12": "A",
        "ac_voltage_v_l1": "V",
        "irradiance_w_m2": "W/m²",
        "interval_s": "s",
    }
    assert all(is_measure(measure) for measure in units)
    assert {measure: measured_in(measure) for measure in units} == units


# dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "order", "text", "expected"),
    [
        (None, None, "2024-07-01T12:05:00+02:00", "2024-07-01T10:05:00"),
        (None, None, "2024-07-01 12:05:00 -0500", "2024-07-01T17:05:00"),
        (None, None, "2024-07-01T12:05:00.250Z", "2024-07-01T12:05:00.250"),
        (None, None, "2024-07-01 00:00:00+00", "2024-07-01T00:00:00"),
        ("dd.MM.yyyy HH:mm", None, "01.07.2024 12:05", "2024-07-01T12:05:00"),
        ("DD.MM.YYYY hh:mm:ss", None, "01.07.2024 23:05:00", "2024-07-01T23:05:00"),
        ("dd/MM/yyyy HH:mm:ss", None, "01/07/2024 12:05:00", "2024-07-01T12:05:00"),
        ("MM/dd/yyyy", None, "07/01/2024", "2024-07-01T00:00:00"),
        ("yy/MM/dd-HH:mm:ss", None, "24/07/01-12:05:00", "2024-07-01T12:05:00"),
        ("yyMMddHHmmss", None, "240701120500", "2024-07-01T12:05:00"),
        (None, None, "20240701120500", "2024-07-01T12:05:00"),
        (None, "dmy", "01/07/24-12:05:00", "2024-07-01T12:05:00"),
        (None, "dmy", "27/01/17 2:30:00 PM", "2017-01-27T14:30:00"),
        (None, "dmy", "27/01/17 12:30 am", "2017-01-27T00:30:00"),
        (None, None, "01.07.2024, 12:05", "2024-07-01T12:05:00"),
        (None, None, "1 juil. 2024 12:05", "2024-07-01T12:05:00"),
        (None, None, "05-Oct-2024 12:05", "2024-10-05T12:05:00"),
        (None, None, "2024-07-01 24:00", "2024-07-02T00:00:00"),
        ("unix_s", None, "1719828300", "2024-07-01T10:05:00"),
        ("unix_ms", None, "1719828300123", "2024-07-01T10:05:00.123"),
    ],
)
def test_dates_as_they_are_written(pattern: str | None, order: str | None, text: str, expected: str) -> None:
    times = Times(pattern, order)  # type: ignore[arg-type]
    assert times.one(text) == times.one(text) == utc(expected)


def test_date_and_time_in_two_cells() -> None:
    assert Times(None, "dmy").two("27/01/17", "2:30:00 PM") == utc("2017-01-27T14:30:00")


@pytest.mark.parametrize(
    "text", ["2024-02-30", "30.02.2024 12:00", "2024-07-01 25:00", "2024-07-01 12:60", "nan", "", "12:00", "٢٠٢٤-07-01"]
)
def test_no_date(text: str) -> None:
    for times in (Times(), Times("unix_s"), Times("dd.MM.yyyy HH:mm")):
        with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
            times.one(text)


def test_a_file_is_with_offsets_or_without() -> None:
    times = Times()
    times.one("2024-07-01T12:00:00")
    with pytest.raises(ValueError, match="offset"):
        times.one("2024-07-01T12:00:00Z")


def test_day_and_month_are_never_guessed() -> None:
    with pytest.raises(AmbiguousDate):
        Times().one("01/07/24 12:00")


@pytest.mark.parametrize(
    ("dates", "name", "order"),
    [
        (["01/07/24", "13/07/24"], "", "dmy"),
        (["01/13/24"], "", "mdy"),
        (["01/07/2024", "02/07/2024", "03/07/2024"], "", "dmy"),  # day by day, and not month by month
        (["07/03/2024", "07/02/2024", "07/01/2024"], "", "mdy"),
        (["24/07/01", "24/07/02"], "", "ymd"),
        (["07/07/2024"], "", "dmy"),  # both are the same day
        (["01/07/24"], "min240701.csv", "dmy"),
        (["01/07/2024"], "2024-01-07.csv", "mdy"),
        (["01/12/2025"], "", "mdy"),  # the other would be after the file came
        (["01/07/24"], "", None),
        (["11/02/03"], "", None),
        (["01/07/2024", "05/07/2024"], "", None),
        ([], "", None),
        (["nonsense"], "", None),
    ],
)
def test_the_dates_of_a_file_tell_their_order_or_nothing_does(dates: list[str], name: str, order: str | None) -> None:
    received = utc("2025-11-20T00:00:00")
    assert decide_order(dates, not_after=received, file_name=name) == order


def test_patterns() -> None:
    assert order_of("dd.MM.yyyy HH:mm") == "dmy"
    assert order_of("HH:mm") is None
    assert is_pattern("unix_ms")
    assert not is_pattern("hello")


@given(st.text(max_size=30), st.sampled_from([None, "dd.MM.yyyy HH:mm", "unix_s", "yyMMddHHmmss", "yyyy-MM-ddTHH:mm"]))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_time_or_refused(text: str, pattern: str | None) -> None:
    times = Times(pattern, "dmy")
    try:
        found = times.one(text)
    except ValueError:
        return
    assert abs(found) < 1 << 53
    assert times.one(text) == found


@given(
    st.integers(946_684_800, 2_840_140_800),  # 2000 to 2060
    st.sampled_from(
        ["%d.%m.%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%d/%m/%y %I:%M:%S %p", "%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%SZ"]
    ),
)
@settings(max_examples=100, deadline=None)
def test_what_was_written_is_read(moment_s: int, form: str) -> None:
    text = datetime.fromtimestamp(moment_s, UTC).strftime(form)
    assert Times(None, "dmy").one(text) == moment_s * 1000


# intervals --------------------------------------------------------------------------------------------------------


def minutes(*each: int) -> list[int]:
    return [RECEIVED + minute * MINUTE for minute in each]


def in_minutes(found: list[int | None]) -> list[float | None]:
    return [None if each is None else each / MINUTE for each in found]


@pytest.mark.parametrize(
    ("name", "t", "starts", "expected"),
    [
        ("regular", [0, 15, 30, 45], False, [15, 15, 15, 15]),
        ("regular starts", [0, 15, 30, 45], True, [15, 15, 15, 15]),
        ("newest first", [45, 30, 15, 0], False, [15, 15, 15, 15]),
        ("the step changes, ends", [0, 60, 120, 150, 180], False, [60, 60, 60, 30, 30]),
        ("the step changes, starts", [0, 60, 120, 150, 180, 210], True, [60, 60, 30, 30, 30, 30]),
        ("the step changes, newest first", [180, 150, 120, 60, 0], False, [30, 30, 60, 60, 60]),
        ("a night is no interval", [0, 15, 30, 630, 645, 660], False, [15, 15, 15, 15, 15, 15]),
        ("an hour missing is none either", [0, 15, 30, 90, 105, 120], False, [15] * 6),
        ("repeated times", [0, 15, 15, 30], False, [15, 15, 15, 15]),
        ("days", [0, 1440, 2880], True, [1440, 1440, 1440]),
        ("one row tells nothing", [0], False, [None]),
        ("odd distances tell nothing", [0, 17, 40], False, [None, None, None]),
    ],
)
def test_how_long_intervals_are(name: str, t: list[int], starts: bool, expected: list[int | None]) -> None:
    assert in_minutes(lengths(minutes(*t), None, None, starts=starts).ms) == expected, name


def test_what_was_seen_before_counts() -> None:
    assert in_minutes(lengths(minutes(100), minutes(90)[0], None, starts=False).ms) == [10]
    assert in_minutes(lengths(minutes(100), None, 15 * MINUTE, starts=True).ms) == [15]


def test_months_are_no_intervals() -> None:
    assert are_all_too_long(minutes(0, 44_640, 84_960))
    assert not are_all_too_long(minutes(0, 1440))
    assert not are_all_too_long(minutes(0))
