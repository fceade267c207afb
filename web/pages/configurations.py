"""The fleet's configurations for operations: which devices wait, refused, or were changed on site."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from fleet.configuration import ConfigStatus
from fleet.limits import PAGE_ITEMS
from fleet.storage import configs
from web.configs import page_of_lines
from web.pages.rendering import now_ms, page
from web.visits import Visit, operators

Status = Annotated[ConfigStatus | None, QueryParameter(name="status")]
Cursor = Annotated[str | None, QueryParameter(name="cursor", max_length=200)]
_ORDER: Final[tuple[ConfigStatus, ...]] = ("rejected", "drifted", "applying", "pending", "unknown", "in_sync")


@get("/ops/configurations", guards=[operators], include_in_schema=False)
async def configurations_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], status: Status = None, cursor: Cursor = None
) -> Response[str]:
    async with visit.enter() as connection:
        counts = await configs.counts(connection)
        found = await page_of_lines(connection, status, PAGE_ITEMS, cursor)
    here = {"status": status, "cursor": cursor}
    older = {"status": status, "cursor": found.next_cursor}
    return page(
        request,
        "configurations.html",
        person=visit.person,
        status_shown=status,
        order=_ORDER,
        counts=counts,
        lines=found.items,
        here=_address(here),
        older=_address(older) if found.next_cursor else None,
        now=now_ms(),
    )


def _address(query: dict[str, str | None]) -> str:
    given = urlencode({name: value for name, value in query.items() if value})
    return f"/ops/configurations?{given}" if given else "/ops/configurations"
