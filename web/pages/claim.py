"""A claim on the installer's phone: the code to show to the device, then what the device does, up to its checks."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from fleet.errors import FleetError
from fleet.storage import registry
from fleet.storage.registry import SiteRow
from web.checks import DeviceChecks, checks_of
from web.claims import ClaimAnswer, ClaimState, NewClaim, cancel, claim_state, make_claim, shown_again
from web.pages.claim_cookie import forget, remember, remembered
from web.pages.forms import fields_of, request_id_of
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address


class ClaimPage(msgspec.Struct, frozen=True):
    """answer: while it waits, on the phone that made it. checks None: nothing to judge yet."""

    state: ClaimState
    site: SiteRow
    answer: ClaimAnswer | None
    checks: DeviceChecks | None


@get("/claims/{claim:str}", guards=[site_keepers], include_in_schema=False)
async def claim_page(
    claim: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[str]:
    state = await claim_state(services, visit, claim)
    async with visit.enter() as connection:
        site = await registry.site(connection, state.site)
        keeper = await registry.keeps(connection, state.site)
    code = remembered(request, state.claim_id) if state.state == "waiting" else None
    shown = ClaimPage(
        state=state,
        site=site,
        answer=shown_again(services, state, code) if code else None,
        checks=await _checks(services, visit, state),
    )
    response = page(request, "claim.html", person=visit.person, shown=shown, keeper=keeper, now=now_ms())
    if state.state != "waiting":
        forget(response, state.claim_id)
    return response


@post("/claims/{claim:str}/cancel", guards=[site_keepers], include_in_schema=False)
async def cancel_claim(
    claim: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Redirect:
    state = await cancel(services, visit, claim, client_address(request))
    return Redirect(f"/sites/{state.site}/add", status_code=303)


@post("/claims/{claim:str}/again", guards=[site_keepers], include_in_schema=False)
async def new_code(
    claim: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """Another code for the same device; the old one is worth nothing from then on."""
    address = client_address(request)
    state = await claim_state(services, visit, claim)
    if state.state == "waiting":
        await cancel(services, visit, claim, address)
    new = NewClaim(
        profile=state.profile,
        name=state.device_name,
        serial=state.serial,
        device=state.device if state.replaces else None,
        request_id=request_id_of(await fields_of(request)),
    )
    answer = await make_claim(services, visit, state.site, new, address)
    response: Response[Any] = Redirect(f"/claims/{answer.claim_id}", status_code=303)
    remember(response, answer, services)
    return response


async def _checks(services: Services, visit: Visit, state: ClaimState) -> DeviceChecks | None:
    """The page is worth showing without them while the twins do not answer."""
    if state.first_sample_at is None:
        return None
    try:
        found = await checks_of(services, visit, state.site)
    except FleetError:
        return None
    return next((each for each in found if each.device == state.device), None)
