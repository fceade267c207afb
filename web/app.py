"""create_app: the routes, and what stands around every one of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import CacheControlHeader, State
from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.static_files import create_static_files_router
from litestar.template import TemplateConfig
from litestar.types import ControllerRouterHandler

from fleet.limits import REQUEST_BYTES_MAX
from web import (
    alerts,
    attach,
    audit_log,
    auth,
    checks,
    claim_routes,
    command_batches,
    commands,
    config_changes,
    configs,
    corrections,
    devices,
    docs,
    energy,
    fleet_routes,
    formats,
    groups,
    health,
    import_changes,
    imports,
    invitations,
    loggers,
    me,
    profiles,
    pull_sources,
    replacement,
    reports,
    revocation,
    rollouts,
    setup,
    sites,
    tags,
)
from web.errors import ProblemPage, exception_handler
from web.front import Front
from web.services import Services
from web.visits import OPEN, Authentication, provide_visit

STATIC_DIR = Path(__file__).parent / "static"
API_ROUTERS = (
    auth.router,
    setup.router,
    me.router,
    sites.router,
    energy.router,
    devices.router,
    tags.router,
    configs.router,
    config_changes.router,
    claim_routes.router,
    attach.router,
    checks.router,
    corrections.router,
    replacement.router,
    reports.router,
    revocation.router,
    commands.router,
    command_batches.router,
    invitations.router,
    profiles.router,
    imports.router,
    import_changes.router,
    formats.router,
    loggers.router,
    pull_sources.router,
    groups.router,
    rollouts.router,
    alerts.router,
    fleet_routes.router,
    audit_log.router,
)


def create_app(
    services: Services,
    *,
    pages: Sequence[ControllerRouterHandler] = (),
    problem_page: ProblemPage | None = None,
    template_config: TemplateConfig[Any] | None = None,
    plugins: Sequence[PluginProtocol] = (),
) -> Litestar:
    """The API, and the pages if any are given.

    Handlers get `services: Services` and `visit: Visit` by naming them. problem_page shows errors outside of /api.
    """

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        services.door.start()
        services.live.start()
        services.news.start()
        try:
            yield
        finally:
            services.closing.set()
            for task in services.background:
                task.cancel()
            await services.news.stop()
            await services.live.stop()
            await services.door.stop()

    app = Litestar(
        route_handlers=[
            Router("/api/v1", route_handlers=list(API_ROUTERS)),
            health.router,
            docs.router,
            docs.favicon,
            _static(),
            *pages,
        ],
        middleware=[Authentication(services)],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "visit": Provide(provide_visit, sync_to_thread=False),
        },
        exception_handlers={Exception: exception_handler(problem_page)},
        lifespan=[lifespan],
        state=State({"services": services}),
        openapi_config=docs.openapi_config(),
        request_max_body_size=REQUEST_BYTES_MAX,
        template_config=template_config,
        plugins=list(plugins),
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    services.metrics.observe_shards(lambda: services.door.stats)
    app.asgi_handler = Front(
        app.asgi_handler,
        public_url=services.settings.public_url,
        hosts=[services.settings.host, *services.settings.allowed_hosts],
        metrics=services.metrics,
        tracing=services.tracing,
    )
    return app


def _static() -> Router:
    """Files of web/static; what Vite built carries its hash in its name and may be kept for a year."""
    STATIC_DIR.mkdir(exist_ok=True)
    return create_static_files_router(
        path="/static",
        directories=[STATIC_DIR],
        opt=OPEN,
        include_in_schema=False,
        cache_control=CacheControlHeader(public=True, max_age=3600),
    )
