"""The twins of some slots: takes in their messages, stores them, answers asks, feeds the portal.

A plain class: actors/remote.py makes it a Ray actor, tests run it as it is.
"""

import asyncio
import itertools
import os
import random
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiomqtt
import psutil
import structlog

from actors.batch import Entry
from actors.bulk import Bulk
from actors.catalog import Catalog
from actors.clock import now_ms
from actors.correcting import Correcting
from actors.counters import Counters
from actors.feeds import Feeds
from actors.intake import Intake
from actors.manual_ack import ManualAckSession, Received, drop_session
from actors.order_asks import OrderAsks
from actors.orders import Orders
from actors.placing import Placing
from actors.rollup import Rollup
from actors.supervision import Supervision
from actors.upkeep import Upkeep
from actors.writer import Writer
from certs.tls import broker_context, broker_fault
from fleet import topics
from fleet.columns import BulkReport, ColumnBlock
from fleet.errors import BadInput, NotFound, StaleOwner, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.limits import (
    BATCH_AGE_MAX_S,
    BATCH_MESSAGES_MAX,
    BULK_QUIET_MS,
    COMMIT_RETRY_S,
    ORDERS_ROUND_S,
    SLICE_MESSAGES_MAX,
    SLOTS,
)
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish
from fleet.placement import slots_of
from fleet.runtime.cancelled import end_if_cancelled
from fleet.runtime.follow import tracing_of
from fleet.settings import TwinsSettings
from fleet.site import SiteTwin
from fleet.storage import intake as intake_sql
from fleet.storage import lease as leases
from fleet.storage.database import Pool, open_pool
from fleet.telemetry import UnixMs
from fleet.views import AlertView, ShardStats, SiteLive, SiteSummary

log = structlog.get_logger()

_RECONNECT_MAX_S = 10.0

