"""Silence that everybody falls into is nobody's fault; silence of those that were told something is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollouts.silence import Absences, is_common


@pytest.mark.parametrize(
    ("seen", "common"),
    [
        (Absences(5, 5, 40, 40), True),  # the broker restarts
        (Absences(5, 5, 40, 0), False),  # they die of it
        (Absences(5, 5, 40, 19), False),
        (Absences(5, 5, 40, 20), True),  # half as often
        (Absences(100, 4, 1_000, 20), True),
        (Absences(100, 4, 1_000, 19), False),
        (Absences(100, 1, 20, 2), False),  # two odd ones excuse nobody
        (Absences(5, 5, 2, 2), False),
        (Absences(5, 5, 3, 3), True),
        (Absences(5, 5, 0, 0), False),  # nobody to compare with
    ],
)
def test_silence_is_common_when_the_untouched_go_away_half_as_often(seen: Absences, common: bool) -> None:
    assert is_common(seen) == common


@given(st.integers(1, 500), st.integers(3, 1_000), st.integers(0, 500), st.integers(0, 1_000))
def test_the_more_of_the_others_are_gone_the_less_it_is_the_rollout(touched: int, others: int, gone: int, away: int) -> None:
    gone, away = min(gone, touched), min(away, others)
    if is_common(Absences(touched, gone, others, away)):
        assert is_common(Absences(touched, gone, others, others))
        assert is_common(Absences(touched, max(gone - 1, 0), others, away))
