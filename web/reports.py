"""The commissioning report: drafted from what is known, signed by typing a name, kept as a PDF, and told to the owner."""

import hashlib
import time
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.errors import BadInput, Conflict
from fleet.ids import SiteId
from fleet.limits import INVITATION_DAYS, MAIL_SUBJECT_CHARS_MAX, REPORTS_PER_SITE_AND_DAY_MAX
from fleet.storage import audit, invitations, registry, reports
from fleet.storage.database import Connection
from fleet.storage.mail import queue_mail
from fleet.storage.reports import ReportRow
from web.errors import TooMany
from web.invitations import new_token
from web.new_sites import PersonName, RequestId, own_request
from web.paging import Page
from web.report_content import ReportContent
from web.report_draft import draft
from web.report_print import sheet
from web.report_texts import words
from web.services import Services
from web.sites import parse_site
from web.visits import Visit, client_address

PDF = "application/pdf"
_TEMPLATE = "report.typ"
_TRIES = 3  # two sign at once: the later one takes the next number

log = structlog.get_logger("web.reports")


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """signed_name: typed by the signatory, as a signature."""

    signed_name: PersonName
    notes: Annotated[str, msgspec.Meta(max_length=2_000, pattern=r"^[^\x00]*$")] = ""
    request_id: RequestId | None = None


async def sign(
    services: Services,
    visit: Visit,
    site: SiteId,
    signed_name: str,
    address: str,
    *,
    notes: str = "",
    request_id: str | None = None,
) -> ReportRow:
    """Numbers, prints and keeps the report, and mails the owner: an invitation, or that the site is ready in his account.

    Raises NotFound (unknown_site), Forbidden (not_allowed), Conflict (report_without_devices, request_taken),
    TooMany (too_many_reports), Unavailable (report_slow).
    """
    for _ in range(_TRIES):
        content = await draft(services, visit, site, notes)
        if not content.devices:
            raise Conflict("report_without_devices", "add a device first: there is nothing to sign for yet")
        request = own_request(visit.person.id, request_id)
        if request is not None and (known := await _of_request(visit, site, request)) is not None:
            return known
        await _must_have_room(visit, site)
        signed_at = time.time_ns() // 1_000_000
        content = msgspec.structs.replace(content, signed_name=signed_name.strip() or signed_name, signed_at=signed_at)
        document = await services.press.print(_TEMPLATE, sheet(content))
        row = await _store(services, visit, content, document, request, address)
        if row is not None:
            return row
    raise Conflict("refused", "somebody else signs reports of this site right now; try again")


async def pdf(services: Services, visit: Visit, site: SiteId, number: int) -> bytes:
    """As it was signed; for those whom the site is merely shared with a copy that masks the grid connection.

    Raises NotFound (unknown_site, unknown_report), Unavailable (report_slow).
    """
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site)
        if await reports.may_see_pdl(connection, site):
            return await reports.pdf(connection, site, number)
        content = await reports.content(connection, site, number)
    return await services.press.print(_TEMPLATE, sheet(msgspec.convert(content, ReportContent), masked=True))


async def _of_request(visit: Visit, site: SiteId, request: str) -> ReportRow | None:
    async with visit.enter() as connection:
        return await _same_form(connection, site, request)


async def _same_form(connection: Connection, site: SiteId, request: str) -> ReportRow | None:
    """Raises Conflict (request_taken): an old form, sent for another site, signs nothing there."""
    found = await reports.report_of_request(connection, request)
    if found is not None and found.site != site:
        raise Conflict("request_taken", f"this request id belongs to report {found.number} of {found.site}")
    return found


async def _must_have_room(visit: Visit, site: SiteId) -> None:
    async with visit.enter() as connection:
        if await reports.signed_lately(connection, site) >= REPORTS_PER_SITE_AND_DAY_MAX:
            raise TooMany(
                "too_many_reports", f"{REPORTS_PER_SITE_AND_DAY_MAX} reports of this site were signed within a day"
            )


