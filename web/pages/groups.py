"""Groups of devices for operations: what there is, a query to tick together, and the devices that it means now."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from fleet.device_setting import Setting
from fleet.errors import BadInput, FleetError
from fleet.ids import DeviceId, SiteId
from fleet.limits import GROUP_NAME_CHARS_MAX, PAGE_ITEMS
from fleet.storage import groups, profile_versions, target_choices, targets
from fleet.storage.database import Connection
from fleet.storage.groups import GroupRow
from fleet.storage.target_choices import TargetChoices
from fleet.targets import TargetQuery
from web.errors import ConfirmNeeded, Problem, problem_of
from web.groups import Found, GroupChange, GroupForm, change_group, look, make_group, parse_group, remove_group
from web.language import language_of
from web.pages.forms import MISSING, items_of
from web.pages.group_form import (
    GroupFields,
    ages,
    fields_from,
    fields_of_query,
    names_of,
    options_of,
    query_of,
)
from web.pages.operations import ZONE
from web.pages.rendering import now_ms, page
from web.paging import Cursor, decode_cursor, encode_cursor
from web.visits import Visit, client_address, operators

_ITEMS_MAX: Final = 2_500  # ten fields with all that they may hold
_NAME: Final = msgspec.json.Decoder(GroupForm)


@get("/ops/groups", guards=[operators], include_in_schema=False)
async def groups_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    """Without the counts: each comes by itself, so that a large fleet does not keep the list waiting."""
    async with visit.enter() as connection:
        rows = await groups.groups(connection)
        choices = await target_choices.choices(connection)
        settings = await settings_by_key(connection)
    names = names_of(choices, language_of(request))
    return page(
        request, "groups.html", person=visit.person, rows=rows, names=names, settings=settings, now=now_ms(), zone=ZONE
    )


@get("/ops/groups/{group:str}/count", guards=[operators], include_in_schema=False)
async def group_count(group: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    async with visit.enter() as connection:
        row = await groups.group(connection, parse_group(group))
        devices = await targets.count(connection, row.query)
    return page(request, "group_count.html", person=visit.person, devices=devices)


@get("/ops/groups/new", guards=[operators], include_in_schema=False)
async def new_group_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    return await _form(request, visit, None, fields_of_query(TargetQuery(), "", None))


@post("/ops/groups/new", guards=[operators], include_in_schema=False)
async def new_group(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[Any]:
    return await _sent(request, visit, None)


@get("/ops/groups/{group:str}", guards=[operators], include_in_schema=False)
async def group_page(group: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    row = await _row(visit, group)
    return await _form(request, visit, row, fields_of_query(row.query, row.name, row.revision))


@post("/ops/groups/{group:str}", guards=[operators], include_in_schema=False)
async def edit_group(group: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[Any]:
    return await _sent(request, visit, await _row(visit, group))


@post("/ops/groups/{group:str}/remove", guards=[operators], include_in_schema=False)
async def drop_group(group: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[Any]:
    try:
        await remove_group(visit, parse_group(group), client_address(request))
    except FleetError as error:
        row = await _row(visit, group)
        fields = fields_of_query(row.query, row.name, row.revision)
        return await _form(request, visit, row, fields, refusal=problem_of(error, language_of(request)))
    return Redirect("/ops/groups", status_code=303)


@get("/ops/groups/{group:str}/devices", guards=[operators], include_in_schema=False)
async def group_devices_page(
    group: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], cursor: Cursor = None
) -> Response[str]:
    after = decode_cursor(cursor, tuple[SiteId, DeviceId])
    async with visit.enter() as connection:
        row = await groups.group(connection, parse_group(group))
        found = await targets.matching(connection, row.query, limit=PAGE_ITEMS + 1, after=after)
        devices = await targets.count(connection, row.query)
    shown = found[:PAGE_ITEMS]
    more = encode_cursor((shown[-1].site, shown[-1].device)) if len(found) > PAGE_ITEMS else None
    return page(
        request,
        "group_devices.html",
        person=visit.person,
        row=row,
        shown=shown,
        devices=devices,
        more=more,
        continued=after is not None,
        now=now_ms(),
        zone=ZONE,
    )


async def settings_by_key(connection: Connection) -> dict[str, Setting]:
    """To name what a template holds: of profiles that share a key, any."""
    return {each.key: each for row in await profile_versions.profiles(connection) for each in row.definition.settings}


async def _row(visit: Visit, group: str) -> GroupRow:
    async with visit.enter() as connection:
        return await groups.group(connection, parse_group(group))


async def _sent(request: Request[Any, Any, Any], visit: Visit, row: GroupRow | None) -> Response[Any]:
    """Looked at, unless its button says save; and then once more, if it means nobody or everybody."""
    items = await items_of(request, _ITEMS_MAX)
    fields = fields_from(items)
    if ("do", "save") not in items:
        return await _form(request, visit, row, fields)
    errors: dict[str, str] = {}
    try:
        query = query_of(fields)
        async with visit.enter() as connection:
            found = await look(connection, query)
        if not fields.name:
            errors["name"] = MISSING
        elif found.warning is None or found.warning == fields.confirmed:
            return await _save(request, visit, row, fields, query)
    except ConfirmNeeded as error:
        return await _form(request, visit, row, fields, joining=error.count)
    except FleetError as error:
        return await _form(request, visit, row, fields, refusal=problem_of(error, language_of(request)))
    return await _form(request, visit, row, fields, errors=errors, asks=not errors)


async def _save(
    request: Request[Any, Any, Any], visit: Visit, row: GroupRow | None, fields: GroupFields, query: TargetQuery
) -> Redirect:
    try:
        form = msgspec.convert({"name": fields.name, "query": query}, GroupForm)
    except msgspec.ValidationError:
        raise BadInput("bad_group_name", f"a name is one line of at most {GROUP_NAME_CHARS_MAX} characters") from None
    address = client_address(request)
    if row is None:
        made = await make_group(visit, form.name, form.query, address)
        return Redirect(f"/ops/groups/{made.group.id}?saved=1", status_code=303)
    count = _number(fields.confirm_count)
    await change_group(visit, row.id, _number(fields.revision) or 0, GroupChange(form.name, form.query, count), address)
    return Redirect(f"/ops/groups/{row.id}?saved=1", status_code=303)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


async def _form(
    request: Request[Any, Any, Any],
    visit: Visit,
    row: GroupRow | None,
    fields: GroupFields,
    *,
    refusal: Problem | None = None,
    errors: dict[str, str] | None = None,
    asks: bool = False,
    joining: int | None = None,
) -> Response[str]:
    """asks: for a confirmation of what the query means; joining: and of so many devices that a rollout would be brought."""
    found: Found | None = None
    query: TargetQuery | None = None
    async with visit.enter() as connection:
        language = language_of(request)
        choices: TargetChoices = await target_choices.choices(connection)
        settings = await settings_by_key(connection) if row is not None else {}
        try:
            query = query_of(fields)
            found = await look(connection, query)
        except BadInput as error:
            refusal = refusal or problem_of(error, language)
    return page(
        request,
        "group.html",
        person=visit.person,
        status=refusal.status if refusal and "HX-Request" not in request.headers else 200,
        row=row,
        fields=fields,
        options=options_of(choices, fields, language),
        ages=ages,
        names=names_of(choices, language),
        query=query,
        found=found,
        asks=asks,
        joining=joining,
        errors=errors or {},
        refusal=refusal,
        saved="saved" in request.query_params,
        settings=settings,
        now=now_ms(),
        zone=ZONE,
    )
