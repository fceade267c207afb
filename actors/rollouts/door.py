"""The conductor's hold on the twins: connects when needed, and anew when they stay away. Each ask is one try."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from fleet.errors import Unavailable
from fleet.orders import ConfigAnswer, ConfigWish

log = structlog.get_logger("rollouts.door")

_RECONNECT_AFTER: Final = 3  # asks in a row without an answer


class Twins(Protocol):
    """What rollouts need of them: actors.client.Twins is one, a test's own another."""

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]: ...

    async def close(self) -> None: ...


ConnectTwins = Callable[[], Awaitable[Twins]]  # raises Unavailable


class Door:
    def __init__(self, connect: ConnectTwins) -> None:
        self._connect = connect
        self._twins: Twins | None = None
        self._failures = 0

    async def ask(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        """One answer per wish. Raises Unavailable; what was asked may have been done all the same."""
        try:
            if self._twins is None:
                self._twins = await self._connect()
            answers = await self._twins.change_configs(wishes)
        except Unavailable as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("twins_away", error=error.detail)
            if self._failures % _RECONNECT_AFTER == 0:
                await self.close()
            raise
        if self._failures:
            log.info("twins_back", failures=self._failures)
        self._failures = 0
        return answers

    async def close(self) -> None:
        twins, self._twins = self._twins, None
        if twins is not None:
            await twins.close()
