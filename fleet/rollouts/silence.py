"""Whether devices that go silent do so because of a rollout, or because of what everybody suffers from.

When a broker restarts or a network fails, those that the rollout has told something are gone as the others are. So they are
held against those that it has not touched: of the devices that were there when the first of the silent ones went, which
share is gone now? If it is at least half as large among the untouched ones, and these are not just one or two, the silence
is not counted as a fault yet. It is judged again as long as it lasts, so whoever does not come back with the others is
counted then; after a day it is counted in any case.
"""

import msgspec

from fleet.limits import ROLLOUT_SILENCE_OTHERS_MIN

_SIMILAR = 0.5  # of the share that the touched ones have


class Absences(msgspec.Struct, frozen=True):
    """Of devices that were there at a time: how many, and how many are gone. touched: told something by a rollout."""

    touched: int
    touched_gone: int
    others: int
    others_gone: int


def is_common(seen: Absences) -> bool:
    """Whether the untouched ones went away as well: the rollout is not what silenced them."""
    if seen.others_gone < ROLLOUT_SILENCE_OTHERS_MIN:
        return False
    return seen.others_gone * seen.touched >= _SIMILAR * seen.touched_gone * seen.others
