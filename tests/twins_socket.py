"""A shard in another process, without Ray, behind the web's port to the twins: one question per connection of a Unix socket.

For crash runs: either end may be killed in the middle of anything.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from actors.shard import TwinShard
from fleet.errors import FleetError, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.limits import ORDERS_TIMEOUT_S
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish, OrderProblem, problem_of
from fleet.views import AlertView, ShardStats, SiteLive, SiteSummary

T = TypeVar("T")
_PROBLEMS = ("BadInput", "Conflict", "NotFound", "RefusedValues")


class _Ask(msgspec.Struct, tag_field="ask", tag=True):
    pass


class _Stats(_Ask):
    pass


class _Configs(_Ask):
    wishes: list[ConfigWish]


class _Commands(_Ask):
    wishes: list[CommandWish]


class _Cancel(_Ask):
    site: SiteId
    device: DeviceId
    command_id: str
    person_id: str


class _Answer(msgspec.Struct):
    """problem: what the shard raised instead of an answer."""

    answer: msgspec.Raw = msgspec.Raw(b"null")
    problem: OrderProblem | None = None


_ASK = msgspec.json.Decoder(_Stats | _Configs | _Commands | _Cancel)
_ANSWER = msgspec.json.Decoder(_Answer)


async def serve(shard: TwinShard, socket: Path) -> None:
    """Until cancelled."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            told = await _told(shard, _ASK.decode(await reader.readuntil(b"\n")))
            writer.write(msgspec.json.encode(told) + b"\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked has died
        finally:
            writer.close()

    await asyncio.to_thread(socket.unlink, missing_ok=True)
    server = await asyncio.start_unix_server(answer, socket, limit=2**24)
    async with server:
        await server.serve_forever()


async def _told(shard: TwinShard, ask: _Stats | _Configs | _Commands | _Cancel) -> _Answer:
    try:
        match ask:
            case _Stats():
                said: Any = [await shard.stats()]
            case _Configs():
                said = await shard.change_configs(ask.wishes)
            case _Commands():
                said = await shard.issue_commands(ask.wishes)
            case _Cancel():
                await shard.cancel_command(ask.site, ask.device, ask.command_id, ask.person_id)
                said = None
    except FleetError as error:
        if type(error).__name__ not in _PROBLEMS:
            error = Unavailable(error.code, error.detail)
        return _Answer(problem=problem_of(error))
    return _Answer(msgspec.Raw(msgspec.json.encode(said)))


class SocketTwins:
    """web.ports.Twins, as far as orders go."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def shard_stats(self) -> list[ShardStats]:
        return await self._ask(_Stats(), list[ShardStats])

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        return await self._ask(_Configs(list(wishes)), list[ConfigAnswer])

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        return await self._ask(_Commands(list(wishes)), list[CommandAnswer])

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        await self._ask(_Cancel(site, device, command_id, person_id), type(None))

    async def site_live(self, site: SiteId) -> SiteLive:
        raise NotImplementedError

    async def site_summaries(self, sites: Sequence[SiteId]) -> list[SiteSummary]:
        raise NotImplementedError

    async def acknowledge_alert(self, site: SiteId, alert_id: str, person_id: str) -> AlertView:
        raise NotImplementedError

    async def forget_site(self, site: SiteId) -> None:
        raise NotImplementedError

    async def place_waiting(self, site: SiteId, serial: str) -> int:
        raise NotImplementedError

    async def corrected(self, site: SiteId, device: DeviceId, since: int, clock_shift_s: float = 0.0) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        pass

    async def _ask(self, ask: _Ask, kind: type[T]) -> T:
        try:
            async with asyncio.timeout(ORDERS_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=2**24)
                try:
                    writer.write(msgspec.json.encode(ask) + b"\n")
                    told = _ANSWER.decode(await reader.readuntil(b"\n"))
                finally:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable("twins_away", f"the shard does not answer: {error!r}") from None
        if told.problem is not None:
            raise told.problem.error()
        return msgspec.json.decode(told.answer, type=kind)
