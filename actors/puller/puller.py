"""Fetches from customers' own SFTP servers what is due. The importer's process runs it, several visits at a time.

What fails is counted at its source, with a code that the portal has words for (fleet.pull_problems), and tried again later
and later. A host key that is not the pinned one is never accepted: a person has to confirm the new one.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from actors.puller.visit import Visit
from fleet.errors import FleetError
from fleet.file_limits import (
    DROP_DISK_FREE_MIN_BYTES,
    PULL_AGAIN_S,
    PULL_LEASE_S,
    PULL_REMEMBERED_DAYS,
    PULL_RETRY_MAX_S,
    PULL_VISIT_S,
    PULLS_OF_COMPANY_MAX,
)
from fleet.runtime import reach
from fleet.storage import pull_secrets, pull_sources
from fleet.storage.database import Pool
from fleet.storage.pull_sources import DuePull, PulledFile

log = structlog.get_logger("puller")


class Puller:
    """pool: of the role sp_importer. folder: the drop box's. networks: private ones that may be fetched from; see
    fleet.runtime.reach.

    arrived: told each time that a file lies in pulled/.
    """

    def __init__(
        self,
        pool: Pool,
        folder: Path,
        key_file: Path,
        networks: reach.Networks,
        arrived: Callable[[], None],
        *,
        disk_free_min: int = DROP_DISK_FREE_MIN_BYTES,
    ) -> None:
        self._pool = pool
        self._folder = folder
        self._key_file = key_file
        self._networks = networks
        self._arrived = arrived
        self._disk_free_min = disk_free_min
        self._visits: Counter[str] = Counter()  # under way, by company

    async def next(self) -> int | None:
        """Visits the server that is due longest. Returns how many files came; None: none is due. Raises AWAY errors: the
        database is.
        """
        busy = [company for company, visits in self._visits.items() if visits >= PULLS_OF_COMPANY_MAX]
        async with self._pool.acquire() as connection:
            source = await pull_sources.take_due(connection, lease_s=PULL_LEASE_S, but=busy)
        if source is None:
            return None
        self._visits[source.company] += 1
        try:
            return await self._visit(source)
        finally:
            self._visits[source.company] -= 1
            if not self._visits[source.company]:
                del self._visits[source.company]

    async def _visit(self, source: DuePull) -> int:
        came = 0
        problem: str | None = None
        more = False

        async def remembered(names: Sequence[str]) -> dict[str, PulledFile]:
            async with self._pool.acquire() as connection:
                return await pull_sources.taken(connection, source.id, names)

        try:
            async with asyncio.timeout(PULL_VISIT_S):
                visit = Visit(
                    source,
                    pull_secrets.unseal(self._key_file, source.secret),
                    self._folder,
                    self._networks,
                    disk_free_min=self._disk_free_min,
                )
                async with aclosing(visit.files(remembered)) as files:
                    async for file in files:
                        async with self._pool.acquire() as connection:
                            await pull_sources.mark_taken(connection, source.id, file)
                        came += 1
                        self._arrived()
                problem, more = visit.problem, visit.more
                await self._forget(source, visit)
        except FleetError as error:
            problem = error.code
            log.warning("pull_failed", source=source.id, device=source.device, code=error.code, error=error.detail[:200])
        except TimeoutError:
            problem, more = ("took_too_long", True) if came else ("server_away", False)
            log.warning("pull_failed", source=source.id, device=source.device, code=problem)
        except OSError as error:
            problem = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "unreadable_file"
            log.error("pull_failed", source=source.id, device=source.device, code=problem, error=str(error))
        await self._mark(source, problem, came=came, more=more)
        return came

    async def _mark(self, source: DuePull, problem: str | None, *, came: int, more: bool) -> None:
        """What brought something is no failing server: it comes again at its usual time."""
        usual_s = PULL_AGAIN_S if more and came else float(source.every_s)
        async with self._pool.acquire() as connection:
            if problem is None:
                await pull_sources.mark_pulled(connection, source.id, again_in_s=usual_s)
                return
            later_s = min(source.every_s * 2.0 ** min(source.failures, 16), max(PULL_RETRY_MAX_S, source.every_s))
            await pull_sources.mark_pull_failed(connection, source.id, problem, again_in_s=usual_s if came else later_s)

    async def _forget(self, source: DuePull, visit: Visit) -> None:
        if visit.problem == "too_many_files":  # then we do not know all that is there
            return
        before = datetime.now(UTC) - timedelta(days=PULL_REMEMBERED_DAYS)
        async with self._pool.acquire() as connection:
            await pull_sources.forget_gone(connection, source.id, visit.names, before)
