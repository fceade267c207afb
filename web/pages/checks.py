"""The checks of a whole site, device by device: what an installer looks at before leaving."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from fleet.errors import FleetError
from fleet.storage import registry
from web.checks import DeviceChecks, checks_of
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import parse_site
from web.visits import Visit


@get("/sites/{site:str}/checks", include_in_schema=False)
async def checks_page(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[str]:
    """Without the twins the page says so: a judgement of yesterday would be worse than none."""
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
        keeper = await registry.keeps(connection, row.id)
    devices: list[DeviceChecks] | None
    try:
        devices = await checks_of(services, visit, row.id)
    except FleetError:
        devices = None
    return page(
        request,
        "site_checks.html",
        person=visit.person,
        site=row,
        devices=devices,
        keeper=keeper,
        failed=sum(check.state == "failed" for each in devices or [] for check in each.checks),
        now=now_ms(),
    )
