"""The API's description (OpenAPI 3.1) and its two readers, Scalar and Swagger UI, with every file served from here."""

from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server, Tag
from litestar.response import Redirect
from litestar.routes import HTTPRoute

from web.errors import PROBLEM_JSON, Problem
from web.visits import OPEN

_SCHEMA_URL = "/api/schema/openapi.json"
_FILES = "/static/built/docs"
# Both readers style their elements inline, and Scalar carries its icons and fonts as data.
_CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<title>SolarPerform API</title><link rel="icon" href="/static/favicon.svg" type="image/svg+xml">'
)
_SCALAR = (
    f'{_HEAD}<link rel="stylesheet" href="/static/docs-scalar.css"></head>'
    f"<body><noscript>The API reference needs JavaScript; its source is at {_SCHEMA_URL}.</noscript>"
    f'<script id="api-reference" data-url="{_SCHEMA_URL}" data-configuration=\''
    '{"withDefaultFonts":false,"telemetry":false,"hideClientButton":true,"showDeveloperTools":"never",'
    '"agent":{"disabled":true},"mcp":{"disabled":true}}'
    f'\'></script><script src="{_FILES}/scalar.js"></script></body></html>'
)
_SWAGGER = (
    f'{_HEAD}<link rel="stylesheet" href="{_FILES}/swagger-ui.css"></head>'
    f'<body><div id="swagger-ui" data-url="{_SCHEMA_URL}"></div>'
    f'<script src="{_FILES}/swagger-ui-bundle.js"></script><script src="/static/docs-swagger.js"></script></body></html>'
)


@get(["/docs", "/docs/scalar"], include_in_schema=False, sync_to_thread=False)
def scalar() -> Response[str]:
    return _page(_SCALAR)


@get("/docs/swagger", include_in_schema=False, sync_to_thread=False)
def swagger() -> Response[str]:
    return _page(_SWAGGER)


@get("/favicon.ico", opt=OPEN, include_in_schema=False, sync_to_thread=False)
def favicon() -> Redirect:
    """Asked for by browsers that show JSON, which names no icon."""
    return Redirect("/static/favicon.svg", status_code=308)


def _page(html: str) -> Response[str]:
    return Response(html, media_type=MediaType.HTML, headers={"Content-Security-Policy": _CSP})


router = Router("/api", route_handlers=[scalar, swagger], opt=OPEN, include_in_schema=False)


class _Description(JsonRenderPlugin):
    """What Litestar describes, with our problem details as its errors, and without a sign-in where none is asked for."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        _, components = msgspec.json.schema_components([Problem], ref_template="#/components/schemas/{name}")
        open_ones = _open_operations(request.app)
        for path in openapi_schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("400", None)
                operation["responses"]["default"] = _PROBLEM_RESPONSE
                if operation["operationId"] in open_ones:
                    operation["security"] = []
        openapi_schema["components"]["schemas"] |= components
        return super().render(request, openapi_schema)


_PROBLEM_RESPONSE = {
    "description": "Problem details (RFC 9457): 401, 403, 404, 409, 413, 422, 429 or 503, with a stable `code`",
    "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def _open_operations(app: Litestar) -> frozenset[str]:
    handlers = (handler for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers)
    return frozenset(str(handler.operation_id) for handler in handlers if handler.opt.get("open"))


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="SolarPerform",
        version="1",
        summary="Sites, devices, energy and alerts of a fleet of solar sites",
        description=(
            "Powers are in W, energies in Wh, instants in Unix milliseconds (UTC) unless a name says otherwise. Errors are "
            "problem details (RFC 9457) with a stable `code`. What you may not see answers 404. Lists are paged: pass "
            "`next_cursor` on as `cursor` until it is null."
        ),
        servers=[Server(url="/")],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}],
        tags=[
            Tag("auth", "Sign in, renew, sign out"),
            Tag("me", "The signed-in person"),
            Tag("sites", "Sites: list, live, energy"),
            Tag("devices", "Devices and their samples"),
            Tag("onboarding", "From the box to a device that reports: claims, checks, corrections, revocation, profiles"),
            Tag("configuration", "What devices shall run, and what they say they run"),
            Tag("commands", "What devices are asked to do, and what became of it"),
            Tag("alerts", "What is wrong, and who has seen it"),
            Tag("fleet", "For operators: the fleet as a whole"),
            Tag("audit", "For administrators: who did what"),
            Tag("operations", "Health and metrics"),
        ],
        use_handler_docstrings=True,
        render_plugins=[_Description()],
        openapi_router=Router(
            "/api/schema", route_handlers=[], opt=OPEN, include_in_schema=False, before_request=_schema_only
        ),
    )


def _schema_only(request: Request[Any, Any, Any]) -> None:
    """Litestar answers unknown paths below the schema with a page of its own; ours answers them as it answers all others."""
    if not request.scope["path"].endswith("/openapi.json"):
        raise NotFoundException
