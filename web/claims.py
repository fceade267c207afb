"""The right to enrol a device: made on the installer's phone, shown as QR and typed code, watched to the first reading."""

import hashlib
import shlex
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import msgspec
import segno
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import texts
from fleet import claim_code
from fleet.claim_code import ClaimCode
from fleet.errors import Conflict, FleetError, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.limits import CLAIM_HOURS, CLAIM_HOURS_MAX
from fleet.scanned import checked_serial
from fleet.storage import audit, claims, onboarding, profile_versions, registry
from fleet.storage.claims import ClaimRow
from fleet.storage.claims import ClaimState as State
from fleet.storage.database import Connection
from fleet.storage.profile_versions import ProfileRow
from fleet.telemetry import UnixMs
from fleet.views import DeviceLive
from web.device_ids import free_id
from web.language import Language
from web.new_sites import RequestId, own_request
from web.serials import DeviceName, SerialText, check_free
from web.services import Services
from web.visits import Visit


class NewClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """profile: what the device is; may be left out when `device` is given, whose hardware is being replaced."""

    profile: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    name: DeviceName | None = None
    serial: SerialText | None = None
    device: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    expires_in_h: Annotated[float, msgspec.Meta(gt=0, le=CLAIM_HOURS_MAX)] = CLAIM_HOURS
    request_id: RequestId | None = None


class ClaimAnswer(msgspec.Struct, frozen=True):
    """The only answer that holds the code.

    code         as people type it; qr_svg: the link as a QR code, dark on light whatever surrounds it
    link         what the QR holds: the enrolment server, the code, and the fingerprint that the server is known by
    fingerprint  the first 32 hexadecimal digits of the SHA-256 of its trust anchor
    command      what to run on a gateway
    """

    claim_id: str
    site: SiteId
    device: DeviceId
    code: str
    expires_at: UnixMs
    link: str
    qr_svg: str
    server: str
    fingerprint: str
    command: str


class ClaimProblem(msgspec.Struct, frozen=True):
    """What the device's last try failed by, in the reader's language, with what to do."""

    code: str
    title: str
    detail: str
    at: UnixMs | None


class ClaimState(msgspec.Struct, frozen=True):
    """How far it has come: state, then enrolled_at, then first_sample_at with the readings that the twin holds now."""

    claim_id: str
    site: SiteId
    device: DeviceId
    profile: str
    device_name: str
    serial: str | None
    replaces: bool
    created_at: UnixMs
    expires_at: UnixMs
    state: State
    problem: ClaimProblem | None
    enrolled_at: UnixMs | None
    first_sample_at: UnixMs | None
    seen_at: UnixMs | None
    sample_at: UnixMs | None
    readings: dict[str, float]


async def make_claim(services: Services, visit: Visit, site: SiteId, new: NewClaim, address: str) -> ClaimAnswer:
    """For installers, ops and admins.

    Raises NotFound (unknown_site, unknown_profile, unknown_device), Forbidden (not_allowed), Unavailable (no_enrolment),
    BadInput (bad_serial), Conflict (serial_taken, serial_elsewhere, too_many_claims,
    replacement_profile, device_behind_gateway, claim_code_gone).
    """
    serial = checked_serial(new.serial) if new.serial and new.serial.strip() else None
    code = claim_code.make()
    services.codes.keep(code, time.monotonic())  # before it is known to be needed: its twin may come at the same moment
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site)
        await visit.must_keep(connection, site)
        server, fingerprint = enrolment_server(services)
        row = await _create(connection, visit, site, new, serial, code)
        if row.id == code.id:
            await audit.record(
                connection,
                "claim.make",
                person_id=visit.person.id,
                subject=row.id,
                detail={"site": site, "device": row.device, "profile": row.profile, "replaces": row.replaces},
                address=address,
            )
    known = services.codes.find(row.id, time.monotonic())
    if known is None:
        raise Conflict("claim_code_gone", f"claim {row.id} was made before, and its code is not kept: make a new one")
    return _answer(row, known, server, fingerprint)


async def cancel(services: Services, visit: Visit, claim: str, address: str) -> ClaimState:
    """Raises NotFound (unknown_claim), Forbidden (not_allowed), Conflict (claim_used)."""
    async with visit.enter() as connection:
        before = await claims.claim(connection, claim)
        await visit.must_keep(connection, before.site)
        row = await claims.cancel_claim(connection, before.id)
        await audit.record(
            connection,
            "claim.cancel",
            person_id=visit.person.id,
            subject=row.id,
            detail={"site": row.site, "device": row.device},
            address=address,
        )
    return await claim_state(services, visit, row.id)


