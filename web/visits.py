"""Who is asking. Closed by default: a route is for signed-in people unless it says `opt={"open": True}`.

The access token is verified on every request. Its session is looked up in the database in the same transaction as the
request's own queries, so that a log-out, a change of role or a closed account counts from the next request on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from fleet.errors import NotFound, Unavailable
from fleet.ids import SiteId
from fleet.storage import accounts, registry
from fleet.storage.accounts import Person
from fleet.storage.database import AWAY, Connection, Pool
from web.cookies import ACCESS_COOKIE
from web.errors import Forbidden, Unauthorised
from web.origin import is_own
from web.services import Services
from web.tokens import Claims, Role

OPEN = {"open": True}
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class Visit:
    """One request, by one person."""

    def __init__(self, pool: Pool, claims: Claims, scope: Scope) -> None:
        self._pool = pool
        self._scope = scope
        self.claims = claims

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[Connection]:
        """A transaction below this person's row-level security. Ask the twins after it, not inside: it holds a connection.

        Raises Unauthorised (session_ended), Unavailable (database_away).
        """
        async with _transaction(self._pool) as connection:
            self.person = await self._person(connection)
            yield connection

    def must_be(self, *roles: Role) -> None:
        """After `enter`, for what the person may see but not do. Raises Forbidden (not_allowed)."""
        if self.person.role not in roles:
            raise Forbidden("not_allowed", f"this is for {', '.join(roles)}; your role is {self.person.role}")

    async def must_keep(self, connection: Connection, site: SiteId) -> None:
        """Within `enter`: its installer's people, and operations, may change it. Raises Forbidden (not_allowed)."""
        self.must_be(*MAKERS)
        if not await registry.keeps(connection, site):
            raise Forbidden("not_allowed", "this site is shared with you: another company keeps it")

    async def _person(self, connection: Connection) -> Person:
        person = await accounts.enter(connection, self.claims.session_id, self.claims.person_id)
        if person is None or person.role != self.claims.role:
            raise Unauthorised("session_ended", "the session has ended, or the person's role has changed")
        self._scope["state"]["locale"] = person.locale
        return person


@asynccontextmanager
async def acting(pool: Pool, person_id: str | None) -> AsyncIterator[Connection]:
    """A transaction before there is a session: as somebody who has just proven who they are, or as nobody."""
    async with _transaction(pool) as connection:
        if person_id is not None:
            await accounts.become(connection, person_id)
        yield connection


@asynccontextmanager
async def _transaction(pool: Pool) -> AsyncIterator[Connection]:
    try:
        async with pool.acquire(timeout=5.0) as connection, connection.transaction():
            yield connection
    except AWAY as error:
        raise Unavailable("database_away", f"PostgreSQL does not answer: {error}") from error


class Authentication(ASGIMiddleware):
    """Verifies the access token, of the Authorization header or else of the browser's cookie: Claims in scope["user"]."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        is_open = bool(scope["route_handler"].opt.get("open")) or scope.get("method") == "OPTIONS"
        try:
            scope["user"] = self._claims(connection)
        except Unauthorised:
            if not is_open:
                raise
            scope["user"] = None
        if scope["user"] is not None:
            scope["state"]["person_id"] = scope["user"].person_id
        elif not is_open:
            raise Unauthorised("not_signed_in", "sign in first")
        await next_app(scope, receive, send)

    def _claims(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Claims | None:
        """None when nobody claims to be anybody. Raises Unauthorised (bad_token), Forbidden (foreign_origin)."""
        header = connection.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthorised("bad_token", "the Authorization header must be a Bearer token")
            return self._services.tokens.verify(token.strip())
        token = connection.cookies.get(ACCESS_COOKIE, "")
        if not token:
            return None
        if connection.scope.get("method") not in _SAFE_METHODS and not is_own(
            connection, self._services.settings.public_url
        ):
            raise Forbidden(
                "foreign_origin", "a request with this browser's cookies must come from the platform's own pages"
            )
        return self._services.tokens.verify(token)


def provide_visit(request: Request[Claims, Any, Any], services: NamedDependency[Services]) -> Visit:
    if not isinstance(request.user, Claims):
        raise Unauthorised("not_signed_in", "sign in first")
    return Visit(services.pool, request.user, request.scope)


class RoleGuard:
    """Lets these roles pass; to the others the route does not exist."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)

    def __call__(self, connection: ASGIConnection[Any, Claims, Any, Any], _: BaseRouteHandler) -> None:
        if connection.user.role not in self.roles:
            raise NotFound("unknown_route", "there is nothing at this address")


MAKERS: tuple[Role, ...] = ("installer", "ops", "admin")  # of sites, claims, devices, corrections and reports
operators = RoleGuard("ops", "admin")
administrators = RoleGuard("admin")


def client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The peer, or what a trusted proxy says of it (uvicorn resolves that)."""
    return connection.client.host if connection.client else "unknown"
