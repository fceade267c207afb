"""GET /alerts, POST /alerts/{id}/ack."""

from typing import Annotated, Any, Literal

from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from fleet.limits import PAGE_ITEMS
from fleet.storage import audit, supervision
from fleet.storage.supervision import AlertCursor
from fleet.views import AlertState, AlertView, Severity
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.sites import parse_site
from web.visits import Visit, client_address

State = Annotated[
    AlertState | Literal["open"] | None,
    QueryParameter(name="state", description="`open` is raised or acknowledged; left out: all, resolved ones too"),
]


@get("/", operation_id="listAlerts", summary="Alerts of the sites that you may see, newest first")
async def list_alerts(
    visit: NamedDependency[Visit],
    wanted: State = None,
    severity: FromQuery[Severity | None] = None,
    site: FromQuery[str | None] = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[AlertView]:
    position = decode_cursor(cursor, AlertCursor)
    async with visit.enter() as connection:
        alerts, more = await supervision.list_alerts(
            connection,
            state=wanted,
            severity=severity,
            site=parse_site(site) if site else None,
            limit=limit,
            cursor=position,
        )
    return Page(alerts, encode_cursor(more) if more else None)


@post("/{alert:str}/ack", status_code=200, operation_id="acknowledgeAlert", summary="Say that somebody looks after it")
async def acknowledge(
    alert: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> AlertView:
    """The twin holds the alert: it is asked, not the database. Acknowledging what is resolved is a conflict."""
    return await acknowledge_alert(services, visit, alert, client_address(request))


async def acknowledge_alert(services: Services, visit: Visit, alert: str, address: str) -> AlertView:
    """What the API and the pages' button both do. Raises NotFound, Conflict, Unavailable."""
    async with visit.enter() as connection:
        known = await supervision.find_alert(connection, alert[:100].replace("\0", ""))
    acknowledged = await services.door.twins().acknowledge_alert(known.site, known.id, visit.person.id)
    async with visit.enter() as connection:
        await audit.record(
            connection,
            "alert.ack",
            person_id=visit.person.id,
            subject=known.id,
            detail={"site": known.site, "rule": known.rule},
            address=address,
        )
    return acknowledged


router = Router("/alerts", route_handlers=[list_alerts, acknowledge], tags=["alerts"])
