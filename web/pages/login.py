"""Logging in and out with a browser."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, QueryParameter
from litestar.response import Redirect

from fleet.errors import FleetError
from web import cookies
from web.auth import is_local, set_cookies
from web.errors import problem_of
from web.language import language_of
from web.pages.rendering import page
from web.services import Services
from web.sessions import sign_in, sign_out
from web.visits import OPEN, client_address


class LoginForm(msgspec.Struct, frozen=True):
    email: Annotated[str, msgspec.Meta(max_length=200)] = ""
    password: Annotated[str, msgspec.Meta(max_length=256)] = ""
    next: Annotated[str, msgspec.Meta(max_length=1_000)] = "/"


class Door(msgspec.Struct, frozen=True):
    """A demo log-in to press instead of typing."""

    role: str
    email: str
    password: str


class _Login(msgspec.Struct, frozen=True):
    email: str
    password: str


Next = Annotated[str, QueryParameter(name="next", max_length=1_000)]


@get("/login", opt=OPEN, include_in_schema=False)
async def login_page(
    request: Request[Any, Any, Any], services: NamedDependency[Services], next_path: Next = "/"
) -> Response[Any]:
    if request.user is not None:
        return Redirect(next_path if is_local(next_path) else "/", status_code=303)
    return page(request, "login.html", doors=_doors(services), next_path=next_path, email="", refusal=None)


@post("/login", opt=OPEN, include_in_schema=False)
async def log_in(
    data: Annotated[LoginForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
) -> Response[Any]:
    try:
        grant = await sign_in(services, email=data.email, password=data.password, address=client_address(request))
    except FleetError as error:
        refusal = problem_of(error, language_of(request))
        return page(
            request,
            "login.html",
            status=refusal.status,
            doors=_doors(services),
            next_path=data.next,
            email=data.email,
            refusal=refusal,
        )
    response = Redirect(data.next if is_local(data.next) else "/", status_code=303)
    set_cookies(response, grant, services)
    return response


@post("/logout", opt=OPEN, include_in_schema=False)
async def log_out(request: Request[Any, Any, Any], services: NamedDependency[Services]) -> Redirect:
    """The refresh cookie does not travel here; the session that the access token names is the same."""
    await sign_out(services, claims=request.user, refresh_token=None, address=client_address(request))
    response = Redirect("/login", status_code=303)
    cookies.clear(response, secure=services.secure_cookies)
    return response


def _doors(services: Services) -> list[Door]:
    """Role → log-in, as the demo wrote them; none outside of the demo."""
    file = services.demo_logins
    if file is None:
        return []
    logins = msgspec.json.decode(file.read_bytes(), type=dict[str, _Login])
    return [Door(role, login.email, login.password) for role, login in logins.items()]
