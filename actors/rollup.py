"""Turns dirty days into day rows: the only writer of telemetry.site_day.

Crash contract: a day stays marked until a transaction has stored every day that its samples bear upon; doing it twice
changes nothing. Samples that arrive meanwhile mark their day again under a higher generation: that mark outlives this round.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import structlog

from fleet.calendar import Span, day_bounds, days_between
from fleet.energy.clearsky import clear_sky
from fleet.energy.day import Part, Recomputed, assemble, by_register, influence, window_of
from fleet.errors import StaleOwner
from fleet.ids import SiteId
from fleet.limits import ROLLUP_DAYS_PER_ROUND, ROLLUP_SAMPLES_AT_ONCE
from fleet.storage import energy
from fleet.storage.bulk import sealed_days
from fleet.storage.database import AWAY, Connection, Pool
from fleet.storage.energy import DirtyDay
from fleet.storage.lease import Lease
from fleet.storage.metered import MeteredSite, metered_sites
from fleet.storage.series import has_at_most, read_neighbours, read_series
from fleet.telemetry import UnixMs

log = structlog.get_logger()

_RECENT_DAYS = 2  # today and yesterday, wherever on Earth the site is: what people look at


class RollupReport(NamedTuple):
    """remaining: more days may be dirty, so another round is worth while at once."""

    days: int = 0
    events: int = 0
    failed_sites: int = 0
    remaining: bool = False


class Rollup:
    """Belongs to one shard; one round at a time.

    forget_marks: called once it is known which days are dirty. Any commit that ends after it returns marks its days again,
    also those that the writer knows as marked already; else a day could be finished without its latest samples.
    """

    def __init__(self, pool: Pool, lease: Lease, slots: Sequence[int], forget_marks: Callable[[], Awaitable[None]]) -> None:
        self._pool = pool
        self._lease = lease
        self._slots = slots
        self._forget_marks = forget_marks
        self._failing: set[SiteId] = set()  # said once, not every round
        self._last_old: SiteId | None = None  # whose past had its turn

    async def run_once(self, now: UnixMs) -> RollupReport:
        """Today and yesterday where they wait longest, then the past; and the days that they bear upon.

        Raises StaleOwner, and AWAY errors.
        """
        recent = datetime.fromtimestamp(now / 1000, UTC).date() - timedelta(days=_RECENT_DAYS)
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                await self._lease.check(connection)
                taken = await energy.take_dirty(
                    connection, self._slots, ROLLUP_DAYS_PER_ROUND, recent=recent, after=self._last_old
                )
            if not taken:
                return RollupReport()
            self._last_old = taken[-1].site if taken[-1].day < recent else self._last_old
            await self._forget_marks()
            sites = await metered_sites(connection, sorted({dirty.site for dirty in taken}))
            days = events = failed = 0
            for name, marks in _by_site(taken, recent):
                if days >= ROLLUP_DAYS_PER_ROUND:  # a gap may have drawn in many days; the rest keeps its marks
                    return RollupReport(days, events, failed, remaining=True)
                try:
                    done = await self._site(connection, sites[name], marks, now)
                    days, events = days + done.days, events + done.events
                    self._failing.discard(name)
                except (StaleOwner, *AWAY):
                    raise
                except Exception as error:  # one site's fault must not keep the others from their energy; counted
                    failed += 1
                    if name not in self._failing:
                        self._failing.add(name)
                        log.exception("rollup_failed", site=name, day=str(marks[0].day), error=repr(error))
        return RollupReport(days, events, failed, remaining=days > 0 and len(taken) == ROLLUP_DAYS_PER_ROUND)

    async def run_site(self, site: SiteId, now: UnixMs, is_enough: Callable[[], bool]) -> None:
        """One site's dirty days at once, the latest first, until it is enough; the others wait for their turn.

        Raises StaleOwner, and AWAY errors.
        """
        async with self._pool.acquire() as connection:
            marks = await energy.dirty_days_of(connection, site, ROLLUP_DAYS_PER_ROUND)
            await self._forget_marks()
            known = await metered_sites(connection, [site])
            for mark in marks:
                await self._site(connection, known[site], [mark], now)
                if is_enough():
                    return

    async def _site(self, connection: Connection, site: MeteredSite, marks: Sequence[DirtyDay], now: UnixMs) -> RollupReport:
        days = events = 0
        for run in _runs(marks):
            done = await self._run(connection, site, run, now)
            days, events = days + done.days, events + done.events
        return RollupReport(days, events)

    async def _run(self, connection: Connection, site: MeteredSite, marks: Sequence[DirtyDay], now: UnixMs) -> RollupReport:
        """Days that follow each other, and what they bear upon: as many at once as their samples allow, the latest first."""
        span = await self._span(connection, site, marks, now)
        dirty = {mark.day for mark in marks}
        days = days_between(*span, site.timezone)
        sealed = await sealed_days(connection, site.id, days[0], days[-1])
        # Tomorrow has no samples, but a device's silence bears upon a day after its last word.
        todo = [day for day in days if day in dirty or day_bounds(day, site.timezone)[0] <= now]
        computed = events = 0
        most = ROLLUP_DAYS_PER_ROUND
        while todo:
            chunk = await _readable(connection, site, todo[-most:], span)
            todo, most = todo[: -len(chunk)], min(ROLLUP_DAYS_PER_ROUND, 2 * len(chunk))
            recomputed = await self._days(connection, site, [day for day in chunk if day not in sealed], span, now)
            async with connection.transaction():
                await self._lease.check(connection)
                await energy.save_days(connection, recomputed, now)
                if not todo:
                    await energy.finish_dirty(connection, *marks)
            computed += len(chunk)
            events += sum(len(each.events) for each in recomputed)
        return RollupReport(computed, events)

    async def _span(self, connection: Connection, site: MeteredSite, marks: Sequence[DirtyDay], now: UnixMs) -> Span:
        """What these days' new samples bear upon: at least the days from the first of them on."""
        start, end = day_bounds(marks[0].day, site.timezone)
        changed = (min(max(marks[0].from_time, start), end - 1), day_bounds(marks[-1].day, site.timezone)[1])
        gone = any(mark.gone for mark in marks)
        return influence(changed, await read_neighbours(connection, site, changed, now, gone=gone), gone=gone)

    async def _days(
        self, connection: Connection, site: MeteredSite, days: Sequence[date], span: Span, now: UnixMs
    ) -> list[Recomputed]:
        """Those for which there is something to store. Yields to the loop between counters, and between days."""
        if not days:
            return []
        stored = {row.day: row for row in await energy.site_days(connection, site.id, days[0], days[-1])}
        windows = {day: window_of(day, site.timezone, span, stored.get(day)) for day in days}
        reach = windows[days[0]][0], windows[days[-1]][1]
        weight = clear_sky(site.latitude, site.longitude)
        parts = []
        for told in by_register(await read_series(connection, site, reach, now)):
            parts.append(Part(told, reach, weight))
            await asyncio.sleep(0)
        found = []
        for day, window in windows.items():
            known = stored.get(day)
            recomputed = assemble(site.id, day, site.timezone, parts, weight=weight, window=window, stored=known)
            if known is not None or _says_something(recomputed):
                found.append(recomputed)
            await asyncio.sleep(0)
        return found


