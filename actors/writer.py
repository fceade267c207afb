"""One transaction per batch: lease, samples, dead letters, lessons, days to recompute. Only after it may anything be acked.

Crash contract: a batch is stored whole or not at all; storing it twice changes nothing.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime

import asyncpg
import structlog

from actors.batch import Batch, DirtyMark, Entry, collect
from actors.counters import Counters
from fleet.limits import COMMIT_RETRY_S, COMMIT_TIMEOUT_S
from fleet.runtime.cancelled import end_if_cancelled
from fleet.settings import DatabaseSettings
from fleet.storage import codec_memory, energy, intake
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.intake import DeadLetter
from fleet.storage.lease import Lease
from fleet.telemetry import UnixMs

log = structlog.get_logger()


class Writer:
    """Owns one connection. Waits out an absent PostgreSQL; isolates a message that PostgreSQL will never take."""

    def __init__(self, settings: DatabaseSettings, lease: Lease, counters: Counters) -> None:
        self._settings = settings
        self._lease = lease
        self._counters = counters
        self._connection: DirectConnection | None = None
        self._partitions: set[date] = set()
        self._marked: dict[tuple[str, date], UnixMs] = {}
        # Held while a batch is being committed: the roll-up takes it once to know that no commit is under way.
        self.committing = asyncio.Lock()

    async def commit(self, entries: Sequence[Entry], now: UnixMs) -> None:
        """Returns once the entries are stored, however long PostgreSQL is away. Raises StaleOwner."""
        attempt = 0
        while True:
            try:
                async with self.committing:
                    await self._store(collect(entries, now))
                return
            except asyncpg.DataError as error:  # although asyncpg files it under its interface errors, which mean "away"
                await self._isolate(entries, now, error)
                return
            except AWAY as error:
                end_if_cancelled()
                delay_s = COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)]
                if attempt == 0:
                    log.warning("database_away", error=repr(error), waiting_messages=len(entries))
                attempt += 1
                self._counters.commit_failures += 1
                await self._disconnect()
                await asyncio.sleep(delay_s)
            except asyncpg.PostgresError as error:
                await self._isolate(entries, now, error)
                return

    async def forget_marks(self) -> None:
        """From now on every touched day is marked again. Waits for the commit under way, whose marks were still spared."""
        async with self.committing:
            self._marked.clear()

    async def close(self) -> None:
        await self._disconnect()

    async def _store(self, batch: Batch) -> None:
        connection = self._connection or await self._connect()
        await self._create_partitions(connection, batch)
        marks = [
            mark for mark in batch.marks if mark.from_time < self._marked.get((mark.site, mark.day), mark.from_time + 1)
        ]
        async with connection.transaction():
            await self._lease.check(connection)
            if batch.samples:
                stored = await intake.store_samples(connection, batch.samples)
                self._counters.duplicates += len(batch.samples) - stored
            if batch.letters:
                await intake.store_dead_letters(connection, batch.letters)
            if batch.lessons:
                await codec_memory.store(connection, batch.lessons)
            if marks:
                await energy.mark_dirty(connection, marks)
        self._note(batch, marks)

    def _note(self, batch: Batch, marks: list[DirtyMark]) -> None:
        self._counters.batches += 1
        self._counters.samples += len(batch.samples)
        for mark in marks:
            self._marked[mark.site, mark.day] = mark.from_time

    async def _isolate(self, entries: Sequence[Entry], now: UnixMs, error: Exception) -> None:
        """Halves the batch until the message that PostgreSQL refuses stands alone; that one becomes a dead letter."""
        if len(entries) > 1:
            middle = len(entries) // 2
            await self.commit(entries[:middle], now)
            await self.commit(entries[middle:], now)
            return
        entry = entries[0]
        if not entry.rows:
            raise error  # not even the dead letter can be written: that is no message's fault
        log.error("row_refused_by_database", topic=entry.topic, error=repr(error))
        site = None if entry.site is None else entry.site.record.id
        device = None if entry.sender is None else entry.sender.id
        letter = DeadLetter(
            datetime.fromtimestamp(now / 1000, UTC), site, device, entry.topic, "store_refused", str(error)[:300], 0, b""
        )
        self._counters.refused("store_refused")
        await self.commit([entry._replace(rows=[], letters=[letter])], now)

    async def _create_partitions(self, connection: DirectConnection, batch: Batch) -> None:
        missing = {sample[2].date() for sample in batch.samples} - self._partitions
        if missing:
            await intake.create_partitions(connection, missing)
            self._partitions |= missing

    async def _connect(self) -> DirectConnection:
        self._connection = await connect(self._settings, command_timeout_s=COMMIT_TIMEOUT_S)
        await intake.prepare(self._connection)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
