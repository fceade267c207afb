"""POST /sites/{site}/claims, GET /claims/{claim}, its event stream, and cancelling one."""

from typing import Any

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import ServerSentEvent

from fleet.errors import NotFound
from fleet.storage import claims, notices, registry
from web.claims import ClaimAnswer, ClaimState, NewClaim, cancel, claim_state, make_claim
from web.news import Retold
from web.paging import Page
from web.services import Services
from web.sites import parse_site
from web.streams import EVENTS, event_stream
from web.visits import Visit, client_address

_WATCH_S = 1.0  # between the enrolment and the first reading, which no notice announces


def parse_claim(text: str) -> str:
    """Raises NotFound: what cannot be an id names no claim."""
    if not (text.isascii() and text.isalnum() and len(text) <= 32):
        raise NotFound("unknown_claim", "no such claim")
    return text


@post("/sites/{site:str}/claims", operation_id="makeClaim", summary="The right to enrol one device, as QR and typed code")
async def post_claim(
    site: FromPath[str],
    data: JSONBody[NewClaim],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ClaimAnswer:
    """For installers and operations. The code is in this answer only: the platform keeps its hash."""
    return await make_claim(services, visit, parse_site(site), data, client_address(request))


@get("/sites/{site:str}/claims", operation_id="listClaims", summary="Codes of a site that can still be used")
async def list_claims(
    site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Page[ClaimState]:
    """The newest first."""
    site_id = parse_site(site)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site_id)
        found = await claims.open_claims(connection, site_id)
    return Page([await claim_state(services, visit, row.id) for row in found], None)


@get("/claims/{claim:str}", operation_id="getClaim", summary="How far an enrolment has come")
async def get_claim(
    claim: FromPath[str],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ClaimState:
    return await claim_state(services, visit, parse_claim(claim))


@get(
    "/claims/{claim:str}/events",
    operation_id="streamClaim",
    summary="`claim` events: the same, whenever it has come further",
    media_type=EVENTS,
)
async def stream_claim(
    claim: FromPath[str],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ServerSentEvent:
    """From the code's first use over the first reading on to every further one, for as long as somebody looks."""
    claim_id = parse_claim(claim)

    async def may_see() -> None:
        async with visit.enter() as connection:
            await claims.claim(connection, claim_id)

    async def look() -> bytes:
        state = await claim_state(services, visit, claim_id)
        feed.every_s = _WATCH_S if state.state == "used" else notices.POLL_S
        if before and before[-1] == "waiting" and state.state == "used":
            services.later(services.door.forget(state.site))  # the twin learns its name and serial now
        before[:] = [state.state]
        return msgspec.json.encode(state)

    before: list[str] = []
    feed = Retold(services.news.watch(notices.CLAIM, claim_id), look, every_s=notices.POLL_S)
    await may_see()
    return event_stream(services, visit, "claim", feed.first, feed, may_see)


@post("/claims/{claim:str}/cancel", status_code=200, operation_id="cancelClaim", summary="Make a code useless")
async def post_cancel(
    claim: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ClaimState:
    """One that was used already stays used: revoke its device instead."""
    return await cancel(services, visit, parse_claim(claim), client_address(request))


router = Router("/", route_handlers=[post_claim, list_claims, get_claim, stream_claim, post_cancel], tags=["onboarding"])