async def _store(
    services: Services, visit: Visit, content: ReportContent, document: bytes, request: str | None, address: str
) -> ReportRow | None:
    site = content.site.id
    async with visit.enter() as connection:
        row = await reports.store_report(
            connection,
            site=site,
            number=content.number,
            signed_by=visit.person.id,
            signed_name=content.signed_name,
            signed_at=content.signed_at or content.made_at,
            content=content,
            document=document,
            sha256=hashlib.sha256(document).digest(),
            request_id=request,
        )
        if row is None:
            return await _same_form(connection, site, request) if request else None
        await _tell_owner(services, connection, content)
        await audit.record(
            connection,
            "report.sign",
            person_id=visit.person.id,
            subject=site,
            detail={"number": row.number, "signed_name": row.signed_name, "sha256": row.sha256},
            address=address,
        )
        return row


async def _tell_owner(services: Services, connection: Connection, content: ReportContent) -> None:
    """In the transaction of the signature: both are kept, or neither."""
    token, token_hash = new_token()
    owner = await invitations.invite_owner(connection, content.site.id, token_hash)
    if owner is None:
        return
    said = words(owner.locale)
    base = services.settings.public_url.rstrip("/")
    link = f"{base}/sites/{content.site.id}" if owner.can_sign_in else f"{base}/invitation?token={token}"
    body = said["ready_body" if owner.can_sign_in else "invitation_body"].format(
        name=owner.name,
        installer=content.site.installer or said["somebody"],
        site=content.site.name,
        link=link,
        days=INVITATION_DAYS,
    )
    name = "".join(
        each if each.isprintable() else " " for each in content.site.name
    )  # a thin space is no reason not to write
    subject = said["invitation_subject"].format(site=name)
    try:
        await queue_mail(connection, recipient=owner.email, subject=subject[:MAIL_SUBJECT_CHARS_MAX], body=body)
    except BadInput as error:  # an address from before they were checked: the report is signed all the same
        log.warning("owner_not_told", site=content.site.id, error=error.detail)


@get("/sites/{site:str}/reports", operation_id="listReports", summary="Commissioning reports, the newest first")
async def list_reports(site: FromPath[str], visit: NamedDependency[Visit]) -> Page[ReportRow]:
    site_id = parse_site(site)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site_id)
        return Page(await reports.reports_of(connection, site_id), None)


@get("/sites/{site:str}/report-draft", operation_id="draftReport", summary="What a commissioning report would say now")
async def get_draft(
    site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ReportContent:
    """For installers and operations. Signing it makes it a report."""
    return await draft(services, visit, parse_site(site))


@post("/sites/{site:str}/reports", operation_id="signReport", summary="Sign the commissioning report")
async def post_report(
    site: FromPath[str],
    data: JSONBody[Signature],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ReportRow:
    """For installers and operations. It never changes; signing again makes the next number. The owner gets an e-mail."""
    return await sign(
        services,
        visit,
        parse_site(site),
        data.signed_name,
        client_address(request),
        notes=data.notes,
        request_id=data.request_id,
    )


@get("/sites/{site:str}/reports/{file:str}", operation_id="getReport", summary="A report's PDF: `3.pdf`", media_type=PDF)
async def get_pdf(
    site: FromPath[str], file: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Response[bytes]:
    site_id = parse_site(site)
    number = parse_number(file)
    return pdf_response(site_id, number, await pdf(services, visit, site_id, number))


def pdf_response(site: SiteId, number: int, document: bytes) -> Response[bytes]:
    headers = {"Content-Disposition": f'inline; filename="{site}-{number}.pdf"'}
    return Response(document, media_type=PDF, headers=headers)


def parse_number(file: str) -> int:
    """Of '3.pdf'; 0, which no report has, of anything else."""
    text = file.removesuffix(".pdf")
    if not (file.endswith(".pdf") and text.isascii() and text.isdigit() and len(text) < 7):
        return 0
    return int(text)


router = Router("/", route_handlers=[list_reports, get_draft, post_report, get_pdf], tags=["onboarding"])
