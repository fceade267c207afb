"""A data logger: what to type into it, what opens its account, how its files are read, and servers to fetch from for it."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from fleet.errors import FleetError, NotFound
from fleet.storage import drop_accounts, import_lists, pull_sources, registry
from fleet.storage.drop_accounts import DropAccount
from fleet.storage.import_lists import FileRow
from fleet.storage.pull_sources import PullSource
from fleet.storage.registry import DeviceRow, SiteRow
from web.device_ids import parse_device
from web.errors import Problem, problem_of
from web.import_views import Import
from web.imports import told
from web.language import language_of
from web.loggers import (
    DropBox,
    LoggerChange,
    add_key,
    change_logger,
    close_logger,
    new_password,
    remove_key,
    remove_password,
)
from web.pages.format_choice import format_choices
from web.pages.forms import fields_of
from web.pages.import_file import settings_in
from web.pages.loggers import box_or_none, is_late, seconds_in
from web.pages.password_cookie import forget, remember, remembered
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address

_FILES = 5


class LoggerPage(msgspec.Struct, frozen=True):
    """password: while the screen that made it shows it. owners: whose its readings can be. choices: formats, id and name."""

    site: SiteRow
    logger: DropAccount
    box: DropBox | None
    password: str | None
    late: bool
    files: list[Import]
    sources: list[PullSource]
    owners: list[DeviceRow]
    choices: list[tuple[str, str]]
    can_fetch: bool


@get("/loggers/{device:str}", guards=[site_keepers], include_in_schema=False)
async def logger_page(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[str]:
    return await _page(services, visit, request, device, None)


@post("/loggers/{device:str}/{what:str}", guards=[site_keepers], include_in_schema=False)
async def change_logger_page(
    device: FromPath[str],
    what: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """Each form of the page has its address: password, noted, no-password, keys, forget-key, settings, close."""
    fields = await fields_of(request)
    address = client_address(request)
    name = parse_device(device)
    response: Response[Any] = Redirect(f"/loggers/{name}", status_code=303)
    try:
        if what == "password":
            remember(response, name, await new_password(visit, name, address), services)
        elif what == "noted":
            forget(response, name)
        elif what == "no-password":
            await remove_password(visit, name, address)
        elif what == "keys":
            await add_key(visit, name, fields.get("public_key", ""), address)
        elif what == "forget-key":
            await remove_key(visit, name, fields.get("fingerprint", ""), address)
        elif what == "settings":
            async with visit.enter() as connection:
                before = await drop_accounts.account(connection, name)
            change = LoggerChange(
                settings=settings_in(fields, before.settings),
                expected_every_s=seconds_in(fields, "expected_every_s"),
                legacy="legacy" in fields,
            )
            await change_logger(visit, name, change, address)
        elif what == "close":
            await close_logger(visit, name, address)
            forget(response, name)
        else:
            raise NotFound("unknown_route", "there is nothing at this address")
    except FleetError as error:
        if isinstance(error, NotFound) and error.code != "unknown_key":
            raise
        return await _page(services, visit, request, device, problem_of(error, language_of(request)))
    return response


async def _page(
    services: Services, visit: Visit, request: Request[Any, Any, Any], device: str, refusal: Problem | None
) -> Response[str]:
    now = now_ms()
    async with visit.enter() as connection:
        language = language_of(request)
        logger = await drop_accounts.account(connection, parse_device(device))
        site = await registry.site(connection, logger.site)
        await visit.must_keep(connection, site.id)
        rows: list[FileRow] = await import_lists.files(connection, sites=[site.id], device=logger.device, limit=_FILES)
        files = await told(connection, rows, language)
        sources = [each for each in await pull_sources.pull_sources_of(connection, site.id) if each.device == logger.device]
        owners = [each for each in await registry.devices_of(connection, site.id) if each.kind != "gateway"]
        choices = await format_choices(connection, site.id, language)
    shown = LoggerPage(
        site=site,
        logger=logger,
        box=box_or_none(services),
        password=remembered(request),
        late=is_late(logger, now),
        files=files,
        sources=sources,
        owners=owners,
        choices=choices,
        can_fetch=services.settings.pull_key_file is not None,
    )
    return page(
        request,
        "logger.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        now=now,
    )
