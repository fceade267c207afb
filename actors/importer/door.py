"""The importer's hold on the twins: connects when needed, waits while they are away, connects again when they stay away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import structlog

from fleet.columns import BulkReport, ColumnBlock
from fleet.errors import Unavailable
from fleet.file_limits import IMPORT_RETRY_S
from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs

log = structlog.get_logger("importer.door")

T = TypeVar("T")
_RECONNECT_AFTER: Final = 3  # asks in a row without an answer


class Twins(Protocol):
    """What the importer needs of them: actors.client.Twins is one, a test's own another."""

    async def store_columns(
        self, site: SiteId, file_number: int, blocks: list[ColumnBlock], arrived_at: UnixMs
    ) -> BulkReport: ...

    async def retract_file(self, site: SiteId, device: DeviceId, file_number: int, since: UnixMs, until: UnixMs) -> int: ...

    async def close(self) -> None: ...


ConnectTwins = Callable[[], Awaitable[Twins]]  # raises Unavailable


class Door:
    """Nothing is lost by waiting: what is not stored yet lies in a spool."""

    def __init__(self, connect: ConnectTwins) -> None:
        self._connect = connect
        self._twins: Twins | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, question: Callable[[Twins], Awaitable[T]]) -> T:
        """The answer, however long the twins are away. Raises what the twins refuse (NotFound, BadInput)."""
        failures = 0
        while True:
            try:
                return await question(await self._connected())
            except Unavailable as error:
                failures += 1
                if failures == 1:
                    log.warning("twins_away", error=error.detail)
                if failures % _RECONNECT_AFTER == 0:
                    await self.close()
                await asyncio.sleep(IMPORT_RETRY_S[min(failures, len(IMPORT_RETRY_S)) - 1])

    async def close(self) -> None:
        twins, self._twins = self._twins, None
        if twins is not None:
            await twins.close()

    async def _connected(self) -> Twins:
        async with self._connecting:
            if self._twins is None:
                self._twins = await self._connect()
            return self._twins
