"""The sweep: how every device and site is doing, and which alerts that raises or resolves."""

import asyncio
import contextlib
from collections.abc import Iterable

from actors.catalog import Catalog
from actors.intake import Intake
from fleet.alerts import AlertEvent
from fleet.detectors import SiteFacts, detect
from fleet.device import DeviceTwin
from fleet.errors import Unavailable
from fleet.health import device_health, revoked_health, site_health
from fleet.limits import RESTART_GRACE_S
from fleet.site import SiteTwin
from fleet.storage.database import AWAY, Pool
from fleet.storage.lease import Lease
from fleet.storage.revocations import revoked_devices
from fleet.storage.supervision import HealthChange, save_alerts, save_health
from fleet.sun import elevation_deg
from fleet.telemetry import UnixMs
from fleet.views import AlertView, Health

_SITES_PER_SLICE = 32  # about a millisecond between two awaits
_SUN_FRESH_MS = 60_000  # the sun climbs at most 0.25° a minute
_SUN_CELL_DEG = 0.25  # sites within ~25 km share a sun; 0.25° is about a minute of its way


class Supervision:
    """What it found and could not store yet is kept for the next round, one entry per device and per alert."""

    def __init__(self, pool: Pool, lease: Lease, catalog: Catalog, intake: Intake) -> None:
        self._pool = pool
        self._lease = lease
        self._catalog = catalog
        self._intake = intake
        self._grace_until = 0
        self._suns: dict[tuple[int, int], tuple[UnixMs, float]] = {}
        self._health: dict[tuple[str, str], HealthChange] = {}
        self._alerts: dict[str, AlertEvent] = {}
        self._revoked: frozenset[str] = frozenset()
        self.devices_online = 0

    def listens_anew(self, now: UnixMs) -> None:
        """The platform was deaf until now: nobody is called offline before the fleet had time to speak."""
        self._grace_until = now + round(RESTART_GRACE_S * 1000)

    async def sweep(self, now: UnixMs) -> None:
        """Judges every live twin, then stores what changed in one transaction. Raises StaleOwner."""
        online = 0
        with contextlib.suppress(*AWAY):  # those known stay so
            async with self._pool.acquire() as connection:
                self._revoked = await revoked_devices(connection)
        for position, site in enumerate(list(self._catalog.sites.values())):
            if position % _SITES_PER_SLICE == 0:
                await asyncio.sleep(0)
            online += self._judge(site, now)
        self.devices_online = online
        await self._store()

    async def acknowledge(self, site: SiteTwin, alert_id: str, person_id: str, now: UnixMs) -> AlertView:
        """Stored first, then shown. Raises Conflict, Unavailable (database_away), StaleOwner."""
        event = site.alerts.acknowledgement(alert_id, person_id, now)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await self._lease.check(connection)
                await save_alerts(connection, [event])
        except AWAY as error:
            raise Unavailable("database_away", "the acknowledgement could not be stored; try again in a moment") from error
        site.alerts.acknowledge(event)
        self._intake.changed[site.record.id] = site
        return event.alert

    def _judge(self, site: SiteTwin, now: UnixMs) -> int:
        """Returns how many of its devices report."""
        sun_deg = self._sun_elevation_deg(site, now)
        record, online, changed = site.record, 0, False
        for device in site.devices.values():
            health = self._health_of(device, sun_deg, now)
            if health is not device.judged:
                device.judged = health
                self._health[record.id, device.id] = HealthChange(record.id, device.id, health)
                changed = True
            online += health.status == "ok"
        judged = ((device.id, device.health) for device in site.devices.values() if device.id not in self._revoked)
        health = site_health(site.health, judged, now)
        if health is not site.health:
            site.health = health
            self._health[record.id, ""] = HealthChange(record.id, "", health)
            changed = True
        events = self._detect(site, sun_deg, now)
        for event in events:
            self._alerts[event.alert.id] = event
        if changed or events:
            self._intake.changed[record.id] = site
        return online

    def _health_of(self, device: DeviceTwin, sun_deg: float, now: UnixMs) -> Health:
        if device.id in self._revoked:
            return revoked_health(device.judged, now)
        return device_health(
            device.judged,
            profile=device.profile,
            interval_s=device.interval_s,
            created_at=device.created_at,
            seen_at=device.seen_at,
            online=not device.gone,
            sun_elevation_deg=sun_deg,
            grace_until=self._grace_until,
            now=now,
        )

    def _detect(self, site: SiteTwin, sun_deg: float, now: UnixMs) -> list[AlertEvent]:
        facts = SiteFacts(
            site=site.record.id,
            now=now,
            peak_power_w=site.record.peak_power_w,
            sun_elevation_deg=sun_deg,
            devices=site.devices.values(),
            flow=site.flow(now),
            open=site.alerts.keys,
        )
        findings, site.holding = detect(facts, site.holding)
        return site.alerts.evaluate(findings, now)

    async def _store(self) -> None:
        health, alerts = self._health, self._alerts
        if not health and not alerts:
            return
        self._health, self._alerts = {}, {}
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await self._lease.check(connection)
                await save_health(connection, _in_lock_order(health.values()))
                await save_alerts(connection, alerts.values())
        except BaseException:
            self._health = health | self._health
            self._alerts = alerts | self._alerts
            raise

    def _sun_elevation_deg(self, site: SiteTwin, now: UnixMs) -> float:
        cell = (round(site.record.latitude / _SUN_CELL_DEG), round(site.record.longitude / _SUN_CELL_DEG))
        at, elevation = self._suns.get(cell, (0, 0.0))
        if not at or abs(now - at) > _SUN_FRESH_MS:
            elevation = elevation_deg(cell[0] * _SUN_CELL_DEG, cell[1] * _SUN_CELL_DEG, now)
            self._suns[cell] = (now, elevation)  # at most as many as the fleet has cells
        return elevation


def _in_lock_order(changes: Iterable[HealthChange]) -> list[HealthChange]:
    return sorted(changes, key=lambda change: (change.site, change.device))
