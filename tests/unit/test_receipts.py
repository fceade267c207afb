"""The journal's chain: whatever is done to its lines afterwards shows, and where."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.ids import DeviceId, SiteId
from fleet.receipts import GENESIS, Broken, Head, Line, Receipt, Verifier, chained

LINES = 6


def receipt(number: int) -> Receipt:
    return Receipt(1_000 + number, SiteId("s"), DeviceId("d"), "command.sent", f"c{number}", {"b": 1, "a": number})


def chain(lines: int = LINES, first: int = 0) -> list[Line]:
    return chained(3, 0, GENESIS, [receipt(first + number) for number in range(lines)])


def walked(lines: list[Line], head: Head, saved: Head | None = None) -> Broken | None:
    verifier = Verifier(3)
    for line in lines:
        broken = verifier.check(line) or (verifier.against(saved) if saved is not None else None)
        if broken is not None:
            return broken
    return verifier.end(head.seq, head.hash)


def head_of(lines: list[Line]) -> Head:
    return Head(3, lines[-1].seq, lines[-1].hash) if lines else Head(3, 0, GENESIS)


def test_a_chain_holds_however_it_was_written_in_portions() -> None:
    whole = chain()
    parts = chained(3, 0, GENESIS, [receipt(0)])
    for number in range(1, LINES):
        parts += chained(3, parts[-1].seq, parts[-1].hash, [receipt(number)])
    assert parts == whole
    assert all(before.seq + 1 == after.seq for before, after in pairwise(whole))
    assert walked(whole, head_of(whole)) is None
    assert walked([], head_of([])) is None


@given(
    st.integers(0, LINES - 1),
    st.sampled_from(["at", "site", "device", "kind", "subject", "detail", "hash", "chain"]),
)
def test_whatever_is_changed_shows_at_that_line(position: int, field: str) -> None:
    lines = chain()
    old = getattr(lines[position], field)
    new = old[:-1] + (b"\0" if old[-1:] != b"\0" else b"\1") if isinstance(old, bytes) else old * 2
    forged = Line(**{**lines[position]._asdict(), field: new})
    changed = [*lines[:position], forged, *lines[position + 1 :]]
    assert walked(changed, head_of(lines)) == (3, position + 1, "changed_line")


@given(st.integers(0, LINES - 2))
def test_what_is_taken_out_is_missing(position: int) -> None:
    lines = chain()
    assert walked(lines[:position] + lines[position + 1 :], head_of(lines)) == (3, position + 1, "missing_line")


@pytest.mark.parametrize("kept", range(LINES))
def test_an_end_that_is_cut_off_does_not_fit_the_head(kept: int) -> None:
    lines = chain()
    assert walked(lines[:kept], head_of(lines)) == (3, kept + 1, "cut_end")


def test_lines_that_the_head_does_not_know() -> None:
    lines = chain()
    more = lines + chained(3, LINES, lines[-1].hash, [receipt(99)])
    assert walked(more, head_of(lines)) == (3, LINES + 1, "added_end")
    assert walked(lines, Head(3, LINES, bytes(32))) == (3, LINES, "other_head")


@given(st.integers(1, LINES))
def test_a_chain_that_was_rewritten_with_its_head_shows_by_a_hash_kept_elsewhere(seq: int) -> None:
    lines, rewritten = chain(), chain(first=50)
    assert walked(rewritten, head_of(rewritten)) is None
    assert walked(rewritten, head_of(rewritten), Head(3, seq, lines[seq - 1].hash)) == (3, seq, "rewritten")
    assert walked(lines, head_of(lines), Head(3, seq, lines[seq - 1].hash)) is None