# What actors.client asks for by name: methods of TwinShard, whose docstrings name the part that answers.
ASKS: Final = frozenset(
    {
        "acknowledge_alert",
        "cancel_command",
        "change_configs",
        "corrected",
        "forget_site",
        "issue_commands",
        "place_waiting",
        "ready",
        "retract_file",
        "roll_up",
        "site_live",
        "site_summaries",
        "stats",
        "stop",
        "store_columns",
    }
)


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
        self._started_at = now_ms()
        self._lag_ms = 0.0
        self._heard_at = 0  # when messages last came
        self._ready = asyncio.Event()
        self._process = psutil.Process()
        self._busy_since: UnixMs | None = None  # when the batch under way was begun
        self._tracing = tracing_of(settings.tracing, "shard", str(shard), chooses=True)
        self._taking_in = asyncio.Lock()  # a twin that is built anew in between would lack what it was taught meanwhile

    async def run(self) -> None:
        """Claims the slots, loads their twins, then works until cancelled. Raises StaleOwner when they are taken over."""
        settings = self._settings
        self._pool = await self._open_pool()
        try:
            async with self._pool.acquire() as connection:
                self._lease = await leases.claim(connection, self.shard, self._slots, f"pid {os.getpid()}")
                await intake_sql.housekeeping(connection, datetime.now(UTC))
            self._vanished = [number for number in self._lease.superseded if number >= settings.shards]
            self._catalog = Catalog(self._pool, self._slots)
            writer, intake, feeds = self._parts()
            self._writer = writer(settings.database, self._lease, self._counters)
            self._orders = Orders(
                settings=settings.database,
                pool=self._pool,
                lease=self._lease,
                slots=self._slots,
                catalog=self._catalog,
                counters=self._counters,
            )
            self._order_asks = OrderAsks(self._pool, self._catalog, self._orders)
            self._intake = intake(self._catalog, self._counters, self._orders)
            self._bulk = Bulk(settings.database, self._lease, self._catalog, self._is_busy)
            self._feeds = feeds(self._catalog, self._intake, self._counters)
            self._supervision = Supervision(self._pool, self._lease, self._catalog, self._intake)
            self._placing = Placing(self._pool, self._lease, self._slots, self._catalog, self._writer, self._intake.sources)
            self._upkeep = Upkeep(
                pool=self._pool,
                lease=self._lease,
                catalog=self._catalog,
                intake=self._intake,
                writer=self._writer,
                feeds=self._feeds,
                supervision=self._supervision,
                rollup=Rollup(self._pool, self._lease, self._slots, self._writer.forget_marks),
                placing=self._placing,
                counters=self._counters,
                broker_log_file=settings.broker_log_file if self.shard == 0 else None,
            )
            self._correcting = Correcting(
                pool=self._pool,
                lease=self._lease,
                slots=self._slots,
                catalog=self._catalog,
                writer=self._writer,
                intake=self._intake,
                upkeep=self._upkeep,
            )
            self._catalog.before_load = self._orders.book.settled
            self._catalog.on_loaded = self._orders.adopt
            await self._catalog.load_all(now_ms())
            log.info("shard_started", shard=self.shard, epoch=self._lease.epoch, twins=self._catalog.devices)
            self._ready.set()
            await self._work()
        finally:
            if self._ready.is_set():
                await self._upkeep.last_words()
                await self._writer.close()
                await self._bulk.close()
            self._pool.terminate()

    def _parts(self) -> tuple[Callable[..., Writer], Callable[..., Intake], Callable[..., Feeds]]:
        """Those that follow messages stand in for the plain ones, which know nothing of it."""
        if self._tracing is None:
            return Writer, Intake, Feeds
        from actors.following import Following  # noqa: PLC0415 - needs the extra `otel`

        return Following(self._tracing).parts()

    async def _open_pool(self) -> Pool:
        """Waits for PostgreSQL rather than dying and being restarted in a circle."""
        for attempt in itertools.count():
            try:
                return await open_pool(self._settings.database, size_max=4)
            except (Unavailable, BadInput) as error:  # a secret that is wrong now may be mended; who started us has looked
                log.warning("waiting_for_database", shard=self.shard, code=error.code, error=error.detail)
                await asyncio.sleep(COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)])
        raise AssertionError("unreachable")

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._serve_broker(), name="broker")
                tasks.create_task(self._orders.book.run(), name="order book")
                works = [*self._upkeep.works(), *self._correcting.works(), *self._orders.works()]
                for name, period_s, work in [*works, ("mistaken twins", ORDERS_ROUND_S, self._rebuild_mistaken)]:
                    tasks.create_task(self._upkeep.repeat(name, period_s, work), name=name)
        except* StaleOwner as group:
            log.error("shard_superseded", shard=self.shard, epoch=self._lease.epoch)
            raise group.exceptions[0] from None

    # taking messages in -------------------------------------------------------------------------------------------

    async def _serve_broker(self) -> None:
        """Keeps the broker session; what was not acked before a cut comes again after it."""
        mine = [topics.slot_filter(slot) for slot in self._slots]
        others = [topics.slot_filter(slot) for slot in range(SLOTS) if slot not in set(self._slots)]
        broker = self._settings.broker
        delay_s = 0.1
        while True:
            try:
                tls = self._tls()
                while self._vanished:
                    await drop_session(broker, f"sp-shard-{self._vanished[-1]}", tls)
                    self._vanished.pop()
                name, take_at_once = f"sp-shard-{self.shard}", self._intake.take_at_once
                async with ManualAckSession(broker, name, tls, take_at_once) as session:
                    await session.replace_subscriptions(mine, others)
                    log.info("broker_connected", shard=self.shard)
                    self._supervision.listens_anew(now_ms())
                    self._upkeep.session = session
                    self._orders.listens_anew(session)
                    delay_s = 0.1
                    while True:
                        messages = await session.receive(BATCH_MESSAGES_MAX, BATCH_AGE_MAX_S)
                        async with self._taking_in:
                            await self._take_in(session, messages)
            except aiomqtt.MqttError as error:
                end_if_cancelled()
                ours = error.__cause__
                fault = ours if isinstance(ours, BadInput) else broker_fault(broker, error)
                next_try_s = round(delay_s, 1)
                log.warning("broker_lost", shard=self.shard, code=fault.code, error=fault.detail, next_try_s=next_try_s)
            finally:
                self._upkeep.session = self._orders.session = None
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay_s = min(delay_s * 2, _RECONNECT_MAX_S)

    def _tls(self) -> ssl.SSLContext:
        """Made for each connection, so that a renewed certificate is used. Chain and key are two files: in between they do
        not fit, which is no reason to end.
        """
        try:
            return broker_context(self._settings.broker)
        except BadInput as error:
            raise aiomqtt.MqttError(error.detail) from error

    async def _take_in(self, session: ManualAckSession, messages: Sequence[Received]) -> None:
        """One batch: twins, then the transaction, then the acks; nothing is acked that is not committed."""
        arrived_at = self._heard_at = self._busy_since = now_ms()
        texts = [message.topic for message in messages if message.topic is not None and not message.taken]
        await self._catalog.ensure(texts, arrived_at)
        await self._catalog.ensure_hardware(texts, arrived_at)
        entries: list[Entry] = []
        for position, message in enumerate(messages):
            if position % SLICE_MESSAGES_MAX == 0:
                await asyncio.sleep(0)  # asks and feeds get their turn
            entry = None if message.taken else self._intake.take(message, arrived_at)
            if entry is not None:
                entries.append(entry)
        storing_at = now_ms()
        await asyncio.gather(self._writer.commit(entries, arrived_at), self._orders.heard_stored())
        self._counters.commit_s += (now_ms() - storing_at) / 1000
        session.ack(messages)
        self._counters.acked_messages += len(messages)
        self._feeds.stored(entries)
        self._lag_ms = now_ms() - arrived_at
        self._busy_since = None

    async def store_columns(
        self, site: SiteId, file_number: int, blocks: list[ColumnBlock], arrived_at: UnixMs
    ) -> BulkReport:
        """See actors.bulk."""
        return await self._bulk.store(site, file_number, blocks, arrived_at)

    async def retract_file(self, site: SiteId, device: DeviceId, file_number: int, since: UnixMs, until: UnixMs) -> int:
        """See actors.bulk."""
        return await self._bulk.retract(site, device, file_number, since, until)

    async def _rebuild_mistaken(self) -> None:
        while self._orders.mistaken:
            await self.forget_site(self._orders.mistaken.pop())

    def _is_busy(self) -> bool:
        """Devices are speaking: they go before what is years old."""
        return now_ms() - self._heard_at < BULK_QUIET_MS

    # asks -----------------------------------------------------------------------------------------------------------

    async def ready(self) -> int:
        """Waits until the twins are loaded; returns the epoch."""
        await self._ready.wait()
        return self._lease.epoch

    async def answer(self, question: str, arguments: Sequence[Any], traceparent: str | None) -> Any:
        """traceparent: of the trace that it belongs to, in W3C's form. Raises LookupError when it is none of ASKS."""
        if question not in ASKS:
            raise LookupError(f"a shard is not asked for {question!r}")
        asked = getattr(self, question)(*arguments)
        if traceparent is None or self._tracing is None:
            return await asked
        with self._tracing.answering(question, traceparent):
            return await asked

    async def stop(self) -> None:
        """Before an orderly end of the process: what the next start would otherwise have to relearn."""
        await self._upkeep.save_snapshots()

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

    async def roll_up(self) -> None:
        """Recomputes what is dirty now rather than at its turn: after a load of history, whose days people want to see."""
        await self._upkeep.roll_up()

    async def corrected(self, site: SiteId, device: DeviceId, since: UnixMs, clock_shift_s: float = 0.0) -> None:
        """See actors.correcting."""
        await self._correcting.corrected(site, device, since, clock_shift_s)

    async def forget_site(self, site: SiteId) -> None:
        async with self._taking_in:
            self._catalog.forget(site)

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        """See actors.order_asks."""
        return await self._order_asks.change_configs(wishes)

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        """See actors.order_asks."""
        return await self._order_asks.issue_commands(wishes)

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        """See actors.order_asks."""
        await self._order_asks.cancel_command(site, device, command_id, person_id)

    async def place_waiting(self, site: SiteId, serial: str) -> int:
        """After a device got this serial: what was kept for it becomes its samples; see Placing.place."""
        return await self._placing.place(site, serial)

    async def stats(self) -> ShardStats:
        counters, sites, session = self._counters, self._catalog.sites, self._upkeep.session
        return ShardStats(
            shard=self.shard,
            epoch=self._lease.epoch,
            started_at=self._started_at,
            at=now_ms(),
            connected=session is not None,
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
            queued_messages=session.waiting if session else 0,
            lag_ms=self._lag_ms,
            rss_bytes=self._process.memory_info().rss,
            dead_letters_by_code=dict(counters.dead_letters),
            slots=len(self._slots),
            busy_s=0.0 if self._busy_since is None else (now_ms() - self._busy_since) / 1000,
            commit_s=counters.commit_s,
            failed_rounds=dict(counters.failed_rounds),
            trace_failures=0 if self._tracing is None else self._tracing.failures,
        )

    async def _site(self, site: SiteId) -> SiteTwin:
        twin = await self._catalog.site(site, now_ms())
        if twin is None:
            raise NotFound("unknown_site", f"no site is called {site}")
        return twin
