"""A new site: the form that an installer fills in on the spot."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from fleet.errors import FleetError
from fleet.places import ZONES
from web.errors import Problem, problem_of
from web.language import language_of
from web.new_sites import NewSite, make_site
from web.pages.forms import Errors, fields_of, new_request_id, request_id_of
from web.pages.rendering import page
from web.pages.site_form import ARRAYS_MAX, SLOPES, ArrayFields, SiteForm, Typed, checked, compass, form_of
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address


class MapRegion(msgspec.Struct, frozen=True):
    """code: as web/assets/src/map/regions.ts names it."""

    code: str
    name: str


_REGIONS: Final = (
    MapRegion("", "France"),
    MapRegion("971", "Guadeloupe"),
    MapRegion("972", "Martinique"),
    MapRegion("973", "Guyane"),
    MapRegion("974", "La Réunion"),
    MapRegion("976", "Mayotte"),
)


@get("/sites/new", guards=[site_keepers], include_in_schema=False)
async def new_site_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    async with visit.enter():
        pass
    return _page(request, visit, SiteForm(request_id=new_request_id()), {}, None)


@post("/sites/new", guards=[site_keepers], include_in_schema=False)
async def make_new_site(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Response[Any]:
    """Leads to the site's first device."""
    fields = await fields_of(request)
    form = form_of(fields, request_id_of(fields))
    async with visit.enter():
        pass
    if "more" in fields:  # the button for one more roof, where no script runs
        more = (*form.arrays, ArrayFields())[:ARRAYS_MAX]
        return _page(request, visit, msgspec.structs.replace(form, arrays=more), {}, None)
    typed, errors = checked(form)
    if typed is None:
        return _page(request, visit, form, errors, None)
    try:
        made = await make_site(services, visit, _new(typed, form.request_id), client_address(request))
    except FleetError as error:
        return _page(request, visit, form, {}, problem_of(error, language_of(request)))
    return Redirect(f"/sites/{made.id}/add", status_code=303)


def _new(typed: Typed, request_id: str) -> NewSite:
    return msgspec.convert({**msgspec.structs.asdict(typed), "request_id": request_id}, NewSite, from_attributes=True)


def _page(
    request: Request[Any, Any, Any], visit: Visit, form: SiteForm, errors: Errors, refusal: Problem | None
) -> Response[str]:
    return page(
        request,
        "new_site.html",
        person=visit.person,
        status=refusal.status if refusal else 422 if errors else 200,
        typed=form,
        errors=errors,
        refusal=refusal,
        blank_array=ArrayFields(),
        compass=compass(),
        slopes=SLOPES,
        regions=_REGIONS,
        zones=ZONES,
    )
