"""What a commissioning report of a site would say now: gathered from registry, ledger, samples, twins and checks."""

from fleet.corrections import Corrector
from fleet.ids import DeviceId, SiteId
from fleet.storage import certificates, invitations, reports
from fleet.storage.certificates import CertificateRow
from fleet.storage.commissioning import RecentRow, first_samples
from fleet.storage.registry import DeviceRow
from fleet.views import DeviceLive
from web import checks
from web.checks import DeviceChecks, Known
from web.report_content import ReportCertificate, ReportCheck, ReportContent, ReportDevice, ReportSite
from web.services import Services
from web.visits import Visit


async def draft(services: Services, visit: Visit, site: SiteId, notes: str = "") -> ReportContent:
    """What would be signed now. For installers, ops and admins. Raises NotFound (unknown_site), Forbidden (not_allowed)."""
    known = await checks.look(visit, site)
    async with visit.enter() as connection:
        await visit.must_keep(connection, site)
        ids = [device.id for device in known.devices]
        firsts = await first_samples(connection, site, ids)
        held = {
            device.id: _in_force(await certificates.certificates_of(connection, device.id))
            for device in known.devices
            if device.enrolled_at is not None
        }
        language = await invitations.owner_locale(connection, site)
        number = await reports.next_number(connection, site)
    live = await checks.live_devices(services, site)
    judged = {each.device: each for each in checks.judged(known, live)}
    return ReportContent(
        number=number,
        language=language,
        made_at=known.now,
        site=_site(known),
        technician=visit.person.name,
        technician_email=visit.person.email,
        devices=[
            _device(known, device, firsts.get(device.id), held.get(device.id), live.get(device.id), judged[device.id])
            for device in known.devices
        ],
        notes=notes,
    )


def _in_force(rows: list[CertificateRow]) -> ReportCertificate | None:
    for row in rows:
        if row.issued_at is not None and row.superseded_at is None and row.revoked_at is None:
            return ReportCertificate(row.serial, row.not_before, row.not_after)
    return None


def _site(known: Known) -> ReportSite:
    site = known.site
    return ReportSite(
        id=site.id,
        name=site.name,
        address=site.address,
        latitude=site.latitude,
        longitude=site.longitude,
        timezone=site.timezone,
        peak_power_w=site.peak_power_w,
        arrays=site.arrays,
        pdl=site.pdl,
        owner=site.customer or "",
        installer=site.installer,
    )


def _device(
    known: Known,
    device: DeviceRow,
    first: RecentRow | None,
    certificate: ReportCertificate | None,
    live: DeviceLive | None,
    judged: DeviceChecks,
) -> ReportDevice:
    shown = Corrector(
        known.profiles[device.profile],
        judged.corrections,
        [each for each in known.replacements if each.device == device.id],
    )
    first_values = shown.readings(first.at, first.readings) if first else []
    readings = live.readings if live else device.readings
    return ReportDevice(
        id=device.id,
        name=device.name,
        kind=judged.kind,
        profile=device.profile,
        label_fr=device.label_fr,
        label_en=device.label_en,
        serial=device.serial,
        gateway=_name_of(known, device.gateway),
        certificate=certificate,
        first_at=first.at if first else None,
        first={name: value for name, value in zip(device.channels, first_values, strict=False) if value is not None},
        readings_at=(live.sample_at if live else device.sample_at) if readings else None,
        readings=readings,
        checks=[ReportCheck(check.code, check.state, check.evidence) for check in judged.checks],
        corrections=judged.corrections,
    )


def _name_of(known: Known, gateway: DeviceId | None) -> str | None:
    return next((device.name for device in known.devices if device.id == gateway), gateway)
