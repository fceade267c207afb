"""What a shard does again and again beside taking messages in: acks, views, sweeps, snapshots, roll-up, housekeeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from actors.batch import Entry
from actors.broker_log import BrokerLog
from actors.catalog import Catalog
from actors.clock import now_ms
from actors.counters import Counters
from actors.feeds import Feeds
from actors.intake import Intake
from actors.manual_ack import ManualAckSession
from actors.placing import Placing
from actors.rollup import Rollup
from actors.supervision import Supervision
from actors.writer import Writer
from fleet.errors import StaleOwner
from fleet.ids import SiteId
from fleet.limits import (
    ACK_PERIOD_S,
    BROKER_LOG_PERIOD_S,
    HOUSEKEEPING_PERIOD_S,
    LIVE_PERIOD_S,
    ROLLUP_PERIOD_S,
    ROLLUP_REST,
    SNAPSHOT_BATCH_TWINS,
    SNAPSHOT_PERIOD_S,
    SWEEP_PERIOD_S,
    WAITING_WRITE_PERIOD_S,
)
from fleet.runtime.cancelled import end_if_cancelled
from fleet.storage.database import Pool
from fleet.storage.intake import housekeeping
from fleet.storage.lease import Lease
from fleet.storage.order_retention import let_go
from fleet.storage.twins import SnapshotRow, save_snapshots
from fleet.storage.waiting import trim_kept

log = structlog.get_logger()

Work = Callable[[], Awaitable[None]]

_LAST_WORDS_S = 3.0


class Upkeep:
    """session: the broker session while there is one; without it nothing is published and nobody is judged."""

    def __init__(
        self,
        *,
        pool: Pool,
        lease: Lease,
        catalog: Catalog,
        intake: Intake,
        writer: Writer,
        feeds: Feeds,
        supervision: Supervision,
        rollup: Rollup,
        placing: Placing,
        counters: Counters,
        broker_log_file: Path | None,
    ) -> None:
        self._pool = pool
        self._lease = lease
        self._catalog = catalog
        self._intake = intake
        self._writer = writer
        self._feeds = feeds
        self._supervision = supervision
        self._rollup = rollup
        self._placing = placing
        self._counters = counters
        self._broker_log = None if broker_log_file is None else BrokerLog(broker_log_file)
        self._rolling = asyncio.Lock()
        self.session: ManualAckSession | None = None

    def works(self) -> list[tuple[str, float, Work]]:
        """Name, period in seconds, one round of it."""
        return [
            ("acks", ACK_PERIOD_S, self._publish_acks),
            ("live", LIVE_PERIOD_S, self._publish_live),
            ("sweep", SWEEP_PERIOD_S, self._sweep),
            ("snapshots", SNAPSHOT_PERIOD_S, self.save_snapshots),
            ("rollup", ROLLUP_PERIOD_S, self.roll_up),
            ("waiting sources", WAITING_WRITE_PERIOD_S, self._placing.round),
            ("housekeeping", HOUSEKEEPING_PERIOD_S, self._keep_house),
            ("broker log", BROKER_LOG_PERIOD_S, self._read_broker_log),
        ]

    async def repeat(self, name: str, period_s: float, work: Work) -> None:
        """Does the work every period; one failed round is logged and counted, and the next one tries again.

        Raises StaleOwner.
        """
        while True:
            await asyncio.sleep(period_s)
            try:
                await work()
            except StaleOwner:
                raise
            except Exception as error:  # noqa: BLE001 - the top of a loop that must outlive any one round
                end_if_cancelled()
                self._counters.failed_rounds[name] += 1
                log.warning("round_failed", shard=self._lease.shard, work=name, error=repr(error))

    async def last_words(self) -> None:
        """On the way out: snapshots, if PostgreSQL still takes them. Nothing depends on it."""
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self.save_snapshots()
        except Exception as error:  # noqa: BLE001 - a shard must be able to die whatever the state of the database
            log.info("snapshots_not_saved", shard=self._lease.shard, error=repr(error))

    async def save_snapshots(self) -> None:
        """Writes the twins that changed. Their flag falls first: what changes meanwhile is written next time."""
        twins = self._catalog.sites.values()
        due = [(site, device) for site in twins for device in site.devices.values() if device.snapshot_due]
        for start in range(0, len(due), SNAPSHOT_BATCH_TWINS):
            chunk = due[start : start + SNAPSHOT_BATCH_TWINS]
            for _, device in chunk:
                device.snapshot_due = False
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._lease.check(connection)
                    rows = [SnapshotRow(site.record.id, device.id, device.snapshot()) for site, device in chunk]
                    await save_snapshots(connection, rows)
            except BaseException:
                for _, device in chunk:
                    device.snapshot_due = True
                raise

    async def roll_up(self) -> None:
        """Every day that is dirty. While messages wait it rests after each round for several times as long as that took:
        energy may be late, intake may not.
        """
        remaining = True
        while remaining:
            async with self._rolling:  # let go between two rounds: somebody may wait for one site
                began = time.monotonic()
                remaining = (await self._rollup.run_once(now_ms())).remaining
            if self.session is not None and self.session.waiting:
                await asyncio.sleep((time.monotonic() - began) * ROLLUP_REST)

    async def roll_up_site(self, site: SiteId, budget_s: float) -> None:
        """Its latest dirty day, and as many before it as there is time for; the others come at their turn."""
        end = time.monotonic() + budget_s
        async with self._rolling:
            await self._rollup.run_site(site, now_ms(), lambda: time.monotonic() > end)

    async def _publish_acks(self) -> None:
        if self.session is not None:
            await self._feeds.publish_acks(self.session)

    async def _publish_live(self) -> None:
        if self.session is not None:
            await self._feeds.publish_live(self.session)

    async def _sweep(self) -> None:
        if self.session is not None:  # deaf, we know nothing of anybody
            await self._supervision.sweep(now_ms())
        self._catalog.passivate(now_ms())

    async def _keep_house(self) -> None:
        async with self._pool.acquire() as connection:
            dropped = await housekeeping(connection, datetime.now(UTC))
            given_up = await trim_kept(connection)
            await let_go(connection, datetime.now(UTC))
        log.info("housekeeping", shard=self._lease.shard, partitions_dropped=dropped, kept_letters_given_up=given_up)

    async def _read_broker_log(self) -> None:
        """What only the broker saw joins the dead letters. One shard reads it for all."""
        events = [] if self._broker_log is None else self._broker_log.read()
        letters = [self._intake.broker_letter(event, now_ms()) for event in events]
        entries = [Entry(letter.topic, None, None, [], [letter]) for letter in letters if letter is not None]
        if entries:
            await self._writer.commit(entries, now_ms())
