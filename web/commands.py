"""What a device can be asked to do, asking it, and what became of it: /devices/{device}/commands, /commands/{command}."""

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import ServerSentEvent

from fleet.command_catalog import CommandSpec, commands_of
from fleet.commands import CommandState
from fleet.errors import FleetError
from fleet.ids import DeviceId
from fleet.limits import (
    COMMAND_EXPIRES_MAX_S,
    COMMAND_EXPIRES_MIN_S,
    COMMAND_EXPIRES_S,
    COMMAND_WAIT_S_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    PAGE_ITEMS,
)
from fleet.storage import commands as stored
from fleet.storage import notices, registry
from fleet.storage.commands import CommandRow
from fleet.storage.database import Connection
from web.command_giving import (
    NewCommand,
    cancel,
    give,
    look_at,
    may_give,
    may_give_something,
    must_hear,
    parse_command,
)
from web.command_waiting import CommandFeed, until_further
from web.device_ids import parse_device
from web.news import Retold
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.streams import EVENTS, event_stream
from web.visits import Visit, client_address, operators

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=IDEMPOTENCY_KEY_CHARS_MAX,
        pattern=r"^[\x21-\x7e]+$",
        description="Yours alone: however often a request with it is sent, it gives one command",
    ),
]
WaitQuery = Annotated[
    float,
    QueryParameter(
        name="wait_s",
        ge=0,
        le=COMMAND_WAIT_S_MAX,
        description="Answer as soon as the command gets into another state, and at the latest after so many seconds",
    ),
]
StateQuery = Annotated[CommandState | None, QueryParameter(name="state", description="Those in this state only")]
UntilQuery = Annotated[
    Literal["change", "end"],
    QueryParameter(name="wait_for", description="With wait_s: the next state, or how it ended"),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        max_length=200,
        description="`wait=10` (RFC 7240): answer once the command has ended, and at the latest after so many seconds",
    ),
]
_CommandId = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^[^\x00]*$")]


class CatalogEntry(msgspec.Struct, frozen=True):
    """may_give: whether you may give it to this device."""

    command: CommandSpec
    may_give: bool


class Catalog(msgspec.Struct, frozen=True):
    """refused: code of the reason why this device cannot be told anything; null: it can."""

    commands: list[CatalogEntry]
    refused: str | None
    expires_default_s: float = COMMAND_EXPIRES_S
    expires_min_s: float = COMMAND_EXPIRES_MIN_S
    expires_max_s: float = COMMAND_EXPIRES_MAX_S


async def catalog_of(connection: Connection, visit: Visit, device: DeviceId) -> Catalog:
    """Raises NotFound (unknown_device)."""
    addressee = await stored.addressee(connection, device)
    gives = await may_give_something(connection, visit, addressee.site)
    refused = None
    try:
        must_hear(addressee)
    except FleetError as error:
        refused = error.code
    return Catalog([CatalogEntry(spec, gives and may_give(visit, spec)) for spec in commands_of(addressee.profile)], refused)


@get(
    "/devices/{device:str}/command-catalog",
    operation_id="listKnownCommands",
    summary="What this device can be asked to do, with the arguments of each",
)
async def get_catalog(device: FromPath[str], visit: NamedDependency[Visit]) -> Catalog:
    async with visit.enter() as connection:
        return await catalog_of(connection, visit, parse_device(device))


