"""Which column of a WebdynSun block is what, and how it is scaled: the block's list of variables and their definition."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fleet.codecs import tic
from fleet.codecs.files.reading import Refusal, refusal
from fleet.codecs.files.webdyn_definition import MIN_MAX_AVERAGE, DeviceDefinition, Variable
from fleet.codecs.webdyn_names import DeviceRole, meaning

_STATISTIC: Final = re.compile(r"(?P<id>.+?)[ _](?P<which>min|max|avg|average|moy|moyenne|mean)", re.IGNORECASE)
_NOT_AVERAGE: Final = frozenset(("min", "max"))


class Column(NamedTuple):
    """value = raw x scale + offset, of the cell at place (the date is 0)"""

    measure: str
    place: int
    scale: float
    offset: float


class Columns(NamedTuple):
    """cells: of a row, with its date. taken: what is a measure. refusals: what is none, once each."""

    cells: int
    taken: tuple[Column, ...]
    refusals: tuple[Refusal, ...]


def are_statistics(cells: Sequence[str]) -> bool:
    """Whether this line of headings names columns one by one: `1 min;1 max;1 avg`."""
    return any(_STATISTIC.fullmatch(cell.strip()) for cell in cells)


def columns_of(ids: Sequence[str] | None, definition: DeviceDefinition, role: DeviceRole | None, line: int) -> Columns:
    """ids: of the block's own list; None: it has none, so all that the definition has logged, in its order."""
    taken: dict[str, Column] = {}
    refusals: list[Refusal] = []
    place = 1
    for each, variable, width, used in _places(ids, definition):
        here = place + (2 if width == 3 else 0)  # minimum, maximum, average
        place += width
        if not used:
            continue
        if variable is None:
            refusals.append(refusal("unknown_column", line, here, each, name=each[:80], unit="?"))
            continue
        meant = meaning(variable.name, variable.unit, tag=variable.tag, role=role)
        if meant is None:
            name = variable.name or variable.tag or each
            refusals.append(refusal("unknown_column", line, here, name, name=name[:80], unit=variable.unit[:20] or "–"))
        elif meant.measure in taken:
            refusals.append(refusal("column_twice", line, here, variable.name, name=variable.name[:80]))
        else:
            taken[meant.measure] = Column(meant.measure, here, variable.a * meant.factor, variable.b * meant.factor)
    return Columns(place, tuple(taken.values()), tuple(refusals))


def _places(ids: Sequence[str] | None, definition: DeviceDefinition) -> Iterator[tuple[str, Variable | None, int, bool]]:
    """(id, variable, how many columns, whether it counts) of each variable, or of each column where all are named."""
    if ids is None:
        for logged in definition.variables.values():
            if logged.logged:
                yield logged.id, logged, 3 if logged.action == MIN_MAX_AVERAGE else 1, True
        return
    one_by_one = are_statistics(ids) or _thrice(ids)
    for position, each in enumerate(ids):
        named = _STATISTIC.fullmatch(each)
        variable = definition.variables.get(named["id"] if named is not None else each)
        average = variable is not None and variable.action == MIN_MAX_AVERAGE
        if named is not None:
            yield each, variable, 1, named["which"].casefold() not in _NOT_AVERAGE
        elif one_by_one:
            yield each, variable, 1, not average or (position >= 2 and ids[position - 2 : position + 1] == [each] * 3)
        else:
            yield each, variable, 3 if average else 1, True


def _thrice(ids: Sequence[str]) -> bool:
    return any(a == b == c for a, b, c in zip(ids, ids[1:], ids[2:], strict=False))


class TicColumns(NamedTuple):
    """labels: (place, label) of what a reading is made of. cells: of a row, with its date."""

    cells: int
    labels: tuple[tuple[int, str], ...]
    refusals: tuple[Refusal, ...]


def tic_columns_of(ids: Sequence[str] | None, definition: DeviceDefinition | None, line: int) -> TicColumns:
    """ids: labels themselves, or a definition's indexes, whose Info1 is the label."""
    known = {} if definition is None else definition.variables
    if ids is None:
        ids = [variable.id for variable in known.values() if variable.logged]
    labels: list[tuple[int, str]] = []
    refusals: list[Refusal] = []
    for place, each in enumerate(ids, 1):
        variable = known.get(each)
        named = (each,) if variable is None else (each, variable.label, variable.name, variable.tag)
        label = next((name for name in named if name in tic.LABELS), None)
        if label is None:
            refusals.append(refusal("unknown_column", line, place, each, name=each[:80], unit="–"))
        elif label in tic.COUNTED:
            labels.append((place, label))
    return TicColumns(len(ids) + 1, tuple(labels), tuple(refusals))
