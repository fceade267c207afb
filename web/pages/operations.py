"""The operators' page: is the fleet well, what needs somebody, what could not be taken in. And the audit log."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from fleet.calendar import local_day
from fleet.limits import PAGE_ITEMS, PAGE_ITEMS_MAX
from fleet.storage import audit, configs, dead_letters, registry, revocations, supervision
from fleet.storage.today import pv_wh_on
from web.fleet_routes import current_stats
from web.pages.alerts import alert_lines
from web.pages.rendering import now_ms, page
from web.pages.sites import line_of, summaries_of, worst_first
from web.services import Services
from web.visits import Visit, administrators, operators

_WORST_SITES = 8
_ALERTS_MAX = 50
_LETTERS = 10
ZONE = "Europe/Paris"  # of what belongs to no site
_HEALTHY = ("ok", "asleep")


@get("/ops", guards=[operators], include_in_schema=False)
async def operations_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Response[str]:
    now = now_ms()
    async with visit.enter() as connection:
        rows = await registry.list_sites(connection, text=None, after=None, limit=PAGE_ITEMS_MAX)
        produced = await pv_wh_on(connection, {row.id: local_day(now, row.timezone) for row in rows})
        alerts, more_alerts = await supervision.list_alerts(
            connection, state="open", severity=None, site=None, limit=_ALERTS_MAX, cursor=None
        )
        letters = await dead_letters.dead_letters(connection, code=None, site=None, before_id=None, limit=_LETTERS)
        devices = {
            str(device.id): device.name
            for site in {alert.site for alert in alerts}
            for device in await registry.devices_of(connection, site)
        }
        alarms = await revocations.alarms(connection)
        labels = await registry.site_labels(connection, {alert.site for alert in alerts})
        sites = await registry.count_sites(connection)
        standing = await configs.counts(connection)
    summaries = await summaries_of(services, [row.id for row in rows])
    lines = worst_first([line_of(row, summaries.get(row.id), produced.get(row.id)) for row in rows])
    return page(
        request,
        "ops.html",
        person=visit.person,
        stats=current_stats(services.door),
        broker_connected=services.live.connected,
        alerts=alert_lines(
            alerts,
            site_names={label.id: label.name for label in labels},
            device_names=devices,
            timezones={label.id: label.timezone for label in labels},
        ),
        alarms=alarms,
        more_alerts=more_alerts is not None,
        worst=[line for line in lines if line.health.status not in _HEALTHY or line.open_alerts][:_WORST_SITES],
        sites=sites,
        configs_to_settle=standing["rejected"] + standing["drifted"],
        letters=letters,
        now=now,
        zone=ZONE,
    )


Before = Annotated[int | None, QueryParameter(ge=1)]


@get("/audit", guards=[administrators], include_in_schema=False)
async def audit_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit], before: Before = None) -> Response[str]:
    async with visit.enter() as connection:
        found = await audit.entries(
            connection, actor=None, action=None, since=None, until=None, before_id=before, limit=PAGE_ITEMS + 1
        )
    entries = found[:PAGE_ITEMS]
    older = entries[-1].id if len(found) > PAGE_ITEMS else None
    return page(request, "audit.html", person=visit.person, entries=entries, older=older, now=now_ms(), zone=ZONE)