@post("/devices/{device:str}/commands", status_code=202, operation_id="giveCommand", summary="Ask a device to do something")
async def post_command(
    device: FromPath[str],
    data: JSONBody[NewCommand],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[CommandRow]:
    """Kept until the device has it or it expires, whatever is restarted meanwhile. Done at most once, in the order given.

    `sent` says that it was handed to the broker; that the device has it, only the device says (`accepted`). 200 when it has
    ended already, which `Prefer: wait` waits for.
    """
    wait_s = wished_wait_s(prefer)

    async def follow(command_id: str) -> CommandRow:
        row = await look_at(visit, command_id)
        return await until_further(services, visit, row, partial(look_at, visit, command_id), wait_s, until_end=True)

    row = await give(services, visit, parse_device(device), data, key, client_address(request), follow)
    headers = {"Location": f"/api/v1/commands/{row.id}"}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
    return Response(row, status_code=202 if row.is_open else 200, headers=headers)


@get("/devices/{device:str}/commands", operation_id="listDeviceCommands", summary="A device's commands, newest first")
async def list_device_commands(
    device: FromPath[str],
    visit: NamedDependency[Visit],
    wanted: StateQuery = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[CommandRow]:
    before = parse_position(cursor)
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        states = [wanted] if wanted else None
        return command_page(
            await stored.commands(connection, device=row.id, states=states, before=before, limit=limit + 1), limit
        )


@get(
    "/devices/{device:str}/commands/events",
    operation_id="streamDeviceCommands",
    summary="`commands` events: the newest ones, whenever one has got further",
    media_type=EVENTS,
)
async def stream_device_commands(
    device: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    device_id = parse_device(device)

    async def look() -> bytes:
        async with visit.enter() as connection:
            await registry.device(connection, device_id)
            return msgspec.json.encode(
                command_page(await stored.commands(connection, device=device_id, limit=PAGE_ITEMS + 1), PAGE_ITEMS)
            )

    async def may_see() -> None:
        async with visit.enter() as connection:
            await registry.device(connection, device_id)

    await may_see()
    feed = Retold(services.news.watch(notices.ORDER, device_id), look, every_s=notices.POLL_S, at_once=True)
    return event_stream(services, visit, "commands", feed.first, feed, may_see)


@get("/commands", operation_id="listCommands", summary="Commands of all devices, newest first", guards=[operators])
async def list_commands(
    visit: NamedDependency[Visit], wanted: StateQuery = None, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[CommandRow]:
    before = parse_position(cursor)
    async with visit.enter() as connection:
        states = [wanted] if wanted else None
        return command_page(await stored.commands(connection, states=states, before=before, limit=limit + 1), limit)


@get(
    "/commands/events",
    operation_id="streamCommands",
    summary="`commands` events: how many are open, and how far the newest have got, whenever that changes",
    media_type=EVENTS,
    guards=[operators],
)
async def stream_commands(visit: NamedDependency[Visit], services: NamedDependency[Services]) -> ServerSentEvent:
    async def look() -> bytes:
        async with visit.enter() as connection:
            return msgspec.json.encode(await stored.standing(connection, PAGE_ITEMS))

    async def may_see() -> None:
        async with visit.enter():
            pass

    await may_see()
    feed = Retold(services.news.watch(notices.ORDER), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "commands", feed.first, feed, may_see)


@get("/commands/{command:str}", operation_id="getCommand", summary="A command, and how far it has got")
async def get_command(
    command: FromPath[str],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    wait_s: WaitQuery = 0.0,
    wait_for: UntilQuery = "change",
) -> CommandRow:
    look = partial(look_at, visit, parse_command(command))
    return await until_further(services, visit, await look(), look, wait_s, until_end=wait_for == "end")


@get(
    "/commands/{command:str}/events",
    operation_id="streamCommand",
    summary="`command` events: the command after each step, until it has ended",
    media_type=EVENTS,
)
async def stream_command(
    command: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    """Each event is the whole command; steps that follow each other at once may come as one, with the times of each."""
    look = partial(look_at, visit, parse_command(command))

    async def may_see() -> None:
        await look()

    row = await look()
    feed = CommandFeed(services.news.watch(notices.ORDER, row.device), look)
    return event_stream(services, visit, "command", feed.first, feed, may_see)


@post(
    "/commands/{command:str}/cancel",
    status_code=200,
    operation_id="cancelCommand",
    summary="Take a command back that was not sent yet",
)
async def post_cancel(
    command: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> CommandRow:
    """409 once it was sent: the device may have begun."""
    return await cancel(services, visit, parse_command(command), client_address(request))


def wished_wait_s(prefer: str | None) -> float:
    """Of a Prefer header; what is not understood of it is no error (RFC 7240, section 2)."""
    for wish in (prefer or "").split(","):
        name, _, value = wish.partition(";")[0].strip().partition("=")
        if name.strip().lower() == "wait" and value.strip().strip('"').isdecimal():
            return min(float(value.strip().strip('"')), COMMAND_WAIT_S_MAX)
    return 0.0


def parse_position(cursor: str | None) -> str | None:
    """Where a page of commands ends. Raises BadInput (bad_cursor)."""
    return decode_cursor(cursor, _CommandId)


def command_page(found: list[CommandRow], limit: int) -> Page[CommandRow]:
    return Page(found[:limit], encode_cursor(found[limit - 1].id) if len(found) > limit else None)


router = Router(
    "/",
    route_handlers=[
        get_catalog,
        post_command,
        list_device_commands,
        stream_device_commands,
        list_commands,
        stream_commands,
        get_command,
        stream_command,
        post_cancel,
    ],
    tags=["commands"],
)
