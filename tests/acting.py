"""One transaction as a person, as the web has one per request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet.storage import accounts
from fleet.storage.database import Connection, Pool


@asynccontextmanager
async def acting_as(pool: Pool, person_id: str) -> AsyncIterator[Connection]:
    """Row-level security shows what this person may see."""
    async with pool.acquire() as connection, connection.transaction():
        await accounts.become(connection, person_id)
        yield connection
