"""For operators: GET /fleet/stats, its event stream, and GET /dead-letters with its counts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import ServerSentEvent

from fleet.limits import PAGE_ITEMS
from fleet.storage import dead_letters
from fleet.storage.dead_letters import DeadLetter, DeadLetterCount
from web.fleet_state import FleetStats, fleet_stats
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.streams import EVENTS, event_stream
from web.twins_door import TwinsDoor
from web.visits import Visit, operators

Code = Annotated[str | None, QueryParameter(max_length=60, description="Reason, such as `bad_json`")]
SiteFilter = Annotated[str | None, QueryParameter(max_length=32, description="Site id")]


class _FleetFeed:
    def __init__(self, door: TwinsDoor) -> None:
        self._door = door

    async def next(self) -> bytes:
        await self._door.next_stats()
        return msgspec.json.encode(current_stats(self._door))


def current_stats(door: TwinsDoor) -> FleetStats:
    return fleet_stats(door.stats, door.previous, time.time_ns() // 1_000_000)


@get("/fleet/stats", operation_id="getFleetStats", summary="Devices online, rates, refusals, lag, shards")
async def get_stats(visit: NamedDependency[Visit], services: NamedDependency[Services]) -> FleetStats:
    async with visit.enter():
        return current_stats(services.door)


@get("/fleet/events", operation_id="streamFleet", summary="`fleet` events: the same, every two seconds", media_type=EVENTS)
async def stream_fleet(visit: NamedDependency[Visit], services: NamedDependency[Services]) -> ServerSentEvent:
    async def may_see() -> None:
        async with visit.enter():
            pass

    async def now() -> bytes:
        return msgspec.json.encode(current_stats(services.door))

    await may_see()
    return event_stream(services, visit, "fleet", now, _feed(services.door), may_see)


@contextmanager
def _feed(door: TwinsDoor) -> Iterator[_FleetFeed]:
    yield _FleetFeed(door)


@get("/dead-letters", operation_id="listDeadLetters", summary="What could not be taken in, newest first")
async def list_dead_letters(
    visit: NamedDependency[Visit],
    code: Code = None,
    site: SiteFilter = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[DeadLetter]:
    before_id = decode_cursor(cursor, int)
    async with visit.enter() as connection:
        found = await dead_letters.dead_letters(connection, code=code, site=site, before_id=before_id, limit=limit + 1)
    page = found[:limit]
    return Page(page, encode_cursor(page[-1].id) if len(found) > limit else None)


@get("/dead-letters/counts", operation_id="countDeadLetters", summary="How many in the last 24 hours, by reason")
async def count_dead_letters(visit: NamedDependency[Visit]) -> Page[DeadLetterCount]:
    async with visit.enter() as connection:
        return Page(await dead_letters.count_dead_letters(connection), None)


router = Router(
    "/", route_handlers=[get_stats, stream_fleet, list_dead_letters, count_dead_letters], guards=[operators], tags=["fleet"]
)
