"""After a correction or a replacement was stored or undone: the twin, its samples' times, and the energy follow at once."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog

from actors.batch import Entry
from actors.catalog import Catalog
from actors.clock import now_ms
from actors.intake import Intake
from actors.sources import wanted
from actors.upkeep import Upkeep, Work
from actors.writer import Writer
from fleet.calendar import days_between
from fleet.codecs import native
from fleet.corrections import Correction, clocks
from fleet.device import DeviceTwin
from fleet.errors import BadInput, NotFound, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.limits import CORRECTIONS_PERIOD_S, RETENTION_DAYS
from fleet.site import SiteTwin
from fleet.storage import energy, moved_samples
from fleet.storage.corrections import (
    Change,
    corrections_of,
    note_counted,
    pending_changes,
    pending_changes_of,
    replacements_of,
)
from fleet.storage.database import AWAY, Pool
from fleet.storage.lease import Lease
from fleet.storage.metered import energy_positions
from fleet.storage.moved_samples import FutureLetter
from fleet.telemetry import Telemetry, UnixMs

log = structlog.get_logger()

_ENERGY_BUDGET_S: Final = 3.0  # somebody looks at the page; earlier days follow at their turn
_LETTERS_BUDGET_S: Final = 10.0  # the rest comes with the next correction of this clock
_CHANGES_AT_ONCE: Final = 100
_LETTERS_AT_ONCE: Final = 50  # each holds up to 64 KiB


class Correcting:
    """Belongs to one shard; one correction at a time.

    Crash contract: everything follows from what the registry says and from what was told. One transaction moves the samples,
    marks their days and notes that the change is counted; what nobody asked for, or what was interrupted before that, is
    found by the next round of catch_up.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        lease: Lease,
        slots: Sequence[int],
        catalog: Catalog,
        writer: Writer,
        intake: Intake,
        upkeep: Upkeep,
    ) -> None:
        self._pool = pool
        self._lease = lease
        self._slots = slots
        self._catalog = catalog
        self._writer = writer
        self._intake = intake
        self._upkeep = upkeep
        self._turn = asyncio.Lock()

    def works(self) -> list[tuple[str, float, Work]]:
        """As Upkeep.works."""
        return [("corrections", CORRECTIONS_PERIOD_S, self.catch_up)]

    async def corrected(self, site: SiteId, device: DeviceId, since: UnixMs, clock_shift_s: float) -> None:
        """Returns when today counts it. Raises NotFound (unknown_site, unknown_device), Unavailable, StaleOwner."""
        try:
            async with self._turn:
                twin = await self._follow(site, device, since, clock_shift_s)
                self._intake.changed[site] = twin
                await self._upkeep.roll_up_site(site, _ENERGY_BUDGET_S)
        except AWAY as error:
            raise Unavailable("database_away", "the correction is noted and will count; try again in a moment") from error

    async def catch_up(self) -> None:
        """What was stored and never asked for: the web could not reach us, or new hardware enrolled in a place."""
        async with self._pool.acquire() as connection:
            pending = await pending_changes(connection, self._slots, _CHANGES_AT_ONCE)
        for site, device in sorted({(change.site, change.device) for change in pending}):
            since = min(change.since for change in pending if change.device == device)
            async with self._turn:
                try:
                    self._intake.changed[site] = await self._follow(site, device, since, 0.0)
                except NotFound:  # a device that is gone: nobody reads it any more
                    await self._pass_over([change for change in pending if change.device == device])

    async def _pass_over(self, changes: Sequence[Change]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await self._lease.check(connection)
            await note_counted(connection, changes)

    async def _follow(self, site: SiteId, device: DeviceId, since: UnixMs, clock_shift_s: float) -> SiteTwin:
        async with self._pool.acquire() as connection:
            pending = await pending_changes_of(connection, site, device)
        since = min([since, *(change.since for change in pending)])
        clock_shift_s = abs(clock_shift_s) + sum(abs(change.clock_shift_s) for change in pending)
        twin = await self._catalog.relearn(site, now_ms())
        if twin is None:
            raise NotFound("unknown_site", f"no site is called {site}")
        if device not in twin.devices:
            raise NotFound("unknown_device", f"site {site} has no device {device}")
        await self._writer.forget_marks()  # and no commit is under way that knows only the old corrections
        await self._rewrite(twin, twin.devices[device], since, clock_shift_s, pending)
        if clock_shift_s:
            await self._take_letters(twin, twin.devices[device])
        return twin

    async def _rewrite(
        self, twin: SiteTwin, device: DeviceTwin, since: UnixMs, clock_shift_s: float, pending: Sequence[Change]
    ) -> None:
        """Moves samples if clocks have changed, and marks every day that the change bears upon."""
        site, now = twin.record.id, now_ms()
        earliest = max(since, now - RETENTION_DAYS * 86_400_000)
        async with self._pool.acquire() as connection:
            made = await corrections_of(connection, site, device.id)
            known = clocks(made, await replacements_of(connection, site, device.id))
            from_at = _first_moved(made, earliest, clock_shift_s)
            if clock_shift_s:
                await moved_samples.make_room(connection, site, device.id, known, from_at, now)
            async with connection.transaction():
                await self._lease.check(connection)
                start, end = await moved_samples.first_time(connection, site, device.id, since) or earliest, now
                if clock_shift_s:
                    span = await moved_samples.move_samples(connection, site, device.id, known, from_at, now)
                    start, end = (min(start, span[0]), max(end, span[1])) if span else (start, end)
                start = await moved_samples.reach_back(connection, site, device.id, energy_positions(device.profile), start)
                days = days_between(start, end + 1, twin.record.timezone)
                await energy.mark_dirty(connection, [(site, day, start) for day in days], gone=True)
                await note_counted(connection, pending)
            if clock_shift_s:
                newest = await moved_samples.newest_time(connection, site, device.id, now, device.replaced_at)
                device.tell_time(newest)
        log.info("corrected", site=site, device=device.id, since=since, days=len(days), clock_shift_s=clock_shift_s)

    async def _take_letters(self, twin: SiteTwin, device: DeviceTwin) -> None:
        """What was refused because it lay in the future may lie in the past now."""
        after, end = 0, time.monotonic() + _LETTERS_BUDGET_S
        while time.monotonic() < end:
            async with self._pool.acquire() as connection:
                letters = await moved_samples.future_letters(connection, twin.record.id, after, _LETTERS_AT_ONCE)
            if not letters:
                return
            after = letters[-1].id
            found = {letter.id: _entry(twin, device, letter) for letter in letters}
            taken = {letter: entry for letter, entry in found.items() if entry is not None}
            await self._writer.commit(list(taken.values()), now_ms())
            async with self._pool.acquire() as connection, connection.transaction():
                await self._lease.check(connection)
                await moved_samples.forget_letters(connection, list(taken))


def _entry(twin: SiteTwin, device: DeviceTwin, letter: FutureLetter) -> Entry | None:
    """None when it is about another device, or something of it still cannot be taken."""
    try:
        telemetry = native.decode_telemetry(letter.payload)
        about = twin.devices.get(letter.sender) if telemetry.source is None else twin.by_serial(telemetry.source)
        if about is not device or telemetry.raw:
            return None
        online = device.online
        message = Telemetry(wanted(device, telemetry.samples))
        rows, refused = device.take_samples(message, now_ms(), letter.received_at)
        device.online = online  # it says nothing now
    except BadInput:
        return None
    if refused is not None and refused.code == "future_time":
        return None
    return Entry(f"kept/{device.id}", twin, None, rows, [], letter.received_at)


def _first_moved(made: list[Correction], since: UnixMs, clock_shift_s: float) -> UnixMs:
    """Before this stored time a change at `since` moves nothing, whatever the corrections of the clock do to each other."""
    clock = [correction for correction in made if correction.kind == "clock"]
    reach_s = abs(clock_shift_s) + sum(abs(correction.value) for correction in clock)
    return min([since, *(correction.from_at for correction in clock)]) - round(reach_s * 1000)
