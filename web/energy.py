"""GET /sites/{site}/energy: Wh per register and calendar step, as JSON or CSV."""

from typing import Annotated, Literal

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fleet.calendar import Step
from fleet.ids import SiteId
from fleet.measures import REGISTERS
from fleet.storage import energy as stored
from fleet.storage import registry
from fleet.storage.energy import EnergyStep
from fleet.telemetry import UnixMs
from web.csv_export import Cell, csv_response
from web.ranges import From, Until, iso_local, parse_range
from web.sites import parse_site
from web.visits import Visit

Format = Annotated[Literal["json", "csv"], QueryParameter(name="format", description="`csv`: a table for spreadsheets")]
StepOf = Annotated[Step, QueryParameter(description="Calendar step, in the site's zone")]
_QUALITY = ("missing", "measured", "estimated", "corrected")


class SiteEnergy(msgspec.Struct, frozen=True):
    """start and end of the steps are Unix ms. quality: see `quality_order`, quarter-hours of the step per kind."""

    site: SiteId
    timezone: str
    step: Step
    start: UnixMs
    end: UnixMs
    quality_order: tuple[str, ...]
    steps: list[EnergyStep]


@get("/{site:str}/energy", operation_id="getSiteEnergy", summary="Energy in Wh per register and step")
async def get_energy(
    site: FromPath[str],
    visit: NamedDependency[Visit],
    since: From,
    until: Until,
    step: StepOf = "1d",
    form: Format = "json",
) -> Response[SiteEnergy] | Response[bytes]:
    """Registers only ever grow: `import` and `export` are what the grid meter counted, `charge` and `discharge` the battery.

    A register that is null in a step is unknown there; one that the site does not have is left out.
    """
    site_id = parse_site(site)
    async with visit.enter() as connection:
        timezone = await registry.site_timezone(connection, site_id)
        start, end = parse_range(since, until, timezone)
        steps = await stored.energy(connection, site_id, timezone, start, end, step)
    if form == "json":
        return Response(SiteEnergy(site_id, timezone, step, start, end, _QUALITY, steps))
    name = f"{site_id}-{iso_local(start, timezone)[:10]}-{step}.csv"
    return csv_response(name, ["start", "end", *REGISTERS, *_QUALITY], (_row(entry, timezone) for entry in steps))


def _row(step: EnergyStep, timezone: str) -> list[Cell]:
    energies = [step.registers.get(register) for register in REGISTERS]
    return [iso_local(step.start, timezone), iso_local(step.end, timezone), *energies, *step.quality]


router = Router("/sites", route_handlers=[get_energy], tags=["sites"])
