"""Faults on purpose, each with a label, so that detectors can be judged later.

Pure: what a faulty device says is a function of its label, of what it would have said, and of the time. An outage works
inside the site model (nothing is produced, the meter sees it), a lost connection and a setting that somebody changes on site
inside the device; the others change samples here.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from fleet.errors import BadInput
from fleet.ids import SiteId
from fleet.measures import REGISTERS
from fleet.profiles import DeviceKind
from fleet.telemetry import Sample, UnixMs

FaultKind = Literal["outage", "comms_loss", "stuck_value", "reversed_ct", "clock_shift", "counter_reset", "local_change"]
KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
CLOCK_SHIFT_MS: Final = 3_600_000
# Which device of the site has it when the label names none; None = all of them.
USUAL_DEVICE: Final[dict[FaultKind, DeviceKind | None]] = {
    "outage": "inverter",
    "comms_loss": None,
    "stuck_value": "inverter",
    "reversed_ct": "meter",
    "clock_shift": None,
    "counter_reset": "meter",
    "local_change": "meter",  # a site has one
}

Read = Callable[[UnixMs], Sample]  # what the device would say at that time if it were well


class FaultLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault from from_at until until_at, on the site's devices of this kind (None: on all of them)."""

    kind: FaultKind
    site: SiteId
    device_kind: DeviceKind | None
    from_at: UnixMs
    until_at: UnixMs

    def active(self, at: UnixMs) -> bool:
        return self.from_at <= at < self.until_at

    def concerns(self, site: SiteId, kind: DeviceKind) -> bool:
        return self.site == site and self.device_kind in (None, kind)


def transform(labels: Iterable[FaultLabel], read: Read, at: UnixMs) -> Sample:
    """What the device says at this time under all of its labels; a later one starts from what an earlier one made of it."""
    said = read
    for label in sorted(labels, key=lambda label: label.from_at):
        said = _under(label, said)
    return said(at)


def _under(label: FaultLabel, read: Read) -> Read:
    change = _CHANGES.get(label.kind)
    if change is None:
        return read
    return lambda at: change(label, read, at) if at >= label.from_at else read(at)


def _stuck_value(label: FaultLabel, read: Read, at: UnixMs) -> Sample:
    """Every reading stays where it was; the counters, kept elsewhere in the device, go on."""
    sample = read(at)
    if not label.active(at):
        return sample
    frozen = read(label.from_at).v
    return Sample(at, {name: value if name in REGISTERS else frozen[name] for name, value in sample.v.items()})


def _reversed_ct(label: FaultLabel, read: Read, at: UnixMs) -> Sample:
    """Import counts as export and the reverse, and power has the wrong sign. Once turned back, the counters go on."""
    now, begin, end = read(at).v, read(label.from_at).v, read(min(at, label.until_at)).v
    changed = dict(now)
    if label.active(at) and now.get("grid_power_w") is not None:
        changed["grid_power_w"] = -(now["grid_power_w"] or 0.0)
    for own, other in (("import_energy_wh", "export_energy_wh"), ("export_energy_wh", "import_energy_wh")):
        if own in now and other in now:
            swapped = _value(end, other) - _value(begin, other)
            changed[own] = _value(begin, own) + swapped + _value(now, own) - _value(end, own)
    return Sample(at, changed)


def _clock_shift(label: FaultLabel, read: Read, at: UnixMs) -> Sample:
    sample = read(at)
    return Sample(at + CLOCK_SHIFT_MS, sample.v) if label.active(at) else sample


def _counter_reset(label: FaultLabel, read: Read, at: UnixMs) -> Sample:
    """The counters start again at zero, for good: until_at does not bring the old values back."""
    sample, begin = read(at), read(label.from_at).v
    return Sample(
        at,
        {
            name: _value(sample.v, name) - _value(begin, name) if name in REGISTERS else value
            for name, value in sample.v.items()
        },
    )


def _value(values: dict[str, float | None], name: str) -> float:
    return values.get(name) or 0.0


_CHANGES: Final[dict[FaultKind, Callable[[FaultLabel, Read, UnixMs], Sample]]] = {
    "stuck_value": _stuck_value,
    "reversed_ct": _reversed_ct,
    "clock_shift": _clock_shift,
    "counter_reset": _counter_reset,
}


def load_labels(path: Path) -> list[FaultLabel]:
    """The labels of an earlier run, none when there was none. Raises BadInput (bad_labels)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[FaultLabel])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise BadInput("bad_labels", f"{path}: {error}") from None


def save_labels(path: Path, labels: list[FaultLabel]) -> None:
    """Written aside and renamed: a reader never sees half a file."""
    aside = path.with_suffix(".part")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(labels), indent=2))
    aside.replace(path)
