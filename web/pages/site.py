"""A site: how it is now, how it did over a day or longer, its devices and its alerts."""

from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fleet.calendar import day_bounds, local_day
from fleet.errors import FleetError
from fleet.storage import energy as stored
from fleet.storage import registry, supervision
from fleet.storage.database import Connection
from fleet.storage.registry import DeviceRow, SiteRow
from fleet.storage.today import first_day
from fleet.storage.waiting import waiting_sources
from fleet.telemetry import UnixMs
from fleet.views import AlertView, Health, PowerFlow
from web.language import Language, language_of
from web.pages import times
from web.pages.add_device import seen_sources
from web.pages.alerts import AlertLine, alert_lines
from web.pages.energy import (
    BarSeries,
    DaySeries,
    QuarterRow,
    Totals,
    bar_series,
    day_series,
    hour_rows,
    summed,
    totals_of_day,
    totals_of_registers,
)
from web.pages.periods import PERIODS, Shown, parse_day, shown
from web.pages.rendering import now_ms, page
from web.pages.times import Period
from web.services import Services
from web.sites import parse_site
from web.visits import Visit

_ALERTS_MAX = 50


class DeviceLine(msgspec.Struct, frozen=True):
    id: str
    name: str
    kind: str
    health: Health
    reason: str  # its code, without what stands behind the colon
    sample_at: UnixMs | None


class Now(msgspec.Struct, frozen=True):
    """live False: put together from what was stored last. age_ms: of the newest sample; None = never one."""

    live: bool
    flow: PowerFlow
    health: Health
    age_ms: float | None
    sample_at: UnixMs | None
    devices: list[DeviceLine]
    alerts: list[AlertLine]
    has_battery: bool


class Step(msgspec.Struct, frozen=True):
    """A bar and its line in the table."""

    short: str
    title: str
    totals: Totals


class Energy(msgspec.Struct, frozen=True):
    """curve for a day, bars otherwise."""

    shown: Shown
    title: str
    totals: Totals
    curve: DaySeries | None
    hours: list[QuarterRow]
    bars: BarSeries | None
    steps: list[Step]


PeriodName = Annotated[Period, QueryParameter(description="day, week, month, year or total")]
Day = Annotated[str | None, QueryParameter(name="date", max_length=40)]


@get("/sites/{site:str}", include_in_schema=False)
async def site_page(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    period: PeriodName = "day",
    day: Day = None,
) -> Response[Any]:
    now = now_ms()
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
        devices = await registry.devices_of(connection, row.id)
        alerts, _ = await supervision.list_alerts(
            connection, state="open", severity=None, site=row.id, limit=_ALERTS_MAX, cursor=None
        )
        today = local_day(now, row.timezone)
        since = await stored_since(connection, row, today)
        span = shown(period, parse_day(day, today), today=today, since=since)
        energy = await energy_of(connection, row, span, now, language_of(request))
        waiting = await waiting_sources(connection, row.id)
        keeper = await registry.keeps(connection, row.id)
    return page(
        request,
        "site.html",
        person=visit.person,
        site=row,
        present=await present_of(services, row, devices, alerts, now),
        energy=energy,
        seen=seen_sources(waiting, devices, []),
        maker=keeper,
        periods=PERIODS,
        today=today,
        now=now,
        clock=lambda at: times.clock(at, row.timezone),
    )


async def stored_since(connection: Connection, row: SiteRow, today: date) -> date:
    """The first day with energy: history may be older than the site's entry in the registry."""
    return await first_day(connection, row.id) or min(today, local_day(row.created_at, row.timezone))


