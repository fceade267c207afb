"""A server to fetch files from: its address, then its key to compare, then how to log in; and a key that has changed."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from fleet.errors import BadInput, FleetError, NotFound
from fleet.storage import drop_accounts, pull_sources
from fleet.storage.drop_accounts import DropAccount
from fleet.storage.pull_sources import PullSource
from web.device_ids import parse_device
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.forms import Fields, fields_of
from web.pages.rendering import page
from web.pull_sources import (
    Host,
    NewSource,
    ShownKey,
    fetch_now,
    form_of,
    make_source,
    parse_source,
    pin,
    remove_source,
    shown_key,
)
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address


class PullPage(msgspec.Struct, frozen=True):
    """key: what the server shows, to be compared; None: its address is to be typed. source: one whose key has changed."""

    logger: DropAccount
    key: ShownKey | None
    source: PullSource | None
    typed: Fields


@get("/loggers/{device:str}/fetch", guards=[site_keepers], include_in_schema=False)
async def pull_page(device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    return _page(request, visit, await _shown(visit, device, {}), None)


@post("/loggers/{device:str}/fetch", guards=[site_keepers], include_in_schema=False)
async def pull_step(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """Without a key that was compared: asks the server for it. With one: fetches from then on."""
    fields = await fields_of(request)
    name = parse_device(device)
    try:
        if not fields.get("host_key"):
            key = await shown_key(services, visit, name, _host(fields))
            return _page(request, visit, await _shown(visit, device, fields, key=key), None)
        await make_source(services, visit, name, _new_source(fields), client_address(request))
    except FleetError as error:
        if isinstance(error, NotFound):
            raise
        again = await _key_again(services, visit, device, fields)
        shown = await _shown(visit, device, fields, key=again)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    return Redirect(f"/loggers/{name}#servers", status_code=303)


@post("/pull-sources/{source:str}/{what:str}", guards=[site_keepers], include_in_schema=False)
async def change_source(
    source: FromPath[str],
    what: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """fetch: now; compare: its key as it is now; pin: that key was compared; remove."""
    fields = await fields_of(request)
    address = client_address(request)
    source_id = parse_source(source)
    async with visit.enter() as connection:
        row = await pull_sources.pull_source(connection, source_id)
    if what == "compare":
        return await _compare(services, visit, request, row)
    if what == "fetch":
        await fetch_now(services, visit, source_id)
    elif what == "pin":
        await pin(visit, source_id, fields.get("host_key", ""), address)
    elif what == "remove":
        await remove_source(visit, source_id, address)
    else:
        raise NotFound("unknown_route", "there is nothing at this address")
    return Redirect(f"/loggers/{row.device}#servers", status_code=303)


async def _compare(services: Services, visit: Visit, request: Request[Any, Any, Any], row: PullSource) -> Response[str]:
    try:
        key = await shown_key(services, visit, row.device, Host(row.host, row.port))
    except FleetError as error:
        shown = await _shown(visit, row.device, {}, source=row)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    return _page(request, visit, await _shown(visit, row.device, {}, key=key, source=row), None)


async def _key_again(services: Services, visit: Visit, device: str, fields: Fields) -> ShownKey | None:
    """The key that the form has brought back: it was compared already."""
    if not fields.get("host_key"):
        return None
    try:
        return await shown_key(services, visit, parse_device(device), _host(fields))
    except FleetError:
        return None


def _host(fields: Fields) -> Host:
    """Raises BadInput (bad_source)."""
    try:
        return msgspec.convert({"host": fields.get("host", ""), "port": _port(fields)}, Host)
    except msgspec.ValidationError as error:
        raise BadInput("bad_source", str(error)) from None


def _new_source(fields: Fields) -> NewSource:
    """Raises BadInput (bad_source)."""
    server = form_of(
        {
            "host": fields.get("host", ""),
            "port": _port(fields),
            "username": fields.get("username", ""),
            "folder": fields.get("folder") or ".",
            "pattern": fields.get("pattern") or "*",
            "every_s": int(fields["every_s"]) if fields.get("every_s", "").isdecimal() else 3_600,
        }
    )
    by_key = fields.get("auth") == "key"
    password = "" if by_key else fields.get("password", "")
    return NewSource(server, fields["host_key"], "key" if by_key else "password", password)


def _port(fields: Fields) -> int:
    text = fields.get("port") or "22"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


async def _shown(
    visit: Visit, device: str, typed: Fields, *, key: ShownKey | None = None, source: PullSource | None = None
) -> PullPage:
    async with visit.enter() as connection:
        logger = await drop_accounts.account(connection, parse_device(device))
        await visit.must_keep(connection, logger.site)
    return PullPage(logger, key, source, {name: text for name, text in typed.items() if name != "password"})


def _page(request: Request[Any, Any, Any], visit: Visit, shown: PullPage, refusal: Problem | None) -> Response[str]:
    return page(
        request,
        "pull.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
    )
