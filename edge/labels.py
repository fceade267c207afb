"""Which faults a simulation runs under: those of its earlier runs, those asked for, and the demo's."""

from pathlib import Path
from typing import Final, get_args

from edge.faults import KINDS, USUAL_DEVICE, FaultLabel, load_labels, save_labels
from edge.limits import DEMO_FAULT_S, FAULT_S
from fleet.errors import BadInput
from fleet.fleet_plan import FleetPlan
from fleet.ids import SiteId
from fleet.profiles import DeviceKind
from fleet.telemetry import UnixMs

DEMO_FAULT_SITE: Final = 2  # a home in the middle of the first page
DEMO_CHANGE_SITE: Final = 3  # and its neighbour


def fault_labels(plan: FleetPlan, path: Path, asked: list[str], now: UnixMs) -> list[FaultLabel]:
    """Earlier runs' labels, which keep their effect on counters, and the new ones; all of them are written to path.

    Raises BadInput (bad_fault) for what is not LABEL:SITE_INDEX[:DEVICE_KIND].
    """
    labels = load_labels(path) + [_parsed(plan, text, now) for text in asked]
    save_labels(path, labels)
    return labels


def demo_fault(plan: FleetPlan, path: Path, labels: list[FaultLabel], now: UnixMs) -> list[FaultLabel]:
    """A lost connection, visible by day and by night, one that is still in progress is enough; and a meter that somebody
    on site has set otherwise, once for all time.
    """
    until = now + int(DEMO_FAULT_S * 1000)
    added: list[FaultLabel] = []
    if not any(label.kind == "comms_loss" and label.active(now) for label in labels):
        added.append(FaultLabel("comms_loss", _site(plan, DEMO_FAULT_SITE), None, now, until))
    if len(plan.sites) > DEMO_CHANGE_SITE and not any(label.kind == "local_change" for label in labels):
        added.append(FaultLabel("local_change", _site(plan, DEMO_CHANGE_SITE), USUAL_DEVICE["local_change"], now, until))
    if added:
        save_labels(path, [*labels, *added])
    return [*labels, *added]


def _site(plan: FleetPlan, index: int) -> SiteId:
    return plan.sites[min(index, len(plan.sites) - 1)].id


def _parsed(plan: FleetPlan, text: str, now: UnixMs) -> FaultLabel:
    kind, _, rest = text.partition(":")
    index, _, device_kind = rest.partition(":")
    fault = next((known for known in KINDS if known == kind), None)
    device = next((known for known in get_args(DeviceKind) if known == device_kind), None)
    if fault is None or not index.isdigit() or int(index) >= len(plan.sites) or (device_kind and device is None):
        raise BadInput("bad_fault", f"{text!r} is not LABEL:SITE_INDEX[:DEVICE_KIND] with a label of {', '.join(KINDS)}")
    return FaultLabel(fault, plan.sites[int(index)].id, device or USUAL_DEVICE[fault], now, now + int(FAULT_S * 1000))
