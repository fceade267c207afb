"""The data loggers of a site, and opening an account for one."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from fleet.errors import BadInput, FleetError, NotFound
from fleet.ids import DeviceId
from fleet.storage import drop_accounts, import_lists, pull_sources, registry
from fleet.storage.drop_accounts import DropAccount
from fleet.storage.import_lists import ConcernRow, LoggerFile
from fleet.storage.registry import SiteRow
from web.errors import Problem, problem_of
from web.language import language_of
from web.loggers import DropBox, NewLogger, drop_box, open_logger
from web.pages.forms import Fields, fields_of
from web.pages.password_cookie import remember
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import parse_site, site_keepers
from web.visits import Visit, client_address


class LoggersPage(msgspec.Struct, frozen=True):
    """box None: this platform has no drop box. late: those whose file is overdue. fetching: with servers to fetch from."""

    site: SiteRow
    box: DropBox | None
    loggers: list[DropAccount]
    files: dict[DeviceId, LoggerFile]
    late: frozenset[DeviceId]
    concerns: dict[DeviceId, list[ConcernRow]]
    fetching: frozenset[DeviceId]
    typed: Fields


@get("/sites/{site:str}/loggers", guards=[site_keepers], include_in_schema=False)
async def loggers_page(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[str]:
    return await _page(services, visit, request, site, {}, None)


@post("/sites/{site:str}/loggers", guards=[site_keepers], include_in_schema=False)
async def open_account(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    fields = await fields_of(request)
    try:
        opened = await open_logger(services, visit, parse_site(site), new_logger(fields), client_address(request))
    except FleetError as error:
        if isinstance(error, NotFound):
            raise
        return await _page(services, visit, request, site, fields, problem_of(error, language_of(request)))
    device = opened.logger.device
    response: Response[Any] = Redirect(f"/loggers/{device}", status_code=303)
    if opened.password is not None:
        remember(response, device, opened.password, services)
    return response


def new_logger(fields: Fields) -> NewLogger:
    """Raises BadInput (logger_name_needed, no_credential, bad_expectation)."""
    by_key = fields.get("login") == "key"
    keys = [fields["public_key"]] if by_key and fields.get("public_key") else []
    asked = {
        "name": fields.get("name", ""),
        "with_password": not by_key,
        "public_keys": keys,
        "expected_every_s": seconds_in(fields, "expected_every_s"),
    }
    if not asked["name"]:
        raise BadInput("logger_name_needed", "give the logger a name by which you will know it")
    try:
        return msgspec.convert(asked, NewLogger)
    except msgspec.ValidationError as error:
        raise BadInput("bad_ssh_key" if "public_keys" in str(error) else "invalid_request", str(error)) from None


def seconds_in(fields: Fields, name: str) -> int | None:
    """Raises BadInput (bad_expectation)."""
    text = fields.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadInput("bad_expectation", "not a number of seconds")
    return int(text)


async def _page(
    services: Services, visit: Visit, request: Request[Any, Any, Any], site: str, typed: Fields, refusal: Problem | None
) -> Response[str]:
    now = now_ms()
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
        await visit.must_keep(connection, row.id)
        loggers = await drop_accounts.accounts_of(connection, row.id, closed_too=True)
        files = await import_lists.newest_files(connection, row.id)
        sources = await pull_sources.pull_sources_of(connection, row.id)
        concerns = await import_lists.concerns(connection, row.id)
    shown = LoggersPage(
        site=row,
        box=box_or_none(services),
        loggers=sorted(loggers, key=lambda each: not each.open),
        files=files,
        late=frozenset(each.device for each in loggers if is_late(each, now)),
        concerns={each.device: [its for its in concerns if its.device == each.device] for each in concerns},
        fetching=frozenset(each.device for each in sources),
        typed=typed,
    )
    return page(
        request,
        "loggers.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        now=now,
    )


def box_or_none(services: Services) -> DropBox | None:
    try:
        return drop_box(services)
    except FleetError:
        return None


def is_late(account: DropAccount, now: int) -> bool:
    """The file that is expected has not come."""
    if account.expected_every_s is None or not account.open:
        return False
    return now - (account.last_file_at or account.created_at) > account.expected_every_s * 1000
