"""The outermost layer: whatever happens inside, every answer has its request id, its security headers and its log line."""

import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from litestar import Request
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from fleet.errors import FleetError
from web.errors import Forbidden, Misdirected, problem_of, problem_response
from web.language import from_header
from web.metrics import Metrics
from web.origin import is_foreign
from web.ports import Follower

log = structlog.get_logger("web.access")

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Only where a handler did not set its own.
_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(self), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_QUIET = ("/health/", "/metrics", "/static/")  # probes and files: counted, not logged


class Front:
    """Refuses unknown hosts, and unsafe requests that another site's page sends."""

    def __init__(
        self, app: ASGIApp, *, public_url: str, hosts: Sequence[str], metrics: Metrics, tracing: Follower | None = None
    ) -> None:
        self._app = app
        self._public_url = public_url
        self._hosts = frozenset((*hosts, urlsplit(public_url).hostname, "localhost", "127.0.0.1", "::1"))
        self._hsts = public_url.startswith("https://")
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request: Request[Any, Any, Any] = Request(scope)
        request_id = _request_id(request.headers)
        scope["state"]["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._dress(MutableScopeHeaders.from_message(message), request_id)
                self._account(scope, int(message["status"]), time.perf_counter() - began)
            await send(message)

        refusal = self._refusal(request)
        if refusal is None:
            if self._tracing is None:
                await self._app(scope, receive, send_dressed)
            else:
                await self._follow(self._tracing, scope, receive, send_dressed)
            return
        language = from_header(request.headers.get("accept-language", ""))
        response = problem_response(problem_of(refusal, language, instance=scope["path"], request_id=request_id))
        await response.to_asgi_response(app=None, request=request)(scope, receive, send_dressed)

    async def _follow(self, tracing: Follower, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Open event streams are not followed: they would end with their viewers only."""
        with tracing.request(scope["method"], scope["state"]["request_id"]) as span:

            async def send_followed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = str(scope.get("path_template") or "unmatched")
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attributes({"http.route": route, "http.response.status_code": int(message["status"])})
                await send(message)

            await self._app(scope, receive, send_followed)

    def _refusal(self, request: Request[Any, Any, Any]) -> FleetError | None:
        host = urlsplit(f"//{request.headers.get('host', '')}")
        try:
            name = host.hostname
        except ValueError:
            name = None
        if name not in self._hosts:
            return Misdirected("bad_host", "this platform does not answer under this host name")
        if request.method not in ("GET", "HEAD", "OPTIONS") and is_foreign(request, self._public_url):
            return Forbidden("foreign_origin", "the request comes from a page that is not part of this platform")
        return None

    def _dress(self, headers: MutableScopeHeaders, request_id: str) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("cache-control", "no-store")
        headers["x-request-id"] = request_id
        if self._hsts:
            headers.setdefault("strict-transport-security", "max-age=31536000")

    def _account(self, scope: HTTPScope, status: int, duration_s: float) -> None:
        method, route = scope["method"], str(scope.get("path_template") or "unmatched")
        client = scope.get("client")
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.duration_s.labels(method, route).observe(duration_s)
        if status >= 500 or not scope["path"].startswith(_QUIET):
            log.info(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                duration_ms=round(duration_s * 1000, 1),
                person=scope["state"].get("person_id"),
                address=client[0] if client else None,
            )


def _request_id(headers: Headers) -> str:
    """A well-formed one is taken over, so that a gateway's log and ours tell of the same request."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex
