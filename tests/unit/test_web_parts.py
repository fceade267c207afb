"""The web's pure parts: counting tries, reading ranges and cursors, languages, tables, fleet figures, slow viewers."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.attempts import Counter, LoginAttempts
from fleet.errors import BadInput
from fleet.limits import LOGIN_WINDOW_S, SSE_QUEUE_EVENTS_MAX
from fleet.views import ShardStats
from web.attempts import RequestRate
from web.csv_export import csv_response, defused
from web.errors import TooMany
from web.fleet_state import fleet_stats
from web.language import from_header
from web.live import Viewer
from web.paging import decode_cursor, encode_cursor
from web.ranges import iso_local, parse_instant, parse_range
from web.texts import codes

PARIS = "Europe/Paris"


def test_a_window_ends_and_a_bounded_memory_forgets_the_oldest() -> None:
    counter = Counter(60.0, keys_max=2)
    assert [counter.add("a", now) for now in (0.0, 1.0, 59.9)] == [1, 2, 3]
    assert counter.add("a", 60.0) == 1
    counter.add("b", 61.0)
    counter.add("c", 62.0)
    assert len(counter) == 2
    assert counter.count("a", 63.0) == 0


def test_one_address_is_locked_out_of_one_account_only() -> None:
    attempts = LoginAttempts(3, 9, 9)
    for _ in range(3):
        assert attempts.begin("alice", "1.1.1.1", 0.0)
    assert not attempts.begin("alice", "1.1.1.1", 1.0)
    assert attempts.begin("alice", "2.2.2.2", 1.0)
    assert attempts.begin("bob", "1.1.1.1", 1.0)
    assert attempts.begin("alice", "1.1.1.1", LOGIN_WINDOW_S)


def test_many_addresses_together_lock_an_account() -> None:
    attempts = LoginAttempts(3, 9, 9)
    for number in range(9):
        assert attempts.begin("alice", f"address {number}", 0.0)
    assert not attempts.begin("alice", "new address", 1.0)


def test_who_always_knows_the_password_is_never_locked_out() -> None:
    attempts = LoginAttempts(3, 9, 9)
    for _ in range(20):
        assert attempts.begin("alice", "home", 0.0)
        attempts.succeeded("alice", "home")


def test_requests_per_minute() -> None:
    rate = RequestRate(per_min=2)
    rate.take("a", 0.0)
    rate.take("a", 1.0)
    with pytest.raises(TooMany):
        rate.take("a", 2.0)
    rate.take("b", 2.0)
    rate.take("a", 60.0)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1763800000000", "2025-11-22T08:26:40+00:00"),
        ("2026-06-21", "2026-06-20T22:00:00+00:00"),
        ("2026-01-21", "2026-01-20T23:00:00+00:00"),
        ("2026-06-21T12:30", "2026-06-21T10:30:00+00:00"),
        ("2026-06-21T12:30:00Z", "2026-06-21T12:30:00+00:00"),
        ("2026-06-21T12:30:00+05:00", "2026-06-21T07:30:00+00:00"),
        ("2026-06-21T12:30:00 05:00", "2026-06-21T07:30:00+00:00"),
    ],
)
def test_an_instant_may_be_written_in_many_ways(text: str, instant: str) -> None:
    assert datetime.fromtimestamp(parse_instant(text, PARIS) / 1000, UTC) == datetime.fromisoformat(instant)


@given(st.text(max_size=40))
def test_any_other_text_is_bad_input_and_nothing_worse(text: str) -> None:
    with suppress(BadInput):
        assert parse_instant(text, PARIS) >= 0


@given(st.integers(0, 4_000_000_000))
def test_a_local_time_with_offset_reads_back_as_the_same_instant(second: int) -> None:
    assert parse_instant(iso_local(second * 1000, PARIS), "America/New_York") == second * 1000


def test_a_range_ends_after_it_starts_and_within_its_bound() -> None:
    start, end = parse_range("2026-03-29", "2026-03-30", PARIS, days_max=31)
    assert end - start == 23 * 3_600_000
    for since, until in (("2026-01-02", "2026-01-02"), ("2026-01-02", "2026-01-01"), ("2026-01-01", "2026-03-01")):
        with pytest.raises(BadInput):
            parse_range(since, until, PARIS, days_max=31)


@given(st.tuples(st.text(), st.integers()))
def test_cursors_are_read_back(position: tuple[str, int]) -> None:
    assert decode_cursor(encode_cursor(position), tuple[str, int]) == position


@given(st.text(max_size=60))
def test_a_made_up_cursor_is_bad_input_and_nothing_worse(text: str) -> None:
    with suppress(BadInput):
        decode_cursor(text, tuple[str, int])


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "=cmd|' /C calc'!A0", "\n=1"])
def test_no_cell_is_taken_for_a_formula(cell: str) -> None:
    assert defused(cell) == "'" + cell


@pytest.mark.parametrize(
    ("cell", "harmless"),
    [
        (";=1", ";'=1"),
        ("3;=cmd|' /C calc'!A0", "3;'=cmd|' /C calc'!A0"), ('a; "=1', "a;' \"=1"), ("a,@SUM(A1)", "a,'@SUM(A1)"),
        ("a\n-3", "a\n'-3"), ("a\t=1", "a\t'=1"), ("＝1", "'＝1"), ("\u00a0=1", "'\u00a0=1"),
        ("2024-01-01;12", "2024-01-01;12"),
    ],
)  # fmt: skip
def test_nor_is_a_part_of_a_cell_where_another_sign_stands_between_cells(cell: str, harmless: str) -> None:
    assert defused(cell) == harmless


def test_numbers_stay_numbers() -> None:
    cells = [-1.5, -3, 0.0, 1e9, None, "plain", 'é; "x"\n2']
    assert [defused(cell) for cell in cells] == ["-1.5", "-3", "0", "1000000000", "", "plain", 'é; "x"\n2']
    body = csv_response("x.csv", ["a"], [[cell] for cell in cells]).content
    assert [row[0] if row else "" for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))][-1] == cells[-1]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "fr"), ("en", "en"), ("en-US,en;q=0.9", "en"), ("de", "fr"), ("fr;q=0.2, en;q=0.9", "en"),
        ("en;q=0, fr", "fr"), ("en;q=x, fr;q=0.1", "fr"), ("*", "fr"), ("FR-ca", "fr"),
    ],
)  # fmt: skip
def test_the_language_that_a_browser_asks_for(header: str, language: str) -> None:
    assert from_header(header) == language


def test_every_code_speaks_both_languages() -> None:
    french, english = codes()
    assert french == english


def stats(shard: int, at: int, messages: int, started_at: int = 0, **more: object) -> ShardStats:
    fields = dict.fromkeys(ShardStats.__struct_fields__, 0) | {
        "lag_ms": 0.0,
        "connected": True,
        "dead_letters_by_code": {},
        "failed_rounds": {},
    }
    return msgspec.convert(
        fields | {"shard": shard, "at": at, "messages": messages, "started_at": started_at} | more, ShardStats
    )


def test_rates_come_from_two_looks_and_survive_a_restart() -> None:
    earlier = [stats(0, 10_000, 1_000), stats(1, 10_000, 5_000)]
    now = [
        stats(0, 12_000, 1_400, lag_ms=20.0, dead_letters_by_code={"future": 2}),
        stats(1, 12_000, 50, started_at=11_000, lag_ms=35.0, dead_letters_by_code={"future": 1, "bad_json": 4}),
    ]
    fleet = fleet_stats(now, earlier, 12_000)
    assert fleet.messages_per_s == 200.0 + 50.0
    assert fleet.lag_ms == 35.0
    assert fleet.dead_letters_by_code == {"bad_json": 4, "future": 3}
    assert not fleet_stats([], now, 13_000).twins_connected


async def test_a_viewer_that_cannot_keep_up_skips_to_the_newest() -> None:
    viewer = Viewer()
    for number in range(SSE_QUEUE_EVENTS_MAX + 1):
        viewer.push(str(number).encode())
    assert await viewer.next() == str(SSE_QUEUE_EVENTS_MAX).encode()
    assert viewer.skipped == SSE_QUEUE_EVENTS_MAX
    viewer.push(b"next")
    assert await viewer.next() == b"next"
