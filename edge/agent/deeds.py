"""What the agent does when it is told to, one function a command of the catalog."""

import asyncio
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from edge.agent.commands import RESTART, Deed, blink
from edge.agent.home import Home
from edge.agent.keeping import Inputs
from edge.agent.log_tail import LogTail
from edge.agent.power_limit import PowerLimit
from edge.outbox import Outbox
from edge.spool import Spool, held
from fleet.errors import FleetError
from fleet.limits import COMMAND_DETAIL_BYTES_MAX
from fleet.order_messages import Command
from fleet.profiles import DeviceProfile, shipped
from fleet.telemetry import UnixMs

_EVERYBODYS = ("blink", "read_info", "restart", "resend", "take_log")


class Deeds:
    """restart: asks the agent to end, so that its service starts it again."""

    def __init__(
        self,
        home: Home,
        outbox: Outbox,
        spool: Spool,
        inputs: Inputs,
        limit: PowerLimit,
        log_tail: LogTail,
        *,
        led_file: str | None,
        restart: Callable[[], None],
        now: Callable[[], UnixMs],
    ) -> None:
        self._home = home
        self._outbox = outbox
        self._spool = spool
        self._inputs = inputs
        self._limit = limit
        self._log_tail = log_tail
        self._led_file = Path(led_file) if led_file else None
        self._ask_to_end = restart
        self._now = now
        self._began = time.monotonic()

    def all(self) -> dict[str, Deed]:
        return {
            "blink": blink(self._led_file),
            RESTART: self._restart,
            "resend": self._resend,
            "read_info": self._read_info,
            "read_registers": self._read_registers,
            "take_log": self._take_log,
            "set_power_limit": self._set_power_limit,
        }

    async def _restart(self, _command: Command) -> None:
        """Its success is told by the process that starts then."""
        self._ask_to_end()
        await asyncio.Event().wait()

    async def _resend(self, command: Command) -> dict[str, int]:
        """What is acked is gone."""
        first = self._outbox.again(int(command.args["from_seq"]))
        return {"from_seq": first, "messages": max(self._spool.shelf(self._outbox.device).ready - first + 1, 0)}

    async def _read_info(self, _command: Command) -> dict[str, Any]:
        identity = self._home.enrolled()
        return {
            "version": version(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "uptime_s": round(time.monotonic() - self._began),
            "held_messages": held(self._spool, self._outbox.device),
            "given_up_messages": self._outbox.given_up,
            "inputs": dict(self._inputs.states()),
            "active_power_limit_pct": self._limit.pct,
            "certificate_until": identity.expires_at().isoformat(),
        }

    async def _read_registers(self, command: Command) -> dict[str, Any]:
        address, count = int(command.args["address"]), int(command.args["count"])
        name, words = await self._inputs.read_registers(command.args["input"], address, count)
        return {"input": name, "address": address, "registers": words}

    async def _take_log(self, command: Command) -> dict[str, Any]:
        room = COMMAND_DETAIL_BYTES_MAX - len(b'{"lines":}')
        return {"lines": self._log_tail.newest(int(command.args["lines"]), room)}

    async def _set_power_limit(self, command: Command) -> dict[str, Any]:
        """Written down first: a limit that is in force is never forgotten. One that a device does not take is none.

        Where none can take it now, nothing is changed: not what another command holds, nor what is set at a device.
        """
        await self._inputs.can_limit()
        pct, until = float(command.args["active_power_limit_pct"]), self._now() + int(command.args["duration_s"]) * 1000
        self._limit.hold(command.id, pct, until)
        try:
            await self._inputs.obey_limit()
        except (FleetError, OSError):
            self._limit.release(command.id)
            with suppress(FleetError, OSError):  # a device that took it before another did not goes back at once
                await self._inputs.obey_limit()
            raise
        ends = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="seconds")
        return {"active_power_limit_pct": self._limit.pct, "until": ends}


def profile_named(profile_id: str) -> DeviceProfile:
    """As this version of the agent knows it; one that it does not know obeys what every agent does."""
    found = next((profile for profile in shipped() if profile.id == profile_id), None)
    return found or DeviceProfile(profile_id, "gateway", profile_id, profile_id, (), (), 60.0, commands=_EVERYBODYS)


def version() -> str:
    try:
        return metadata.version("solarperform")
    except metadata.PackageNotFoundError:
        return "unknown"
