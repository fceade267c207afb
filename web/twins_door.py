"""The web's hold on the twins: connects in the background, notices when they are gone, connects again."""

import asyncio
import random
from contextlib import suppress

import structlog

from fleet.errors import FleetError, Unavailable
from fleet.ids import SiteId
from fleet.limits import ASK_TIMEOUT_S, FLEET_STATS_PERIOD_S
from fleet.views import ShardStats
from web.ports import ConnectTwins, Twins

_RECONNECT_S = (0.5, 1.0, 2.0, 5.0)  # the last one repeats; each with jitter
_STOP_S = 1.0  # for a farewell to the twins; they do without it
_MISSED_S = 0.5  # until the next ask after one without an answer
_MISSES_MAX = 3  # asks in a row without an answer, then the connection itself is in doubt

log = structlog.get_logger("web.twins")


class TwinsDoor:
    """`stats` are the shards' latest, for everyone who looks: a thousand viewers of the fleet cost as much as one."""

    def __init__(self, connect: ConnectTwins, *, period_s: float = FLEET_STATS_PERIOD_S) -> None:
        self._connect = connect
        self._period_s = period_s
        self._twins: Twins | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self.stats: list[ShardStats] = []
        self.previous: list[ShardStats] = []

    def twins(self) -> Twins:
        """Raises Unavailable (twins_away) until they have answered once, and again when they stop answering."""
        if self._twins is None:
            raise Unavailable("twins_away", "the twins are not connected yet, or have gone away; try again in a moment")
        return self._twins

    async def forget(self, site: SiteId) -> None:
        """After a change of the registry. A twin that cannot be told now reads the registry when it comes back."""
        with suppress(Unavailable):
            await self.twins().forget_site(site)

    @property
    def connected(self) -> bool:
        return self._twins is not None

    async def next_stats(self) -> None:
        """Waits for the next look at the shards, successful or not."""
        await self._news.wait()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="twins-door")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=_STOP_S)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                twins = await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever keeps us out, the next try may get in
                if failures == 0:
                    log.warning("twins_unreachable", error=str(error))
                self._announce([])
                pause_s = _RECONNECT_S[min(failures, len(_RECONNECT_S) - 1)]
                await asyncio.sleep(pause_s * random.uniform(0.7, 1.3))  # noqa: S311 - jitter is no secret
                failures += 1
                continue
            failures = 0
            try:
                await self._watch(twins)
            finally:
                self._twins = None
                self._announce([])
                with suppress(FleetError, RuntimeError, OSError):  # what it was connected to may be gone already
                    await twins.close()  # however long it takes: Ray does not bear to be joined while it is being left

    async def _watch(self, twins: Twins) -> None:
        """Until the twins have not answered several times in a row."""
        misses = 0
        while misses < _MISSES_MAX:
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):  # not wait_for, which may swallow the cancellation that stops us
                    stats = await twins.shard_stats()
            except (FleetError, TimeoutError) as error:
                misses += 1
                log.info("twins_silent", misses=misses, error=str(error))
            else:
                if self._twins is None:
                    log.info("twins_connected", shards=len(stats))
                misses = 0
                self._twins = twins
                self._announce(stats)
            await asyncio.sleep(min(self._period_s, _MISSED_S) if misses else self._period_s)

    def _announce(self, stats: list[ShardStats]) -> None:
        self.previous, self.stats = self.stats, stats
        news, self._news = self._news, asyncio.Event()
        news.set()
