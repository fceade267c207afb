"""The board of rollouts, and one of them while it goes: wave by wave, why it stopped, its devices, and what can be done."""

from typing import Annotated, Any, Final, cast, get_args

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.device_setting import Setting
from fleet.errors import FleetError, NotFound
from fleet.limits import PAGE_ITEMS, ROLLOUT_WAVES_MAX
from fleet.rollouts.lifecycle import OPEN_STATES, STATES
from fleet.storage import profile_versions, rollout_lists, rollouts
from fleet.storage.profile_versions import ProfileRow
from fleet.storage.rollout_lists import TargetCursor, TargetLine
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.forms import fields_of
from web.pages.operations import ZONE
from web.pages.rendering import now_ms, page
from web.paging import Cursor, decode_cursor, encode_cursor
from web.rollout_making import move_rollout, parse_rollout
from web.rollout_texts import SLICES, Slice
from web.rollout_views import RolloutAction, RolloutDetail, rollout_detail, rollout_view
from web.visits import Visit, client_address, operators

_WHY_CHARS_MAX: Final = 300
_TARGETS: Final = 20  # on one page: each is three lines on a phone
_ENDED: Final = tuple(state for state in STATES if state not in OPEN_STATES)


class RolloutPage(msgspec.Struct, frozen=True):
    """show, wave: what the list of devices is narrowed to. more: cursor of the next ones."""

    rollout: RolloutDetail
    profile: ProfileRow
    settings: dict[str, Setting]
    targets: list[TargetLine]
    show: Slice | None
    wave: int | None
    more: str | None
    continued: bool


ShowQuery = Annotated[Slice | None, QueryParameter(name="show")]
WaveQuery = Annotated[int | None, QueryParameter(name="wave", ge=0, le=ROLLOUT_WAVES_MAX)]
BeforeQuery = Annotated[str | None, QueryParameter(name="before", max_length=40)]


@get("/ops/rollouts", guards=[operators], include_in_schema=False)
async def rollouts_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], before: BeforeQuery = None
) -> Response[str]:
    """Those at work come first, all of them; the others page by page."""
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        language = language_of(request)
        at_work = [] if before else await rollouts.rollouts(connection, limit=PAGE_ITEMS, states=sorted(OPEN_STATES))
        last = parse_rollout(before) if before else None
        ended = await rollouts.rollouts(connection, limit=PAGE_ITEMS + 1, states=_ENDED, before_id=last)
        profiles = {row.id: row for row in await profile_versions.profiles(connection)}
    return page(
        request,
        "rollouts.html",
        person=visit.person,
        at_work=[rollout_view(row, language) for row in at_work],
        ended=[rollout_view(row, language) for row in ended[:PAGE_ITEMS]],
        older=ended[PAGE_ITEMS - 1].rollout.id if len(ended) > PAGE_ITEMS else None,
        before=before,
        profiles=profiles,
        now=now_ms(),
        zone=ZONE,
    )


@get("/ops/rollouts/{rollout:str}", guards=[operators], include_in_schema=False)
async def rollout_page(
    rollout: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    show: ShowQuery = None,
    wave: WaveQuery = None,
    cursor: Cursor = None,
) -> Response[str]:
    shown = await _shown(request, visit, rollout, show=show, wave=wave, cursor=cursor)
    return _page(request, visit, shown, None)


@post("/ops/rollouts/{rollout:str}/{action:str}", guards=[operators], include_in_schema=False)
async def act_on_rollout(
    rollout: FromPath[str], action: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Response[Any]:
    """pause, resume, end; abort, whose button says whether devices get back what they had."""
    fields = await fields_of(request)
    if action not in get_args(RolloutAction):
        raise NotFound("unknown_route", "there is nothing at this address")
    returning = {"yes": True, "no": False}.get(fields.get("return", ""))
    why = " ".join(fields.get("why", "").split())[:_WHY_CHARS_MAX]
    asked = cast("RolloutAction", action)
    rollout_id = parse_rollout(rollout)
    try:
        await move_rollout(visit, rollout_id, asked, client_address(request), returning=returning, why=why)
    except NotFound:
        raise
    except FleetError as error:
        shown = await _shown(request, visit, rollout)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    return Redirect(f"/ops/rollouts/{rollout_id}", status_code=303)


async def _shown(
    request: Request[Any, Any, Any],
    visit: Visit,
    rollout: str,
    *,
    show: Slice | None = None,
    wave: int | None = None,
    cursor: str | None = None,
) -> RolloutPage:
    """Raises NotFound (unknown_rollout), BadInput (bad_cursor)."""
    after = decode_cursor(cursor, TargetCursor)
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        row = await rollouts.rollout_row(connection, parse_rollout(rollout))
        detail = rollout_detail(row, await rollouts.tally(connection, row.rollout.id), language_of(request))
        lines = await rollout_lists.target_lines(
            connection,
            detail.id,
            states=SLICES[show] if show else None,
            wave=wave,
            after=after,
            limit=_TARGETS + 1,
        )
        profile = await profile_versions.profile(connection, detail.profile)
    targets = lines[:_TARGETS]
    more = encode_cursor(TargetCursor(targets[-1].wave, targets[-1].device)) if len(lines) > _TARGETS else None
    settings = {setting.key: setting for setting in profile.definition.settings}
    return RolloutPage(detail, profile, settings, targets, show, wave, more, after is not None)


def _page(request: Request[Any, Any, Any], visit: Visit, shown: RolloutPage, refusal: Problem | None) -> Response[str]:
    return page(
        request,
        "rollout.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        now=now_ms(),
        zone=ZONE,
    )
