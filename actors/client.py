"""The one door to the twins for other rooms: typed asks with time limits and typed errors."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from actors.cluster.ray_environment import set_environment
from fleet.columns import BulkReport, ColumnBlock
from fleet.errors import FleetError, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.limits import ASK_TIMEOUT_S, BULK_TIMEOUT_S, ORDERS_AT_ONCE, ORDERS_TIMEOUT_S
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish
from fleet.placement import shard_of, slot_of
from fleet.settings import RaySettings
from fleet.telemetry import UnixMs
from fleet.views import AlertView, ShardStats, SiteLive, SiteSummary

# Around an ask, by its name; yields the traceparent that goes with it (fleet.runtime.tracing).
Asking = Callable[[str], AbstractContextManager[str | None]]


class Twins:
    """Every method raises Unavailable (twins_away, twins_slow) when the shard does not answer in time."""

    def __init__(self, shards: int, asking: Asking | None = None) -> None:
        self._shards = shards
        self._asking = asking
        self._found: dict[int, asyncio.Future[Any]] = {}  # shard → its handle, or the search for it

    @classmethod
    async def connect(cls, settings: RaySettings, asking: Asking | None = None) -> Self:
        """Joins the running Ray; takes a few seconds. Raises Unavailable (twins_away)."""
        set_environment(settings)
        try:
            return cls(await asyncio.to_thread(_join, settings), asking)
        except (OSError, ValueError, RuntimeError) as error:
            hint = ""
            if isinstance(error, ConnectionError):  # Ray says no more, but where its own lines tell of InvalidAuthToken:
                hint = f"; if its head runs, {settings.token_file} is not the token of this cluster: run `init-pki`, restart"
            raise Unavailable("twins_away", f"the twins cannot be reached: {error}{hint}") from error

    async def site_live(self, site: SiteId) -> SiteLive:
        """Raises NotFound (unknown_site)."""
        live: SiteLive = await self._ask_about(site, "site_live")
        return live

    async def site_summaries(self, sites: Sequence[SiteId]) -> list[SiteSummary]:
        """In no particular order; sites that do not exist are left out."""
        by_shard: dict[int, list[SiteId]] = defaultdict(list)
        for site in sites:
            by_shard[shard_of(slot_of(site), self._shards)].append(site)
        answers = await asyncio.gather(*(self._ask(shard, "site_summaries", theirs) for shard, theirs in by_shard.items()))
        return [summary for answer in answers for summary in answer]

    async def shard_stats(self) -> list[ShardStats]:
        return list(await asyncio.gather(*(self._ask(shard, "stats") for shard in range(self._shards))))

    async def acknowledge_alert(self, site: SiteId, alert_id: str, person_id: str) -> AlertView:
        """Raises NotFound (unknown_site, unknown_alert), Conflict when it is resolved or acknowledged already."""
        alert: AlertView = await self._ask_about(site, "acknowledge_alert", alert_id, person_id)
        return alert

    async def store_columns(
        self, site: SiteId, file_number: int, blocks: list[ColumnBlock], arrived_at: UnixMs
    ) -> BulkReport:
        """The bulk door; see actors.bulk. file_number 0: what no file told.

        Raises NotFound (unknown_site), BadInput (unknown_device, bad_block).
        """
        report: BulkReport = await self._ask_about(
            site, "store_columns", file_number, blocks, arrived_at, timeout_s=BULK_TIMEOUT_S
        )
        return report

    async def retract_file(self, site: SiteId, device: DeviceId, file_number: int, since: UnixMs, until: UnixMs) -> int:
        """What a file told is taken back; see actors.bulk. Raises NotFound (unknown_site)."""
        hours: int = await self._ask_about(site, "retract_file", device, file_number, since, until, timeout_s=BULK_TIMEOUT_S)
        return hours

    async def roll_up(self) -> None:
        """Returns when the days that were dirty are recomputed, on all shards."""
        await asyncio.gather(*(self._ask(shard, "roll_up", timeout_s=BULK_TIMEOUT_S) for shard in range(self._shards)))

    async def forget_site(self, site: SiteId) -> None:
        """After a change of the registry: the twin is built anew when next needed."""
        await self._ask_about(site, "forget_site")

    async def corrected(self, site: SiteId, device: DeviceId, since: UnixMs, clock_shift_s: float = 0.0) -> None:
        """After a correction or a replacement was stored or undone; see actors.correcting.

        Raises NotFound (unknown_site, unknown_device).
        """
        await self._ask_about(site, "corrected", device, since, clock_shift_s, timeout_s=BULK_TIMEOUT_S)

    async def place_waiting(self, site: SiteId, serial: str) -> int:
        """After a device got the serial that waited behind a gateway: its kept data becomes samples. Returns how many rows.

        Raises NotFound (unknown_site, unknown_source).
        """
        rows: int = await self._ask_about(site, "place_waiting", serial, timeout_s=BULK_TIMEOUT_S)
        return rows

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        """See actors.order_asks; one answer per wish, in order."""
        answers: list[ConfigAnswer] = await self._ask_in_order("change_configs", wishes)
        return answers

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        """See actors.order_asks; one answer per wish, in order."""
        answers: list[CommandAnswer] = await self._ask_in_order("issue_commands", wishes)
        return answers

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        """Raises NotFound (unknown_site, unknown_device, unknown_command_id), Conflict (illegal_move)."""
        await self._ask_about(site, "cancel_command", device, command_id, person_id)

    async def close(self) -> None:
        from actors import remote  # noqa: PLC0415 - imports ray: see set_environment

        await asyncio.to_thread(remote.leave_ray)

    async def _ask_in_order(self, question: str, wishes: Sequence[ConfigWish | CommandWish]) -> list[Any]:
        """Each shard is asked about its own, in pieces, one after the other; the answers come back in the wishes' order."""
        by_shard: dict[int, list[int]] = defaultdict(list)
        for position, wish in enumerate(wishes):
            by_shard[shard_of(slot_of(wish.site), self._shards)].append(position)
        answers: list[Any] = [None] * len(wishes)

        async def ask(shard: int, positions: list[int]) -> None:
            for start in range(0, len(positions), ORDERS_AT_ONCE):
                piece = positions[start : start + ORDERS_AT_ONCE]
                theirs = [wishes[position] for position in piece]
                told = await self._ask(shard, question, theirs, timeout_s=ORDERS_TIMEOUT_S)
                for position, answer in zip(piece, told, strict=True):
                    answers[position] = answer

        await asyncio.gather(*(ask(shard, positions) for shard, positions in by_shard.items()))
        return answers

    async def _ask_about(self, site: SiteId, question: str, *arguments: Any, timeout_s: float = ASK_TIMEOUT_S) -> Any:
        shard = shard_of(slot_of(site), self._shards)
        return await self._ask(shard, question, site, *arguments, timeout_s=timeout_s)

    async def _ask(self, shard: int, question: str, *arguments: Any, timeout_s: float = ASK_TIMEOUT_S) -> Any:
        from ray.exceptions import ActorDiedError, RayActorError, RayTaskError  # noqa: PLC0415 - see set_environment

        try:
            async with asyncio.timeout(timeout_s):
                handle = await self._handle(shard)
                if self._asking is None:
                    return await handle.ask.remote(question, *arguments)
                with self._asking(question) as traceparent:
                    return await handle.ask.remote(question, *arguments, traceparent=traceparent)
        except TimeoutError:
            raise Unavailable("twins_slow", f"the twins did not answer within {timeout_s:g} s; try again") from None
        except RayTaskError as error:
            if isinstance(error.cause, FleetError):
                raise error.cause from None
            raise Unavailable("twins_away", f"the twins cannot answer: {error.cause!r}") from error
        except (RayActorError, ValueError) as error:
            if isinstance(error, ActorDiedError):
                self._found.pop(shard, None)  # it has moved, or will be started anew: another one under the same name
            raise Unavailable("twins_away", "the twins are restarting; try again in a few seconds") from error

    async def _handle(self, shard: int) -> Any:
        """Looked for once, however many ask meanwhile. Raises ValueError when there is no such shard now."""
        from actors import remote  # noqa: PLC0415 - imports ray: see set_environment

        found = self._found.get(shard)
        if found is None or (found.done() and (found.cancelled() or found.exception() is not None)):
            found = asyncio.ensure_future(asyncio.to_thread(remote.find_shard, shard, self._shards))
            self._found[shard] = found
        return await asyncio.shield(found)


def _join(settings: RaySettings) -> int:
    from actors import remote  # noqa: PLC0415 - imports ray: see set_environment

    remote.join_ray(settings)
    try:
        return remote.count_shards()
    except ValueError:
        if settings.cluster is None:
            remote.leave_ray()  # or the next attempt is refused as a second one
        raise  # in a cluster the next attempt finds itself joined already: that took seconds
    except (OSError, RuntimeError):
        remote.leave_ray()
        raise
