"""What the commissioning checks know, and what they answer (see fleet.commissioning)."""

from typing import Literal

import msgspec

from fleet.corrections import CorrectionKind
from fleet.ids import DeviceId
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs

CheckCode = Literal["sign", "unit", "clock", "sun", "consumption"]
CheckState = Literal["ok", "failed", "waiting", "later", "not_applicable"]
Evidence = dict[str, float | str | None]


class PvArray(msgspec.Struct, frozen=True):
    """azimuth_deg: 0 north, 90 east, 180 south. tilt_deg: 0 flat, 90 upright."""

    peak_power_w: float
    azimuth_deg: float
    tilt_deg: float


class Fix(msgspec.Struct, frozen=True):
    """A correction to offer: one tap makes it, another one takes it back (see fleet.corrections)."""

    kind: CorrectionKind
    measure: str
    value: float
    from_at: UnixMs


class Check(msgspec.Struct, frozen=True):
    """state: waiting, nothing was heard yet; later, it cannot be judged now.

    evidence: what the judgement rests on, its units in the names. `reason` tells apart what can be wrong (or why it has to
    wait); `again_at_ms`, where it is known when a judgement will be possible, says so.
    """

    code: CheckCode
    state: CheckState
    evidence: Evidence = {}
    fix: Fix | None = None


class Recent(msgspec.Struct, frozen=True):
    """A stored sample, corrected. at: its own time; received_at: when it came."""

    at: UnixMs
    received_at: UnixMs
    values: dict[str, float]


class Refusal(msgspec.Struct, frozen=True):
    """Something of the device that was not taken in. ahead_s: of a time, how far it lay ahead of ours (behind: negative)."""

    code: str
    detail: str
    at: UnixMs
    ahead_s: float | None = None


class DeviceFacts(msgspec.Struct, frozen=True):
    """readings: the newest ones, corrected; sample_at: their time. seen_at: when the device was last heard.

    since        when this hardware came to its place: a fix counts from there on
    recent       of the last minutes, oldest first; the more, the surer the judgement
    refusals     of the last day, in any order
    """

    device: DeviceId
    profile: DeviceProfile
    since: UnixMs
    readings: dict[str, float] = {}
    sample_at: UnixMs | None = None
    seen_at: UnixMs | None = None
    recent: list[Recent] = []
    refusals: list[Refusal] = []


class CommissioningFacts(msgspec.Struct, frozen=True):
    """device: which is judged; devices: all of the site, itself among them. arrays empty: only the peak power is known."""

    now: UnixMs
    latitude: float
    longitude: float
    peak_power_w: float
    arrays: list[PvArray]
    device: DeviceFacts
    devices: list[DeviceFacts]
