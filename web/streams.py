"""Server-sent events: the newest state at once, each change after it, a sign of life in between, and an end."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from typing import Protocol

from litestar.response import ServerSentEvent, ServerSentEventMessage

from fleet.errors import FleetError, Unavailable
from fleet.limits import SSE_CLIENTS_MAX, SSE_CLIENTS_PER_PERSON_MAX
from web.services import Services
from web.visits import Visit

EVENTS = "text/event-stream"
_RETRY_MS = 3_000  # how long a browser waits before it connects again


class Feed(Protocol):
    """next: waits for what the browser has not been told yet; None: nothing more will come, and the stream ends."""

    async def next(self) -> bytes | None: ...


Now = Callable[[], Awaitable[bytes | None]]  # the state to begin with; None when nobody can tell it
StillAllowed = Callable[[], Awaitable[None]]  # raises FleetError when not


def event_stream(
    services: Services, visit: Visit, event: str, now: Now, feed: AbstractContextManager[Feed], still_allowed: StillAllowed
) -> ServerSentEvent:
    """Events named `event` with JSON payloads. Every event is a whole state, so a client that reconnects needs no replay.

    Raises Unavailable (too_many_viewers).
    """
    person_id = visit.claims.person_id
    if services.streams.total() >= SSE_CLIENTS_MAX or services.streams[person_id] >= SSE_CLIENTS_PER_PERSON_MAX:
        raise Unavailable("too_many_viewers", "as many live views as there may be are open already")
    messages = _messages(services, event, now, feed, still_allowed)
    return ServerSentEvent(_counted(services, person_id, messages), retry_duration=_RETRY_MS)


async def _counted(
    services: Services, person_id: str, messages: AsyncGenerator[ServerSentEventMessage, None]
) -> AsyncGenerator[ServerSentEventMessage, None]:
    services.streams[person_id] += 1
    try:
        with services.metrics.viewers.track_inprogress():
            async with aclosing(messages):
                async for message in messages:
                    yield message
    finally:
        services.streams[person_id] -= 1
        if not services.streams[person_id]:
            del services.streams[person_id]


async def _messages(
    services: Services, event: str, now: Now, feed: AbstractContextManager[Feed], still_allowed: StillAllowed
) -> AsyncGenerator[ServerSentEventMessage, None]:
    with feed as source:
        first = await now()
        yield _message(event, first) if first is not None else _sign_of_life()
        closing = asyncio.ensure_future(services.closing.wait())
        waiting = asyncio.ensure_future(source.next())
        checked_at = time.monotonic()
        pause_s = min(services.heartbeat_s, services.recheck_s)
        try:
            while not closing.done():
                done, _ = await asyncio.wait((closing, waiting), timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                if time.monotonic() - checked_at >= services.recheck_s:
                    checked_at = time.monotonic()
                    if not await _is_allowed(still_allowed):
                        return
                if waiting in done:
                    if (news := waiting.result()) is None:
                        return
                    yield _message(event, news)
                    waiting = asyncio.ensure_future(source.next())
                elif not done:
                    yield _sign_of_life()
        finally:
            closing.cancel()
            waiting.cancel()


async def _is_allowed(still_allowed: StillAllowed) -> bool:
    """When that cannot be found out, the stream ends as well: the browser connects again once it can."""
    try:
        await still_allowed()
    except FleetError:
        return False
    return True


def _message(event: str, payload: bytes) -> ServerSentEventMessage:
    return ServerSentEventMessage(data=payload, event=event, id=str(time.time_ns() // 1_000_000))


def _sign_of_life() -> ServerSentEventMessage:
    return ServerSentEventMessage(data=None, comment="still here")
