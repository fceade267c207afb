"""Waiting for a command to get further: for one answer, or as a stream. As fast as the notice of it comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Self

import msgspec

from fleet.commands import CommandState
from fleet.errors import FleetError
from fleet.limits import COMMAND_WAITS_MAX, COMMAND_WAITS_PER_PERSON_MAX
from fleet.storage import notices
from fleet.storage.commands import CommandRow
from web.news import Bell
from web.services import Services
from web.visits import Visit

Look = Callable[[], Awaitable[CommandRow]]


async def until_further(
    services: Services, visit: Visit, row: CommandRow, look: Look, wait_s: float, *, until_end: bool = False
) -> CommandRow:
    """The command as soon as it is in another state than the given one, or has ended, or after that time as it is then.

    row: as it was before the bell was listened to, so it is looked at once more. With too many who wait: as it is now.
    until_end: another state is not enough.
    """
    person_id, waits = visit.claims.person_id, services.waits
    if waits.total() >= COMMAND_WAITS_MAX or waits[person_id] >= COMMAND_WAITS_PER_PERSON_MAX:
        return row
    if not row.is_open or wait_s <= 0.0:
        return row
    before: CommandState = row.state
    until_s = time.monotonic() + wait_s
    waits[person_id] += 1
    try:
        with services.news.watch(notices.ORDER, row.device) as bell:
            row = await look()
            while (
                (row.is_open if until_end else row.state == before)
                and (left_s := until_s - time.monotonic()) > 0.0
                and not services.closing.is_set()
            ):
                await _heard(services, bell, min(left_s, notices.POLL_S))
                row = await look()
    finally:
        waits[person_id] -= 1
        if not waits[person_id]:
            del waits[person_id]
    return row


async def _heard(services: Services, bell: Bell, within_s: float) -> None:
    """Or the server is told to stop."""
    closing = asyncio.ensure_future(services.closing.wait())
    hearing = asyncio.ensure_future(bell.heard(within_s, settle_s=0.0))
    try:
        await asyncio.wait((closing, hearing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        closing.cancel()
        hearing.cancel()


class CommandFeed:
    """A feed for web.streams: the command after each of its changes; ends when it has ended."""

    def __init__(self, bells: AbstractContextManager[Bell], look: Look) -> None:
        self._bells = bells
        self._look = look
        self._told: CommandRow | None = None

    def __enter__(self) -> Self:
        self._bell = self._bells.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bells.__exit__(None, None, None)

    async def first(self) -> bytes | None:
        """None when nobody can tell now."""
        try:
            self._told = await self._look()
        except FleetError:
            return None
        return msgspec.json.encode(self._told)

    async def next(self) -> bytes | None:
        while self._told is None or self._told.is_open:
            await self._bell.heard(notices.POLL_S, settle_s=0.0)
            try:
                row = await self._look()
            except FleetError:  # the stream itself asks now and then whether it may go on
                continue
            if self._told is None or row.revision != self._told.revision:
                self._told = row
                return msgspec.json.encode(row)
        return None
