"""The bulk door of a shard: columns of samples that did not come as messages, through the same twins, lease and database.

Live messages go first: while devices speak there is a rest after each block, longer than the block took.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from actors.batch import DirtyMark, at
from actors.catalog import Catalog
from actors.clock import now_ms
from fleet.calendar import QUARTER_MS, local_day
from fleet.columns import BulkReport, ColumnBlock
from fleet.device import DeviceTwin
from fleet.errors import BadInput, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import (
    BULK_AT_ONCE,
    BULK_REST,
    BULK_SAMPLES_MAX,
    COMMIT_RETRY_S,
    COMMIT_TIMEOUT_S,
    FUTURE_SKEW_MAX_S,
    HISTORY_DAYS,
    READING_ABS_MAX,
    RETENTION_DAYS,
)
from fleet.settings import DatabaseSettings
from fleet.site import SiteTwin
from fleet.storage import bulk, energy, intake
from fleet.storage.bulk import Piece
from fleet.storage.copy_rows import Int64s, Matrix, SampleRows
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.lease import Lease
from fleet.storage.twins import SnapshotRow, save_snapshots
from fleet.telemetry import Sample, Telemetry, UnixMs

log = structlog.get_logger()

_DAY_MS = 86_400_000
_RETRACT_MS = 31 * _DAY_MS  # taken back in one transaction: a month of ten-second rows takes seconds


class _Rows(NamedTuple):
    """What a block comes to for its device: one row per instant, in order of time, readings in channel order."""

    t: Int64s
    readings: Matrix
    ranks: Int64s
    shift_ms: Int64s

    def only(self, keep: NDArray[np.bool_] | Int64s) -> "_Rows":
        return _Rows(self.t[keep], self.readings[keep], self.ranks[keep], self.shift_ms[keep])


class Bulk:
    """Belongs to one shard. busy: whether devices are speaking.

    Crash contract: what a call has returned is stored; a call that failed may be made again, and changes nothing twice.
    """

    def __init__(self, settings: DatabaseSettings, lease: Lease, catalog: Catalog, busy: Callable[[], bool]) -> None:
        self._settings = settings
        self._lease = lease
        self._catalog = catalog
        self._busy = busy
        self._idle: list[DirectConnection] = []
        self._places = asyncio.Semaphore(BULK_AT_ONCE)
        self._partitions: dict[int, str] = {}  # number of the day since 1970 → partition

    async def store(self, site: SiteId, file_number: int, blocks: Sequence[ColumnBlock], arrived_at: UnixMs) -> BulkReport:
        """At most BULK_SAMPLES_MAX rows a call. arrived_at: when the file came.

        Raises NotFound (unknown_site), BadInput (too_many_samples, unknown_device, bad_block), StaleOwner.
        """
        if sum(len(block.t) // 8 for block in blocks) > BULK_SAMPLES_MAX:
            raise BadInput("too_many_samples", f"at most {BULK_SAMPLES_MAX} samples a call go through the bulk door")
        report = BulkReport()
        for block in blocks:
            async with self._places:
                report += await self._store_block(site, file_number, block, arrived_at)
        return report

    async def retract(self, site: SiteId, device: DeviceId, file_number: int, since: UnixMs, until: UnixMs) -> int:
        """What a file told of a device in [since, until] is taken back. Returns in how many hours something changed.

        Raises NotFound (unknown_site), StaleOwner, AWAY errors: it may be asked again.
        """
        twin = await self._catalog.site(site, now_ms())
        if twin is None:
            raise NotFound("unknown_site", f"no site is called {site}")
        changed = 0
        for start in range(since, until + 1, _RETRACT_MS):
            end = min(until, start + _RETRACT_MS - 1)
            async with self._places, self._connection() as connection, connection.transaction():
                await self._lease.check(connection)
                hours = await bulk.retract_file(connection, site, device, file_number, at(start), at(end))
                marks = _marks(site, twin.record.timezone, np.array([round(t.timestamp() * 1000) for t in hours], np.int64))
                await energy.mark_dirty(connection, marks, gone=True)
            changed += len(hours)
        return changed

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    async def _store_block(self, site: SiteId, file_number: int, block: ColumnBlock, arrived_at: UnixMs) -> BulkReport:
        twin, device = await self._device(site, block)
        rows, report = _fitting(device, block, now_ms(), arrived_at)
        if not len(rows.t):
            return report
        began = time.monotonic()
        for attempt in range(len(COMMIT_RETRY_S) + 1):
            try:
                stored = await self._commit(twin, device, file_number, rows, arrived_at)
                break
            except AWAY as error:
                if attempt == len(COMMIT_RETRY_S):
                    raise
                log.warning("database_away", error=repr(error), waiting_rows=len(rows.t))
                await asyncio.sleep(COMMIT_RETRY_S[attempt])
        is_first = device.seen_at is None
        _tell(device, rows, arrived_at)
        if is_first:
            await self._introduce(site, device)
        if self._busy():
            await asyncio.sleep((time.monotonic() - began) * BULK_REST)
        return report + stored

    async def _introduce(self, site: SiteId, device: DeviceTwin) -> None:
        """Not with the next snapshots: of a shard that dies before them the device would be one that never said anything,
        and nobody would miss it for a day.
        """
        async with self._connection() as connection, connection.transaction():
            await self._lease.check(connection)
            await save_snapshots(connection, [SnapshotRow(site, device.id, device.snapshot())])

    async def _device(self, site: SiteId, block: ColumnBlock) -> tuple[SiteTwin, DeviceTwin]:
        """From the registry when the live twin does not know it yet."""
        twin = await self._catalog.site(site, now_ms())
        if twin is not None and block.device not in twin.devices:
            twin = await self._catalog.relearn(site, now_ms())
        if twin is None:
            raise NotFound("unknown_site", f"no site is called {site}")
        device = twin.devices.get(block.device)
        if device is None:
            raise BadInput("unknown_device", f"site {site} has no device {block.device}")
        return twin, device

    async def _commit(
        self, twin: SiteTwin, device: DeviceTwin, file_number: int, rows: _Rows, arrived_at: UnixMs
    ) -> BulkReport:
        site = twin.record.id
        async with self._connection() as connection:
            rows, late = await self._unsealed(connection, twin, rows)
            if not len(rows.t):
                return BulkReport(late=late)
            pieces = await self._pieces(connection, rows.t)
            made = SampleRows(site, device.id, at(arrived_at), rows.t, rows.readings, rows.ranks, rows.shift_ms)
            span = at(int(rows.t[0])), at(int(rows.t[-1]))
            async with connection.transaction():
                await self._lease.check(connection)
                stored = await bulk.store_rows(connection, site, device.id, file_number, made, pieces, span)
                if stored.new or stored.corrected:
                    await energy.mark_dirty(connection, _marks(site, twin.record.timezone, rows.t))
        new, corrected = stored
        return BulkReport(new=new, corrected=corrected, same=len(rows.t) - new - corrected, late=late)

    async def _unsealed(self, connection: DirectConnection, twin: SiteTwin, rows: _Rows) -> tuple[_Rows, int]:
        """Without the rows of days whose totals are final; and how many those are."""
        if int(rows.t[0]) > now_ms() - (RETENTION_DAYS - 2) * _DAY_MS:
            return rows, 0
        zone = twin.record.timezone
        first, last = local_day(int(rows.t[0]), zone), local_day(int(rows.t[-1]), zone)
        sealed = await bulk.sealed_days(connection, twin.record.id, first, last)
        if not sealed:
            return rows, 0
        keep = np.fromiter((local_day(t, zone) not in sealed for t in rows.t.tolist()), bool, len(rows.t))
        return rows.only(keep), int((~keep).sum())

    async def _pieces(self, connection: DirectConnection, t: Int64s) -> list[Piece]:
        """Which of the rows, in order of time, lie in which partition; made where there is none."""
        days, firsts = np.unique(t // _DAY_MS, return_index=True)
        pieces: list[Piece] = []
        for day, first, end in zip(days.tolist(), firsts.tolist(), [*firsts[1:].tolist(), len(t)], strict=True):
            if day not in self._partitions:
                self._partitions[day] = await intake.create_partition(connection, _date(day))
            partition = self._partitions[day]
            if pieces and pieces[-1].partition == partition:
                pieces[-1] = pieces[-1]._replace(end=end)
            else:
                pieces.append(Piece(partition, first, end))
        return pieces

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[DirectConnection]:
        """One that nobody uses; after an error it is not used again."""
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = await connect(self._settings, command_timeout_s=COMMIT_TIMEOUT_S)
            await bulk.prepare(connection)
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * 86_400, UTC).date()


def _fitting(device: DeviceTwin, block: ColumnBlock, now: UnixMs, arrived_at: UnixMs) -> tuple[_Rows, BulkReport]:
    """The rows that can be stored, and how many cannot. Raises BadInput (bad_block)."""
    count = len(block.t) // 8
    if len(block.ranks) != len(block.t) or len(block.values) != len(block.t) * len(block.measures):
        raise BadInput("bad_block", "the columns of a block differ in length")
    t = np.frombuffer(block.t, "<i8").astype(np.int64)
    told = np.frombuffer(block.values, "<f8").reshape(len(block.measures), count)
    readings: Matrix = np.full((count, len(device.profile.channels)), np.nan)
    for measure, column in zip(block.measures, told, strict=True):
        position = device.profile.index.get(measure)
        if position is not None:
            readings[:, position] = np.where(np.abs(column) <= READING_ABS_MAX, column, np.nan)
    shift_ms = _shifts(device, t, arrived_at)
    t = t + shift_ms
    useful = ~np.isnan(readings).all(axis=1) if readings.shape[1] else np.zeros(count, bool)
    late, future = t < now - HISTORY_DAYS * _DAY_MS, t > now + FUTURE_SKEW_MAX_S * 1000
    kept = useful & ~late & ~future
    rows = _Rows(t, readings, np.frombuffer(block.ranks, "<i8").astype(np.int64), shift_ms).only(kept)
    one_each, repeated = _once(rows.only(np.argsort(rows.t, kind="stable")))
    counted = BulkReport(
        late=int((useful & late).sum()),
        future=int((useful & future).sum()),
        useless=int((~useful).sum()),
        same=repeated,
    )
    return one_each, counted


def _once(rows: _Rows) -> tuple[_Rows, int]:
    """One row per instant: of those that are told twice the greater value, measure by measure, so that no order matters."""
    if len(rows.t) < 2 or (rows.t[1:] != rows.t[:-1]).all():
        return rows, 0
    starts = np.flatnonzero(np.concatenate([[True], rows.t[1:] != rows.t[:-1]]))
    readings = np.fmax.reduceat(rows.readings, starts, axis=0)
    ranks = np.maximum.reduceat(rows.ranks, starts)
    return _Rows(rows.t[starts], readings, ranks, rows.shift_ms[starts]), len(rows.t) - len(starts)


def _shifts(device: DeviceTwin, t: Int64s, arrived_at: UnixMs) -> Int64s:
    clock = device.corrector
    if clock is None or not clock.moves_time:
        return np.zeros(len(t), np.int64)
    return np.fromiter((clock.shift_ms(each, arrived_at) for each in t.tolist()), np.int64, len(t))


def _marks(site: SiteId, timezone: str, t: Int64s) -> list[DirtyMark]:
    """The earliest instant of each local day; t in order."""
    quarters, firsts = np.unique(t // QUARTER_MS, return_index=True)
    marks: dict[date, UnixMs] = {}
    for quarter, first in zip(quarters.tolist(), firsts.tolist(), strict=True):
        marks.setdefault(local_day(quarter * QUARTER_MS, timezone), int(t[first]))
    return [DirtyMark(site, day, since) for day, since in marks.items()]


def _tell(device: DeviceTwin, rows: _Rows, arrived_at: UnixMs) -> None:
    """The newest row is what the device last said, unless it said something later already."""
    newest, shift_ms = int(rows.t[-1]), int(rows.shift_ms[-1])
    if device.sample_at is None or newest >= device.sample_at:
        said: dict[str, float | None] = {
            name: float(value)
            for name, value in zip(device.profile.channels, rows.readings[-1], strict=True)
            if not np.isnan(value)
        }
        online = device.online
        device.take_samples(Telemetry([Sample(newest - shift_ms, said)]), now_ms(), arrived_at)
        device.online = online  # a file says nothing of its connection
    device.lived(newest, now_ms())
