"""The bulk door on a real database, without a broker: for integration tests and benchmarks."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import numpy as np

from actors.bulk import Bulk
from actors.catalog import Catalog
from fleet.columns import DAY_MS, ColumnBlock, rank_of
from fleet.ids import DeviceId
from fleet.limits import SLOTS
from fleet.storage import lease as leases
from fleet.storage.database import open_pool
from tests.servers import Database


@asynccontextmanager
async def bulk_door(database: Database) -> AsyncIterator[Bulk]:
    pool = await open_pool(database.sp_twins, size_max=2)
    try:
        async with pool.acquire() as connection:
            lease = await leases.claim(connection, 0, range(SLOTS), "test")
        catalog = Catalog(pool, range(SLOTS))
        await catalog.load_all(time.time_ns() // 1_000_000)
        door = Bulk(database.sp_twins, lease, catalog, lambda: False)
        yield door
        await door.close()
    finally:
        pool.terminate()


def block(
    device: str,
    rows: Iterable[tuple[int, dict[str, float]]],
    *,
    file_number: int = 1,
    corrected: bool = False,
) -> ColumnBlock:
    """Of one file's rows, as its reader would make it."""
    listed = list(rows)
    measures = tuple(sorted({name for _, values in listed for name in values}))
    newest: dict[int, int] = {}
    for t, _ in listed:
        newest[t // DAY_MS] = max(t, newest.get(t // DAY_MS, t))
    return ColumnBlock(
        DeviceId(device),
        measures,
        np.array([t for t, _ in listed], "<i8").tobytes(),
        b"".join(np.array([values.get(name, np.nan) for _, values in listed], "<f8").tobytes() for name in measures),
        np.array([rank_of(file_number, newest[t // DAY_MS], corrected=corrected) for t, _ in listed], "<i8").tobytes(),
    )
