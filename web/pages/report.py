"""The end of a commissioning: what the report will say, what is still missing, the signature, the PDFs."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.errors import BadInput, FleetError, NotFound
from fleet.storage import claims, reports
from fleet.storage.claims import ClaimRow
from fleet.storage.reports import ReportRow
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.forms import fields_of, new_request_id, request_id_of
from web.pages.rendering import now_ms, page
from web.report_content import ReportContent, ReportDevice
from web.report_draft import draft
from web.reports import sign
from web.services import Services
from web.sites import parse_site, site_keepers
from web.visits import Visit, client_address

_NAME_CHARS_MAX: Final = 120
_NOTES_CHARS_MAX: Final = 2_000


class Missing(msgspec.Struct, frozen=True):
    """What an installer should look at before signing. None of it forbids to sign: some roofs are in the shade today."""

    no_devices: bool
    no_arrays: bool
    no_pdl: bool
    silent: list[ReportDevice]
    failed: list[ReportDevice]
    waiting: list[ClaimRow]

    @property
    def any(self) -> bool:
        return any((self.no_devices, self.no_arrays, self.no_pdl, self.silent, self.failed, self.waiting))


def missing_of(content: ReportContent, open_claims: list[ClaimRow]) -> Missing:
    """A gateway of which nothing is measured is silent when it holds no certificate."""
    return Missing(
        no_devices=not content.devices,
        no_arrays=not content.site.arrays,
        no_pdl=content.site.pdl is None,
        silent=[each for each in content.devices if each.kind != "gateway" and each.first_at is None],
        failed=[each for each in content.devices if any(check.state == "failed" for check in each.checks)],
        waiting=open_claims,
    )


Signed = Annotated[int | None, QueryParameter(ge=1)]


@get("/sites/{site:str}/report", guards=[site_keepers], include_in_schema=False)
async def report_page(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    signed: Signed = None,
) -> Response[str]:
    """signed: the number of the report that was signed a moment ago."""
    return await _page(request, services, visit, site, {"request_id": new_request_id()}, None, signed)


@post("/sites/{site:str}/report", guards=[site_keepers], include_in_schema=False)
async def sign_report(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    fields = await fields_of(request)
    fields["request_id"] = request_id_of(fields)
    name, notes = fields.get("signed_name", ""), fields.get("notes", "")
    try:
        if not name or len(name) > _NAME_CHARS_MAX:
            raise BadInput("no_signature", "type your name to sign")
        made = await sign(
            services,
            visit,
            parse_site(site),
            name,
            client_address(request),
            notes=notes[:_NOTES_CHARS_MAX],
            request_id=fields["request_id"],
        )
    except FleetError as error:
        if isinstance(error, NotFound):
            raise
        return await _page(request, services, visit, site, fields, problem_of(error, language_of(request)), None)
    return Redirect(f"/sites/{made.site}/report?signed={made.number}#signed", status_code=303)


async def _page(
    request: Request[Any, Any, Any],
    services: Services,
    visit: Visit,
    site: str,
    fields: dict[str, str],
    refusal: Problem | None,
    signed: int | None,
) -> Response[str]:
    site_id = parse_site(site)
    content = await draft(services, visit, site_id)
    async with visit.enter() as connection:
        made: list[ReportRow] = await reports.reports_of(connection, site_id)
        open_claims = await claims.open_claims(connection, site_id)
    return page(
        request,
        "report.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        content=content,
        keeper=True,  # nobody else gets a draft
        missing=missing_of(content, open_claims),
        reports=made,
        signed=next((row for row in made if row.number == signed), None),
        typed=fields,
        refusal=refusal,
        now=now_ms(),
    )
