"""One step of one rollout: look, decide, tell.

Crash contract. Killed between any two statements, the next process that leads goes on as if nothing had been:
- Whom it is about to tell is stored, with what the device had before, before a twin is asked; so the limit per minute and
  what an abort gives back stand whatever happens. Whoever was being told is asked again, which changes nothing: the twin
  has the layer already, or gets it now. If it has not, and a later rollout has told it meanwhile, it is asked no more.
- Every write names the state that it follows from, so what another process has done meanwhile is not undone.
- A rollout that somebody has moved is told no further: recording whom to tell locks its row at the revision that was seen.
  Whose telling broke off is left as it is while the rollout is paused or its window is shut; once it is aborted, it gets
  back what it had, since its twin may have the layer although nobody has heard so.
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import structlog

from actors.rollouts import asking
from actors.rollouts.door import Door
from actors.rollouts.letter import write_creator
from actors.rollouts.silence import Silences
from fleet.errors import Conflict
from fleet.limits import (
    ROLLOUT_ENERGY_LOOK_S,
    ROLLOUT_LOOKED_AT_MAX,
    ROLLOUT_NEWCOMERS_S,
    ROLLOUT_PIECE_MAX,
    ROLLOUT_TOLD_AT_ONCE_MAX,
)
from fleet.orders import ConfigAnswer, ConfigWish
from fleet.rollouts.board import Step, Tally, needs_energy, next_step, room
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.facts import judge
from fleet.rollouts.lifecycle import Rollout, Target, TargetState, move_target
from fleet.rollouts.turn import Turn, turn
from fleet.rollouts.window import is_open
from fleet.storage import audit, rollout_newcomers, rollout_steps, rollout_targets, rollout_yields, rollouts
from fleet.storage.database import Connection
from fleet.storage.rollout_targets import Candidate, TargetMove
from fleet.telemetry import UnixMs

log = structlog.get_logger("rollouts")

_Wish = Callable[[Target], ConfigWish]
_After = Callable[[Target, ConfigAnswer], TargetMove | None]


class Lead:
    """Of one rollout, while this process leads. What it remembers between steps may get lost: it is looked up again."""

    def __init__(self, door: Door, public_url: str) -> None:
        self._door = door
        self._public_url = public_url
        self._looked_up_to = ""  # device; from there on the next look goes on
        self._silences = Silences()
        self._newcomers_at: UnixMs = 0
        self._energy_at: UnixMs = 0
        self._energy: EnergyFinding | None = None

    async def step(self, connection: Connection, rollout: Rollout) -> bool:
        """Whether there is more to do at once. Raises Unavailable while the twins are away; all else is done then."""
        now = await rollout_targets.clock(connection)
        if rollout.state in ("returning", "aborted"):
            await rollout_targets.call_off(connection, rollout.id, now)
        if rollout.state == "returning":
            await rollout_targets.begin_return(connection, rollout.id, now)
        if rollout.state == "aborted":
            await rollout_targets.keep_the_rest(connection, rollout, now)
        await self._look(connection, rollout, now)
        await self._find_newcomers(connection, rollout, now)
        tally = await rollouts.tally(connection, rollout.id)
        if await rollout_steps.save_counts(connection, rollout, tally):
            await rollouts.tell(connection, rollout.id)
        await self._look_at_energy(connection, rollout, now)
        step = next_step(rollout, tally, self._energy, now)
        if step is not None and step.kind == "advance" and self._silences.is_undecided(now):
            step = None
        if step is not None and rollout.state == "completed" and await rollouts.is_replaced(connection, rollout):
            step = None
        if step is not None and step.kind == "pause" and step.stop is not None and step.stop.code == "no_outcome":
            held_back = min(await rollout_targets.held_back(connection, rollout), step.stop.count)
            step = Step("pause", msgspec.structs.replace(step.stop, held_back=held_back))
        if step is not None and await self._take(connection, rollout, step, tally, now):
            await rollouts.tell(connection, rollout.id)
            return True
        if rollout.state in ("returning", "aborted"):
            return await self._give_back(connection, rollout)
        return await self._bring(connection, rollout, now)

    async def _look(self, connection: Connection, rollout: Rollout, now: UnixMs) -> None:
        """What has become of those that were told; of many, some in each step."""
        found = await rollout_targets.watched(
            connection, rollout, after=self._looked_up_to, limit=ROLLOUT_LOOKED_AT_MAX, now=now
        )
        self._looked_up_to = found[-1].target.device if len(found) == ROLLOUT_LOOKED_AT_MAX else ""
        judged = [(each, judge(rollout, each.target, each.facts, now)) for each in found]
        silent = [each for each, judgement in judged if judgement is not None and judgement.event == "silence"]
        put_off = await self._silences.put_off(connection, rollout, silent, now)
        moves = []
        for target, judgement in ((each.target, judgement) for each, judgement in judged):
            if judgement is not None and (judgement.event != "silence" or target.device not in put_off):
                state = move_target(target.state, judgement.event)
                moves.append(TargetMove(target.device, target.state, state, judgement.problem, judgement.version))
        await rollout_targets.record_moves(connection, rollout.id, moves, now)

    async def _find_newcomers(self, connection: Connection, rollout: Rollout, now: UnixMs) -> None:
        is_due = now - self._newcomers_at >= ROLLOUT_NEWCOMERS_S * 1000
        if rollout.state == "running" and rollout.plan.continuous and is_due:
            self._newcomers_at = now
            newcomers = await rollout_newcomers.add_newcomers(connection, rollout)
            if newcomers:
                log.info("newcomers", rollout=rollout.id, devices=newcomers)

    async def _look_at_energy(self, connection: Connection, rollout: Rollout, now: UnixMs) -> None:
        if not needs_energy(rollout, now):
            self._energy = None
        elif self._energy is None or now - self._energy_at >= ROLLOUT_ENERGY_LOOK_S * 1000:
            self._energy_at = now
            self._energy = await rollout_yields.look(connection, rollout, now)
            if self._energy is not None:
                await rollout_steps.save_energy(connection, rollout, self._energy)

    async def _take(self, connection: Connection, rollout: Rollout, step: Step, tally: Tally, now: UnixMs) -> bool:
        """Whether the rollout is further than it was; otherwise somebody else has moved it, or it is not over after all."""
        if step.kind == "settle":
            return await rollout_steps.settle(connection, rollout, now)
        if step.kind == "advance":
            async with connection.transaction():
                advanced = await rollout_steps.advance(connection, rollout, now)
            log.info("wave_over", rollout=rollout.id, wave=rollout.wave)
            return advanced
        if rollout.state == "returning" and await rollout_targets.return_strays(connection, rollout, now):
            return True
        try:
            async with connection.transaction():
                await rollouts.move_rollout(connection, rollout, step.kind, step.stop)
                if step.stop is not None and rollout.state != "returning":
                    await self._tell_of_stop(connection, rollout, step)
        except Conflict:  # stale_version, rollout_running: a person was faster
            return False
        log.info("rollout_moved", rollout=rollout.id, move=step.kind, stop=step.stop and step.stop.code, counts=tally)
        return True

    async def _tell_of_stop(self, connection: Connection, rollout: Rollout, step: Step) -> None:
        if step.stop is None:
            return
        await write_creator(connection, rollout, step.kind, step.stop, self._public_url)
        detail = {"event": step.kind, "stop": msgspec.to_builtins(step.stop)}
        await audit.record(connection, "rollout.stop", subject=rollout.id, detail=detail)

    async def _bring(self, connection: Connection, rollout: Rollout, now: UnixMs) -> bool:
        """First those that were being told when something broke off, then as many more as the limit allows."""
        if rollout.state not in ("running", "completed"):
            return False
        wish = partial(asking.bringing, rollout)
        if await self._bring_again(connection, rollout, wish, now):
            return True
        if rollout.state == "completed" and rollout.plan.window is None:
            return False
        told = await rollout_targets.told_since(connection, rollout.id, now - 60_000)
        most = room(rollout.plan, told)
        if not most:
            return True
        limit = most if rollout.plan.window is None else max(most, ROLLOUT_PIECE_MAX)
        found = await rollout_targets.candidates(connection, rollout, limit=limit, now=now)
        chosen, moves = _choose(rollout, found, most, now)
        async with connection.transaction():
            if not await rollout_targets.record_turns(connection, rollout, chosen, moves, now):
                return True
        await self._ask(connection, rollout, [_being_told(each) for each in chosen], wish, asking.after_bringing)
        return bool(found)

    async def _bring_again(self, connection: Connection, rollout: Rollout, wish: _Wish, now: UnixMs) -> bool:
        """Those whose telling broke off, except whom a later rollout has told since. Whether there were any."""
        broken_off = await rollout_targets.broken_off(connection, rollout, limit=ROLLOUT_TOLD_AT_ONCE_MAX, now=now)
        overtaken = [_overruled(each.target) for each in broken_off if each.is_overtaken]
        await rollout_targets.record_moves(connection, rollout.id, overtaken, now)
        again = [
            each.target for each in broken_off if not each.is_overtaken and is_open(rollout.plan.window, each.site, now)
        ]
        return await self._ask(connection, rollout, again, wish, asking.after_bringing) or bool(overtaken)

    async def _give_back(self, connection: Connection, rollout: Rollout) -> bool:
        """All that it brought; of one that is aborted, what it may have brought without anybody having heard so."""
        state: TargetState = "telling" if rollout.state == "aborted" else "returning"
        after = asking.after_taking_back if rollout.state == "aborted" else asking.after_returning
        whose = await rollout_targets.in_state(connection, rollout.id, state, limit=ROLLOUT_TOLD_AT_ONCE_MAX)
        return await self._ask(connection, rollout, whose, partial(asking.returning, rollout), after)

    async def _ask(
        self, connection: Connection, rollout: Rollout, whose: Sequence[Target], wish: _Wish, after: _After
    ) -> bool:
        """Piece by piece, each recorded before the next one. Whether there were any."""
        for start in range(0, len(whose), ROLLOUT_PIECE_MAX):
            piece = whose[start : start + ROLLOUT_PIECE_MAX]
            answers = await self._door.ask([wish(target) for target in piece])
            moves = [after(target, answer) for target, answer in zip(piece, answers, strict=True)]
            now = await rollout_targets.clock(connection)
            await rollout_targets.record_moves(connection, rollout.id, [move for move in moves if move is not None], now)
        return bool(whose)


def _being_told(chosen: Candidate) -> Target:
    """As record_turns has just recorded it."""
    return msgspec.structs.replace(chosen.target, state="telling", was_there=chosen.there, before=chosen.before)


def _overruled(target: Target) -> TargetMove:
    return TargetMove(target.device, target.state, move_target(target.state, "overrule"))


def _choose(
    rollout: Rollout, found: Sequence[Candidate], most: int, now: UnixMs
) -> tuple[list[Candidate], list[TargetMove]]:
    """Those that are told now, and what becomes of the others."""
    chosen: list[Candidate] = []
    moves = []
    for each in found:
        target = each.target
        known = Turn(each.registered, each.there, is_open(rollout.plan.window, each.site, now), each.is_overtaken)
        event = turn(rollout, target, known)
        if event != "tell":
            moves.append(TargetMove(target.device, target.state, move_target(target.state, event)))
        elif len(chosen) < most:
            chosen.append(each)
    return chosen, moves
