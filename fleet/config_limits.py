"""Values beyond what a profile allows by now, because its limits were tightened since they were wished: which are in force,
and what is held back on account of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fleet.configuration import ConfigState
from fleet.device_setting import ProblemCode, Setting, SettingProblem, check_values, is_same

_LIMITS: Final[frozenset[ProblemCode]] = frozenset(("out_of_range", "grid_code"))


def beyond_limits(settings: Iterable[Setting], values: Mapping[str, Any]) -> list[SettingProblem]:
    """Of a configuration's values, or of a command's arguments. What else may be wrong with them, the device says itself."""
    return [each for each in check_values(settings, values) if each.code in _LIMITS]


def held(state: ConfigState, settings: Iterable[Setting]) -> list[SettingProblem]:
    """Why a version that waits is not told the device. A value that it runs already is no reason: telling it once more
    changes nothing about it, and may put others right.
    """
    if state.desired is None or state.status not in ("pending", "applying"):
        return []
    wished, runs = state.desired.values, state.reported.values if state.reported is not None else {}
    return [each for each in beyond_limits(settings, wished) if not is_same(wished[each.key], runs.get(each.key))]
