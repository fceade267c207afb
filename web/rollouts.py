"""/rollouts: values for many devices, wave by wave: looking ahead, making one, following it, pausing and aborting it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import ServerSentEvent

from fleet.limits import PAGE_ITEMS, ROLLOUT_WAVES_MAX
from fleet.rollouts.lifecycle import RolloutState, TargetState
from fleet.storage import notices, rollout_lists, rollouts
from fleet.storage.rollout_lists import TargetCursor, TargetLine
from web.language import language_of
from web.news import Retold
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.rollout_making import RolloutAim, RolloutForm, Why, aimed_at, make_rollout, move_rollout, parse_rollout
from web.rollout_selection import Preview, preview
from web.rollout_views import RolloutDetail, RolloutView, rollout_detail, rollout_view
from web.services import Services
from web.streams import EVENTS, event_stream
from web.visits import Visit, client_address, operators

StateQuery = Annotated[RolloutState | None, QueryParameter(name="state", description="Those in this state only")]
TargetStateQuery = Annotated[TargetState | None, QueryParameter(name="state")]
WaveQuery = Annotated[int | None, QueryParameter(name="wave", ge=0, le=ROLLOUT_WAVES_MAX, description="From 0")]
_RolloutId = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^[^\x00]*$")]


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, for those who look at it later."""

    why: Why = ""


class Abort(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"returning": "return"}):
    """return: whether devices that were changed get back what they had; left out: as planned."""

    returning: bool | None = None
    why: Why = ""


@post("/preview", status_code=200, operation_id="previewRollout", summary="What a rollout would do now")
async def preview_rollout(data: JSONBody[RolloutAim], visit: NamedDependency[Visit]) -> Preview:
    """Nothing is made. Refuses what making it would refuse, but for the count."""
    async with visit.enter() as connection:
        return await preview(connection, await aimed_at(connection, data), data.values, data.plan)


