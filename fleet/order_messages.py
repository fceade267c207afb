"""What a device is told to be and to do, and what it answers: `down/config`, `down/command`, `up/config`, `up/result`."""

from typing import Annotated, Any, Literal

import msgspec

from fleet.telemetry import UnixMs

ConfigValue = bool | float | str
CommandStatus = Literal["accepted", "succeeded", "failed"]

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$(?!\n)")]


class DesiredConfig(msgspec.Struct, frozen=True):
    """`down/config`: all values, not a difference. Versions only grow."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    values: dict[str, ConfigValue]


class RejectedConfig(msgspec.Struct, frozen=True):
    """errors: key → why. One bad key refuses the whole version: a device never runs half of one."""

    version: int
    errors: dict[str, str]


class ReportedConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """`up/config`: what the device runs. version 0: nothing that it was told, its profile's defaults."""

    version: int
    values: dict[str, ConfigValue]
    rejected: RejectedConfig | None = None


class Command(msgspec.Struct, frozen=True):
    """`down/command`. Executed at most once, and not after expires_at."""

    id: _Id
    name: str
    expires_at: UnixMs
    args: dict[str, Any] = {}


class CommandResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """`up/result`."""

    id: str
    status: CommandStatus
    detail: Any = None
