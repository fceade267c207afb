"""What a look at one part came to, and the whole list of them, for people or for machines."""

import subprocess
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from fleet.errors import FleetError

State = Literal["ok", "warning", "broken"]


class Finding(NamedTuple):
    """well: nothing has to be mended. warns: all the same somebody should look at it in the next days."""

    well: bool
    what: str
    warns: bool = False

    @property
    def state(self) -> State:
        if not self.well:
            return "broken"
        return "warning" if self.warns else "ok"


class Check(NamedTuple):
    name: str
    look: Callable[[], Finding]


class Line(msgspec.Struct, frozen=True):
    """One line of the doctor's report."""

    check: str
    state: State
    what: str


def examined(checks: Sequence[Check]) -> list[Line]:
    """All of them, one after the other; what one stumbles over is its finding, and the others are looked at."""
    lines = []
    for check in checks:
        finding = _safely(check.look)
        lines.append(Line(check.name, finding.state, finding.what))
    return lines


def _safely(look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except FleetError as error:
        return Finding(False, error.detail)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Finding(False, str(error))
