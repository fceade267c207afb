"""The one-tap fix of a failed check, and taking it back."""

import time
from contextlib import suppress
from typing import Any

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.commissioning import Fix
from fleet.corrections import Correction
from fleet.errors import FleetError, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.storage import audit, corrections, registry
from fleet.telemetry import UnixMs
from web.device_ids import parse_device
from web.paging import Page
from web.services import Services
from web.visits import Visit, client_address


async def apply_fix(services: Services, visit: Visit, device: DeviceId, fix: Fix, address: str) -> Correction:
    """For installers, ops and admins. Today counts it when this returns. The same fix again is the same correction.

    Raises NotFound (unknown_device), Forbidden (not_allowed), BadInput (bad_correction), Conflict (too_many_corrections).
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, device)
        await visit.must_keep(connection, row.site)
        made = await corrections.add_correction(
            connection,
            site=row.site,
            device=device,
            kind=fix.kind,
            measure=fix.measure,
            value=fix.value,
            from_at=fix.from_at,
            created_by=visit.person.id,
            now=time.time_ns() // 1_000_000,
        )
        await audit.record(
            connection,
            "correction.make",
            person_id=visit.person.id,
            subject=device,
            detail={"site": row.site, "correction": made.id} | msgspec.to_builtins(fix),
            address=address,
        )
    await _tell_twins(services, row.site, device, made.from_at, made.value if made.kind == "clock" else 0.0)
    return made


async def undo(services: Services, visit: Visit, device: DeviceId, correction_id: str, address: str) -> Correction:
    """For installers, ops and admins. Everything is as if it had never been made.

    Raises NotFound (unknown_device, unknown_correction), Forbidden (not_allowed), Conflict (already_undone).
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, device)
        await visit.must_keep(connection, row.site)
        undone = await corrections.undo_correction(connection, row.site, correction_id, visit.person.id)
        if undone.device != device:
            raise NotFound("unknown_correction", f"no correction {correction_id[:40]} of {device}")
        await audit.record(
            connection,
            "correction.undo",
            person_id=visit.person.id,
            subject=device,
            detail={"site": row.site, "correction": undone.id},
            address=address,
        )
    await _tell_twins(services, row.site, device, undone.from_at, -undone.value if undone.kind == "clock" else 0.0)
    return undone


async def _tell_twins(services: Services, site: SiteId, device: DeviceId, since: UnixMs, clock_shift_s: float) -> None:
    """Twins that cannot be told now read the corrections when they come back; what was stored stands either way."""
    with suppress(FleetError):
        await services.door.twins().corrected(site, device, since, clock_shift_s)


@get("/devices/{device:str}/corrections", operation_id="listCorrections", summary="What is corrected, and what was")
async def list_corrections(device: FromPath[str], visit: NamedDependency[Visit]) -> Page[Correction]:
    """Oldest first; those with undone_at do not count any more, and those with ended_at only for what lies before it: the
    hardware that they were made for was replaced then. Samples keep what the device said.
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        return Page(await corrections.corrections_of(connection, row.site, row.id), None)


@post(
    "/devices/{device:str}/corrections", operation_id="correctDevice", summary="Correct what a device says, from a date on"
)
async def post_correction(
    device: FromPath[str],
    data: JSONBody[Fix],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Correction:
    """`sign` −1 turns a power around; `factor` and `offset` change a measure; `clock` moves its samples by seconds."""
    return await apply_fix(services, visit, parse_device(device), data, client_address(request))


@post(
    "/devices/{device:str}/corrections/{correction:str}/undo",
    status_code=200,
    operation_id="undoCorrection",
    summary="Take a correction back",
)
async def post_undo(
    device: FromPath[str],
    correction: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Correction:
    return await undo(services, visit, parse_device(device), correction[:40].replace("\0", ""), client_address(request))


router = Router("/", route_handlers=[list_corrections, post_correction, post_undo], tags=["onboarding"])
