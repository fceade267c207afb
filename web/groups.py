"""/groups: saved queries for devices, for commands and rollouts. For operations."""

import secrets
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.errors import NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import CONFIRM_TARGETS, GROUP_NAME_CHARS_MAX, GROUP_PREVIEW_DEVICES, PAGE_ITEMS
from fleet.storage import audit, groups, rollout_newcomers, targets
from fleet.storage.database import Connection
from fleet.storage.groups import GroupRow
from fleet.targets import TargetDevice, TargetQuery
from web.errors import ConfirmNeeded, Stale
from web.if_match import IfMatch, etag, seen_version
from web.new_sites import LINE
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.rollout_making import ConfirmCount
from web.visits import Visit, client_address, operators

GroupName = Annotated[str, msgspec.Meta(min_length=1, max_length=GROUP_NAME_CHARS_MAX, pattern=LINE)]
Warning_ = Literal["matches_nothing", "matches_everything"]
_ID_CHARS: Final = 16


class GroupForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: GroupName
    query: TargetQuery


class GroupChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None leaves as it is. confirm_count: so many devices you expect to join the group's continuous rollout; needed when
    they are many, and held to whenever given.
    """

    name: GroupName | None = None
    query: TargetQuery | None = None
    confirm_count: ConfirmCount | None = None


class QueryForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: TargetQuery


class Found(msgspec.Struct, frozen=True):
    """What a query means now. first: some of the devices, by site.

    warning: it means no device at all, or every one that there is. Neither is an error; neither is often meant.
    """

    devices: int
    first: list[TargetDevice]
    warning: Warning_ | None


class GroupAnswer(msgspec.Struct, frozen=True):
    group: GroupRow
    devices: int
    warning: Warning_ | None


async def look(connection: Connection, query: TargetQuery) -> Found:
    devices, warning = await _counted(connection, query)
    return Found(devices, await targets.matching(connection, query, limit=GROUP_PREVIEW_DEVICES), warning)


async def make_group(visit: Visit, name: str, query: TargetQuery, address: str) -> GroupAnswer:
    """For ops and admins. Raises Forbidden (not_allowed), Conflict (group_name_taken, too_many_groups)."""
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        row = await groups.add_group(
            connection, group_id=secrets.token_hex(_ID_CHARS // 2), name=name, query=query, person_id=visit.person.id
        )
        await _note(connection, visit, "group.make", row, address)
        return await _answer(connection, row)


async def change_group(visit: Visit, group_id: str, revision: int, change: GroupChange, address: str) -> GroupAnswer:
    """For ops and admins. Raises NotFound (unknown_group), Forbidden (not_allowed), Stale (group_changed),
    Conflict (group_name_taken), ConfirmNeeded (confirm_needed).
    """
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        before = await groups.group_to_change(connection, group_id)
        if before.revision != revision:
            raise Stale(
                "group_changed",
                f"the group has revision {before.revision} by now, and you changed {revision}",
                before.revision,
            )
        await _check_joining(connection, before, change)
        row = await groups.change_group(
            connection,
            group_id,
            name=before.name if change.name is None else change.name,
            query=before.query if change.query is None else change.query,
        )
        await _note(connection, visit, "group.change", row, address)
        return await _answer(connection, row)


async def remove_group(visit: Visit, group_id: str, address: str) -> None:
    """For ops and admins. Raises NotFound (unknown_group), Forbidden (not_allowed), Conflict (group_in_use)."""
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        row = await groups.remove_group(connection, group_id)
        await _note(connection, visit, "group.remove", row, address)


def parse_group(text: str) -> str:
    """Raises NotFound (unknown_group): what cannot be an id names no group."""
    if not text.isascii() or not text.isalnum() or len(text) > 2 * _ID_CHARS:
        raise NotFound("unknown_group", "no such group")
    return text


async def _counted(connection: Connection, query: TargetQuery) -> tuple[int, Warning_ | None]:
    devices = await targets.count(connection, query)
    if devices == 0:
        return 0, "matches_nothing"
    if query.is_everything or devices == await targets.count(connection, TargetQuery()):
        return devices, "matches_everything"
    return devices, None


async def _check_joining(connection: Connection, before: GroupRow, change: GroupChange) -> None:
    """A continuous rollout tells whoever the group means from now on, with no canary before them."""
    if change.query is None or change.query == before.query:
        return
    count = await rollout_newcomers.would_join(connection, before.id, change.query)
    everything = msgspec.structs.replace(change.query, profiles=(), kinds=()).is_everything
    must_confirm = count > CONFIRM_TARGETS or (count > 0 and everything)
    if change.confirm_count != count and (must_confirm or change.confirm_count is not None):
        raise ConfirmNeeded(count)


async def _answer(connection: Connection, row: GroupRow) -> GroupAnswer:
    return GroupAnswer(row, *await _counted(connection, row.query))


async def _note(connection: Connection, visit: Visit, action: str, row: GroupRow, address: str) -> None:
    detail = {"name": row.name, "query": msgspec.to_builtins(row.query)}
    await audit.record(connection, action, person_id=visit.person.id, subject=row.id, detail=detail, address=address)


@get("/", operation_id="listGroups", summary="Groups of devices, by name")
async def list_groups(visit: NamedDependency[Visit]) -> Page[GroupRow]:
    """There are few; they come as one page. `values` is the template that their rollouts have brought."""
    async with visit.enter() as connection:
        return Page(await groups.groups(connection), None)


@post("/", operation_id="makeGroup", summary="A new group of devices")
async def post_group(
    data: JSONBody[GroupForm], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> GroupAnswer:
    """The query is kept, not the devices: who is meant is found anew each time. `warning` says when that is nobody, or
    everybody.
    """
    return await make_group(visit, data.name, data.query, client_address(request))


@post("/preview", status_code=200, operation_id="previewGroup", summary="What a query means now")
async def preview_group(data: JSONBody[QueryForm], visit: NamedDependency[Visit]) -> Found:
    async with visit.enter() as connection:
        return await look(connection, data.query)


@get("/{group:str}", operation_id="getGroup", summary="A group, and how many devices it means now")
async def get_group(group: FromPath[str], visit: NamedDependency[Visit]) -> Response[GroupAnswer]:
    async with visit.enter() as connection:
        answer = await _answer(connection, await groups.group(connection, parse_group(group)))
    return Response(answer, headers=etag(answer.group.revision))


@patch("/{group:str}", operation_id="changeGroup", summary="Change a group's name or query")
async def patch_group(
    group: FromPath[str],
    data: JSONBody[GroupChange],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    if_match: IfMatch = None,
) -> Response[GroupAnswer]:
    """Needs `If-Match` with the revision that was read. Rollouts that run go on with the query that they began with; a
    continuous one looks for devices that join later by the new one. 409 `confirm_needed` with the count when many would.
    """
    answer = await change_group(visit, parse_group(group), seen_version(if_match), data, client_address(request))
    return Response(answer, headers=etag(answer.group.revision))


@delete("/{group:str}", operation_id="removeGroup", summary="Remove a group")
async def delete_group(group: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> None:
    """What its rollouts have brought to devices stays."""
    await remove_group(visit, parse_group(group), client_address(request))


@get("/{group:str}/devices", operation_id="listGroupDevices", summary="The devices that a group means now, by site")
async def list_group_devices(
    group: FromPath[str], visit: NamedDependency[Visit], limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[TargetDevice]:
    after = decode_cursor(cursor, tuple[SiteId, DeviceId])
    async with visit.enter() as connection:
        row = await groups.group(connection, parse_group(group))
        found = await targets.matching(connection, row.query, limit=limit + 1, after=after)
    page = found[:limit]
    return Page(page, encode_cursor((page[-1].site, page[-1].device)) if len(found) > limit else None)


router = Router(
    "/groups",
    route_handlers=[
        list_groups,
        post_group,
        preview_group,
        get_group,
        patch_group,
        delete_group,
        list_group_devices,
    ],
    guards=[operators],
    tags=["remote"],
)
