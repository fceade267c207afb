"""One command for many devices: POST /commands, and /command-batches/{batch}: how far those of a selection have got."""

import time
from collections import Counter
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import ServerSentEvent

from fleet.errors import Conflict, NotFound
from fleet.limits import BULK_TARGETS_MAX, COMMAND_EXPIRES_S, PAGE_ITEMS
from fleet.orders import CommandWish
from fleet.storage import audit, command_batches, notices
from fleet.storage import commands as stored
from fleet.storage.command_batches import BatchRow, NewBatch
from fleet.storage.commands import CommandRow
from fleet.storage.database import Connection
from web.command_giving import CommandName, ExpiresIn, new_id
from web.command_selection import Plan, Selection, plan, plan_again, query_of
from web.commands import IdempotencyKey, StateQuery, command_page, parse_position
from web.news import Retold
from web.paging import Cursor, Limit, Page
from web.services import Services
from web.streams import EVENTS, event_stream
from web.visits import Visit, client_address, operators


class BulkCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """confirm_count: so many devices you expect it to be for; needed for a large selection, and held to whenever given."""

    target: Selection
    name: CommandName
    args: dict[str, Any] = {}
    expires_in_s: ExpiresIn = COMMAND_EXPIRES_S
    confirm_count: Annotated[int, msgspec.Meta(ge=0, le=BULK_TARGETS_MAX)] | None = None


async def give_to_many(services: Services, visit: Visit, new: BulkCommand, key: str | None, address: str) -> BatchRow:
    """For ops and admins. Every device's command is stored when this returns; the same key completes what was cut short.

    Raises Forbidden (not_allowed), BadInput (empty_selection, too_many_targets), RefusedValues (bad_args), Conflict
    (confirm_needed, key_reused, batch_unlisted), Unavailable.
    """
    now = time.time_ns() // 1_000_000
    selection = msgspec.json.decode(msgspec.json.encode(new.target))  # as it comes back from the database
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        person_id = visit.person.id
        began = await command_batches.earlier(connection, person_id, key, new.name, new.args, selection)
        if began is not None and began.issued_at is not None:
            return began
        if began is None:
            planned = await plan(connection, await query_of(connection, new.target), new.name, new.args)
            planned.check(new.confirm_count)
            wanted = NewBatch(
                new_id(now),
                new.name,
                new.args,
                selection,
                now + round(new.expires_in_s * 1000),
                tuple(each.device for each in planned.addressed),
                planned.skipped,
                person_id,
                key,
            )
            began, is_new = await command_batches.begin(connection, wanted)
            if is_new:
                detail = {"name": new.name, "args": new.args, "target": selection, "devices": began.devices}
                await audit.record(
                    connection, "command.bulk", person_id=person_id, subject=began.id, detail=detail, address=address
                )
        rest = await _rest(connection, began)
    return await _carry_out(services, visit, began, rest)


async def complete(services: Services, visit: Visit, batch_id: str) -> BatchRow:
    """One that was cut short: the devices it was confirmed for that have no command of it get theirs. For ops and admins.

    Raises NotFound (unknown_batch), Forbidden (not_allowed), Conflict (batch_expired, batch_unlisted), Unavailable.
    """
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        began = await command_batches.batch(connection, batch_id)
        if began.issued_at is not None:
            return began
        if began.expires_at <= time.time_ns() // 1_000_000:
            raise Conflict("batch_expired", "it is not valid any more: nothing would be sent")
        rest = await _rest(connection, began)
    return await _carry_out(services, visit, began, rest)


async def _rest(connection: Connection, batch: BatchRow) -> Plan:
    """Whom it was confirmed for; not who matches by now, of whom nobody was asked. Raises Conflict (batch_unlisted)."""
    return await plan_again(connection, await command_batches.addressed(connection, batch.id), batch.name, batch.args)


