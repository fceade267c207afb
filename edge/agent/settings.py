"""agent.toml: what the agent reads, and its few bounds. Nothing in it is secret."""

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from edge.agent.inputs import InputSettings
from edge.agent.texts import text
from edge.limits import AGENT_INPUTS_MAX, AGENT_SPOOL_BYTES_MAX, AGENT_SPOOL_BYTES_MIN
from fleet.errors import BadInput, FleetError


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """spool_bytes_max: what waits for the platform's ack; beyond it the oldest messages are given up, and the log says so.

    led_file: a light of the machine, such as /sys/class/leds/ACT/brightness, for the command `blink`
    """

    inputs: Annotated[tuple[InputSettings, ...], msgspec.Meta(max_length=AGENT_INPUTS_MAX)] = ()
    spool_bytes_max: Annotated[int, msgspec.Meta(ge=AGENT_SPOOL_BYTES_MIN)] = AGENT_SPOOL_BYTES_MAX
    led_file: str | None = None

    def __post_init__(self) -> None:
        names = [each.name for each in self.inputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadInput("bad_settings", f"two inputs are called {twice[0]!r}: give each its own `name`")


def read(path: Path) -> AgentSettings:
    """Raises BadInput (bad_settings) that names the file and the key."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), AgentSettings)
    except OSError as error:
        raise BadInput("bad_settings", text("no_such_file", file=path, reason=error.strerror)) from None
    except (ValueError, msgspec.ValidationError) as error:  # of TOML, of UTF-8, and of the structs
        raise BadInput("bad_settings", text("bad_settings", file=path, reason=error)) from None
    except FleetError as error:
        raise BadInput("bad_settings", text("bad_settings", file=path, reason=error.detail)) from None
