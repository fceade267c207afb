"""GET /sites/{site}/checks: whether what the devices of a new site say can be true, and what would put it right."""

import time

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from fleet import commissioning
from fleet.commissioning import Check, CommissioningFacts, DeviceFacts, Recent, Refusal
from fleet.corrections import Correction, Corrector, Replacement
from fleet.errors import FleetError
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceKind, DeviceProfile
from fleet.storage import corrections, profile_versions, registry
from fleet.storage.commissioning import RecentRow, recent_samples, refusals
from fleet.storage.registry import DeviceRow, SiteRow
from fleet.telemetry import UnixMs
from fleet.views import DeviceLive
from web.paging import Page
from web.services import Services
from web.sites import parse_site
from web.visits import Visit


class DeviceChecks(msgspec.Struct, frozen=True):
    """Of one device; those that do not concern it are left out. corrections: in force."""

    device: DeviceId
    name: str
    kind: DeviceKind
    checks: list[Check]
    corrections: list[Correction]


class Known(msgspec.Struct, frozen=True):
    """What the database knows of a site that is being commissioned."""

    site: SiteRow
    devices: list[DeviceRow]
    profiles: dict[str, DeviceProfile]
    corrections: list[Correction]
    replacements: list[Replacement]
    recent: list[RecentRow]
    refusals: dict[DeviceId, list[Refusal]]
    now: UnixMs


async def checks_of(services: Services, visit: Visit, site: SiteId) -> list[DeviceChecks]:
    """By name. Judged by the last minutes, corrected as they are now. Raises NotFound (unknown_site)."""
    known = await look(visit, site)
    return judged(known, await live_devices(services, site))


async def look(visit: Visit, site: SiteId) -> Known:
    """Raises NotFound (unknown_site)."""
    now = time.time_ns() // 1_000_000
    async with visit.enter() as connection:
        row = await registry.site(connection, site)
        devices = await registry.devices_of(connection, site)
        ids = [device.id for device in devices]
        return Known(
            site=row,
            devices=devices,
            profiles={each.id: each.definition for each in await profile_versions.profiles(connection)},
            corrections=await corrections.corrections_of(connection, site),
            replacements=await corrections.replacements_of(connection, site),
            recent=await recent_samples(connection, site, ids, now),
            refusals=await refusals(connection, site, ids, now),
            now=now,
        )


async def live_devices(services: Services, site: SiteId) -> dict[DeviceId, DeviceLive]:
    """Empty when the twin does not answer: what is stored has to do then."""
    try:
        live = await services.door.twins().site_live(site)
    except FleetError:
        return {}
    return {device.device: device for device in live.devices}


def judged(known: Known, live: dict[DeviceId, DeviceLive]) -> list[DeviceChecks]:
    facts = {device.id: _device_facts(known, device, live.get(device.id)) for device in known.devices}
    return [
        DeviceChecks(
            device=device.id,
            name=device.name,
            kind=known.profiles[device.profile].kind,
            checks=commissioning.checks(
                CommissioningFacts(
                    now=known.now,
                    latitude=known.site.latitude,
                    longitude=known.site.longitude,
                    peak_power_w=known.site.peak_power_w,
                    arrays=known.site.arrays,
                    device=facts[device.id],
                    devices=list(facts.values()),
                )
            ),
            corrections=[each for each in known.corrections if each.device == device.id and each.in_force],
        )
        for device in known.devices
    ]


def _device_facts(known: Known, device: DeviceRow, live: DeviceLive | None) -> DeviceFacts:
    profile = known.profiles[device.profile]
    replaced_at = max((each.at for each in known.replacements if each.device == device.id), default=0)
    shown = Corrector(
        profile,
        [each for each in known.corrections if each.device == device.id],
        [each for each in known.replacements if each.device == device.id],
    )
    recent = [
        Recent(row.at, row.received_at, _named(profile, shown.readings(row.at, row.readings)))
        for row in known.recent
        if row.device == device.id
    ]
    seen_at = device.seen_at if live is None else live.seen_at
    if seen_at is not None and seen_at < replaced_at:  # other hardware was
        seen_at = live = None
    if live is not None:
        readings, sample_at = live.readings, live.sample_at
    else:
        readings, sample_at = (recent[-1].values, recent[-1].at) if recent else ({}, None)
    return DeviceFacts(
        device=device.id,
        profile=profile,
        since=max(device.enrolled_at or device.created_at, replaced_at),
        readings=readings,
        sample_at=sample_at,
        seen_at=seen_at,
        recent=recent,
        refusals=known.refusals.get(device.id, []),
    )


def _named(profile: DeviceProfile, readings: list[float | None]) -> dict[str, float]:
    return {name: value for name, value in zip(profile.channels, readings, strict=False) if value is not None}


@get("/sites/{site:str}/checks", operation_id="checkSite", summary="Commissioning checks, each failed one with its fix")
async def get_checks(
    site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Page[DeviceChecks]:
    """Post a `fix` to /devices/{device}/corrections to apply it."""
    return Page(await checks_of(services, visit, parse_site(site)), None)


router = Router("/", route_handlers=[get_checks], tags=["onboarding"])
