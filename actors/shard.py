"""The twins of some slots: takes in their messages, stores them, answers asks, feeds the portal.

A plain class: actors/remote.py makes it a Ray actor, tests run it as it is.
"""

import asyncio
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import aiomqtt
import psutil
import structlog

from actors.batch import Entry
from actors.broker_log import BrokerLog
from actors.catalog import Catalog
from actors.clock import now_ms
from actors.counters import Counters
from actors.feeds import Feeds
from actors.intake import Intake
from actors.manual_ack import ManualAckSession, Received
from actors.rollup import Rollup
from actors.supervision import Supervision
from actors.writer import Writer
from certs.tls import client_context
from fleet import topics
from fleet.errors import BadInput, NotFound, StaleOwner, Unavailable
from fleet.ids import SiteId
from fleet.limits import (
    ACK_PERIOD_S,
    BATCH_AGE_MAX_S,
    BATCH_MESSAGES_MAX,
    BROKER_LOG_PERIOD_S,
    BULK_SAMPLES_MAX,
    COMMIT_RETRY_S,
    HOUSEKEEPING_PERIOD_S,
    LIVE_PERIOD_S,
    ROLLUP_PERIOD_S,
    ROLLUP_REST,
    SLICE_MESSAGES_MAX,
    SLOTS,
    SNAPSHOT_BATCH_TWINS,
    SNAPSHOT_PERIOD_S,
    SWEEP_PERIOD_S,
)
from fleet.placement import slots_of
from fleet.plan import HistoryBlock
from fleet.settings import TwinsSettings
from fleet.site import SiteTwin
from fleet.storage import intake as intake_sql
from fleet.storage import lease as leases
from fleet.storage import twins as twins_sql
from fleet.storage.database import Pool, open_pool
from fleet.storage.twins import SnapshotRow
from fleet.telemetry import Telemetry
from fleet.views import AlertView, ShardStats, SiteLive, SiteSummary

log = structlog.get_logger()

_RECONNECT_MAX_S = 10.0


