"""A shard in another process, without Ray, behind the web's port to the twins: one question per connection of a Unix socket.

For crash runs: either end may be killed in the middle of anything.
"""

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from actors.shard import TwinShard
from fleet.errors import FleetError, Unavailable
from fleet.limits import ORDERS_TIMEOUT_S
from tests.local_twins import LocalTwins


async def serve(shard: TwinShard, socket: Path) -> None:
    """Until cancelled."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question, arguments = pickle.loads(await reader.read())  # noqa: S301 - from our own other process
            writer.write(pickle.dumps(await _told(shard, question, arguments)))
            await writer.drain()
        except (OSError, EOFError, pickle.UnpicklingError):
            pass  # whoever asked has died
        finally:
            writer.close()

    await asyncio.to_thread(socket.unlink, missing_ok=True)
    server = await asyncio.start_unix_server(answer, socket)
    async with server:
        await server.serve_forever()


async def _told(shard: TwinShard, question: str, arguments: tuple[Any, ...]) -> Any:
    """The answer, or what the shard raised instead of one."""
    try:
        return await getattr(shard, question)(*arguments)
    except FleetError as error:
        return error


class SocketTwins(LocalTwins):
    """All of web.ports.Twins."""

    def __init__(self, socket: Path) -> None:
        super().__init__([cast("TwinShard", _SocketShard(socket))])


class _SocketShard:
    """A TwinShard's asks, whichever they are. Raises what they raise, and Unavailable (twins_away)."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def __getattr__(self, question: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*arguments: Any) -> Any:
            try:
                async with asyncio.timeout(ORDERS_TIMEOUT_S):
                    answer = await self._ask(pickle.dumps((question, arguments)))
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                raise Unavailable("twins_away", f"the shard does not answer: {error!r}") from None
            if isinstance(answer, FleetError):
                raise answer
            return answer

        return ask

    async def _ask(self, asked: bytes) -> Any:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(asked)
            writer.write_eof()
            return pickle.loads(await reader.read())  # noqa: S301 - from our own other process
        finally:
            writer.close()
