"""Identity → live twin: loads twins from PostgreSQL in batches, lets go of the silent ones, finds who a topic is about."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from fleet import topics
from fleet.device import DeviceTwin
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import COMMIT_RETRY_S, LOAD_BATCH_TWINS, TWIN_IDLE_S, TWINS_PER_SHARD_MAX
from fleet.placement import slot_of
from fleet.profiles import DeviceProfile
from fleet.site import SiteTwin
from fleet.storage import twins
from fleet.storage.corrections import replaced_lately
from fleet.storage.database import AWAY, Pool
from fleet.telemetry import UnixMs

log = structlog.get_logger()

_MISSING_TTL_MS = 10_000  # a device may speak moments before it is registered
_MISSING_MAX = 10_000
_SETTLED = frozenset(("offline", "unknown"))  # nothing about such a twin changes until it speaks


class Route(NamedTuple):
    """Whom a topic is about. channel: 'up/telemetry'."""

    site: SiteTwin
    device: DeviceTwin
    channel: str


class Catalog:
    """The site twins of one shard's slots. At most TWINS_PER_SHARD_MAX devices; the longest silent sites go first.

    before_load: done before a twin is read: what one that was let go of has done must be stored by then.
    """

    def __init__(self, pool: Pool, slots: Sequence[int]) -> None:
        self._pool = pool
        self._slots = frozenset(slots)
        self._profiles: dict[str, DeviceProfile] = {}
        self._routes: dict[str, Route] = {}
        self._missing: dict[tuple[SiteId, DeviceId], UnixMs] = {}  # looked for lately
        self._relearning = asyncio.Lock()  # what was read first is taken over first
        self.sites: dict[SiteId, SiteTwin] = {}
        self.devices = 0
        self.before_load: Callable[[], Awaitable[None]] = _nothing
        self.on_loaded: Callable[[SiteTwin], None] = lambda _: None

    async def load_all(self, now: UnixMs) -> None:
        """The slots' twins at the shard's start, as many as fit."""
        after = SiteId("")
        async with self._pool.acquire() as connection:
            self._profiles = await twins.load_profiles(connection)
            while self.devices < TWINS_PER_SHARD_MAX:
                records = await twins.sites_by_slot(connection, sorted(self._slots), after, LOAD_BATCH_TWINS)
                if not records:
                    break
                self._adopt(await twins.load_twins(connection, records, self._profiles, now))
                after = records[-1].id

    async def ensure(self, texts: Iterable[str], now: UnixMs) -> None:
        """Loads the sites that these topics are about and that are not live yet; waits out an absent PostgreSQL."""
        wanted = {site for text in texts if text not in self._routes for site in self._site_to_load(text, now)}
        if wanted:
            await self._load_patiently(sorted(wanted), now)

    async def ensure_hardware(self, texts: Iterable[str], now: UnixMs) -> None:
        """Relearns the sites in which a device that is corrected has other hardware now; waits out an absent PostgreSQL.

        The registry knew of it before the new hardware got its certificate, so its first message finds its twin right.
        """
        corrected = {}
        for text in texts:
            try:
                route = self._routes.get(text) or self.route(text)
            except BadInput:
                continue  # said again, to whoever can write it down
            if route.device.corrector is not None:
                corrected[route.site.record.id, route.device.id] = route.device.replaced_at
        if corrected:
            await self._relearn_patiently([(*key, known_at) for key, known_at in corrected.items()], now)

    def route(self, text: str) -> Route:
        """Whom this topic is about; checks that slot, site and device belong together.

        Raises BadInput (bad_topic, bad_id, foreign_topic, moved_slot, unknown_site, unknown_device).
        """
        route = self._routes.get(text)
        if route is None:
            topic = topics.parse(text)
            if topic.slot != slot_of(topic.site):
                raise BadInput("foreign_topic", f"site {topic.site} does not live in slot {topic.slot:02x}")
            if topic.slot not in self._slots:  # queued for this shard before their number changed: no fault of the device
                raise BadInput("moved_slot", f"slot {topic.slot:02x} has another shard now; the device sends this again")
            site = self.sites.get(topic.site)
            if site is None:
                raise BadInput("unknown_site", f"no site is called {topic.site}")
            device = site.devices.get(topic.device)
            if device is None:
                raise BadInput("unknown_device", f"site {topic.site} has no device {topic.device}")
            route = Route(site, device, topic.channel)
            if topic.channel in ("up/telemetry", "up/state"):  # the only ones with few spellings: others may be endless
                self._routes[text] = route
        return route

    async def site(self, site: SiteId, now: UnixMs) -> SiteTwin | None:
        """For an ask: the live twin, loaded if need be; None when there is no such site here. Raises AWAY errors."""
        if site not in self.sites and slot_of(site) in self._slots:
            await self._load([site], now)
        return self.sites.get(site)

    def forget(self, site: SiteId) -> None:
        """Drops a twin, so that the next message or ask builds it anew from the registry."""
        twin = self.sites.pop(site, None)
        self._missing.clear()
        if twin is not None:
            self.devices -= len(twin.devices)
            self._routes = {text: route for text, route in self._routes.items() if route.site is not twin}

    async def relearn(self, site: SiteId, now: UnixMs) -> SiteTwin | None:
        """The twin as the registry has it now, with all that it has heard; None when there is no such site.

        Raises AWAY errors.
        """
        if slot_of(site) not in self._slots:
            return None
        async with self._relearning:
            return await self._relearn(site, now)

    async def _relearn(self, site: SiteId, now: UnixMs) -> SiteTwin | None:
        async with self._pool.acquire() as connection:
            await self.before_load()
            self._profiles = await twins.load_profiles(connection)
            records = await twins.sites_by_id(connection, [site])
            loaded = await twins.load_twins(connection, records, self._profiles, now)
        if not loaded:
            self.forget(site)
            return None
        live = self.sites.setdefault(site, loaded[0])
        if live is loaded[0]:
            self.devices += len(live.devices)
            self.on_loaded(live)
        else:
            self.devices -= len(live.devices)
            live.relearn(loaded[0])
            self.devices += len(live.devices)
            self._routes = {text: route for text, route in self._routes.items() if route.site is not live}
        self._missing.clear()
        return live

    def passivate(self, now: UnixMs) -> int:
        """Lets go of sites that are silent and settled and, over the bound, of the longest silent. Returns how many.

        Only twins without an unsaved snapshot go, and without orders that have to be told or waited for.
        """
        clean = [twin for twin in self.sites.values() if not any(map(_is_held, twin.devices.values()))]
        idle_since = now - TWIN_IDLE_S * 1000
        idle = [twin for twin in clean if twin.heard_at < idle_since and _is_settled(twin)]
        excess = self.devices - sum(len(twin.devices) for twin in idle) - TWINS_PER_SHARD_MAX
        if excess > 0:
            gone = {twin.record.id for twin in idle}
            for twin in sorted((t for t in clean if t.record.id not in gone), key=lambda t: t.heard_at):
                if excess <= 0:
                    break
                idle.append(twin)
                excess -= len(twin.devices)
        for twin in idle:
            self.sites.pop(twin.record.id)
            self.devices -= len(twin.devices)
        if idle:
            self._routes = {text: route for text, route in self._routes.items() if route.site.record.id in self.sites}
        return len(idle)

    def _site_to_load(self, text: str, now: UnixMs) -> list[SiteId]:
        try:
            topic = topics.parse(text)
        except BadInput:
            return []  # route() says so again, to whoever can write it down
        site = self.sites.get(topic.site)
        if topic.slot not in self._slots or (site is not None and topic.device in site.devices):
            return []
        missed_at = self._missing.get((topic.site, topic.device), -_MISSING_TTL_MS)
        if now - missed_at < _MISSING_TTL_MS:
            return []
        if len(self._missing) > _MISSING_MAX:
            self._missing.clear()
        self._missing[topic.site, topic.device] = now
        return [topic.site]

    async def _load_patiently(self, wanted: Sequence[SiteId], now: UnixMs) -> None:
        for attempt in itertools.count():
            try:
                await self._load(wanted, now)
                return
            except AWAY as error:
                if attempt == 0:
                    log.warning("database_away", error=repr(error), waiting_sites=len(wanted))
                await asyncio.sleep(COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)])

    async def _relearn_patiently(self, known: Sequence[tuple[SiteId, DeviceId, UnixMs]], now: UnixMs) -> None:
        for attempt in itertools.count():
            try:
                async with self._pool.acquire() as connection:
                    replaced = await replaced_lately(connection, known)
                for site in sorted({site for site, _ in replaced}):
                    await self.relearn(site, now)
                return
            except AWAY as error:
                if attempt == 0:
                    log.warning("database_away", error=repr(error), waiting_sites=len({site for site, _, _ in known}))
                await asyncio.sleep(COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)])

    async def _load(self, wanted: Sequence[SiteId], now: UnixMs) -> None:
        async with self._pool.acquire() as connection:
            await self.before_load()
            self._profiles = await twins.load_profiles(connection)
            records = await twins.sites_by_id(connection, wanted)
            self._adopt(await twins.load_twins(connection, records, self._profiles, now))

    def _adopt(self, loaded: Iterable[SiteTwin]) -> None:
        for twin in loaded:
            live = self.sites.setdefault(twin.record.id, twin)
            if live is twin:
                self.devices += len(twin.devices)
                self.on_loaded(twin)
            else:  # live already: it keeps what it knows, and learns of devices that are new in the registry
                self.devices += live.adopt(twin.devices.values())


async def _nothing() -> None:
    pass


def _is_held(device: DeviceTwin) -> bool:
    return device.snapshot_due or (device.orders is not None and device.orders.is_open)


def _is_settled(twin: SiteTwin) -> bool:
    return all(device.health.status in _SETTLED for device in twin.devices.values())