async def _readable(connection: Connection, site: MeteredSite, days: Sequence[date], span: Span) -> Sequence[date]:
    """As many of them, the latest, as can be read at once: one at the least."""
    while len(days) > 1:
        start, end = day_bounds(days[0], site.timezone)[0], day_bounds(days[-1], site.timezone)[1]
        if await has_at_most(connection, site, (max(start, span[0]), min(end, span[1])), ROLLUP_SAMPLES_AT_ONCE):
            break
        days = days[len(days) // 2 :]
    return days


def _by_site(taken: Iterable[DirtyDay], recent: date) -> list[tuple[SiteId, list[DirtyDay]]]:
    """In the order in which they were taken; what is recent before all that is old."""
    groups: dict[tuple[bool, SiteId], list[DirtyDay]] = {}
    for dirty in taken:
        groups.setdefault((dirty.day < recent, dirty.site), []).append(dirty)
    return [(site, marks) for (_, site), marks in groups.items()]


def _runs(marks: Iterable[DirtyDay]) -> list[list[DirtyDay]]:
    """Days that follow each other, in order; the latest of such runs first."""
    ordered = enumerate(sorted(marks, key=lambda mark: mark.day))
    runs = groupby(ordered, key=lambda numbered: numbered[1].day.toordinal() - numbered[0])
    return [[mark for _, mark in run] for _, run in runs][::-1]


def _says_something(recomputed: Recomputed) -> bool:
    return bool(recomputed.events) or not set(recomputed.day.totals_wh.values()) <= {None}