class TwinShard:
    """Crash contract: everything here can be lost at any instant. What was platform-acked is in PostgreSQL; what was not
    comes again from the broker's session or from the device. A second owner of the same slots stops this one at its next
    write (StaleOwner), before it has stored or acked anything.
    """

    def __init__(self, shard: int, settings: TwinsSettings) -> None:
        self.shard = shard
        self._settings = settings
        self._slots = slots_of(shard, settings.shards)
        self._counters = Counters()
        self._session: ManualAckSession | None = None
        self._started_at = now_ms()
        self._lag_ms = 0.0
        self._ready = asyncio.Event()
        self._process = psutil.Process()

    async def run(self) -> None:
        """Claims the slots, loads their twins, then works until cancelled. Raises StaleOwner when they are taken over."""
        settings = self._settings
        self._pool = await self._open_pool()
        try:
            async with self._pool.acquire() as connection:
                self._lease = await leases.claim(connection, self.shard, self._slots, f"pid {os.getpid()}")
                await intake_sql.housekeeping(connection, datetime.now(UTC))
            self._catalog = Catalog(self._pool, self._slots)
            await self._catalog.load_all(now_ms())
            self._writer = Writer(settings.database, self._lease, self._counters)
            self._intake = Intake(self._catalog, self._counters)
            self._feeds = Feeds(self._catalog, self._intake, self._counters)
            self._supervision = Supervision(self._pool, self._lease, self._catalog, self._intake)
            self._rollup = Rollup(self._pool, self._lease, self._slots, self._writer.forget_marks)
            log.info("shard_started", shard=self.shard, epoch=self._lease.epoch, twins=self._catalog.devices)
            self._ready.set()
            await self._work()
        finally:
            await self._save_what_can_be_saved()

    async def _open_pool(self) -> Pool:
        """Waits for PostgreSQL rather than dying and being restarted in a circle."""
        for attempt in itertools.count():
            try:
                return await open_pool(self._settings.database, size_max=4)
            except Unavailable as error:
                log.warning("database_away", shard=self.shard, error=error.detail)
                await asyncio.sleep(COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)])
        raise AssertionError("unreachable")

    async def _work(self) -> None:
        loops: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("acks", ACK_PERIOD_S, self._publish_acks),
            ("live", LIVE_PERIOD_S, self._publish_live),
            ("sweep", SWEEP_PERIOD_S, self._sweep),
            ("snapshots", SNAPSHOT_PERIOD_S, self._save_snapshots),
            ("rollup", ROLLUP_PERIOD_S, self._roll_up),
            ("housekeeping", HOUSEKEEPING_PERIOD_S, self._keep_house),
        ]
        if self.shard == 0 and self._settings.broker_log_file is not None:
            self._broker_log = BrokerLog(self._settings.broker_log_file)
            loops.append(("broker log", BROKER_LOG_PERIOD_S, self._read_broker_log))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._serve_broker(), name="broker")
                for name, period_s, work in loops:
                    tasks.create_task(self._repeat(name, period_s, work), name=name)
        except* StaleOwner as group:
            log.error("shard_superseded", shard=self.shard, epoch=self._lease.epoch)
            raise group.exceptions[0] from None

    # taking messages in -------------------------------------------------------------------------------------------

    async def _serve_broker(self) -> None:
        """Keeps the broker session; what was not acked before a cut comes again after it."""
        mine = [topics.slot_filter(slot) for slot in self._slots]
        others = [topics.slot_filter(slot) for slot in range(SLOTS) if slot not in set(self._slots)]
        broker = self._settings.broker
        tls = client_context(ca_file=broker.ca_file, cert_file=broker.cert_file, key_file=broker.key_file)
        delay_s = 0.1
        while True:
            try:
                async with ManualAckSession(broker, f"sp-shard-{self.shard}", tls) as session:
                    await session.replace_subscriptions(mine, others)
                    log.info("broker_connected", shard=self.shard)
                    self._supervision.listens_anew(now_ms())
                    self._session = session
                    delay_s = 0.1
                    while True:
                        await self._take_in(session, await session.receive(BATCH_MESSAGES_MAX, BATCH_AGE_MAX_S))
            except aiomqtt.MqttError as error:
                log.warning("broker_lost", shard=self.shard, error=str(error), next_try_s=round(delay_s, 1))
            finally:
                self._session = None
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay_s = min(delay_s * 2, _RECONNECT_MAX_S)

    async def _take_in(self, session: ManualAckSession, messages: Sequence[Received]) -> None:
        """One batch: twins, then the transaction, then the acks; nothing is acked that is not committed."""
        arrived_at = now_ms()
        await self._catalog.ensure((message.topic for message in messages if message.topic is not None), arrived_at)
        entries: list[Entry] = []
        for position, message in enumerate(messages):
            if position % SLICE_MESSAGES_MAX == 0:
                await asyncio.sleep(0)  # asks and feeds get their turn
            entry = self._intake.take(message, arrived_at)
            if entry is not None:
                entries.append(entry)
        await self._writer.commit(entries, arrived_at)
        session.ack(messages)
        self._counters.acked_messages += len(messages)
        self._feeds.stored(entries)
        self._lag_ms = now_ms() - arrived_at

    async def store_history(self, site: SiteId, blocks: list[HistoryBlock]) -> int:
        """The bulk door: many samples of one site's devices through the same twins and the same transaction.

        At most BULK_SAMPLES_MAX samples a call. Returns how many rows were offered to the database.
        Raises NotFound (unknown_site), BadInput (too_many_samples, unknown_device, and what take_samples refuses).
        """
        if sum(len(block.samples) for block in blocks) > BULK_SAMPLES_MAX:
            raise BadInput("too_many_samples", f"at most {BULK_SAMPLES_MAX} samples a call go through the bulk door")
        now = now_ms()
        twin = await self._site(site)
        entries = []
        for block in blocks:
            device = twin.devices.get(block.device)
            if device is None:
                raise BadInput("unknown_device", f"site {site} has no device {block.device}")
            for start in range(0, len(block.samples), SLICE_MESSAGES_MAX):
                rows, refused = device.take_samples(Telemetry(block.samples[start : start + SLICE_MESSAGES_MAX]), now)
                if refused is not None:
                    raise refused
                entries.append(Entry(f"history/{block.device}", twin, None, rows, []))
                device.lived(max((row.t for row in rows), default=0), now)
                await asyncio.sleep(0)
        await self._writer.commit(entries, now)
        return sum(len(entry.rows) for entry in entries)

    # asks -----------------------------------------------------------------------------------------------------------

    async def ready(self) -> int:
        """Waits until the twins are loaded; returns the epoch."""
        await self._ready.wait()
        return self._lease.epoch

    async def stop(self) -> None:
        """Before an orderly end of the process: what the next start would otherwise have to relearn."""
        await self._save_snapshots()

    async def site_live(self, site: SiteId) -> SiteLive:
        return (await self._site(site)).live(now_ms())

    async def site_summaries(self, sites: Sequence[SiteId]) -> list[SiteSummary]:
        """Sites that do not exist are left out."""
        summaries = []
        for position, site in enumerate(sites):
            if position % SLICE_MESSAGES_MAX == 0:
                await asyncio.sleep(0)
            twin = await self._catalog.site(site, now_ms())
            if twin is not None:
                summaries.append(twin.summary(now_ms()))
        return summaries

    async def acknowledge_alert(self, site: SiteId, alert_id: str, person_id: str) -> AlertView:
        return await self._supervision.acknowledge(await self._site(site), alert_id, person_id, now_ms())

    async def forget_site(self, site: SiteId) -> None:
        self._catalog.forget(site)

    async def stats(self) -> ShardStats:
        counters, sites = self._counters, self._catalog.sites
        return ShardStats(
            shard=self.shard,
            epoch=self._lease.epoch,
            started_at=self._started_at,
            at=now_ms(),
            connected=self._session is not None,
            messages=counters.messages,
            samples=counters.samples,
            duplicates=counters.duplicates,
            dead_letters=counters.dead_letters.total(),
            throttled=counters.throttled,
            batches=counters.batches,
            commit_failures=counters.commit_failures,
            acked_messages=counters.acked_messages,
            platform_acks=counters.platform_acks,
            twins=len(sites) + self._catalog.devices,
            devices_online=self._supervision.devices_online,
            devices=self._catalog.devices,
            queued_messages=self._session.waiting if self._session else 0,
            lag_ms=self._lag_ms,
            rss_bytes=self._process.memory_info().rss,
            dead_letters_by_code=dict(counters.dead_letters),
        )

    async def _site(self, site: SiteId) -> SiteTwin:
        twin = await self._catalog.site(site, now_ms())
        if twin is None:
            raise NotFound("unknown_site", f"no site is called {site}")
        return twin

    # what repeats -----------------------------------------------------------------------------------------------------

    async def _repeat(self, name: str, period_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Does the work every period; one failed round is logged and counted, and the next one tries again."""
        while True:
            await asyncio.sleep(period_s)
            try:
                await work()
            except StaleOwner:
                raise
            except Exception as error:  # noqa: BLE001 - the top of a loop that must outlive any one round
                self._counters.failed_rounds[name] += 1
                log.warning("round_failed", shard=self.shard, work=name, error=repr(error))

    async def _publish_acks(self) -> None:
        if self._session is not None:
            await self._feeds.publish_acks(self._session)

    async def _publish_live(self) -> None:
        if self._session is not None:
            await self._feeds.publish_live(self._session)

    async def _sweep(self) -> None:
        if self._session is not None:  # deaf, we know nothing of anybody
            await self._supervision.sweep(now_ms())
        self._catalog.passivate(now_ms())

    async def _roll_up(self) -> None:
        """Rests after each round for several times as long as it took: energy may be late, intake may not."""
        remaining = True
        while remaining:
            began = time.monotonic()
            remaining = (await self._rollup.run_once(now_ms())).remaining
            await asyncio.sleep((time.monotonic() - began) * ROLLUP_REST)

    async def _keep_house(self) -> None:
        async with self._pool.acquire() as connection:
            dropped = await intake_sql.housekeeping(connection, datetime.now(UTC))
        log.info("housekeeping", shard=self.shard, partitions_dropped=dropped)

    async def _read_broker_log(self) -> None:
        """What only the broker saw joins the dead letters."""
        letters = [self._intake.broker_letter(event, now_ms()) for event in self._broker_log.read()]
        stored = [Entry(letter.topic, None, None, [], [letter]) for letter in letters if letter is not None]
        if stored:
            await self._writer.commit(stored, now_ms())

    async def _save_snapshots(self) -> None:
        """Writes the twins that changed. Their flag falls first: what changes meanwhile is written next time."""
        due = [
            (twin, device)
            for twin in self._catalog.sites.values()
            for device in twin.devices.values()
            if device.snapshot_due
        ]
        for start in range(0, len(due), SNAPSHOT_BATCH_TWINS):
            chunk = due[start : start + SNAPSHOT_BATCH_TWINS]
            for _, device in chunk:
                device.snapshot_due = False
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._lease.check(connection)
                    rows = [SnapshotRow(twin.record.id, device.id, device.snapshot()) for twin, device in chunk]
                    await twins_sql.save_snapshots(connection, rows)
            except BaseException:
                for _, device in chunk:
                    device.snapshot_due = True
                raise

    async def _save_what_can_be_saved(self) -> None:
        """On the way out: snapshots, if PostgreSQL still takes them. Nothing depends on it."""
        if self._ready.is_set():
            try:
                await asyncio.wait_for(self._save_snapshots(), timeout=3.0)
            except Exception as error:  # noqa: BLE001 - a shard must be able to die whatever the state of the database
                log.info("snapshots_not_saved", shard=self.shard, error=repr(error))
            await self._writer.close()
        self._pool.terminate()
