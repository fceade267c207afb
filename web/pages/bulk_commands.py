"""Commands of all devices, for operations: their log, and one command for many devices, counted before it is given."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.command_catalog import CATALOG, CommandSpec
from fleet.commands import OPEN_STATES
from fleet.device_setting import defaults_of
from fleet.errors import FleetError, NotFound
from fleet.limits import BATCH_COMMANDS_SHOWN, COMMAND_EXPIRES_S, PAGE_ITEMS
from fleet.storage import command_batches, groups, target_choices
from fleet.storage import commands as stored
from fleet.storage.command_batches import BatchRow
from fleet.storage.commands import CommandRow, Standing
from fleet.storage.database import Connection
from fleet.storage.groups import GroupRow
from fleet.storage.target_choices import TargetChoices
from fleet.targets import TargetQuery
from web.command_batches import BulkCommand, complete, give_to_many, parse_batch
from web.command_selection import Plan, Selection, plan, query_of
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.bulk_form import BulkForm, bulk_form, selection_of
from web.pages.command_words import Show, states_of
from web.pages.forms import Fields, fields_of
from web.pages.operations import ZONE
from web.pages.rendering import now_ms, page
from web.services import Services
from web.visits import Visit, client_address, operators

_BATCHES: Final = 5

ShowQuery = Annotated[Show | None, QueryParameter(name="show")]
BeforeQuery = Annotated[str | None, QueryParameter(name="before", max_length=40, pattern=r"^[A-Za-z0-9-]+$")]
GroupQuery = Annotated[str, QueryParameter(name="group", max_length=40)]
NameQuery = Annotated[str, QueryParameter(name="name", max_length=40)]


class FleetLog(msgspec.Struct, frozen=True):
    """older: the id where the next page begins. group: the one that a command is to be given to."""

    commands: list[CommandRow]
    older: str | None
    standing: Standing
    batches: list[BatchRow]
    show: Show | None
    group: GroupRow | None


class BulkPage(msgspec.Struct, frozen=True):
    """planned: whom it would be for; None: not counted yet."""

    spec: CommandSpec
    form: BulkForm
    groups: list[GroupRow]
    choices: TargetChoices
    planned: Plan | None = None


@get("/ops/commands", guards=[operators], include_in_schema=False)
async def fleet_commands_page(
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    show: ShowQuery = None,
    before: BeforeQuery = None,
    group: GroupQuery = "",
) -> Response[str]:
    async with visit.enter() as connection:
        found = await stored.commands(connection, states=states_of(show), before=before, limit=PAGE_ITEMS + 1)
        shown = FleetLog(
            found[:PAGE_ITEMS],
            found[PAGE_ITEMS - 1].id if len(found) > PAGE_ITEMS else None,
            await stored.standing(connection, 0),
            await command_batches.newest(connection, _BATCHES),
            show,
            next((each for each in await groups.groups(connection) if each.id == group), None),
        )
    specs = list(CATALOG.values())
    return page(
        request, "fleet_commands.html", person=visit.person, shown=shown, specs=specs, before=before, now=now_ms(), zone=ZONE
    )


@get("/ops/commands/new", guards=[operators], include_in_schema=False)
async def new_bulk_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], name: NameQuery = "", group: GroupQuery = ""
) -> Response[str]:
    async with visit.enter():
        spec = _spec(name)
    fields = {"group": group, "expires_in_s": str(round(COMMAND_EXPIRES_S))}
    return await _bulk_page(request, visit, spec, bulk_form(spec, fields, defaults_of(spec.args)), None, None)


@post("/ops/commands/new", guards=[operators], include_in_schema=False)
async def give_bulk(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Response[Any]:
    """First it is counted; with that count it is given."""
    fields = await fields_of(request)
    async with visit.enter():
        spec = _spec(fields.get("name", ""))
    form = bulk_form(spec, fields, defaults_of(spec.args))
    planned, refusal = None, None
    if fields.get("do") == "change":
        return await _bulk_page(request, visit, spec, form, None, None)
    try:
        selection = selection_of(form)
        planned = await _planned(visit, selection, spec, form)
        confirmed = _count(fields)
        if confirmed is None:
            planned.check(len(planned.addressed))
        else:
            new = BulkCommand(selection, spec.name, dict(form.values), float(form.expires_in_s), confirmed)
            row = await give_to_many(services, visit, new, f"form-{form.request_id}", client_address(request))
            return Redirect(f"/ops/commands/{row.id}", status_code=303)
    except FleetError as error:
        refusal = problem_of(error, language_of(request))
        planned = planned if error.code == "confirm_needed" else None
    return await _bulk_page(request, visit, spec, form, planned, refusal)


@get("/ops/commands/{batch:str}", guards=[operators], include_in_schema=False)
async def batch_page(
    batch: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], show: ShowQuery = None
) -> Response[str]:
    return await _batch_page(request, visit, parse_batch(batch), show, None)


@post("/ops/commands/{batch:str}/complete", guards=[operators], include_in_schema=False)
async def complete_batch(
    batch: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    batch_id = parse_batch(batch)
    await fields_of(request)
    try:
        await complete(services, visit, batch_id)
    except FleetError as error:
        return await _batch_page(request, visit, batch_id, None, problem_of(error, language_of(request)))
    return Redirect(f"/ops/commands/{batch_id}", status_code=303)


async def _batch_page(
    request: Request[Any, Any, Any], visit: Visit, batch_id: str, show: Show | None, refusal: Problem | None
) -> Response[str]:
    async with visit.enter() as connection:
        row = await command_batches.batch(connection, batch_id)
        found = await stored.commands(connection, batch=row.id, states=states_of(show), limit=BATCH_COMMANDS_SHOWN + 1)
        selection = msgspec.convert(row.selection, Selection)
        query = await _query_or_none(connection, selection)
    return page(
        request,
        "command_batch.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        batch=row,
        commands=found[:BATCH_COMMANDS_SHOWN],
        more=len(found) > BATCH_COMMANDS_SHOWN,
        ended=sum(count for state, count in row.counts.items() if state not in OPEN_STATES),
        query=query,
        show=show,
        refusal=refusal,
        now=now_ms(),
        zone=ZONE,
    )


async def _query_or_none(connection: Connection, selection: Selection) -> TargetQuery | None:
    """None when its group is gone."""
    try:
        return await query_of(connection, selection)
    except NotFound:
        return None


async def _planned(visit: Visit, selection: Selection, spec: CommandSpec, form: BulkForm) -> Plan:
    async with visit.enter() as connection:
        return await plan(connection, await query_of(connection, selection), spec.name, form.values)


async def _bulk_page(
    request: Request[Any, Any, Any],
    visit: Visit,
    spec: CommandSpec,
    form: BulkForm,
    planned: Plan | None,
    refusal: Problem | None,
) -> Response[str]:
    async with visit.enter() as connection:
        shown = BulkPage(spec, form, await groups.groups(connection), await target_choices.choices(connection), planned)
    errors = {each.field: each.message for each in refusal.errors} if refusal else {}
    return page(
        request,
        "bulk_command.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        errors=errors,
        now=now_ms(),
    )


def _spec(name: str) -> CommandSpec:
    """Raises NotFound (unknown_command)."""
    if name not in CATALOG:
        raise NotFound("unknown_command", f"there is no command {name[:40]!r}")
    return CATALOG[name]


def _count(fields: Fields) -> int | None:
    """What was confirmed."""
    text = fields.get("confirm_count", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
