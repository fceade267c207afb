"""Alerts as lines on a page, and the button that acknowledges one."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect

from fleet.telemetry import UnixMs
from fleet.views import AlertView, Severity
from web.alerts import acknowledge_alert
from web.auth import is_local
from web.services import Services
from web.visits import Visit, client_address

_RANK: Mapping[Severity, int] = {"critical": 0, "warning": 1, "info": 2}


class AlertLine(msgspec.Struct, frozen=True):
    id: str
    rule: str
    severity: Severity
    site: str
    site_name: str
    device_name: str  # '' for the site itself
    timezone: str
    raised_at: UnixMs
    acked_at: UnixMs | None


class AckForm(msgspec.Struct, frozen=True):
    next: Annotated[str, msgspec.Meta(max_length=1_000)] = "/"


def alert_lines(
    alerts: Iterable[AlertView],
    *,
    site_names: Mapping[str, str],
    device_names: Mapping[str, str],
    timezones: Mapping[str, str],
) -> list[AlertLine]:
    """What nobody has seen comes first, then the urgent, then the new. Names that are not known stay ids."""
    lines = [
        AlertLine(
            alert.id,
            alert.rule,
            alert.severity,
            alert.site,
            site_names.get(alert.site, alert.site),
            device_names.get(alert.device, alert.device),
            timezones.get(alert.site, "Europe/Paris"),
            alert.raised_at,
            alert.acked_at,
        )
        for alert in alerts
    ]
    return sorted(lines, key=lambda line: (line.acked_at is not None, _RANK[line.severity], -line.raised_at))


@post("/alerts/{alert:str}/ack", include_in_schema=False)
async def acknowledge(
    alert: FromPath[str],
    data: Annotated[AckForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Redirect:
    """Back to the page that the button stands on, which shows the alert as seen."""
    await acknowledge_alert(services, visit, alert, client_address(request))
    return Redirect(data.next if is_local(data.next) else "/", status_code=303)