async def claim_state(services: Services, visit: Visit, claim: str) -> ClaimState:
    """Raises NotFound (unknown_claim)."""
    async with visit.enter() as connection:
        row = await claims.claim(connection, claim)
        first_at = None
        if row.used_at is not None:
            first_at = await onboarding.first_sample_at(connection, row.site, row.device, row.used_at)
    live = await _live(services, row) if row.used_at is not None else None
    since = row.used_at or 0
    fresh = live is not None and live.seen_at is not None and live.seen_at >= since
    return ClaimState(
        claim_id=row.id,
        site=row.site,
        device=row.device,
        profile=row.profile,
        device_name=row.device_name,
        serial=row.serial,
        replaces=row.replaces,
        created_at=row.created_at,
        expires_at=row.expires_at,
        state=row.state,
        problem=_problem(row, visit.person.locale),
        enrolled_at=row.used_at,
        first_sample_at=first_at,
        seen_at=live.seen_at if live and fresh else None,
        sample_at=live.sample_at if live and first_at is not None else None,
        readings=live.readings if live and first_at is not None else {},
    )


def shown_again(services: Services, state: ClaimState, code: ClaimCode) -> ClaimAnswer:
    """The answer that made it once more, for whoever has kept the code. Raises Unavailable (no_enrolment)."""
    server, fingerprint = enrolment_server(services)
    return _answer(state, code, server, fingerprint)


def enrolment_server(services: Services) -> tuple[str, str]:
    """Where devices enrol, and the fingerprint of what they know it by. Raises Unavailable (no_enrolment)."""
    settings = services.settings
    if settings.est_url is None or settings.est_ca_file is None:
        raise Unavailable("no_enrolment", "this platform has no enrolment service set up")
    try:
        return settings.est_url.rstrip("/"), _fingerprint(settings.est_ca_file, settings.est_ca_file.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise Unavailable("no_enrolment", f"the enrolment service's certificate cannot be read: {error}") from None


@lru_cache(maxsize=4)
def _fingerprint(ca_file: Path, _changed_ns: int) -> str:
    der = x509.load_pem_x509_certificate(ca_file.read_bytes()).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()[:32]


async def _create(
    connection: Connection, visit: Visit, site: SiteId, new: NewClaim, serial: str | None, code: ClaimCode
) -> ClaimRow:
    replaced = None if new.device is None else await _replaced(connection, site, new.device)
    profile = await profile_versions.profile(connection, new.profile or (replaced.profile if replaced else ""))
    if replaced is not None and profile.id != replaced.profile:
        raise Conflict(
            "replacement_profile",
            f"{replaced.name} is a {replaced.profile}, and its history is stored as such: add the new one as a device",
        )
    if serial is not None:
        await onboarding.lock_serial(connection, site, serial)
        request = own_request(visit.person.id, new.request_id)
        await check_free(connection, serial, site=site, besides=replaced.id if replaced else None, request_id=request)
    return await claims.create_claim(
        connection,
        code=code,
        site=site,
        device=replaced.id if replaced else await free_id(connection, profile.definition.kind),
        profile=profile.id,
        device_name=new.name or (replaced.name if replaced else _label(profile, visit)),
        serial=serial,
        replaces=replaced is not None,
        created_by=visit.person.id,
        expires_at=datetime.now(UTC) + timedelta(hours=new.expires_in_h),
        request_id=own_request(visit.person.id, new.request_id),
    )


async def _replaced(connection: Connection, site: SiteId, device: str) -> registry.DeviceRow:
    found = await registry.device(connection, DeviceId(device))
    if found.site != site:
        raise registry.no_device(device)
    if found.gateway is not None:
        raise Conflict(
            "device_behind_gateway", f"{found.name} speaks through {found.gateway}: give the new serial instead of a code"
        )
    return found


def _label(profile: ProfileRow, visit: Visit) -> str:
    return profile.definition.label_en if visit.person.locale == "en" else profile.definition.label_fr


def _answer(row: ClaimRow | ClaimState, code: ClaimCode, server: str, fingerprint: str) -> ClaimAnswer:
    link = f"{server}/#{code.code}.{fingerprint}"
    command = ["solarperform-agent", "enrol", "--server", server, "--claim", code.typed, "--fingerprint", fingerprint]
    return ClaimAnswer(
        claim_id=code.id,
        site=row.site,
        device=row.device,
        code=code.typed,
        expires_at=row.expires_at,
        link=link,
        qr_svg=qr_svg(link),
        server=server,
        fingerprint=fingerprint,
        command=shlex.join(command),
    )


def qr_svg(text: str) -> str:
    """For a page: no size of its own, dark on light with its quiet zone also where the page is dark."""
    code = segno.make(text, error="m", micro=False)
    svg: str = code.svg_inline(
        border=4, dark="#000000", light="#ffffff", omitsize=True, svgclass="qr", lineclass=None, unit=None
    )
    return svg


async def _live(services: Services, row: ClaimRow) -> DeviceLive | None:
    try:
        live = await services.door.twins().site_live(row.site)
    except FleetError:
        return None
    return next((each for each in live.devices if each.device == row.device), None)


def _problem(row: ClaimRow, language: Language) -> ClaimProblem | None:
    if row.problem_code is None:
        return None
    text = texts.text_of(row.problem_code, language)  # the device was told the same words
    return ClaimProblem(row.problem_code, text.title, text.detail, row.problem_at)
