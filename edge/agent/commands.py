"""Obeys `down/command`: refuses what is not known or too late, does the rest one by one, and says how each ended."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from edge.agent.journal import Entry, Journal
from edge.limits import AGENT_BLINK_S, AGENT_BLINK_S_MAX, AGENT_COMMAND_DETAIL_CHARS_MAX
from fleet.errors import BadInput, FleetError
from fleet.remote import Command
from fleet.telemetry import UnixMs

log = structlog.get_logger()

Deed = Callable[[Mapping[str, Any]], Awaitable[Any]]
RESTART = "restart"  # has worked when the next process starts
_HALF_BLINK_S = 0.5


class Commands:
    """deeds: name → what to do with the arguments; returns the result's detail, raises FleetError.

    tell: publishes a result when it can; what it could not is told again by `untold`.
    """

    def __init__(
        self, journal: Journal, deeds: Mapping[str, Deed], *, tell: Callable[[Entry], None], now: Callable[[], UnixMs]
    ) -> None:
        self._journal = journal
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
        refusal = self._refusal(command)
        try:
            entry = self._journal.open(command, "failed" if refusal else "accepted", refusal, self._now())
        except FleetError as error:
            log.warning("agent.command_refused", id=command.id, name=command.name, reason=error.detail)
            self._tell(Entry(command.id, command.name, command.expires_at, "failed", error.detail))
            return
        log.info("agent.command", id=command.id, name=command.name[:40], refused=refusal)
        self._tell(entry)
        if refusal is None:
            self._waiting.put_nowait((entry, command))

    async def run(self) -> None:
        while True:
            entry, command = await self._waiting.get()
            if command.expires_at < self._now():
                self._end(entry, "failed", "expired while others were at work")
                continue
            try:
                detail = await self._deeds[command.name](command.args)
            except (FleetError, OSError) as error:
                self._end(entry, "failed", str(error)[:AGENT_COMMAND_DETAIL_CHARS_MAX])
            else:
                self._end(entry, "succeeded", detail)

    def _end(self, entry: Entry, status: Any, detail: Any) -> None:
        self._journal.close(entry, status, detail)
        self._tell(entry)

    def _refusal(self, command: Command) -> str | None:
        if command.expires_at < self._now():
            return "expired"
        if command.name not in self._deeds:
            return f"unknown command; known are {', '.join(sorted(self._deeds))}"
        return None


def number(args: Mapping[str, Any], name: str, default: float, most: float) -> float:
    """Raises BadInput (bad_argument)."""
    value = args.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadInput("bad_argument", f"{name} must be a number from 0 to {most:g}")
    return float(value)


def _switch_off(led_file: Path) -> None:
    with contextlib.suppress(OSError):
        led_file.write_text("0\n")


def blink(led_file: Path | None) -> Deed:
    """Finds the machine among others: its light goes on and off. args: seconds."""

    async def deed(args: Mapping[str, Any]) -> str:
        seconds = number(args, "seconds", AGENT_BLINK_S, AGENT_BLINK_S_MAX)
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
