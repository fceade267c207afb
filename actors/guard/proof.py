"""Is the broker seen to refuse? If it is not, it is told anew; if that does not help, every device is denied everything."""

import asyncio
import time

import msgspec
import structlog

from actors.broker_files import CANARY, Denied
from actors.guard import canary, figures
from actors.guard.canary import Door, Seen
from actors.guard.hold import Hold
from actors.guard.lists import CheckedList
from actors.guard.takeover import InternalDoor
from fleet.errors import Unavailable
from fleet.limits import CANARY_PERIOD_S

log = structlog.get_logger("guard")

_OPEN_TRIES = 3  # how often the canary is let in before everybody is shut out; the broker is told anew in between


class Proof:
    """closed: every device is denied everything, because the broker does not refuse whom it should.

    opened: when the last look found it open, what it said; also when telling it anew has helped.
    """

    def __init__(self, hold: Hold, inner: InternalDoor, door: Door, *, closed: bool) -> None:
        self._hold = hold
        self._inner = inner
        self._door = door
        self.closed = closed
        self.opened: str | None = None
        self.probes = 0
        self._proven: tuple[str, int] | None = None  # mark and list that the last refusal was for
        self._at = 0.0

    def due(self, standing: CheckedList) -> bool:
        """A list or a reload that is not proven yet, or the time has come to look again."""
        return self._proven != (self._hold.mark, standing.number) or self.due_in_s() <= 0

    def due_in_s(self) -> float:
        return max(0.0, self._at + CANARY_PERIOD_S - time.monotonic())

    async def look(self, denied: Denied, standing: CheckedList) -> Seen:
        """Returns with the broker refusing, or with what it did instead, and closed if that was to let the canary in.

        Raises Unavailable as Hold.apply.
        """
        self.opened = None
        seen = await self._probe(standing)
        for _ in range(_OPEN_TRIES):
            if seen.verdict != "open":
                break
            self.opened = seen.detail
            log.error("broker_open", crl=standing.number, detail=seen.detail)
            await self._apply(denied, standing, anew=True)
            seen = await self._probe(standing)
        if seen.verdict == "open" and not self.closed:
            self.closed = True
            log.error("broker_closed", crl=standing.number)
            await self._apply(denied, standing)
        elif seen.verdict == "refused" and self.closed:
            self.closed = False
            log.info("broker_opened", crl=standing.number)
            await self._apply(denied, standing)
            seen = await self._probe(standing)
        self._proven = (self._hold.mark, standing.number) if seen.verdict == "refused" else None
        self._at = time.monotonic()
        figures.looks.labels(seen.verdict).inc()
        figures.closed.set(self.closed)
        if seen.verdict == "refused":
            figures.proven_at.set_to_current_time()
        return seen

    async def _apply(self, denied: Denied, standing: CheckedList, *, anew: bool = False) -> None:
        await self._hold.apply(msgspec.structs.replace(denied, closed=self.closed), standing.pem, anew=anew)

    async def _probe(self, standing: CheckedList) -> Seen:
        """From within a visit, so that whoever reads the broker's log knows whose refusal that was."""
        if standing.canary_chain is None:
            return Seen("unclear", standing.problem or f"list {standing.number} was found without its canary")
        async with self._inner.visit(CANARY, self._hold.mark) as in_force:
            if not in_force:
                self._hold.forget()
                raise Unavailable("reload_lost", "the broker goes by another access list than the one before it")
            self.probes += 1
            return await asyncio.to_thread(canary.probe, self._door, standing.canary_chain, standing.canary_key)
