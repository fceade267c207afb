"""How a rollout's target states are stored: in words that the release before can read as well.

What has become of a return, once the device has said so, stands in a column of its own beside `returned`.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from fleet.rollouts.lifecycle import RETURNED_STATES, TargetState

_Word = TypeVar("_Word", bound=str)

_STORED_AS: Final = "returned"
BESIDE: Final[tuple[str, ...]] = tuple(sorted(RETURNED_STATES - {_STORED_AS}))
# Of a row of remote.rollout_target that is called t.
STATE: Final = "(CASE t.state WHEN 'returned' THEN coalesce(t.returned_as, t.state) ELSE t.state END)"


def stored(states: Iterable[TargetState]) -> list[str]:
    """The words in the column `state`, each once."""
    return sorted({_STORED_AS if state in BESIDE else state for state in states})


def folded(counts: Mapping[_Word, int]) -> dict[str, int]:
    """State → targets, by the words in the column `state`."""
    found: dict[str, int] = {}
    for state, targets in counts.items():
        word = _STORED_AS if state in BESIDE else state
        found[word] = found.get(word, 0) + targets
    return found
