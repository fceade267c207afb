"""A device: how it is, its certificate, its checks and corrections, other hardware in its place, and revoking it."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.commissioning import Fix
from fleet.configuration import ConfigStatus
from fleet.corrections import Correction, Replacement
from fleet.errors import BadInput, Conflict, FleetError
from fleet.storage import certificates, configs, corrections, registry, revocations, tags
from fleet.storage.certificates import CertificateRow
from fleet.storage.database import Connection
from fleet.storage.registry import DeviceRow, SiteRow
from fleet.storage.revocations import RevocationRow
from fleet.telemetry import UnixMs
from fleet.views import Health
from web.auth import is_local
from web.checks import DeviceChecks, checks_of
from web.claims import NewClaim, make_claim
from web.corrections import apply_fix, undo
from web.device_ids import parse_device
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.claim_cookie import remember
from web.pages.command_card import CommandCard, command_card
from web.pages.forms import fields_of, new_request_id, number, request_id_of
from web.pages.rendering import now_ms, page
from web.replacement import replace_serial
from web.revocation import revoke
from web.services import Services
from web.sites import site_keepers
from web.tags import change_tag
from web.visits import Visit, client_address

REASONS: Final[tuple[revocations.RevocationReason, ...]] = (
    "stolen", "lost", "compromised", "replaced", "retired", "other",
)  # fmt: skip


class DevicePage(msgspec.Struct, frozen=True):
    """certificate: the one in force. live False: health and readings as they were stored last.

    known_tags: of all devices, for whoever may add one.
    may_revoke: operations and the owner's people; the database has the last word.
    configuration: how it stands; None when there is nothing to configure.
    """

    site: SiteRow
    device: DeviceRow
    gateway: DeviceRow | None
    live: bool
    health: Health
    sample_at: UnixMs | None
    readings: dict[str, float]
    certificate: CertificateRow | None
    checks: DeviceChecks | None
    corrections: list[Correction]
    replacements: list[Replacement]
    revocations: list[RevocationRow]
    configuration: ConfigStatus | None
    commands: CommandCard
    may_change: bool
    may_revoke: bool
    known_tags: list[str]

    @property
    def revoking(self) -> RevocationRow | None:
        """The newest one, while no certificate has been issued since."""
        newest = self.revocations[0] if self.revocations else None
        return newest if newest is not None and self.device.revoked_at is not None else None


IsNew = Annotated[Literal["1"] | None, QueryParameter(name="new")]


@get("/devices/{device:str}", include_in_schema=False)
async def device_page(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    is_new: IsNew = None,
) -> Response[str]:
    shown = await _shown(services, visit, device)
    return _page(request, visit, shown, None, is_new=is_new is not None)


@post("/devices/{device:str}/corrections", guards=[site_keepers], include_in_schema=False)
async def correct(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Redirect:
    """Back to the page whose check offered it."""
    fields = await fields_of(request)
    asked = {"kind": fields.get("kind"), "measure": fields.get("measure", ""), "value": number(fields.get("value", ""))}
    try:
        fix = msgspec.convert(asked | {"from_at": int(fields.get("from_at", ""))}, Fix)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadInput("bad_correction", str(error)) from None
    await apply_fix(services, visit, parse_device(device), fix, client_address(request))
    return _back(fields.get("next", ""), device)


@post("/devices/{device:str}/corrections/{correction:str}/undo", guards=[site_keepers], include_in_schema=False)
async def take_back(
    device: FromPath[str],
    correction: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Redirect:
    fields = await fields_of(request)
    await undo(services, visit, parse_device(device), correction[:40].replace("\0", ""), client_address(request))
    return _back(fields.get("next", ""), device)


@post("/devices/{device:str}/revoke", include_in_schema=False)
async def revoke_device(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    fields = await fields_of(request)
    address = client_address(request)
    try:
        reason = msgspec.convert(fields.get("reason"), revocations.RevocationReason)
    except msgspec.ValidationError:
        reason = None
    try:
        if reason is None:
            raise BadInput("no_reason", "choose why: it is kept in the journal")
        await revoke(services, visit, parse_device(device), reason, fields.get("note", "")[:500], address)
    except BadInput as error:
        shown = await _shown(services, visit, device)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    return Redirect(f"/devices/{device}#revocation", status_code=303)


@post("/devices/{device:str}/replace", guards=[site_keepers], include_in_schema=False)
async def replace_device(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """With a certificate of its own: a new code. Behind a gateway: the new serial, and nothing more."""
    fields = await fields_of(request)
    address = client_address(request)
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
    serial = fields.get("serial", "")
    try:
        if row.gateway is not None:
            await replace_serial(services, visit, row.id, serial, address)
            return Redirect(f"/devices/{row.id}?new=1", status_code=303)
        new = NewClaim(device=row.id, serial=serial[:60] or None, request_id=request_id_of(fields))
        answer = await make_claim(services, visit, row.site, new, address)
    except FleetError as error:
        shown = await _shown(services, visit, device)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    response: Response[Any] = Redirect(f"/claims/{answer.claim_id}", status_code=303)
    remember(response, answer, services)
    return response


@post("/devices/{device:str}/tags", guards=[site_keepers], include_in_schema=False)
async def tag_device(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """add: a tag as typed, which is a short plain word; remove: one that it has."""
    fields = await fields_of(request)
    typed = fields.get("add", "").casefold().replace(" ", "-")
    try:
        tag = fields.get("remove") or typed
        await change_tag(visit, parse_device(device), tag, client_address(request), wanted="remove" not in fields)
    except (BadInput, Conflict) as error:
        shown = await _shown(services, visit, device)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    return Redirect(f"/devices/{device}#tags", status_code=303)


async def _shown(services: Services, visit: Visit, device: str) -> DevicePage:
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        site = await registry.site(connection, row.site)
        stored = await _stored(connection, visit, row)
    health, sample_at, readings, live = row.health, row.sample_at, row.readings, False
    try:
        found = await services.door.twins().site_live(row.site)
        twin = next((each for each in found.devices if each.device == row.id), None)
        if twin is not None:
            health, sample_at, readings, live = twin.health, twin.sample_at, twin.readings, True
    except FleetError:
        pass  # what was stored last stands on the page then
    role = visit.person.role
    return DevicePage(
        site=site,
        device=row,
        gateway=stored.gateway,
        live=live,
        health=health,
        sample_at=sample_at,
        readings=readings,
        certificate=next((each for each in stored.certificates if _in_force(each)), None),
        checks=await checks_for(services, visit, row),
        corrections=stored.corrections,
        replacements=stored.replacements,
        revocations=stored.revocations,
        configuration=stored.configuration,
        commands=stored.commands,
        may_change=stored.keeper,
        may_revoke=role != "installer" and row.gateway is None and row.enrolled_at is not None,
        known_tags=stored.known_tags,
    )


class _Stored(msgspec.Struct, frozen=True):
    gateway: DeviceRow | None
    certificates: list[CertificateRow]
    corrections: list[Correction]
    replacements: list[Replacement]
    revocations: list[RevocationRow]
    configuration: ConfigStatus | None
    commands: CommandCard
    keeper: bool
    known_tags: list[str]


async def _stored(connection: Connection, visit: Visit, row: DeviceRow) -> _Stored:
    keeper = await registry.keeps(connection, row.site)
    return _Stored(
        gateway=await registry.device(connection, row.gateway) if row.gateway else None,
        certificates=await certificates.certificates_of(connection, row.id),
        corrections=await corrections.corrections_of(connection, row.site, row.id),
        replacements=await corrections.replacements_of(connection, row.site, row.id),
        revocations=await revocations.revocations_of(connection, row.id),
        configuration=await configs.standing_of(connection, row.id) if row.gateway is None else None,
        commands=await command_card(connection, visit, row),
        keeper=keeper,
        known_tags=await tags.known_tags(connection) if keeper else [],
    )


def _in_force(certificate: CertificateRow) -> bool:
    return certificate.issued_at is not None and certificate.revoked_at is None and certificate.superseded_at is None


async def checks_for(services: Services, visit: Visit, device: DeviceRow) -> DeviceChecks | None:
    """None while the twins do not answer: the page is worth showing without."""
    try:
        found = await checks_of(services, visit, device.site)
    except FleetError:
        return None
    return next((each for each in found if each.device == device.id), None)


def _back(wanted: str, device: str) -> Redirect:
    return Redirect(wanted if is_local(wanted) and wanted != "/" else f"/devices/{device}", status_code=303)


def _page(
    request: Request[Any, Any, Any], visit: Visit, shown: DevicePage, refusal: Problem | None, *, is_new: bool = False
) -> Response[str]:
    return page(
        request,
        "device.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        keeper=shown.may_change,
        refusal=refusal,
        reasons=REASONS,
        is_new=is_new,
        request_id=new_request_id(),
        new_request_id=new_request_id,
        now=now_ms(),
    )
