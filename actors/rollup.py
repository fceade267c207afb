"""Turns dirty days into day rows: the only writer of telemetry.site_day.

Crash contract: a day stays marked until a transaction has stored every day that its samples bear upon; doing it twice
changes nothing. Samples that arrive meanwhile mark their day again under a higher generation: that mark outlives this round.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

import structlog

from fleet.calendar import Span, day_bounds, days_between
from fleet.clearsky import clear_sky
from fleet.energy import Part, Recomputed, assemble, influence, window_of
from fleet.errors import StaleOwner
from fleet.ids import SiteId
from fleet.limits import ROLLUP_DAYS_PER_ROUND
from fleet.storage import energy
from fleet.storage.database import AWAY, Connection, Pool
from fleet.storage.energy import DirtyDay
from fleet.storage.lease import Lease
from fleet.storage.series import MeteredSite, metered_sites, read_neighbours, read_series
from fleet.telemetry import UnixMs

log = structlog.get_logger()


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

    async def run_once(self, now: UnixMs) -> RollupReport:
        """The days that wait longest, and those that they bear upon. Raises StaleOwner, and AWAY errors."""
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                await self._lease.check(connection)
                taken = await energy.take_dirty(connection, self._slots, ROLLUP_DAYS_PER_ROUND)
            if not taken:
                return RollupReport()
            await self._forget_marks()
            sites = await metered_sites(connection, sorted({dirty.site for dirty in taken}))
            days = events = failed = 0
            for name, marks in _by_site(taken):
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
        spans = [await self._span(connection, site, mark, now) for mark in marks]
        dirty = {mark.day for mark in marks}
        windows = _windows(spans, site.timezone)
        # Tomorrow has no samples, but a device's silence bears upon a day after its last word.
        todo = [day for day in sorted(windows) if day in dirty or day_bounds(day, site.timezone)[0] <= now]
        days = events = 0
        for day in todo:
            async with connection.transaction():
                await self._lease.check(connection)
                recomputed = await self._day(connection, site, day, windows[day], now)
                if recomputed is not None:
                    await energy.save_day(connection, recomputed, now)
                    events += len(recomputed.events)
                days += 1
                if day == todo[-1]:
                    for mark in marks:
                        await energy.finish_dirty(connection, mark)
        return RollupReport(days, events)

    async def _span(self, connection: Connection, site: MeteredSite, mark: DirtyDay, now: UnixMs) -> Span:
        """What the day's new samples bear upon: at least the day from the first of them on."""
        start, end = day_bounds(mark.day, site.timezone)
        changed = (min(max(mark.from_time, start), end - 1), end)
        return influence(changed, await read_neighbours(connection, site.id, site.counters, changed, now))

    async def _day(self, connection: Connection, site: MeteredSite, day: date, span: Span, now: UnixMs) -> Recomputed | None:
        """None when there is nothing to store: no row yet, and nothing to say. Yields to the loop between counters."""
        weight = clear_sky(site.latitude, site.longitude)
        stored = next(iter(await energy.site_days(connection, site.id, day, day)), None)
        window = window_of(day, site.timezone, span, stored)
        parts = []
        for series in await read_series(connection, site.id, site.counters, window, now):
            parts.append(Part(series, window, weight))
            await asyncio.sleep(0)
        recomputed = assemble(site.id, day, site.timezone, parts, weight=weight, window=window, stored=stored)
        silent = stored is None and not recomputed.events and set(recomputed.day.totals_wh.values()) <= {None}
        return None if silent else recomputed


def _by_site(taken: Iterable[DirtyDay]) -> list[tuple[SiteId, list[DirtyDay]]]:
    """In the order of the longest waiting day of each."""
    order = {dirty.site: position for position, dirty in reversed(list(enumerate(taken)))}
    ordered = sorted(taken, key=lambda dirty: (order[dirty.site], dirty.day))
    return [(site, list(marks)) for site, marks in groupby(ordered, key=lambda dirty: dirty.site)]


def _windows(spans: Iterable[Span], timezone: str) -> dict[date, Span]:
    """Day → from the earliest to the latest instant of it that any of the spans touches."""
    windows: dict[date, Span] = {}
    for span in spans:
        for day in days_between(*span, timezone):
            known = windows.get(day, span)
            windows[day] = min(known[0], span[0]), max(known[1], span[1])
    return windows
