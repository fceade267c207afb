"""GET /sites/{site}/devices, /devices/{device}, /devices/{device}/samples."""

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fleet.limits import SAMPLE_RANGE_DAYS_MAX, SAMPLES_PER_PAGE_MAX
from fleet.storage import corrections, registry, samples
from fleet.storage.registry import DeviceRow
from fleet.telemetry import Sample, UnixMs
from web.device_ids import parse_device
from web.paging import Cursor, Page, decode_cursor, encode_cursor
from web.ranges import From, Until, parse_range
from web.sites import parse_site
from web.visits import Visit

SampleLimit = Annotated[int, QueryParameter(ge=1, le=SAMPLES_PER_PAGE_MAX, description="Samples per page")]
Raw = Annotated[bool, QueryParameter(description="What the device sent, without corrections")]


@get("/sites/{site:str}/devices", operation_id="listDevices", summary="The devices of a site, by name")
async def list_devices(site: FromPath[str], visit: NamedDependency[Visit]) -> Page[DeviceRow]:
    """A site has few devices; they come as one page."""
    site_id = parse_site(site)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site_id)
        return Page(await registry.devices_of(connection, site_id), None)


@get("/devices/{device:str}", operation_id="getDevice", summary="One device, as it was last heard")
async def get_device(device: FromPath[str], visit: NamedDependency[Visit]) -> DeviceRow:
    async with visit.enter() as connection:
        return await registry.device(connection, parse_device(device))


@get("/devices/{device:str}/samples", operation_id="listSamples", summary="What a device sent, oldest first")
async def list_samples(
    device: FromPath[str],
    visit: NamedDependency[Visit],
    since: From,
    until: Until,
    limit: SampleLimit = 500,
    cursor: Cursor = None,
    raw: Raw = False,
) -> Page[Sample]:
    """At most 31 days at once. `t` is Unix ms; a measure that was not sent is left out of `v`.

    Corrected, unless `raw`: then values and times are those that the device told, in the order of the corrected times.
    """
    after = decode_cursor(cursor, UnixMs)
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        timezone = await registry.site_timezone(connection, row.site)
        start, end = parse_range(since, until, timezone, days_max=SAMPLE_RANGE_DAYS_MAX)
        start = start if after is None else max(start, after + 1)
        found = await samples.samples(
            connection,
            row.site,
            row.id,
            row.channels,
            since=start,
            until=end,
            limit=limit + 1,
            corrector=None if raw else await corrections.corrector_of(connection, row.site, row.id),
            as_told=raw,
        )
    page = found[:limit]
    return Page([stored.sample for stored in page], encode_cursor(page[-1].at) if len(found) > limit else None)


router = Router("/", route_handlers=[list_devices, get_device, list_samples], tags=["devices"])
