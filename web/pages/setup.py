"""The set-up page: the first administrator, with the link that the first start printed."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, QueryParameter
from litestar.response import Redirect

from fleet.errors import BadInput, FleetError
from fleet.limits import PASSWORD_CHARS_MIN
from web.auth import set_cookies
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.rendering import page
from web.services import Services
from web.sessions import sign_in
from web.setup import SetupRequest, make_first_admin, setup_is_open
from web.visits import OPEN, client_address


class SetupForm(msgspec.Struct, frozen=True):
    token: Annotated[str, msgspec.Meta(max_length=200)] = ""
    name: Annotated[str, msgspec.Meta(max_length=120)] = ""
    email: Annotated[str, msgspec.Meta(max_length=200)] = ""
    password: Annotated[str, msgspec.Meta(max_length=256)] = ""


Token = Annotated[str, QueryParameter(max_length=200)]


@get("/setup", opt=OPEN, include_in_schema=False)
async def setup_page(
    request: Request[Any, Any, Any], services: NamedDependency[Services], token: Token = ""
) -> Response[Any]:
    """Once there is an administrator, the way in is the log-in page."""
    if not await setup_is_open(services):
        return Redirect("/login", status_code=303)
    return _form(request, SetupForm(token=token), None)


@post("/setup", opt=OPEN, include_in_schema=False)
async def set_up(
    data: Annotated[SetupForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
) -> Response[Any]:
    address = client_address(request)
    try:
        made = await make_first_admin(services, _checked(data), language_of(request), address)
        grant = await sign_in(services, email=made.email, password=data.password, address=address)
    except FleetError as error:
        return _form(request, data, problem_of(error, language_of(request)))
    response = Redirect("/", status_code=303)
    set_cookies(response, grant, services)
    return response


def _checked(form: SetupForm) -> SetupRequest:
    """The API's own rules. Raises BadInput (invalid_request)."""
    try:
        return msgspec.convert(msgspec.structs.asdict(form), SetupRequest)
    except msgspec.ValidationError as error:
        raise BadInput("invalid_request", str(error)) from None


def _form(request: Request[Any, Any, Any], form: SetupForm, refusal: Problem | None) -> Response[str]:
    return page(
        request,
        "setup.html",
        status=refusal.status if refusal else 200,
        token=form.token,
        name=form.name,
        email=form.email,
        refusal=refusal,
        password_chars_min=PASSWORD_CHARS_MIN,
    )
