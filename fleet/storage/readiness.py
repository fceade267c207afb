"""What must hold of the database before a process works on it: it answers, lets us in, has our schema, and our time.

Waiting is right for what comes by itself (a database that starts, a migration that runs) and is said at a bounded rate; what
somebody has to mend ends the process instead.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from fleet.errors import Conflict, FleetError, Unavailable
from fleet.limits import FUTURE_SKEW_MAX_S
from fleet.settings import DatabaseSettings
from fleet.storage.database import AWAY, Connection, away, connect
from fleet.storage.migrate import applied, judge

_LOOK_S: Final = 1.0
_SAY_S: Final = 30.0  # a database that is away for a day fills no log
_ANSWER_S: Final = 10.0


async def until_ready(settings: DatabaseSettings, log: Any, *, schema: bool = True) -> None:
    """Waits and says what for. log: structlog's. schema False: for who is about to bring it to what it should be.

    Raises BadInput (bad_secret_file, database_refused), Conflict (schema_newer, migration_changed, clock_skew).
    """
    said, said_at = "", 0.0
    while True:
        try:
            await look(settings, schema=schema)
            if said:
                log.info("database_ready")
            return
        except Unavailable as error:
            if error.code != said or time.monotonic() - said_at >= _SAY_S:
                said, said_at = error.code, time.monotonic()
                log.warning("waiting_for_database", code=error.code, error=error.detail)
        await asyncio.sleep(_LOOK_S)


async def look(settings: DatabaseSettings, *, schema: bool = True) -> None:
    """Once. Raises as until_ready, and Unavailable (database_away, no_database, schema_older): that may come by itself."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            connection = await connect(settings)
            try:
                before = datetime.now(UTC)
                now = await connection.fetchval("SELECT clock_timestamp()")
                require_same_time(settings, now, before, datetime.now(UTC))
                if schema:
                    await require_schema(connection)
            finally:
                connection.terminate()
    except FleetError:
        raise
    except AWAY as error:
        raise away(settings, error) from None


async def require_schema(connection: Connection) -> None:
    """Raises Unavailable (schema_older), Conflict (schema_newer, migration_changed)."""
    try:
        judge(await applied(connection))
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):  # before anything, or before 0006, was applied
        raise Unavailable("schema_older", "the database holds no schema of ours yet; run the job `migrate`") from None


def require_same_time(settings: DatabaseSettings, theirs: datetime, before: datetime, after: datetime) -> None:
    """before, after: our clock around the question. Raises Conflict (clock_skew)."""
    skew_s = (theirs - after).total_seconds() if theirs > after else (before - theirs).total_seconds()
    if skew_s > FUTURE_SKEW_MAX_S:
        raise Conflict(
            "clock_skew",
            f"this machine's clock says {after:%Y-%m-%d %H:%M:%S} UTC, that of PostgreSQL at {settings.host}"
            f" {theirs:%Y-%m-%d %H:%M:%S} UTC; set both by NTP (timedatectl set-ntp true), then start again",
        )
