"""GET /audit: who did what, for administrators."""

from datetime import UTC, datetime
from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from fleet.limits import PAGE_ITEMS
from fleet.storage import audit
from fleet.storage.audit import AuditEntry
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.ranges import parse_instant
from web.visits import Visit, administrators

ZONE = "Europe/Paris"  # of a date without one; the log has no site whose zone could be meant
_INSTANT = "Instant or day"
Since = Annotated[str | None, QueryParameter(name="from", max_length=40, description=_INSTANT)]
Until = Annotated[str | None, QueryParameter(name="to", max_length=40, description=f"{_INSTANT}, itself excluded")]
Actor = Annotated[str | None, QueryParameter(max_length=60, description="Person id")]
Action = Annotated[str | None, QueryParameter(max_length=60, description="Such as `login` or `alert.ack`")]


@get("/", operation_id="listAudit", summary="The audit log, newest first")
async def list_audit(
    visit: NamedDependency[Visit],
    actor: Actor = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    before_id = decode_cursor(cursor, int)
    async with visit.enter() as connection:
        found = await audit.entries(
            connection,
            actor=actor,
            action=action,
            since=_time(since),
            until=_time(until),
            before_id=before_id,
            limit=limit + 1,
        )
    page = found[:limit]
    return Page(page, encode_cursor(page[-1].id) if len(found) > limit else None)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromtimestamp(parse_instant(text, ZONE) / 1000, UTC)


router = Router("/audit", route_handlers=[list_audit], guards=[administrators], tags=["audit"])