async def energy_of(connection: Connection, row: SiteRow, span: Shown, now: UnixMs, language: Language) -> Energy:
    title = times.period_title(span.period, span.first, language)
    if span.period in ("year", "total"):
        steps = await _long_steps(connection, row, span, language)
        return Energy(span, title, summed(step.totals for step in steps), None, [], _bars(steps), steps)
    days = {found.day: found for found in await stored.site_days(connection, row.id, span.first, span.last)}
    if span.period == "day":
        found = days.get(span.first)
        totals = totals_of_day(found) if found else Totals()
        hours = hour_rows(found, row.timezone) if found else []
        return Energy(span, title, totals, day_series(found, span.first, row.timezone, now), hours, None, [])
    steps = []
    for offset in range((span.last - span.first).days + 1):
        day = date.fromordinal(span.first.toordinal() + offset)
        short = times.weekday(day, language) if span.period == "week" else str(day.day)
        totals = totals_of_day(days[day]) if day in days else Totals()
        steps.append(Step(short, times.long_day(day, language), totals))
    return Energy(span, title, summed(step.totals for step in steps), None, [], _bars(steps), steps)


async def _long_steps(connection: Connection, row: SiteRow, span: Shown, language: Language) -> list[Step]:
    """Months of a year, or years; read by the days' totals."""
    start, end = day_bounds(span.first, row.timezone)[0], day_bounds(span.last, row.timezone)[1]
    steps = []
    for found in await stored.energy(connection, row.id, row.timezone, start, end, "1mo" if span.period == "year" else "1y"):
        first = local_day(found.start, row.timezone)
        totals = totals_of_registers(found.registers, found.quality)
        if span.period == "year":
            steps.append(Step(times.month(first, language, short=True), times.month(first, language), totals))
        else:
            steps.append(Step(str(first.year), str(first.year), totals))
    return steps


def _bars(steps: list[Step]) -> BarSeries:
    return bar_series([(step.short, step.title, step.totals) for step in steps])


async def present_of(
    services: Services, row: SiteRow, devices: list[DeviceRow], alerts: list[AlertView], now: UnixMs
) -> Now:
    """From the twin; while it does not answer, from what was stored last."""
    has_battery = any(device.kind == "battery" for device in devices)
    try:
        live = await services.door.twins().site_live(row.id)
    except FleetError:
        return _stored_present(row, devices, alerts, now, has_battery=has_battery)
    lines = [
        DeviceLine(each.device, each.name, each.kind, each.health, _code(each.health), each.sample_at)
        for each in live.devices
    ]
    return _present(row, live.flow, live.health, lines, live.alerts, live.at, live=True, has_battery=has_battery)


def _stored_present(
    row: SiteRow, devices: list[DeviceRow], alerts: list[AlertView], now: UnixMs, *, has_battery: bool
) -> Now:
    lines = [DeviceLine(each.id, each.name, each.kind, each.health, _code(each.health), each.sample_at) for each in devices]
    return _present(row, _last_flow(devices), row.health, lines, alerts, now, live=False, has_battery=has_battery)


def _present(
    row: SiteRow,
    flow: PowerFlow,
    health: Health,
    devices: list[DeviceLine],
    alerts: list[AlertView],
    at: UnixMs,
    *,
    live: bool,
    has_battery: bool,
) -> Now:
    sampled = max((device.sample_at for device in devices if device.sample_at is not None), default=None)
    names = {device.id: device.name for device in devices}
    lines = alert_lines(alerts, site_names={row.id: row.name}, device_names=names, timezones={row.id: row.timezone})
    age_ms = None if sampled is None else max(0, at - sampled)
    return Now(live, flow, health, age_ms, sampled, devices, lines, has_battery)


def _last_flow(devices: list[DeviceRow]) -> PowerFlow:
    """What each device said last, added up; the house's share follows where the others are known."""

    def total(measure: str) -> float | None:
        values = [device.readings[measure] for device in devices if measure in device.readings]
        return sum(values) if values else None

    pv, grid, battery, load = (total(f"{name}_power_w") for name in ("pv", "grid", "battery", "load"))
    if load is None and pv is not None and grid is not None:
        load = max(0.0, pv + grid - (battery or 0.0))
    return PowerFlow(pv, grid, battery, load, total("battery_soc_pct"))


def _code(health: Health) -> str:
    return health.reason.partition(":")[0]