async def _carry_out(services: Services, visit: Visit, batch: BatchRow, planned: Plan) -> BatchRow:
    now = time.time_ns() // 1_000_000
    wishes = [
        CommandWish(
            new_id(now),
            each.site,
            each.device,
            each.spec.name,
            dict(each.args),
            expires_at=batch.expires_at,
            run_s=each.spec.run_s,
            person_id=batch.created_by,
            idempotency_key=f"{batch.id}/{each.device}",  # whoever completes this one later gives no device a second one
            batch=batch.id,
        )
        for each in planned.addressed
    ]
    answers = await services.door.twins().issue_commands(wishes)
    refused = Counter(answer.problem.code for answer in answers if answer.problem is not None)
    async with visit.enter() as connection:
        given = len(answers) - refused.total()
        await command_batches.finish(
            connection, batch.id, given, Counter(batch.skipped) + Counter(planned.skipped) + refused
        )
        return await command_batches.batch(connection, batch.id)


@post(
    "/commands",
    status_code=202,
    operation_id="giveCommandToMany",
    summary="Ask a selection of devices to do something",
)
async def post_commands(
    data: JSONBody[BulkCommand],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    key: IdempotencyKey = None,
) -> Response[BatchRow]:
    """409 `confirm_needed` with the count when many are meant, or all. `skipped`: reason → devices that cannot be told."""
    row = await give_to_many(services, visit, data, key, client_address(request))
    return Response(row, status_code=202, headers={"Location": f"/api/v1/command-batches/{row.id}"})


@get("/command-batches", operation_id="listCommandBatches", summary="The newest commands for many devices")
async def list_batches(visit: NamedDependency[Visit]) -> Page[BatchRow]:
    async with visit.enter() as connection:
        return Page(await command_batches.newest(connection, PAGE_ITEMS), None)


@get(
    "/command-batches/{batch:str}",
    operation_id="getCommandBatch",
    summary="A command for many devices, and how many of them have got how far",
)
async def get_batch(batch: FromPath[str], visit: NamedDependency[Visit]) -> BatchRow:
    async with visit.enter() as connection:
        return await command_batches.batch(connection, parse_batch(batch))


@get("/command-batches/{batch:str}/commands", operation_id="listBatchCommands", summary="Its commands, newest first")
async def list_batch_commands(
    batch: FromPath[str],
    visit: NamedDependency[Visit],
    wanted: StateQuery = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[CommandRow]:
    before = parse_position(cursor)
    async with visit.enter() as connection:
        row = await command_batches.batch(connection, parse_batch(batch))
        states = [wanted] if wanted else None
        found = await stored.commands(connection, batch=row.id, states=states, before=before, limit=limit + 1)
    return command_page(found, limit)


@get(
    "/command-batches/{batch:str}/events",
    operation_id="streamCommandBatch",
    summary="`batch` events: its counts, whenever they change",
    media_type=EVENTS,
)
async def stream_batch(
    batch: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    batch_id = parse_batch(batch)

    async def look() -> bytes:
        async with visit.enter() as connection:
            return msgspec.json.encode(await command_batches.batch(connection, batch_id))

    async def may_see() -> None:
        await look()

    await may_see()
    feed = Retold(services.news.watch(notices.ORDER), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "batch", feed.first, feed, may_see)


@post(
    "/command-batches/{batch:str}/complete",
    status_code=200,
    operation_id="completeCommandBatch",
    summary="Give the rest of one that was cut short",
)
async def post_complete(
    batch: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> BatchRow:
    """Only those it was confirmed for; who has theirs gets no second one. 409 once it is not valid any more."""
    return await complete(services, visit, parse_batch(batch))


def parse_batch(text: str) -> str:
    """Raises NotFound: what cannot be an id names none."""
    if not (text.isascii() and text.replace("-", "").isalnum() and len(text) <= 40):
        raise NotFound("unknown_batch", "no such command for several devices")
    return text


router = Router(
    "/",
    route_handlers=[post_commands, list_batches, get_batch, list_batch_commands, stream_batch, post_complete],
    guards=[operators],
    tags=["commands"],
)
