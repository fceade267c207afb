"""The past of a fleet, as one file per site for the platform's bulk door."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge.channels import DeviceModel
from edge.site_model import SiteModel
from fleet import profiles
from fleet.fleet_plan import FleetPlan, HistoryBlock, PlannedSite
from fleet.telemetry import UnixMs


def site_history(plan: FleetPlan, site: PlannedSite, *, from_at: UnixMs, until: UnixMs, step_s: int) -> list[HistoryBlock]:
    """Every device of the site, on whole multiples of the step in from_at..until (both included)."""
    shipped = {profile.id: profile for profile in profiles.shipped()}
    step_ms = step_s * 1000
    first = -(-max(from_at, plan.history_from) // step_ms) * step_ms
    times = range(first, until + 1, step_ms)
    model = SiteModel(site, seed=plan.seed, history_from=plan.history_from)
    readings = model.read(times) if times else None
    blocks = []
    for device in site.devices:
        shows = DeviceModel(model, device, shipped[device.profile_id], seed=plan.seed)
        blocks.append(HistoryBlock(site.id, device.id, shows.shown(times, readings) if readings else []))
    return blocks


def write_history(plan: FleetPlan, *, days: float, step_s: int, now: UnixMs, folder: Path) -> Iterator[Path]:
    """One <site>.msgpack (a list of HistoryBlock) after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.msgpack.Encoder()
    for site in plan.sites:
        blocks = site_history(plan, site, from_at=now - int(days * 86_400_000), until=now, step_s=step_s)
        path = folder / f"{site.id}.msgpack"
        path.write_bytes(encoder.encode(blocks))
        yield path
