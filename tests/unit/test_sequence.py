"""The number that the platform acks: never above a message that was not taken."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.sequence import SequenceTracker


def test_in_order_counts_up() -> None:
    tracker = SequenceTracker()
    for seq in (1, 2, 3):
        tracker.take("a", seq, 1)
    assert tracker.contiguous == 3


def test_a_gap_holds_the_ack_back_until_it_is_filled() -> None:
    tracker = SequenceTracker()
    for seq in (1, 2, 5, 4):
        tracker.take("a", seq, 1)
    assert tracker.contiguous == 2
    tracker.take("a", 3, 1)
    assert tracker.contiguous == 5


def test_a_device_that_lost_its_disk_starts_anew() -> None:
    tracker = SequenceTracker("old", 1_000)
    tracker.take("new", 3, 2)
    assert (tracker.stream, tracker.contiguous) == ("new", 1)


def test_what_the_device_gave_up_is_not_waited_for() -> None:
    tracker = SequenceTracker("a", 10)
    tracker.take("a", 51, 50)
    assert tracker.contiguous == 49
    tracker.take("a", 50, 50)
    assert tracker.contiguous == 51


def test_a_device_that_never_says_oldest_is_believed_from_its_first_message() -> None:
    tracker = SequenceTracker()
    tracker.take(None, 1_234, None)
    tracker.take(None, 1_235, None)
    assert tracker.contiguous == 1_235


@given(st.data())
def test_shuffles_and_replays_never_ack_what_was_not_taken(data: st.DataObject) -> None:
    sent = list(range(1, data.draw(st.integers(2, 60)) + 1))
    arrivals = data.draw(st.permutations(sent * 2))
    tracker, taken = SequenceTracker(), set()
    for seq in arrivals:
        taken.add(seq)
        tracker.take("a", seq, data.draw(st.integers(1, max(1, tracker.contiguous + 1))))
        assert set(range(1, tracker.contiguous + 1)) <= taken
    assert tracker.contiguous == sent[-1]


@given(st.integers(0, 100), st.permutations(list(range(90, 130))))
def test_a_tracker_rebuilt_from_an_old_snapshot_catches_up(snapshot: int, arrivals: list[int]) -> None:
    tracker = SequenceTracker("a", snapshot)
    for seq in arrivals:
        tracker.take("a", seq, 90)
    assert tracker.contiguous == 129