@post("/", operation_id="makeRollout", summary="Bring values to many devices, wave by wave")
async def post_rollout(
    data: JSONBody[RolloutForm], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Response[RolloutDetail]:
    """It runs at once. 409 `confirm_needed` with the count when many are meant, or all of a profile."""
    rollout_id = await make_rollout(visit, data, client_address(request))
    detail = await detail_of(visit, rollout_id, request)
    return Response(detail, status_code=201, headers={"Location": f"/api/v1/rollouts/{rollout_id}"})


@get("/", operation_id="listRollouts", summary="Rollouts, newest first")
async def list_rollouts(
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    wanted: StateQuery = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[RolloutView]:
    before = decode_cursor(cursor, _RolloutId)
    async with visit.enter() as connection:
        rows = await rollouts.rollouts(connection, limit=limit + 1, states=[wanted] if wanted else None, before_id=before)
    shown = [rollout_view(row, language_of(request)) for row in rows[:limit]]
    return Page(shown, encode_cursor(shown[-1].id) if len(rows) > limit else None)


async def detail_of(visit: Visit, rollout_id: str, request: Request[Any, Any, Any]) -> RolloutDetail:
    """Raises NotFound (unknown_rollout)."""
    async with visit.enter() as connection:
        row = await rollouts.rollout_row(connection, rollout_id)
        return rollout_detail(row, await rollouts.tally(connection, rollout_id), language_of(request))


@get("/{rollout:str}", operation_id="getRollout", summary="A rollout: how far each wave is, and why it stopped")
async def get_rollout(
    rollout: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> RolloutDetail:
    return await detail_of(visit, parse_rollout(rollout), request)


@get("/{rollout:str}/targets", operation_id="listRolloutTargets", summary="Its devices, by wave")
async def list_rollout_targets(
    rollout: FromPath[str],
    visit: NamedDependency[Visit],
    wanted: TargetStateQuery = None,
    wave: WaveQuery = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[TargetLine]:
    after = decode_cursor(cursor, TargetCursor)
    async with visit.enter() as connection:
        found = await rollouts.rollout(connection, parse_rollout(rollout))
        lines = await rollout_lists.target_lines(
            connection, found.id, states=(wanted,) if wanted else None, wave=wave, after=after, limit=limit + 1
        )
    page = lines[:limit]
    return Page(page, encode_cursor(TargetCursor(page[-1].wave, page[-1].device)) if len(lines) > limit else None)


@get("/events", operation_id="streamRollouts", summary="`rollouts` events: the newest ones, as they go", media_type=EVENTS)
async def stream_rollouts(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    async def look() -> bytes:
        async with visit.enter() as connection:
            rows = await rollouts.rollouts(connection, limit=PAGE_ITEMS)
        return msgspec.json.encode(Page([rollout_view(row, language_of(request)) for row in rows], None))

    async def may_see() -> None:
        async with visit.enter():
            visit.must_be("ops", "admin")

    await may_see()
    feed = Retold(services.news.watch(notices.ROLLOUT), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "rollouts", feed.first, feed, may_see)


@get("/{rollout:str}/events", operation_id="streamRollout", summary="`rollout` events: as it goes", media_type=EVENTS)
async def stream_rollout(
    rollout: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ServerSentEvent:
    """The whole rollout, with its waves, whenever it has got further."""
    rollout_id = parse_rollout(rollout)

    async def look() -> bytes:
        return msgspec.json.encode(await detail_of(visit, rollout_id, request))

    async def may_see() -> None:
        async with visit.enter() as connection:
            visit.must_be("ops", "admin")
            await rollouts.rollout(connection, rollout_id)

    await may_see()
    feed = Retold(services.news.watch(notices.ROLLOUT, rollout_id), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "rollout", feed.first, feed, may_see)


@post("/{rollout:str}/pause", status_code=200, operation_id="pauseRollout", summary="Tell no further device")
async def pause_rollout(
    rollout: FromPath[str], data: JSONBody[Reason], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> RolloutDetail:
    """Devices that were told stay so, and are still watched. 409 `illegal_move` unless it runs."""
    rollout_id = parse_rollout(rollout)
    await move_rollout(visit, rollout_id, "pause", client_address(request), why=data.why)
    return await detail_of(visit, rollout_id, request)


@post("/{rollout:str}/resume", status_code=200, operation_id="resumeRollout", summary="Go on")
async def resume_rollout(
    rollout: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> RolloutDetail:
    """409 `illegal_move` unless it is paused."""
    rollout_id = parse_rollout(rollout)
    await move_rollout(visit, rollout_id, "resume", client_address(request))
    return await detail_of(visit, rollout_id, request)


@post("/{rollout:str}/abort", status_code=200, operation_id="abortRollout", summary="Stop for good")
async def abort_rollout(
    rollout: FromPath[str], data: JSONBody[Abort], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> RolloutDetail:
    """With `return`, devices that were changed get back what they had; one that is doing so already stops at once."""
    rollout_id = parse_rollout(rollout)
    await move_rollout(visit, rollout_id, "abort", client_address(request), returning=data.returning, why=data.why)
    return await detail_of(visit, rollout_id, request)


@post("/{rollout:str}/end", status_code=200, operation_id="endRollout", summary="End one that waits for new devices")
async def end_rollout(
    rollout: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> RolloutDetail:
    """A continuous rollout whose waves are over. What devices have, they keep. 409 `not_finished` before that."""
    rollout_id = parse_rollout(rollout)
    await move_rollout(visit, rollout_id, "end", client_address(request))
    return await detail_of(visit, rollout_id, request)


router = Router(
    "/rollouts",
    route_handlers=[
        post_rollout,
        preview_rollout,
        list_rollouts,
        stream_rollouts,
        get_rollout,
        list_rollout_targets,
        stream_rollout,
        pause_rollout,
        resume_rollout,
        abort_rollout,
        end_rollout,
    ],
    guards=[operators],
    tags=["remote"],
)
