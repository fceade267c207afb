"""What is asked of the twins about configuration and commands, and what they answer: one answer per wish, in its order."""

from typing import Any

import msgspec

from fleet.commands import CommandState
from fleet.configuration import Change, ConfigStatus
from fleet.device_setting import RefusedValues, SettingProblem
from fleet.errors import BadInput, Conflict, FleetError, NotFound, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs


class OrderProblem(msgspec.Struct, frozen=True):
    """Why a wish was refused; nothing was stored for it. kind: the class of fleet.errors that it would be raised as.

    version: with stale_version, the one in force.
    """

    kind: str
    code: str
    detail: str
    problems: tuple[SettingProblem, ...] = ()
    version: int | None = None

    def error(self) -> FleetError:
        if self.kind == "RefusedValues":
            return RefusedValues(self.code, self.detail, self.problems)
        kinds: dict[str, type[FleetError]] = {kind.__name__: kind for kind in (BadInput, Conflict, NotFound, Unavailable)}
        return kinds[self.kind](self.code, self.detail)


def problem_of(error: FleetError, version: int | None = None) -> OrderProblem:
    problems = error.problems if isinstance(error, RefusedValues) else ()
    kind = type(error).__name__
    return OrderProblem(kind, error.code, error.detail, problems, version)


class ConfigWish(msgspec.Struct, frozen=True):
    """only_if_there: a device that is away now, and does not have this layer yet, is not wished it (device_away)."""

    site: SiteId
    device: DeviceId
    change: Change
    only_if_there: bool = False


class ConfigAnswer(msgspec.Struct, frozen=True):
    """version: in force now; changed: whether the wish made it. status, and whether the device is connected, as of now."""

    device: DeviceId
    version: int
    changed: bool
    status: ConfigStatus
    there: bool
    problem: OrderProblem | None = None


class CommandWish(msgspec.Struct, frozen=True):
    """args: checked, with defaults (fleet.command_catalog). idempotency_key: of the person who gives it."""

    id: str
    site: SiteId
    device: DeviceId
    name: str
    args: dict[str, Any]
    expires_at: UnixMs
    run_s: float
    person_id: str | None = None
    idempotency_key: str | None = None
    batch: str | None = None


class CommandAnswer(msgspec.Struct, frozen=True):
    """id: the command's; another one than asked for when its key had been used for the same command before (repeated)."""

    id: str
    state: CommandState
    repeated: bool = False
    problem: OrderProblem | None = None
