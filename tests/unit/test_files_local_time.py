"""Wall clocks to UTC: every instant of the days on which the clock moves, in either order, with gaps, in pieces."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.calendar import day_bounds
from fleet.codecs.files.local_time import LocalTimes, naive_ms
from fleet.codecs.files.reading import Unreadable

PARIS = "Europe/Paris"
TURNS = [
    (PARIS, date(2024, 3, 31)),
    (PARIS, date(2024, 10, 27)),
    ("America/Havana", date(2024, 11, 3)),  # 1 o'clock becomes midnight
    ("Africa/Cairo", date(2024, 10, 31)),  # midnight becomes 11 in the evening
    ("Asia/Beirut", date(2024, 3, 31)),  # midnight becomes 1 o'clock
    ("Australia/Lord_Howe", date(2024, 4, 7)),  # by half an hour
    ("Europe/Dublin", date(2024, 10, 27)),  # winter time is the exception there
]
MINUTE = 60_000


def wall(t: int, zone: str) -> int:
    local = datetime.fromtimestamp(t / 1000, ZoneInfo(zone))
    return naive_ms(local.year, local.month, local.day, local.hour, local.minute, local.second)


def around(zone: str, day: date, step_minutes: int) -> list[int]:
    start, end = day_bounds(day, zone)[0], day_bounds(day + timedelta(days=1), zone)[1]
    return list(range(start, end, step_minutes * MINUTE))


def autumn(*times: str) -> list[int]:
    return [naive_ms(2024, 10, 27, int(each[:2]), int(each[3:])) for each in times]


def hours_utc(found: list[int | None]) -> list[str]:
    return [
        datetime.fromtimestamp((each or 0) / 1000, ZoneInfo("UTC")).strftime("%H:%M") for each in found
    ]  # Paris: 00:xx is the summer pass of two o'clock, 01:xx the winter pass


@settings(max_examples=100, deadline=None)
@given(
    turn=st.sampled_from(TURNS),
    step=st.sampled_from([1, 5, 7, 10, 15, 30, 60]),
    descending=st.booleans(),
    cuts=st.lists(st.integers(0, 3000), max_size=6),
    one_by_one=st.booleans(),
)
def test_every_instant_comes_back(
    turn: tuple[str, date], step: int, descending: bool, cuts: list[int], one_by_one: bool
) -> None:
    zone, day = turn
    instants = around(zone, day, step)
    if descending:
        instants.reverse()
    clocks = [wall(t, zone) for t in instants]
    times = LocalTimes(zone)
    if one_by_one:
        assert [times.utc(each) for each in clocks] == instants
        return
    edges = sorted({0, len(clocks), *(cut for cut in cuts if cut < len(clocks))})
    found = [t for start, end in pairwise(edges) for t in times.utc_many(clocks[start:end])]
    # a first piece of one row does not tell which way the file runs
    assert found == instants or (descending and edges[1] < 2)


@settings(max_examples=100, deadline=None)
@given(
    silence=st.tuples(st.integers(0, 2700), st.integers(1, 700)),
    descending=st.booleans(),
    first=st.integers(0, 30),
)
def test_gaps_do_no_harm_while_a_step_back_is_seen(silence: tuple[int, int], descending: bool, first: int) -> None:
    instants = around(PARIS, date(2024, 10, 27), 1)
    kept = instants[first : silence[0]] + instants[silence[0] + silence[1] :]
    start, end = naive_ms(2024, 10, 27, 0), naive_ms(2024, 10, 27, 1)  # UTC of the two passes: two hours of 60 rows
    passes = [t for t in kept if start <= t < end + 60 * MINUTE]
    summer, winter = [t for t in passes if t < end], [t for t in passes if t >= end]
    if not summer or not winter or winter[0] - 60 * MINUTE > summer[-1]:
        return  # nobody can know
    if descending:
        kept.reverse()
    assert LocalTimes(PARIS).utc_many([wall(t, PARIS) for t in kept]) == kept


@pytest.mark.parametrize("descending", [False, True])
def test_a_file_cut_in_two_at_any_row_says_the_same(descending: bool) -> None:
    start, end = day_bounds(date(2024, 10, 27), PARIS)
    instants = list(range(start, end, 5 * MINUTE))
    if descending:
        instants.reverse()
    clocks = [wall(t, PARIS) for t in instants]
    for cut in range(len(clocks)):
        assert LocalTimes(PARIS).utc_many(clocks[:cut]) + LocalTimes(PARIS).utc_many(clocks[cut:]) == instants


def test_the_hour_that_never_was_is_none() -> None:
    times = LocalTimes(PARIS)
    clocks = [naive_ms(2024, 3, 31, hour, 30) for hour in (1, 2, 3)]
    assert times.utc_many(clocks) == [naive_ms(2024, 3, 31, 0, 30), None, naive_ms(2024, 3, 31, 1, 30)]
    assert times.utc(clocks[1]) is None
    assert LocalTimes("+01:00").utc(clocks[1]) == naive_ms(2024, 3, 31, 1, 30)


def test_the_order_of_rows_tells_the_two_hours_apart() -> None:
    read = {
        "hourly": (autumn("01:00", "02:00", "02:00", "03:00"), ["23:00", "00:00", "01:00", "02:00"]),
        "hourly, newest first": (autumn("03:00", "02:00", "02:00", "01:00"), ["02:00", "01:00", "00:00", "23:00"]),
        "two passes made one": (autumn("01:00", "02:00", "03:00"), ["23:00", "00:00", "02:00"]),
        "begins inside": (autumn("02:30", "02:45", "03:00"), ["01:30", "01:45", "02:00"]),
        "begins inside, newest first": (autumn("02:30", "02:15", "02:00", "01:45"), ["00:30", "00:15", "00:00", "23:45"]),
        "begins inside the first pass": (autumn("02:30", "02:00", "02:30", "03:00"), ["00:30", "01:00", "01:30", "02:00"]),
        "after a silence": (
            autumn("00:10", "02:30", "02:40", "02:50", "03:00"),
            ["22:10", "01:30", "01:40", "01:50", "02:00"],
        ),
        "before a silence": (autumn("01:50", "02:00", "02:10", "04:00"), ["23:50", "00:00", "00:10", "03:00"]),
        "each row twice": (
            autumn(
                "01:45", "01:45", "02:00", "02:00", "02:30", "02:30", "02:00", "02:00", "02:30", "02:30", "03:00", "03:00"
            ),
            ["23:45", "23:45", "00:00", "00:00", "00:30", "00:30", "01:00", "01:00", "01:30", "01:30", "02:00", "02:00"],
        ),
        "the day again": (
            autumn("01:30", "02:00", "02:30", "02:00", "02:30", "03:00") * 2,
            ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"] * 2,
        ),
    }
    for name, (clocks, expected) in read.items():
        assert hours_utc(LocalTimes(PARIS).utc_many(clocks)) == expected, name


def test_one_row_at_a_time_equals_a_list_once_the_order_is_known() -> None:
    clocks = autumn("01:30", "01:45", "01:45", "02:00", "02:00", "02:15", "02:15", "02:00", "02:00", "03:00")
    times = LocalTimes(PARIS)
    assert [times.utc(each) for each in clocks] == LocalTimes(PARIS).utc_many(clocks)


@pytest.mark.parametrize(("zone", "hours"), [("+01:00", 1), ("-0330", -3.5), ("UTC", 0), ("Asia/Kolkata", 5.5)])
def test_fixed_offsets(zone: str, hours: float) -> None:
    clock = naive_ms(2024, 7, 1, 12)
    assert LocalTimes(zone).utc(clock) == clock - hours * 60 * MINUTE


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc/passwd", "+25:00", "Paris"])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(Unreadable) as refused:
        LocalTimes(zone)
    assert refused.value.refusal.code == "unknown_zone"


@given(
    days=st.lists(st.integers(-719_162, 2_932_896), min_size=1, max_size=50), zone=st.sampled_from([PARIS, "Asia/Tehran"])
)
@settings(max_examples=50, deadline=None)
def test_no_date_is_too_odd(days: list[int], zone: str) -> None:
    clocks = [day * 86_400_000 + 7_200_000 for day in days]
    found = LocalTimes(zone).utc_many(clocks)
    assert all(t is None or abs(t - clock) < 86_400_000 for t, clock in zip(found, clocks, strict=True))


def test_an_impossible_date_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="day"):
        naive_ms(2023, 2, 29)
