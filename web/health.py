"""GET /health/live, /health/ready, /metrics: for operations, without a sign-in."""

import asyncio

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from fleet.storage.database import AWAY
from web.services import Services
from web.visits import OPEN

_PROMETHEUS = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")  # Litestar adds the character set


class Readiness(msgspec.Struct, frozen=True):
    """missing: what does not answer yet, of "database", "twins", "live_feed". Without the live feed pages still work."""

    ready: bool
    missing: list[str]


@get("/health/live", operation_id="healthLive", summary="The process runs")
async def live() -> dict[str, bool]:
    return {"live": True}


@get("/health/ready", operation_id="healthReady", summary="Everything that requests need answers")
async def ready(services: NamedDependency[Services]) -> Response[Readiness]:
    missing = []
    if not await _database_answers(services):
        missing.append("database")
    if not services.door.connected:
        missing.append("twins")
    if not services.live.connected:
        missing.append("live_feed")
    answers = Readiness(not missing, missing)
    return Response(
        answers, status_code=200 if answers.ready else 503, headers={} if answers.ready else {"Retry-After": "2"}
    )


@get("/metrics", operation_id="metrics", summary="Figures in Prometheus' text format", media_type=_PROMETHEUS)
async def metrics(services: NamedDependency[Services]) -> bytes:
    await services.operations.look()
    return services.metrics.exposition()


async def _database_answers(services: Services) -> bool:
    try:
        async with asyncio.timeout(2.0):
            return bool(await services.pool.fetchval("SELECT 1"))
    except AWAY:
        return False


router = Router("/", route_handlers=[live, ready, metrics], opt=OPEN, tags=["operations"])
