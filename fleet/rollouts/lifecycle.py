"""A rollout's life and that of each of its targets: which states there are, and what may follow what.

A rollout                                      A target
running ⇄ paused                               waiting ──▶ held │ absent ──▶ telling ──▶ pending │ away ──▶ done
   │ └──────┴──▶ returning ──▶ aborted                                  │         └─▶ rejected │ timed_out │ silent │ alerted
   └──▶ completed    └──▶ aborted (nothing to return)                   └─▶ skipped
            └──▶ returning │ aborted           whatever was told ──▶ returning ──▶ returned ──▶ restored
                                                     pending │ away ◀──┘   │         └─▶ return_rejected │ return_unanswered
                                                                           └──▶ not_returned

A rollout completes without those that are away, and they get it when they return. As long as any of them may still answer
(ROLLOUT_FOLLOWED_DAYS at most), and no later rollout has taken its place, they are judged by its thresholds as the others
were. When one is reached, what was said to be good is not: it stops as it would have before its end.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec

from fleet.configuration import Layer, Values
from fleet.errors import Conflict
from fleet.ids import DeviceId, SiteId
from fleet.limits import ROLLOUT_FOLLOWED_DAYS
from fleet.rollouts.energy import EnergyFinding, EnergyLack
from fleet.rollouts.plan import FaultKind, RolloutPlan
from fleet.targets import TargetQuery
from fleet.telemetry import UnixMs

RolloutState = Literal["running", "paused", "returning", "aborted", "completed"]
RolloutEvent = Literal["pause", "resume", "return", "abort", "complete", "recall", "fail"]
STATES: Final[tuple[RolloutState, ...]] = get_args(RolloutState)
EVENTS: Final[tuple[RolloutEvent, ...]] = get_args(RolloutEvent)
OPEN_STATES: Final[frozenset[RolloutState]] = frozenset(("running", "paused", "returning"))

# What is not here is illegal. return: abort, and give back what was changed; it ends with abort. recall, fail: return and
# abort by the outcomes of those that came after its end; nobody asks for these.
MOVES: Final[dict[tuple[RolloutState, RolloutEvent], RolloutState]] = {
    ("running", "pause"): "paused",
    ("paused", "resume"): "running",
    ("running", "return"): "returning",
    ("paused", "return"): "returning",
    ("running", "abort"): "aborted",
    ("paused", "abort"): "aborted",
    ("returning", "abort"): "aborted",
    ("running", "complete"): "completed",
    ("paused", "complete"): "completed",
    ("completed", "recall"): "returning",
    ("completed", "fail"): "aborted",
}

TargetState = Literal[
    "waiting", "held", "absent", "telling", "pending", "away", "done", "rejected", "timed_out", "silent", "alerted",
    "skipped", "returning", "returned", "restored", "return_rejected", "return_unanswered", "not_returned", "overruled",
    "gone",
]  # fmt: skip
TargetEvent = Literal[
    "hold", "miss", "tell", "store", "store_away", "refuse", "come", "sleep", "report", "reject", "time_out", "silence",
    "alert", "return", "restore", "keep", "keep_away", "overrule", "vanish", "call_off",
    "rejoin", "hold_back",
]  # fmt: skip
TARGET_STATES: Final[tuple[TargetState, ...]] = get_args(TargetState)
TARGET_EVENTS: Final[tuple[TargetEvent, ...]] = get_args(TargetEvent)

_TOLD: Final[tuple[TargetState, ...]] = ("pending", "away", "done", "rejected", "timed_out", "silent", "alerted")
TOLD_STATES: Final[frozenset[TargetState]] = frozenset(_TOLD)  # the twin keeps what the rollout brought
FAULT_OF: Final[Mapping[TargetState, FaultKind]] = {
    "rejected": "rejected",
    "timed_out": "timed_out",
    "silent": "went_silent",
    "alerted": "raised_alerts",
}
_UNCONFIRMED: Final[tuple[TargetState, ...]] = ("returned", "return_rejected", "return_unanswered")
RETURNED_STATES: Final[frozenset[TargetState]] = frozenset((*_UNCONFIRMED, "restored"))  # the twin keeps what it had before
# Told, and something may still come of it: looked at again and again.
WATCHED_STATES: Final[frozenset[TargetState]] = frozenset(
    ("pending", "away", "rejected", "timed_out", "silent", *_UNCONFIRMED)
)

# waiting   its wave has not come           held      its wave has, and its window is shut
# absent    as held, and it is not there: told nothing before it is there while its window is open, be that after the last
#           wave; nobody waits for it. Only with a window: else it is told at once, and its twin tells it when it returns
# telling   recorded before the twin is asked; after a crash it is asked again, which changes nothing
# pending   told, and it is there           away      told, and not there (or asleep): it gets it when it returns; no fault.
#           So is one that is there while the platform holds it back (facts.NOT_SENT): it gets it once that may be sent
# rejected  the device refused it, or runs it with other values (drifted); silent: it was there and has gone
# skipped   the platform refused it: the device's own values do not go with it, or it is nobody to be told anything
# returned  its twin has what it had before, and it gets it when it is there; restored: it has confirmed it;
#           return_rejected: it refused that, or runs other values; return_unanswered: it is there and says nothing, or has
#           gone silent, be that because of what the rollout brought
# not_returned  the platform refused what it had before
# overruled somebody has changed the device since, so that it no longer holds what the rollout brought, or gave back
# gone      retired, revoked or put behind a gateway. Back among those that a continuous rollout means, it is one that waits
#           again, as is one that was skipped and has been changed since
# fmt: off
TARGET_MOVES: Final[dict[tuple[TargetState, TargetEvent], TargetState]] = {
    ("waiting", "hold"): "held", ("waiting", "miss"): "absent", ("waiting", "tell"): "telling",
    ("waiting", "vanish"): "gone",
    ("held", "hold"): "held", ("held", "miss"): "absent", ("held", "tell"): "telling", ("held", "vanish"): "gone",
    ("absent", "hold"): "held", ("absent", "miss"): "absent", ("absent", "tell"): "telling", ("absent", "vanish"): "gone",
    ("absent", "overrule"): "overruled",  # by a later rollout, which has told it meanwhile
    ("absent", "call_off"): "waiting",  # the rollout is aborted
    ("telling", "store"): "pending", ("telling", "store_away"): "away", ("telling", "refuse"): "skipped",
    ("telling", "miss"): "absent", ("telling", "overrule"): "overruled",  # its telling broke off; then as with an absent one
    ("telling", "return"): "returning", ("telling", "vanish"): "gone",
    ("pending", "report"): "done", ("pending", "reject"): "rejected", ("pending", "time_out"): "timed_out",
    ("pending", "silence"): "silent", ("pending", "alert"): "alerted", ("pending", "sleep"): "away",
    ("pending", "hold_back"): "away", ("away", "hold_back"): "away",  # by the platform: it is no fault of the device
    ("away", "come"): "pending", ("away", "report"): "done", ("away", "reject"): "rejected",
    ("done", "silence"): "silent", ("done", "alert"): "alerted",
    ("rejected", "report"): "done",
    ("timed_out", "report"): "done", ("timed_out", "reject"): "rejected",
    ("silent", "report"): "done", ("silent", "reject"): "rejected",
    **{(state, "return"): "returning" for state in _TOLD},
    **{(state, "overrule"): "overruled" for state in _TOLD if state not in ("done", "alerted")},
    **{(state, "vanish"): "gone" for state in _TOLD if state != "done"},
    ("returned", "report"): "restored", ("returned", "reject"): "return_rejected",
    ("returned", "time_out"): "return_unanswered", ("returned", "silence"): "return_unanswered",
    ("returned", "hold_back"): "returned", ("returned", "come"): "returned",
    ("return_unanswered", "report"): "restored", ("return_unanswered", "reject"): "return_rejected",
    ("return_rejected", "report"): "restored",
    **{(state, "return"): "returning" for state in RETURNED_STATES},  # what it was told came through after all
    **{(state, "overrule"): "overruled" for state in _UNCONFIRMED},
    **{(state, "vanish"): "gone" for state in _UNCONFIRMED},
    ("returning", "restore"): "returned", ("returning", "refuse"): "not_returned", ("returning", "vanish"): "gone",
    ("gone", "rejoin"): "waiting", ("skipped", "rejoin"): "waiting",
    ("returning", "keep"): "pending", ("returning", "keep_away"): "away",  # nothing more is given back: as if just told
    **{(state, "restore"): "returned" for state in _TOLD if state != "alerted"},  # it was, by an ask that came through late
}
# fmt: on

StopCode = Literal[
    "person", "rejected", "timed_out", "went_silent", "raised_alerts", "energy", "energy_unknown", "restored",
    "no_outcome",
]  # fmt: skip


class Stop(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a rollout paused or aborted; kept after a resume.

    count, of    faults, and devices with an outcome; with 'no_outcome' those that are not there, of how many in the wave
    measured_pct the share of faults; with 'energy' by how much the canaries' yield changed: −12 is a drop of 12 %
    limit_pct    what that was measured against
    person_id    who did it; None: the rollout itself; with 'restored' the platform came back from a backup
    lacks        with 'energy_unknown' what the yield could not be compared for
    outcomes     with 'no_outcome' what has become of the wave: target state → devices
    held_back    how many of those that are away are there, and the platform sends them nothing (facts.NOT_SENT)
    """

    code: StopCode
    at: UnixMs
    wave: int
    count: int = 0
    of: int = 0
    measured_pct: float | None = None
    limit_pct: float | None = None
    person_id: str | None = None
    why: str = ""
    lacks: EnergyLack | None = None
    outcomes: dict[TargetState, int] = {}
    held_back: int = 0


