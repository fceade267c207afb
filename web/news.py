"""What other processes say about claims, revocations and files: one listening connection for all browsers that watch one."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Self

import structlog

from fleet.errors import FleetError
from fleet.settings import DatabaseSettings
from fleet.storage import notices
from fleet.storage.database import AWAY, connect

_CHANNELS = (notices.CLAIM, notices.REVOCATION, notices.FILE, notices.ORDER, notices.ROLLOUT)
_RECONNECT_S = (0.5, 1.0, 2.0, 5.0)  # the last one repeats; each with jitter
_ALIVE_S = 15.0  # how often an idle connection is asked whether it still is one
_AGAIN_S = 1.0
_SETTLE_S = 0.25  # several notices in a row are one look at the database
_BURST = 5  # looks in a row that a viewer of one device may take at once, before it is one every _AGAIN_S

log = structlog.get_logger("web.news")


class Bell:
    """Rings when there may be news. One that is not heard in time rings once, however often it was pulled."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def heard(self, within_s: float, settle_s: float = _SETTLE_S) -> None:
        """Returns when it rings, and at the latest after this time: a notice may get lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._rung.wait()
                await asyncio.sleep(settle_s)
        self._rung.clear()


class News:
    """Without the connection everything goes on, only later: whoever watches looks every notices.POLL_S anyway."""

    def __init__(self, database: DatabaseSettings) -> None:
        self._database = database
        self._bells: dict[tuple[str, str], set[Bell]] = {}
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="news")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def watch(self, channel: str, payload: str = "") -> Iterator[Bell]:
        """payload '': every notice of the channel."""
        bell = Bell()
        key = (channel, payload)
        self._bells.setdefault(key, set()).add(bell)
        try:
            yield bell
        finally:
            self._bells[key].discard(bell)
            if not self._bells[key]:
                del self._bells[key]

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
            except AWAY as error:
                if failures == 0:
                    log.warning("news_lost", error=str(error))
            failures = 0 if self.connected else failures + 1
            self.connected = False
            pause_s = _RECONNECT_S[min(failures, len(_RECONNECT_S) - 1)]
            await asyncio.sleep(pause_s * random.uniform(0.7, 1.3))  # noqa: S311 - jitter is no secret

    async def _listen(self) -> None:
        connection = await connect(self._database, command_timeout_s=10.0)
        try:
            for channel in _CHANNELS:
                await connection.add_listener(channel, self._hear)
            self.connected = True
            self._ring_all()  # for what was said while nobody listened
            while True:
                await asyncio.sleep(_ALIVE_S)
                await connection.execute("SELECT 1")
        finally:
            connection.terminate()

    def _hear(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        for key in ((channel, str(payload)), (channel, "")):
            for bell in self._bells.get(key, ()):
                bell.ring()

    def _ring_all(self) -> None:
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()


class Retold:
    """A feed for web.streams of a state that is looked up anew whenever the bell rings; the same is not told twice.

    at_once: of one device, whose few steps follow each other within milliseconds and are each worth showing.
    """

    def __init__(
        self,
        bells: AbstractContextManager[Bell],
        look: Callable[[], Awaitable[bytes]],
        every_s: float,
        *,
        at_once: bool = False,
    ) -> None:
        self._bells = bells
        self._look = look
        self.every_s = every_s
        self._settle_s = 0.0 if at_once else _SETTLE_S
        self._credit_s = self._credit_max_s = _AGAIN_S * (_BURST if at_once else 1)
        self._told: bytes | None = None
        self._looked_s = time.monotonic()

    def __enter__(self) -> Self:
        self._bell = self._bells.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bells.__exit__(None, None, None)

    async def first(self) -> bytes | None:
        """None when nobody can tell now."""
        with suppress(FleetError):
            self._told = await self._look()
        return self._told

    async def next(self) -> bytes:
        """In the long run one viewer looks once a second, whatever there is to hear: the database has others to answer."""
        while True:
            await self._bell.heard(self.every_s, self._settle_s)
            await self._my_turn()
            with suppress(FleetError):  # the stream itself asks now and then whether it may go on
                state = await self._look()
                if state != self._told:
                    self._told = state
                    return state

    async def _my_turn(self) -> None:
        """A look costs _AGAIN_S of the time that has passed; some of it may be saved up."""
        now_s = time.monotonic()
        self._credit_s = min(self._credit_max_s, self._credit_s + now_s - self._looked_s)
        if self._credit_s < _AGAIN_S:
            await asyncio.sleep(_AGAIN_S - self._credit_s)
            self._credit_s = _AGAIN_S
        self._credit_s -= _AGAIN_S
        self._looked_s = time.monotonic()
