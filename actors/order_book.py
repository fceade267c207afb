"""Where a shard's steps about configurations and commands are written down: in their order, many in one transaction.

Crash contract: a step is published after it was stored, and whoever waits for it is told then. A transaction whose end
nobody heard is tried again; that changes nothing twice.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import asyncpg
import structlog

from fleet.device_orders import Step
from fleet.errors import BadInput, Unavailable
from fleet.limits import COMMIT_RETRY_S, COMMIT_TIMEOUT_S, ORDERS_AT_ONCE, ORDERS_STORE_TIMEOUT_S, ORDERS_WAITING_MAX
from fleet.receipts import Line
from fleet.runtime.cancelled import end_if_cancelled
from fleet.settings import DatabaseSettings
from fleet.storage import notices, orders
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.intake import DeadLetter, store_dead_letters
from fleet.storage.lease import Lease

log = structlog.get_logger()


class _Entry(NamedTuple):
    steps: Sequence[Step]
    letters: Sequence[DeadLetter]
    stored: "asyncio.Future[None]"


class OrderBook:
    """Owns one connection. publish: called with the stored steps, in order; refused: with what PostgreSQL never takes."""

    def __init__(
        self,
        settings: DatabaseSettings,
        lease: Lease,
        publish: Callable[[Sequence[Step]], Awaitable[None]],
        refused: Callable[[Sequence[Step]], None],
    ) -> None:
        self._refused = refused
        self._settings = settings
        self._lease = lease
        self._publish = publish
        self._waiting: deque[_Entry] = deque()
        self._steps_waiting = 0
        self._filled = asyncio.Event()
        self._connection: DirectConnection | None = None
        self._tried: Line | None = None  # the last receipt of a transaction whose end nobody heard
        self._failing = False

    def require_open(self) -> None:
        """Before anything is changed for somebody who waits. Raises Unavailable (database_away, orders_full)."""
        if self._failing:
            raise Unavailable("database_away", "the database does not answer; nothing was changed; try again in a moment")
        if self._steps_waiting >= ORDERS_WAITING_MAX:
            raise Unavailable("orders_full", "too many orders wait to be stored; nothing was changed; try again in a moment")

    def write(self, steps: Sequence[Step], letters: Sequence[DeadLetter] = ()) -> "asyncio.Future[None]":
        """Takes the steps in; done once they are stored."""
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(steps, letters, stored))
        self._steps_waiting += len(steps)
        self._filled.set()
        return stored

    async def written(self, steps: Sequence[Step]) -> None:
        """For somebody who asked. Raises BadInput (store_refused), and Unavailable (order_unsure) when nobody can say yet
        whether they will be stored.
        """
        if not steps:
            return
        done, _ = await asyncio.wait([self.write(steps)], timeout=ORDERS_STORE_TIMEOUT_S)
        if not done:
            raise unsure()
        for future in done:
            future.result()

    async def settled(self) -> None:
        """Waits until all that was taken in so far is stored."""
        if self._waiting:
            await asyncio.wait([self.write(())])

    async def run(self) -> None:
        """Works until cancelled. Raises StaleOwner."""
        try:
            while True:
                await self._filled.wait()
                entries = self._take()
                await self._store_patiently(entries)
                for entry in entries:
                    self._waiting.popleft()
                    self._steps_waiting -= len(entry.steps)
                    if not entry.stored.done():
                        entry.stored.set_result(None)
                if not self._waiting:
                    self._filled.clear()
        finally:
            await self._disconnect()

    def _take(self) -> list[_Entry]:
        """What waits longest; it goes on waiting until it is stored."""
        taken: list[_Entry] = []
        steps = 0
        for entry in self._waiting:
            if taken and steps + len(entry.steps) > ORDERS_AT_ONCE:
                break
            taken.append(entry)
            steps += len(entry.steps)
        return taken

    async def _store_patiently(self, entries: Sequence[_Entry]) -> None:
        steps = [step for entry in entries for step in entry.steps]
        letters = [letter for entry in entries for letter in entry.letters]
        attempt = 0
        while True:
            try:
                await self._store(steps, letters)
                break
            except asyncpg.DataError as error:
                await self._isolate(entries, error)
                return
            except AWAY as error:
                end_if_cancelled()
                if attempt == 0:
                    log.warning("database_away", error=repr(error), waiting_orders=self._steps_waiting)
                self._failing = True
                await self._disconnect()
                await asyncio.sleep(COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)])
                attempt += 1
            except asyncpg.PostgresError as error:
                await self._isolate(entries, error)
                return
        self._failing = False
        self._tried = None
        await self._publish(steps)
        await self._notify(steps)

    async def _isolate(self, entries: Sequence[_Entry], error: Exception) -> None:
        """One by one, so that what PostgreSQL will never take keeps nobody else's from being stored."""
        self._tried = None
        if len(entries) > 1:
            for entry in entries:
                await self._store_patiently([entry])
            return
        self._refused(entries[0].steps)
        log.error("order_refused_by_database", steps=[step[:2] for step in entries[0].steps], error=repr(error))
        if not entries[0].stored.done():
            entries[0].stored.set_exception(BadInput("store_refused", f"the database does not take it: {error}"[:300]))
            entries[0].stored.exception()  # looked at: perhaps nobody waits for it

    async def _store(self, steps: Sequence[Step], letters: Sequence[DeadLetter]) -> None:
        if not any(step.needs_storing for step in steps) and not letters:
            return
        connection = self._connection or await self._connect()
        if self._tried is not None:
            seq, head = await orders.head_of(connection, self._lease.shard)
            if (seq, head) == (self._tried.seq, self._tried.hash):
                return  # it was committed, only we did not hear of it
            self._tried = None
        async with connection.transaction():
            await self._lease.check(connection)
            await orders.save_steps(connection, steps)
            if letters:
                await store_dead_letters(connection, letters)
            self._tried = await orders.save_receipts(connection, self._lease.shard, steps)

    async def _notify(self, steps: Sequence[Step]) -> None:
        """Only a hint: whoever misses it looks by themselves."""
        devices = sorted({step.device for step in steps if step.needs_storing})
        if devices and self._connection is not None:
            try:
                await notices.notify_all(self._connection, notices.ORDER, devices)
            except AWAY:
                await self._disconnect()

    async def _connect(self) -> DirectConnection:
        self._connection = await connect(self._settings, command_timeout_s=COMMIT_TIMEOUT_S)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def unsure() -> Unavailable:
    """What is said of an order that waits to be stored."""
    return Unavailable(
        "order_unsure",
        "the database does not answer: it will be done once it does; look again before you ask for it again",
    )