class Rollout(msgspec.Struct, frozen=True):
    """values: of one profile's settings; all that the group's layer shall hold, so what it had and they do not name goes.

    group       the saved group whose template they become; None: a rollout to a query
    wave        the one at work; len(plan.waves) once all are over
    wave_at     since when, or since it was let go on after a pause
    settled_at  since when all devices of the wave have an outcome, and it is watched
    counts      target state → devices; in lists as of the last look. They always add up to `targets`
    energy      what the canaries yielded, as of the last look
    stopped     why it paused or aborted last
    """

    id: str
    name: str
    profile: str
    group: str | None
    group_name: str | None
    query: TargetQuery
    values: Values
    plan: RolloutPlan
    why: str
    state: RolloutState
    wave: int
    wave_at: UnixMs | None
    settled_at: UnixMs | None
    stopped: Stop | None
    energy: EnergyFinding | None
    counts: dict[TargetState, int]
    targets: int
    revision: int
    created_at: UnixMs
    created_by: str | None
    ended_at: UnixMs | None

    @property
    def source(self) -> str:
        """Of the layer that it brings."""
        return self.group or self.id

    @property
    def waves_are_over(self) -> bool:
        return self.wave >= len(self.plan.waves)

    def layer(self) -> Layer:
        return Layer(self.source, self.group_name or self.name, self.id, self.values)


