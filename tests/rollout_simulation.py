"""A rollout over devices that exist in memory only, second by second, by the decisions of fleet.rollouts.board alone."""

import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.rollouts.board import Tally, assigned, next_step, room, totals
from fleet.rollouts.facts import TargetFacts, judge
from fleet.rollouts.lifecycle import (
    TOLD_STATES,
    WATCHED_STATES,
    Rollout,
    Target,
    TargetEvent,
    TargetState,
    move,
    move_target,
)
from fleet.rollouts.plan import RolloutPlan
from fleet.rollouts.turn import Turn, turn
from fleet.targets import TargetDevice, TargetQuery

START = 1_790_000_000_000


@dataclass
class Thing:
    """A device. version: of its desired configuration; holds: what the rollout brings is in it."""

    there: bool
    fails: bool
    dies: bool  # goes silent when it is told
    version: int = 1
    holds: bool = False
    reported: int = 1
    rejected: int | None = None
    tellings: int = 0


@dataclass
class Simulation:
    plan: RolloutPlan
    devices: int
    seed: int
    offline: float = 0.1
    failing: float = 0.01
    dying: float = 0.0
    crashes: float = 0.0
    flapping: float = (
        0.0  # of all devices, that go or come in a second, and hear what their twin has for them when they come
    )
    is_open: bool = True
    now: int = START
    told_at: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.luck = random.Random(self.seed)
        names = [DeviceId(f"device-{number:05d}") for number in range(self.devices)]
        self.things = {
            name: Thing(
                self.luck.random() >= self.offline, self.luck.random() < self.failing, self.luck.random() < self.dying
            )
            for name in names
        }
        known = [
            TargetDevice(
                SiteId("s"), name, name, "s", "inverter", "inverter", None, False, thing.there, None, "ok", "in_sync",
                None, None,
            )
            for name, thing in self.things.items()
        ]  # fmt: skip
        waves = assigned(self.plan, known, str(self.seed))
        self.targets = {name: Target(SiteId("s"), name, waves[name], "waiting", self.now) for name in names}
        self.rollout = Rollout(
            "r", "r", "inverter", None, None, TargetQuery(), {"a": 1.0}, self.plan, "", "running", 0, self.now, None, None,
            None, {}, self.devices, 1, self.now, None, None,
        )  # fmt: skip

    def tally(self) -> Tally:
        found: dict[int, dict[TargetState, int]] = {}
        for target in self.targets.values():
            states = found.setdefault(target.wave, {})
            states[target.state] = states.get(target.state, 0) + 1
        return found

    def counts(self) -> Counter[TargetState]:
        counts = Counter(totals(self.tally()))
        assert counts.total() == self.devices, "every target is in one state"
        return counts

    def step(self) -> None:
        """A second. With some luck the conductor is killed in the middle of it, and begins the next one anew."""
        self.now += 1_000
        self._flap()
        self._obey()
        self._look()
        decided = next_step(self.rollout, self.tally(), None, self.now)
        if decided is not None:
            self._take(decided.kind, decided.stop)
        elif self.rollout.state == "returning":
            for target in [each for each in self.targets.values() if each.state == "returning"]:
                if self._is_killed():
                    return
                self._bring(target.device, holds=False)
                if self._is_killed():
                    return
                self._move(target.device, "restore", version=self.things[target.device].version)
        else:
            self._tell()

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.step()
            self.counts()
            if self.rollout.state in ("completed", "aborted"):
                return

    def _flap(self) -> None:
        for device, thing in self.things.items():
            if self.flapping and self.luck.random() < self.flapping:
                thing.there = not thing.there
                if thing.there and thing.reported != thing.version:
                    self.hear(device)

    def _obey(self) -> None:
        """What a return means for each target, and what its end does before all of them had what they had."""
        if self.rollout.state == "returning":
            for target in list(self.targets.values()):
                if target.state == "absent":
                    self._move(target.device, "call_off")
                if target.state in ("telling", *TOLD_STATES):
                    self._move(target.device, "return")
        if self.rollout.state == "aborted":
            for target in [each for each in self.targets.values() if each.state == "returning"]:
                thing = self.things[target.device]
                version = target.version or thing.version if thing.holds else thing.version
                event: TargetEvent = "restore" if not thing.holds else "keep" if target.was_there else "keep_away"
                self._move(target.device, event, version=version)

    def _take(self, kind: str, stop: object) -> None:
        change = msgspec.structs.replace
        if kind == "settle":
            self.rollout = change(self.rollout, settled_at=self.now)
        elif kind == "advance":
            self.rollout = change(self.rollout, wave=self.rollout.wave + 1, wave_at=self.now, settled_at=None)
        else:
            self.rollout = change(self.rollout, state=move(self.rollout.state, kind), stopped=stop or self.rollout.stopped)  # type: ignore[arg-type]
            if kind == "resume":
                self.rollout = change(self.rollout, wave_at=self.now)

    def _tell(self) -> None:
        if self.rollout.state not in ("running", "completed"):
            return
        for target in [each for each in self.targets.values() if each.state == "telling" and self.is_open]:
            self._told(target.device)
        last_minute = sum(at > self.now - 60_000 for at in self.told_at)
        for target in self._due()[: room(self.plan, last_minute)]:
            self._move(target.device, "tell", told_at=self.now)
            self.told_at.append(self.now)
            if self._is_killed():
                return
            self._told(target.device)

    def _due(self) -> list[Target]:
        """Those to be told; the others get to know why not."""
        due = []
        untold = ("waiting", "held", "absent") if self.rollout.state == "running" else ("absent",)
        for target in list(self.targets.values()):
            if target.state in untold and target.wave <= self.rollout.wave:
                known = Turn(True, self.things[target.device].there, self.is_open, False)
                event = turn(self.rollout, target, known)
                if event == "tell":
                    due.append(target)
                else:
                    self._move(target.device, event)
        return due

    def _told(self, device: DeviceId) -> None:
        thing = self.things[device]
        was_there = thing.there
        self._bring(device, holds=True)
        if self._is_killed():
            return
        self._move(device, "store" if was_there else "store_away", version=thing.version, was_there=was_there)

    def _bring(self, device: DeviceId, *, holds: bool) -> None:
        """As a twin does it: the same once more makes no new version. The device hears it at once."""
        thing = self.things[device]
        if thing.holds != holds:
            thing.holds, thing.version, thing.tellings = holds, thing.version + 1, thing.tellings + 1
        if thing.there and holds and thing.dies:
            thing.there = False
        if thing.there:
            self.hear(device)

    def come(self) -> int:
        """All that are away are there, and hear what their twins have for them. How many."""
        away = [device for device, thing in self.things.items() if not thing.there]
        for device in away:
            self.things[device].there = True
            self.hear(device)
        return len(away)

    def hear(self, device: DeviceId) -> None:
        thing = self.things[device]
        if thing.fails and thing.holds:
            thing.rejected = thing.version
        else:
            thing.reported = thing.version

    def _look(self) -> None:
        for target in list(self.targets.values()):
            thing = self.things[target.device]
            in_sync = thing.reported == thing.version
            status = "in_sync" if in_sync else "rejected" if thing.rejected == thing.version else "applying"
            facts = TargetFacts(
                target.device, True, thing.there, False, self.now if thing.there else 0, thing.holds, thing.version,
                status, thing.reported, thing.rejected, "no", None,
            )  # fmt: skip
            if target.state == "done" or target.state in WATCHED_STATES:
                judgement = judge(self.rollout, target, facts, self.now)
                if judgement is not None:
                    self._move(target.device, judgement.event)

    def _move(self, device: DeviceId, event: TargetEvent, **changes: int) -> None:
        target = self.targets[device]
        self.targets[device] = msgspec.structs.replace(
            target, state=move_target(target.state, event), state_at=self.now, **changes
        )

    def _is_killed(self) -> bool:
        return self.luck.random() < self.crashes
