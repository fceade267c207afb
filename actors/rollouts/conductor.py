"""Leads all rollouts that are at work, step by step, until told to stop.

Of several processes one works: the one whose connection holds the lock. It does all its work over that connection, so that
it cannot go on once the lock is lost.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from actors.rollouts import figures
from actors.rollouts.door import ConnectTwins, Door
from actors.rollouts.lead import Lead
from fleet.errors import FleetError, Unavailable
from fleet.limits import COMMIT_TIMEOUT_S, ROLLOUT_FOLLOW_S, ROLLOUT_STEP_S
from fleet.rollouts.lifecycle import OPEN_STATES, Rollout
from fleet.runtime.cancelled import end_if_cancelled
from fleet.settings import DatabaseSettings
from fleet.storage import rollout_steps, rollouts
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.notices import ORDER, POLL_S, ROLLOUT

log = structlog.get_logger("rollouts")


class Conductor:
    """ready is called once the database answers and notices are heard, also while another process leads."""

    def __init__(
        self, database: DatabaseSettings, connect_twins: ConnectTwins, public_url: str, ready: Callable[[], None]
    ) -> None:
        self._database = database
        self._door = Door(connect_twins)
        self._public_url = public_url
        self._ready = ready
        self._news = asyncio.Event()
        self._leads: dict[str, Lead] = {}
        self._followed_at: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled, which may happen at any instant."""
        try:
            while True:
                try:
                    await self._serve()
                except AWAY as error:
                    end_if_cancelled()
                    log.warning("database_away", error=str(error), next_try_s=POLL_S)
                    await asyncio.sleep(POLL_S)
        finally:
            await self._door.close()

    async def _serve(self) -> None:
        connection = await connect(self._database, command_timeout_s=COMMIT_TIMEOUT_S)
        try:
            for channel in (ROLLOUT, ORDER):
                await connection.add_listener(channel, self._on_notice)
            self._ready()
            leads = False
            while True:
                self._news.clear()  # before looking: what happens from here on sets it again
                if not leads and await rollout_steps.lead(connection):
                    leads = True
                    figures.leads.set(1)
                    self._leads.clear()
                    log.info("leading")
                busy = leads and await self.round(connection)
                end_if_cancelled()  # twins that go away just then are no error of a round
                await self._pause(busy=busy)
        finally:
            figures.leads.set(0)
            connection.terminate()

    async def round(self, connection: DirectConnection) -> bool:
        """A step of each rollout. Whether there is more to do at once."""
        at_work = await rollouts.at_work(connection)
        ids = {rollout.id for rollout in at_work}
        self._leads = {key: lead for key, lead in self._leads.items() if key in ids}
        self._followed_at = {key: at for key, at in self._followed_at.items() if key in ids}
        busy = False
        for rollout in at_work:
            if self._is_due(rollout):
                busy = await self._step(connection, rollout) or busy
        return busy

    async def _step(self, connection: DirectConnection, rollout: Rollout) -> bool:
        lead = self._leads.setdefault(rollout.id, Lead(self._door, self._public_url))
        try:
            busy = await lead.step(connection, rollout)
            if busy:
                self._followed_at.pop(rollout.id, None)  # one that is over has somebody to tell after all
            return busy
        except Unavailable:  # the door has told of it
            return True
        except FleetError as error:  # of this rollout only: the others go on, and it is tried again
            figures.held_up.inc()
            log.error("step_failed", rollout=rollout.id, code=error.code, error=error.detail)
            return False

    def _is_due(self, rollout: Rollout) -> bool:
        """Those that are over are only followed, for devices that are still away or absent."""
        if rollout.state in OPEN_STATES:
            return True
        now = asyncio.get_running_loop().time()
        if now - self._followed_at.get(rollout.id, -ROLLOUT_FOLLOW_S) < ROLLOUT_FOLLOW_S:
            return False
        self._followed_at[rollout.id] = now
        return True

    async def _pause(self, *, busy: bool) -> None:
        """At least a step's time; then until a notice comes, or for as long as one may be late."""
        await asyncio.sleep(ROLLOUT_STEP_S)
        if busy:
            return
        try:
            async with asyncio.timeout(POLL_S - ROLLOUT_STEP_S):
                await self._news.wait()
        except TimeoutError:
            return

    def _on_notice(self, *_notice: Any) -> None:
        self._news.set()
