"""What people ask of a shard's devices: a configuration, a command, to cancel one. One answer a wish, once all are kept."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from weakref import WeakValueDictionary

from actors.catalog import Catalog
from actors.clock import now_ms
from actors.order_book import unsure
from actors.orders import Orders
from fleet.commands import IssuedCommand
from fleet.configuration import Desired, Layer
from fleet.device import DeviceTwin
from fleet.device_orders import Step
from fleet.errors import BadInput, Conflict, FleetError, NotFound, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.limits import ORDERS_STORE_TIMEOUT_S
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish, problem_of
from fleet.storage import orders as orders_sql
from fleet.storage.database import AWAY, Pool
from fleet.storage.orders import CommandKey


class OrderAsks:
    """Belongs to one shard. Every method raises Unavailable (database_away, orders_full, order_unsure).

    Nothing waits between looking at a twin and changing it, so two wishes about one device never see the same version.
    """

    def __init__(self, pool: Pool, catalog: Catalog, orders: Orders) -> None:
        self._pool = pool
        self._catalog = catalog
        self._orders = orders
        self._last_number = 0
        self._keys: WeakValueDictionary[CommandKey, asyncio.Lock] = WeakValueDictionary()  # of commands that are being given
        self._unsure: set[asyncio.Task[None]] = set()

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        self._orders.book.require_open()
        earlier = [await self._earlier(wish) for wish in wishes]
        twins = await self._twins(wishes)  # last: meanwhile they may be built anew
        steps: list[Step] = []
        answers = []
        for wish, twin, version in zip(wishes, twins, earlier, strict=True):
            answer, step = self._changed(wish, twin, version)
            answers.append(answer)
            if step is not None:
                self._orders.note(step.site, step.device)
                steps.append(step)
        await self._orders.book.written(steps)
        return answers

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        """The same key of the same person for the same device is the same command."""
        self._orders.book.require_open()
        async with AsyncExitStack() as held:
            await self._hold_keys(wishes, held)
            answers, steps = await self._issue(wishes)
            try:
                await self._orders.book.written(steps)
            except Unavailable:
                releasing = asyncio.create_task(self._release_once_stored(held.pop_all()))
                self._unsure.add(releasing)
                releasing.add_done_callback(self._unsure.discard)
                raise
            return answers

    async def _hold_keys(self, wishes: Sequence[CommandWish], held: AsyncExitStack) -> None:
        """Raises Unavailable (order_unsure): such a command is being given, and nobody knows yet."""
        try:
            async with asyncio.timeout(ORDERS_STORE_TIMEOUT_S):
                for key in sorted({key for key in map(_key, wishes) if key is not None}):
                    await held.enter_async_context(self._keys.setdefault(key, asyncio.Lock()))
        except TimeoutError:
            raise unsure() from None

    async def _release_once_stored(self, held: AsyncExitStack) -> None:
        """Until the database knows a key, whoever looks there for it would give a second command."""
        async with held:
            await self._orders.book.settled()

    async def _issue(self, wishes: Sequence[CommandWish]) -> tuple[list[CommandAnswer], list[Step]]:
        known = await self._known(wishes)
        twins = await self._twins(wishes)  # last, as above
        steps: list[Step] = []
        answers = []
        for wish, twin in zip(wishes, twins, strict=True):
            key = _key(wish)
            try:
                answer, step = self._issued(wish, twin, None if key is None else known.get(key))
            except (BadInput, Conflict, NotFound) as error:
                answer, step = CommandAnswer(wish.id, "failed", problem=problem_of(error)), None
            answers.append(answer)
            if step is not None:
                self._orders.note(step.site, step.device)
                steps.append(step)
        return answers, steps

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        """Raises NotFound (unknown_site, unknown_device, unknown_command_id), Conflict (illegal_move) once it was sent."""
        self._orders.book.require_open()
        twin = await self._twin(site, device)
        if isinstance(twin, NotFound):
            raise twin
        mine = self._orders.of(site, twin)
        if command_id not in mine.commands:
            async with self._pool.acquire() as connection:
                ended = (await orders_sql.commands_by_id(connection, [command_id])).get(command_id)
            if ended is not None and ended.device == device:
                raise Conflict("illegal_move", f"the command has ended: it is {ended.state}")
        step = mine.cancel(command_id, person_id, twin.profile, there=self._orders.is_there(twin), now=now_ms())
        self._orders.note(site, device)
        await self._orders.book.written([step])

    def _changed(
        self, wish: ConfigWish, twin: DeviceTwin | NotFound, earlier: Desired | None
    ) -> tuple[ConfigAnswer, Step | None]:
        if isinstance(twin, NotFound):
            refused = problem_of(twin)
            return ConfigAnswer(wish.device, 0, changed=False, status="unknown", there=False, problem=refused), None
        there, mine = self._orders.is_there(twin), self._orders.of(wish.site, twin)
        step, problem = None, None
        try:
            if wish.only_if_there and not there and not _has(mine.config.desired, wish.change.layer):
                raise Conflict("device_away", "the device is not connected now, and is not to be told once it is")
            step = mine.wish(wish.change, earlier, twin.profile, there=there, now=now_ms())
        except (BadInput, Conflict) as error:
            problem = problem_of(error, mine.config.version)
        version, status = mine.config.version, mine.config.status
        return ConfigAnswer(wish.device, version, step is not None, status, there, problem), step

    def _issued(
        self, wish: CommandWish, twin: DeviceTwin | NotFound, before: IssuedCommand | None
    ) -> tuple[CommandAnswer, Step | None]:
        if isinstance(twin, FleetError):
            raise twin
        if before is not None:
            if (before.name, before.args) != (wish.name, wish.args):
                raise Conflict("key_reused", "this idempotency key was used for another command; take a new one")
            return CommandAnswer(before.id, before.state, repeated=True), None
        now, mine = now_ms(), self._orders.of(wish.site, twin)
        command = IssuedCommand(
            id=wish.id,
            site=wish.site,
            device=wish.device,
            number=self._next_number(now, [each.number for each in mine.commands.values()]),
            name=wish.name,
            args=wish.args,
            state="queued",
            created_at=now,
            expires_at=wish.expires_at,
            run_s=wish.run_s,
            created_by=wish.person_id,
            idempotency_key=wish.idempotency_key,
            batch=wish.batch,
        )
        step = mine.issue(command, twin.profile, there=self._orders.is_there(twin), now=now)
        state = next(each.state for each in step.commands if each.id == command.id)  # others may have ended in this step
        return CommandAnswer(command.id, state), step

    def _next_number(self, now: int, taken: Sequence[int]) -> int:
        """Grows from command to command, over restarts as well; after those of the device that are open in any case."""
        self._last_number = max(now * 1000, self._last_number + 1, *(number + 1 for number in taken))
        return self._last_number

    async def _twins(self, wishes: Sequence[ConfigWish | CommandWish]) -> list[DeviceTwin | NotFound]:
        """Raises Unavailable (database_away). All are live when this returns: while one was loaded, another may have been
        let go of, or built anew.
        """
        sites = {wish.site for wish in wishes}
        while True:
            nowhere = {site for site in sorted(sites) if not await self._is_live(site)}
            if all(site in self._catalog.sites for site in sites - nowhere):
                return [self._live(wish.site, wish.device) for wish in wishes]

    async def _twin(self, site: SiteId, device: DeviceId) -> DeviceTwin | NotFound:
        """Raises Unavailable (database_away)."""
        await self._is_live(site)
        return self._live(site, device)

    async def _is_live(self, site: SiteId) -> bool:
        """Loads it if need be; False when there is no such site."""
        try:
            return await self._catalog.site(site, now_ms()) is not None
        except AWAY as error:
            raise Unavailable("database_away", "the device's twin cannot be loaded now; try again in a moment") from error

    def _live(self, site: SiteId, device: DeviceId) -> DeviceTwin | NotFound:
        live = self._catalog.sites.get(site)
        if live is None:
            return NotFound("unknown_site", f"no site is called {site}")
        return live.devices.get(device) or NotFound("unknown_device", f"site {site} has no device {device}")

    async def _earlier(self, wish: ConfigWish) -> Desired | None:
        """What config_wishes.plan needs of the history. Raises Unavailable (database_away)."""
        change = wish.change
        try:
            if change.version is not None:
                async with self._pool.acquire() as connection:
                    return await orders_sql.change(connection, wish.site, wish.device, change.version)
            if change.kind == "rollout_return" and change.rollout is not None:
                async with self._pool.acquire() as connection:
                    return await orders_sql.before_rollout(connection, wish.site, wish.device, change.rollout)
            return None
        except AWAY as error:
            raise Unavailable("database_away", "the earlier version cannot be read now; try again in a moment") from error

    async def _known(self, wishes: Sequence[CommandWish]) -> dict[CommandKey, IssuedCommand]:
        """Raises Unavailable (database_away)."""
        keys = [key for key in map(_key, wishes) if key is not None]
        if not keys:
            return {}
        try:
            async with self._pool.acquire() as connection:
                return await orders_sql.commands_by_key(connection, keys)
        except AWAY as error:
            raise Unavailable("database_away", "the database does not answer; try again in a moment") from error


def _has(desired: Desired | None, layer: Layer | None) -> bool:
    return desired is not None and layer in desired.layers


def _key(wish: CommandWish) -> CommandKey | None:
    if wish.idempotency_key is None or wish.person_id is None:
        return None
    return wish.device, wish.person_id, wish.idempotency_key