class Former(Layer, frozen=True):
    """A layer that a device had. below: sources of those that it stood below, and that win over it."""

    below: tuple[str, ...] = ()

    def layer(self) -> Layer:
        return Layer(self.source, self.name, self.rollout, self.values)


class Target(msgspec.Struct, frozen=True):
    """One device of a rollout.

    wave     len(plan.waves): it joined the group later
    told_at  when the twin was first asked; state_at: since when it is in its state
    version  of the device's configuration, in force when the twin had stored what the rollout brings, or gave back
    before   the layer of the same source that it had, and where it stood
    """

    site: SiteId
    device: DeviceId
    wave: int
    state: TargetState
    state_at: UnixMs
    told_at: UnixMs | None = None
    version: int | None = None
    was_there: bool | None = None
    problem: str = ""
    before: Former | None = None


def is_followed(ended_at: UnixMs | None, now: UnixMs) -> bool:
    """Whether anybody still looks at what becomes of a rollout's devices. ended_at: None while it is open."""
    return ended_at is None or now - ended_at < ROLLOUT_FOLLOWED_DAYS * 86_400_000


def former(layers: Sequence[Layer], source: str) -> Former | None:
    """What a rollout of this source is about to take from a device with these layers."""
    for place, had in enumerate(layers):
        if had.source == source:
            above = tuple(each.source for each in layers[place + 1 :])
            return Former(had.source, had.name, had.rollout, had.values, above)
    return None


def move(state: RolloutState, event: RolloutEvent) -> RolloutState:
    """The state after it. Raises Conflict (illegal_move); nothing has changed then."""
    after = MOVES.get((state, event))
    if after is None:
        raise Conflict("illegal_move", f"a rollout that is {state} cannot {event}")
    return after


def move_target(state: TargetState, event: TargetEvent) -> TargetState:
    """Raises Conflict (illegal_move)."""
    after = TARGET_MOVES.get((state, event))
    if after is None:
        raise Conflict("illegal_move", f"a target that is {state} cannot {event.replace('_', ' ')}")
    return after
