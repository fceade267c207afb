"""How a rollout goes through its devices: in which waves, how fast, when not, and what makes it stop by itself."""

from typing import Final, Literal, get_args

import msgspec

from fleet.errors import BadInput
from fleet.limits import (
    BULK_TARGETS_MAX,
    ROLLOUT_ENERGY_WAIT_S_MAX,
    ROLLOUT_OBSERVE_S_MAX,
    ROLLOUT_PER_MINUTE_MAX,
    ROLLOUT_TIMEOUT_S_MAX,
    ROLLOUT_TIMEOUT_S_MIN,
    ROLLOUT_WAVES_MAX,
)

FaultKind = Literal["rejected", "timed_out", "went_silent", "raised_alerts"]
FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)


class Wave(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far the rollout has come after it, all waves before it included: so many devices, or that share of all.

    Exactly one of the two is set.
    """

    count: int | None = None
    percent: float | None = None

    def reach(self, targets: int) -> int:
        """Devices of `targets` in this wave and those before it. A share is rounded up."""
        if self.count is not None:
            return min(self.count, targets)
        return min(-int(-(self.percent or 0.0) * targets // 100), targets)


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Reached when at least `at_least` devices have the fault, and these are `percent` or more of all with an outcome.

    at_least: so that one odd device does not stop a fleet. A canary wave of fewer devices than that cannot stop by it.
    """

    kind: FaultKind
    percent: float
    at_least: int = 1

    def is_reached(self, faults: int, judged: int) -> bool:
        return faults >= self.at_least and faults * 100 >= self.percent * judged


class EnergyOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After the first wave: what the canaries yield against their neighbours, compared with the same hours before.

    drop_pct       so much less than the neighbours let expect, or worse, aborts
    min_wh_per_w   what the neighbours must have yielded per installed W before that can be judged: 0.5 is half an hour of
                   full sun
    wait_max_s     when it could not be judged within this time after the first wave, the rollout pauses and asks
    """

    drop_pct: float
    min_wh_per_w: float = 0.5
    wait_max_s: float = 2 * 86_400.0


class SolarWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When devices may be told. Both must allow it; None restricts nothing.

    max_share_of_peak_pct  only while the site produces less than this share of its peak power
    from_hour, until_hour  local hours of the site, 0 to 24; (22, 5) goes over midnight
    """

    max_share_of_peak_pct: float | None = None
    from_hour: float | None = None
    until_hour: float | None = None


class RolloutPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """waves            the canaries first; each reaches further than the one before, the last one all (percent 100)
    per_minute       devices that are told within any 60 s, at most
    observe_s        how long a wave is watched after its last device has an outcome
    timeout_s        a device that is there and has not reported after this time has timed out; when of a wave nobody is
                     done, and some are not there, it pauses after this time
    silent_after_s   one that was there and is gone for this long went silent; those that sleep at night do not, and
                     while others that the rollout has not touched are gone as well it is not counted (rollout_silence)
    abort_at         at most one threshold of each kind
    return_on_abort  those that were changed get back what they had
    continuous       devices that join the group later get it too, until somebody ends the rollout
    overwrite_drift  also devices that were changed on site before they are told: what was set there is lost. Else they are
                     left out. What is changed there later, be it while a device is away, becomes its own in either case
    Raises BadInput (bad_plan), also when it is decoded.
    """

    waves: tuple[Wave, ...] = (Wave(count=5), Wave(percent=10.0), Wave(percent=50.0), Wave(percent=100.0))
    per_minute: int = 300
    observe_s: float = 600.0
    timeout_s: float = 300.0
    silent_after_s: float = 180.0
    abort_at: tuple[Threshold, ...] = (
        Threshold("rejected", 10.0, 3),
        Threshold("timed_out", 20.0, 3),
        Threshold("went_silent", 10.0, 3),
        Threshold("raised_alerts", 10.0, 3),
    )
    energy: EnergyOutcome | None = None
    return_on_abort: bool = True
    continuous: bool = False
    window: SolarWindow | None = None
    overwrite_drift: bool = False

    def __post_init__(self) -> None:
        _check_waves(self.waves)
        _check("per_minute", self.per_minute, 1, ROLLOUT_PER_MINUTE_MAX)
        _check("observe_s", self.observe_s, 0, ROLLOUT_OBSERVE_S_MAX)
        _check("timeout_s", self.timeout_s, ROLLOUT_TIMEOUT_S_MIN, ROLLOUT_TIMEOUT_S_MAX)
        _check("silent_after_s", self.silent_after_s, ROLLOUT_TIMEOUT_S_MIN, ROLLOUT_TIMEOUT_S_MAX)
        if len({threshold.kind for threshold in self.abort_at}) < len(self.abort_at):
            raise BadInput("bad_plan", "abort_at: one threshold of each kind at most")
        for threshold in self.abort_at:
            _check(f"{threshold.kind}: percent", threshold.percent, 0.01, 100)
            _check(f"{threshold.kind}: at_least", threshold.at_least, 1, BULK_TARGETS_MAX)
        if self.energy is not None:
            _check("energy: drop_pct", self.energy.drop_pct, 1, 100)
            _check("energy: min_wh_per_w", self.energy.min_wh_per_w, 0.001, 10)
            _check("energy: wait_max_s", self.energy.wait_max_s, ROLLOUT_TIMEOUT_S_MIN, ROLLOUT_ENERGY_WAIT_S_MAX)
        if self.window is not None:
            _check_window(self.window)


def wave_sizes(plan: RolloutPlan, targets: int) -> list[int]:
    """Devices of each wave; together all of them. A wave that the one before has reached already is empty."""
    reached, sizes = 0, []
    for wave in plan.waves:
        reach = max(reached, wave.reach(targets))
        sizes.append(reach - reached)
        reached = reach
    return sizes


def _check_waves(waves: tuple[Wave, ...]) -> None:
    if not 1 <= len(waves) <= ROLLOUT_WAVES_MAX:
        raise BadInput("bad_plan", f"waves: 1 to {ROLLOUT_WAVES_MAX}, not {len(waves)}")
    counted, shared = 0, 0.0
    for wave in waves:
        if (wave.count is None) == (wave.percent is None):
            raise BadInput("bad_plan", "waves: each is a count of devices or a percentage of all, not both")
        if wave.count is not None:
            _check("waves: count", wave.count, counted + 1, BULK_TARGETS_MAX)
            counted = wave.count
        else:
            _check("waves: percent", wave.percent or 0.0, 0.01, 100)
            if (wave.percent or 0.0) <= shared:
                raise BadInput("bad_plan", f"waves: after {shared:g} % comes more, not {wave.percent:g} %")
            shared = wave.percent or 0.0
    if waves[-1].percent != 100.0:
        raise BadInput("bad_plan", "waves: the last one reaches all devices (percent 100)")


def _check_window(window: SolarWindow) -> None:
    if window.max_share_of_peak_pct is not None:
        _check("window: max_share_of_peak_pct", window.max_share_of_peak_pct, 0.1, 100)
    hours = (window.from_hour, window.until_hour)
    if (hours[0] is None) != (hours[1] is None):
        raise BadInput("bad_plan", "window: local hours need both from_hour and until_hour")
    for name, hour in (("from_hour", hours[0]), ("until_hour", hours[1])):
        if hour is not None:
            _check(f"window: {name}", hour, 0, 24)
    if hours[0] is not None and hours[0] == hours[1]:
        raise BadInput("bad_plan", "window: from_hour and until_hour are the same: it would never open")


def _check(name: str, value: float, least: float, most: float) -> None:
    """NaN is within nothing."""
    if not least <= value <= most:
        raise BadInput("bad_plan", f"{name}: {least:g} to {most:g}, not {value:g}")
