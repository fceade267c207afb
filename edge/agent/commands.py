"""Obeys `down/command`: refuses what is not known or too late, does the rest one by one, and says how each ended."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from edge.agent.journal import Entry, Journal
from edge.limits import AGENT_COMMAND_DETAIL_CHARS_MAX
from edge.obeying import understood
from fleet.errors import BadInput, FleetError
from fleet.limits import COMMAND_DETAIL_BYTES_MAX
from fleet.order_messages import Command
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs

log = structlog.get_logger()

Deed = Callable[[Command], Awaitable[Any]]  # with checked arguments, defaults included
RESTART = "restart"  # has worked when the next process starts
_NAME_CHARS_MAX = 40  # of what is remembered; no known one is as long
_HALF_BLINK_S = 0.5


class Commands:
    """What the profile lists is obeyed, with arguments in the catalog's ranges: the platform is not trusted in that.

    deeds: name → what to do; returns the result's detail, raises FleetError.
    tell: publishes a result when it can; what it could not is told again by `untold`.
    """

    def __init__(
        self,
        journal: Journal,
        profile: DeviceProfile,
        deeds: Mapping[str, Deed],
        *,
        tell: Callable[[Entry], None],
        now: Callable[[], UnixMs],
    ) -> None:
        self._journal = journal
        self._profile = msgspec.structs.replace(profile, commands=tuple(name for name in profile.commands if name in deeds))
        self._deeds = deeds
        self._tell = tell
        self._now = now
        self._waiting: asyncio.Queue[tuple[Entry, Command]] = asyncio.Queue()
        for entry in journal.unfinished():
            if entry.name == RESTART:
                journal.close(entry, "succeeded", None)
            else:
                journal.close(entry, "failed", "interrupted: the agent was stopped while it was at it")

    def take(self, command: Command) -> None:
        known = self._journal.find(command.id)
        if known is not None:
            self._tell(known)
            return
        refusal = None
        try:
            command = msgspec.structs.replace(command, args=understood(self._profile, command, self._now()))
        except BadInput as error:
            refusal = error.detail[:AGENT_COMMAND_DETAIL_CHARS_MAX]
            command = msgspec.structs.replace(command, name=command.name[:_NAME_CHARS_MAX])
        try:
            entry = self._journal.open(command, "failed" if refusal else "accepted", refusal, self._now())
        except FleetError as error:
            log.warning("agent.command_refused", id=command.id, name=command.name, reason=error.detail)
            self._tell(Entry(command.id, command.name, command.expires_at, "failed", error.detail))
            return
        log.info("agent.command", id=command.id, name=command.name, refused=refusal)
        self._tell(entry)
        if refusal is None:
            self._waiting.put_nowait((entry, command))

    async def run(self) -> None:
        while True:
            await self.one()

    async def one(self) -> None:
        """Waits for a command, and does it."""
        entry, command = await self._waiting.get()
        if command.expires_at < self._now():
            self._end(entry, "failed", "expired while others were at work")
            return
        try:
            detail = await self._deeds[command.name](command)
        except (FleetError, OSError) as error:
            self._end(entry, "failed", str(error)[:AGENT_COMMAND_DETAIL_CHARS_MAX])
        else:
            self._end(entry, "succeeded", _bounded(detail))

    def _end(self, entry: Entry, status: Any, detail: Any) -> None:
        try:
            self._journal.close(entry, status, detail)
        except OSError as error:  # it was done all the same, and whoever asked shall hear how it ended
            log.error("agent.disk_failed", reason=str(error))
        self._tell(entry)


def _bounded(detail: Any) -> Any:
    """What the platform would cut off anyway is not sent."""
    encoded = msgspec.json.encode(detail)
    if len(encoded) <= COMMAND_DETAIL_BYTES_MAX:
        return detail
    return f"{len(encoded)} bytes of detail are more than the {COMMAND_DETAIL_BYTES_MAX} that a result may carry"


def _switch_off(led_file: Path) -> None:
    with contextlib.suppress(OSError):
        led_file.write_text("0\n")


def blink(led_file: Path | None) -> Deed:
    """Finds the machine among others: its light goes on and off. args: duration_s."""

    async def deed(command: Command) -> str:
        seconds = command.args["duration_s"]
        log.info("agent.blink", seconds=seconds, led_file=str(led_file))
        if led_file is None:
            return "no light is configured (led_file); the log says it"
        try:
            for step in range(max(round(seconds / _HALF_BLINK_S), 2)):
                await asyncio.to_thread(led_file.write_text, "10"[step % 2] + "\n")
                await asyncio.sleep(_HALF_BLINK_S)
        finally:
            _switch_off(led_file)
        return "blinked"

    return deed
