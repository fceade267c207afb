"""Commands of a device: their log, giving one, and each on a page of its own that shows how far it has got."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.command_catalog import CATALOG, CommandSpec
from fleet.device_setting import check_values, defaults_of
from fleet.device_setting import refusal as refusal_of
from fleet.errors import BadInput, FleetError
from fleet.limits import COMMAND_EXPIRES_S, PAGE_ITEMS
from fleet.order_messages import ConfigValue
from fleet.storage import commands as stored
from fleet.storage import registry
from fleet.storage.commands import CommandRow
from fleet.storage.registry import DeviceRow, SiteRow
from web.command_giving import (
    OPERATORS,
    NewCommand,
    cancel,
    give,
    may_give,
    may_give_something,
    must_hear,
    parse_command,
    spec_of,
)
from web.device_ids import parse_device
from web.errors import Forbidden, Problem, problem_of
from web.language import language_of
from web.pages import command_words
from web.pages.command_card import CommandCard, command_card
from web.pages.forms import Fields, fields_of, new_request_id, request_id_of
from web.pages.rendering import now_ms, page
from web.pages.setting_form import texts_of, values_in
from web.services import Services
from web.visits import Visit, client_address


class LogPage(msgspec.Struct, frozen=True):
    """older: the id where the next page begins."""

    site: SiteRow
    device: DeviceRow
    card: CommandCard
    commands: list[CommandRow]
    older: str | None


class GivingPage(msgspec.Struct, frozen=True):
    """confirming: the values are settled, and one more press sends them."""

    device: DeviceRow
    timezone: str
    spec: CommandSpec
    texts: dict[str, str]
    values: dict[str, ConfigValue]
    expires_in_s: int
    request_id: str
    confirming: bool = False


BeforeQuery = Annotated[str | None, QueryParameter(name="before", max_length=40, pattern=r"^[A-Za-z0-9-]+$")]
ShowQuery = Annotated[int, QueryParameter(name="show", ge=1, le=PAGE_ITEMS)]
NameQuery = Annotated[str, QueryParameter(name="name", max_length=40)]


@get("/devices/{device:str}/commands", include_in_schema=False)
async def commands_page(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    before: BeforeQuery = None,
    show: ShowQuery = PAGE_ITEMS,
) -> Response[str]:
    """show: so few of the newest, as the device's own page has them."""
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        site = await registry.site(connection, row.site)
        found = await stored.commands(connection, device=row.id, before=before, limit=show + 1)
        card = await command_card(connection, visit, row)
    older = found[show - 1].id if len(found) > show else None
    shown = LogPage(site, row, card, found[:show], older)
    return page(request, "commands.html", person=visit.person, shown=shown, show=show, before=before, **_now())


@get("/devices/{device:str}/commands/new", include_in_schema=False)
async def new_command_page(
    device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], name: NameQuery = ""
) -> Response[str]:
    shown = await _giving(visit, device, name)
    return page(request, "command_new.html", person=visit.person, shown=shown, refusal=None, errors={}, **_now())


@post("/devices/{device:str}/commands", include_in_schema=False)
async def give_command(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """What interrupts something is asked about once more, with its values."""
    fields = await fields_of(request)
    shown = await _giving(visit, device, fields.get("name", ""), fields)
    refusal: Problem | None = None
    try:
        if fields.get("do") == "change":
            pass  # the form again, with what was typed
        elif shown.spec.confirm and fields.get("confirmed") != "yes":
            _check(shown)
            shown = msgspec.structs.replace(shown, confirming=True)
        else:
            new = NewCommand(shown.spec.name, dict(shown.values), float(shown.expires_in_s))
            key = f"form-{shown.request_id}"
            row = await give(services, visit, shown.device.id, new, key, client_address(request))
            return Redirect(f"/commands/{row.id}", status_code=303)
    except FleetError as error:
        refusal = problem_of(error, language_of(request))
    errors = {each.field: each.message for each in refusal.errors} if refusal else {}
    return page(
        request,
        "command_new.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        errors=errors,
        **_now(),
    )


@get("/commands/{command:str}", include_in_schema=False)
async def command_page(
    command: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Response[str]:
    return await _command_page(request, visit, parse_command(command), None)


@post("/commands/{command:str}/cancel", include_in_schema=False)
async def cancel_command(
    command: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    command_id = parse_command(command)
    await fields_of(request)
    try:
        await cancel(services, visit, command_id, client_address(request))
    except FleetError as error:
        return await _command_page(request, visit, command_id, problem_of(error, language_of(request)))
    return Redirect(f"/commands/{command_id}", status_code=303)


async def _command_page(
    request: Request[Any, Any, Any], visit: Visit, command_id: str, refusal: Problem | None
) -> Response[str]:
    async with visit.enter() as connection:
        row = await stored.command(connection, command_id)
        spec = CATALOG.get(row.name)
        keeper = spec is not None and spec.keepers and await may_give_something(connection, visit, row.site)
    return page(
        request,
        "command.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        command=row,
        may_cancel=keeper or visit.person.role in OPERATORS,
        refusal=refusal,
        **_now(),
    )


async def _giving(visit: Visit, device: str, name: str, fields: Fields | None = None) -> GivingPage:
    """The form of a command as it was opened, or as it was sent.

    Raises NotFound (unknown_device), Forbidden (not_allowed), BadInput (behind_gateway, unknown_command), Conflict.
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        timezone = await registry.site_timezone(connection, row.site)
        addressee = await stored.addressee(connection, row.id)
        gives = await may_give_something(connection, visit, row.site)
    spec = spec_of(addressee, name)
    if not gives or (spec is not None and not may_give(visit, spec)):
        raise Forbidden("not_allowed", "this command is not for your role, or not at this site")
    must_hear(addressee)
    if spec is None:
        raise BadInput("unknown_command", f"this device knows no command {name[:40]!r}")
    values = defaults_of(spec.args) | (values_in(fields, spec.args) if fields is not None else {})
    known = {str(seconds): seconds for seconds, _ in command_words.VALIDITIES}
    expires_in_s = known.get((fields or {}).get("expires_in_s", ""), round(COMMAND_EXPIRES_S))
    request_id = new_request_id() if fields is None else request_id_of(fields)
    return GivingPage(row, timezone, spec, texts_of(values), values, expires_in_s, request_id)


def _check(shown: GivingPage) -> None:
    """Raises RefusedValues (bad_args)."""
    problems = check_values(shown.spec.args, shown.values)
    if problems:
        raise refusal_of("bad_args", problems)


def _now() -> dict[str, Any]:
    return {"now": now_ms(), "new_request_id": new_request_id}
