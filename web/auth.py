"""POST /auth/login, /auth/refresh, /auth/logout; GET /auth/renew for browsers; GET /auth/jwks.json."""

import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody, QueryParameter
from litestar.response import Redirect

from fleet.limits import ACCESS_TOKEN_S
from web import cookies
from web.errors import Unauthorised
from web.services import Services
from web.sessions import Grant, renew, sign_in, sign_out
from web.visits import OPEN, client_address


class LoginRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """cookies: true for a browser: the tokens come as HttpOnly cookies and stay out of the answer."""

    email: Annotated[str, msgspec.Meta(min_length=3, max_length=200, examples=["claire@example.org"])]
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    cookies: bool = False


class RefreshRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """refresh_token: left out by browsers, which send it as a cookie."""

    refresh_token: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class TokenAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """access_token and refresh_token are left out where the browser's cookies carry them. expires_in: seconds."""

    token_type: str
    expires_in: int
    access_token: str | None = None
    refresh_token: str | None = None


class Jwks(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


def limit_rate(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    services: Services = connection.app.state.services
    services.rate.take(client_address(connection), time.monotonic())


@post("/login", status_code=200, operation_id="login", summary="Sign in with e-mail and password")
async def login(
    data: JSONBody[LoginRequest], request: Request[Any, Any, Any], services: NamedDependency[Services]
) -> Response[TokenAnswer]:
    grant = await sign_in(services, email=data.email, password=data.password, address=client_address(request))
    return answer_grant(grant, services, as_cookies=data.cookies)


@post("/refresh", status_code=200, operation_id="refresh", summary="New tokens for a refresh token", guards=[limit_rate])
async def refresh(
    request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[RefreshRequest | None] = None
) -> Response[TokenAnswer]:
    given = data.refresh_token if data else None
    token = given or request.cookies.get(cookies.REFRESH_COOKIE)
    if not token:
        raise Unauthorised("bad_refresh_token", "no refresh token came with the request")
    grant = await renew(services, refresh_token=token, from_cookie=given is None, address=client_address(request))
    return answer_grant(grant, services, as_cookies=given is None)


@post("/logout", status_code=204, operation_id="logout", summary="End the session, at once")
async def logout(
    request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[RefreshRequest | None] = None
) -> Response[None]:
    token = (data.refresh_token if data else None) or request.cookies.get(cookies.REFRESH_COOKIE)
    await sign_out(services, claims=request.user, refresh_token=token, address=client_address(request))
    response: Response[None] = Response(None, status_code=204)
    cookies.clear(response, secure=services.secure_cookies)
    return response


@get("/renew", include_in_schema=False, guards=[limit_rate])
async def renew_in_browser(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    next_path: Annotated[str, QueryParameter(name="next", max_length=1_000)] = "/",
) -> Redirect:
    """Where a page sends a browser whose access token has run out: back with a new one, or on to the log-in page."""
    target = next_path if is_local(next_path) else "/"
    token = request.cookies.get(cookies.REFRESH_COOKIE)
    try:
        if not token:
            raise Unauthorised("bad_refresh_token", "no refresh token came with the request")
        grant = await renew(services, refresh_token=token, from_cookie=True, address=client_address(request))
    except Unauthorised:
        response = Redirect("/login", query_params={"next": target})
        cookies.clear(response, secure=services.secure_cookies)
        return response
    response = Redirect(target)
    set_cookies(response, grant, services)
    return response


@get("/jwks.json", operation_id="jwks", summary="The public key that verifies access tokens")
async def jwks(services: NamedDependency[Services]) -> Response[Jwks]:
    return Response(Jwks([services.tokens.jwk]), headers={"Cache-Control": "public, max-age=300"})


def set_cookies(response: Response[Any], grant: Grant, services: Services) -> None:
    cookies.set_access(response, grant.access_token, secure=services.secure_cookies)
    if grant.refresh_token is not None:
        cookies.set_refresh(response, grant.refresh_token, secure=services.secure_cookies)


def answer_grant(grant: Grant, services: Services, *, as_cookies: bool) -> Response[TokenAnswer]:
    if not as_cookies:
        return Response(TokenAnswer("Bearer", ACCESS_TOKEN_S, grant.access_token, grant.refresh_token))
    response = Response(TokenAnswer("Bearer", ACCESS_TOKEN_S))
    set_cookies(response, grant, services)
    return response


def is_local(path: str) -> bool:
    """A path of ours and no way out: not //host, not /\\host, no control characters."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()


router = Router("/auth", route_handlers=[login, refresh, logout, renew_in_browser, jwks], opt=OPEN, tags=["auth"])
