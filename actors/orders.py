"""A shard's hand towards its devices: configurations and commands, from the wish to the device's word for it.

    wish, answer, report, deadline ──▶ DeviceOrders (pure, at once) ──▶ Step ──▶ OrderBook (stored) ──▶ published

What of an answer or a report cannot be taken becomes a dead letter; the device's next order does not notice.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec
import structlog

from actors.batch import at
from actors.catalog import Catalog, Route
from actors.clock import now_ms
from actors.counters import Counters
from actors.manual_ack import ManualAckSession
from actors.order_book import OrderBook
from fleet import topics
from fleet.codecs import native
from fleet.commands import IssuedCommand
from fleet.device import DeviceTwin
from fleet.device_orders import DeviceOrders, Step, late_answer
from fleet.errors import BadInput, Conflict, FleetError, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import (
    COMMIT_RETRY_S,
    DEAD_LETTER_HEAD_BYTES,
    ORDERS_FORGOTTEN_MAX,
    ORDERS_FORGOTTEN_PERIOD_S,
    ORDERS_ROUND_S,
    SLICE_MESSAGES_MAX,
    SLICE_PUBLISHES_MAX,
)
from fleet.order_messages import CommandResult
from fleet.settings import DatabaseSettings
from fleet.site import SiteTwin
from fleet.storage import orders as orders_sql
from fleet.storage.database import AWAY, Pool
from fleet.storage.intake import DeadLetter
from fleet.storage.lease import Lease
from fleet.telemetry import UnixMs

log = structlog.get_logger()

Work = Callable[[], Awaitable[None]]
_encoder = msgspec.json.Encoder()


class _Stray(NamedTuple):
    """An answer about a command that is not open here."""

    route: Route
    topic: str
    payload: bytes
    result: CommandResult


class Orders:
    """Belongs to one shard. session: the broker's, while there is one."""

    def __init__(
        self,
        *,
        settings: DatabaseSettings,
        pool: Pool,
        lease: Lease,
        slots: Sequence[int],
        catalog: Catalog,
        counters: Counters,
    ) -> None:
        self.book = OrderBook(settings, lease, self._publish, self._refused)
        self.mistaken: set[SiteId] = set()  # whose twins believe what was never stored: to be built anew
        self.session: ManualAckSession | None = None
        self._pool = pool
        self._slots = slots
        self._catalog = catalog
        self._counters = counters
        self._open: dict[tuple[SiteId, DeviceId], DeviceOrders] = {}  # with something to be told or to wait for
        self._strays: list[_Stray] = []

    def of(self, site: SiteId, twin: DeviceTwin) -> DeviceOrders:
        if twin.orders is None:
            twin.orders = DeviceOrders(site, twin.id, now=now_ms())
        return twin.orders

    def is_there(self, twin: DeviceTwin) -> bool:
        """Whether it can be told something now."""
        return twin.online and self.session is not None

    def write(self, steps: Sequence[Step]) -> None:
        """For steps that nobody waits for; see OrderBook.write."""
        for step in steps:
            self.note(step.site, step.device)
        self.book.write([step for step in steps if not step.is_empty])

    def note(self, site: SiteId, device: DeviceId) -> None:
        """After a step of that device: whether there is anything left to be told or to wait for."""
        twin = self._twin(site, device)
        if twin is not None and twin.orders is not None and twin.orders.is_open:
            self._open[site, device] = twin.orders
        else:
            self._open.pop((site, device), None)

    def adopt(self, site: SiteTwin) -> None:
        """A site's twin was loaded: whatever of its devices has not come to its end goes on."""
        for device in site.devices.values():
            if device.orders is not None:
                self.note(site.record.id, device.id)

    # what devices say -------------------------------------------------------------------------------------------------

    def take_report(self, route: Route, payload: bytes, now: UnixMs) -> None:
        """Of `up/config`. Raises BadInput."""
        said, mine = native.decode_report(payload), self.of(route.site.record.id, route.device)
        step = mine.report(said, route.device.profile, there=self.session is not None, now=now)
        if step is not None:
            self.write([step])

    def take_result(self, route: Route, topic: str, payload: bytes, now: UnixMs) -> None:
        """Of `up/result`. Raises BadInput."""
        result, mine = native.decode_result(payload), self.of(route.site.record.id, route.device)
        try:
            step = mine.answer(result, route.device.profile, there=self.session is not None, now=now)
        except NotFound:
            self._strays.append(_Stray(route, topic, payload, result))
            return
        except Conflict as error:
            raise BadInput(error.code, error.detail) from None
        if step is not None:
            self.write([step])

    def connected(self, route: Route, now: UnixMs) -> None:
        """The device says that it is there: what it has not answered is told again, at once."""
        mine = route.device.orders
        if mine is not None and mine.is_open and self.session is not None:
            self.write([mine.returned(route.device.profile, now)])

    async def heard_stored(self) -> None:
        """Returns once all that devices have said so far is stored."""
        if self._strays:
            await self._take_strays()
        await self.book.settled()

    async def _take_strays(self) -> None:
        """Late answers, answers to other devices' commands, invented ones. Only the database knows what has ended."""
        await self.book.settled()
        strays, self._strays = self._strays, []
        ended = await self._commands([stray.result.id for stray in strays])
        for stray in strays:
            now, device = now_ms(), stray.route.device
            command = ended.get(stray.result.id)
            try:
                if command is None or command.device != device.id:
                    raise BadInput("unknown_command_id", f"device {device.id} was given no command {stray.result.id[:64]!r}")
                step = late_answer(command, stray.result, now)
            except FleetError as error:
                self._counters.refused(error.code)
                if device.admit_letter(now):
                    self.book.write((), [_letter(stray, error, now)])
                continue
            if step is not None:
                ended[command.id] = step.commands[0]
                self.book.write([step])

    async def _commands(self, ids: Sequence[str]) -> dict[str, IssuedCommand]:
        """Waits out an absent PostgreSQL."""
        for attempt in itertools.count():
            try:
                async with self._pool.acquire() as connection:
                    return await orders_sql.commands_by_id(connection, ids)
            except AWAY:
                await asyncio.sleep(COMMIT_RETRY_S[min(attempt, len(COMMIT_RETRY_S) - 1)])
        raise AssertionError("unreachable")

    def works(self) -> list[tuple[str, float, Work]]:
        """As Upkeep.works."""
        return [
            ("orders", ORDERS_ROUND_S, self.round),
            ("forgotten orders", ORDERS_FORGOTTEN_PERIOD_S, self.find_forgotten),
        ]

    # time ---------------------------------------------------------------------------------------------------------------

    def listens_anew(self, session: ManualAckSession) -> None:
        """The broker is there (again): what was published before may be lost."""
        self.session = session
        for (site, device), mine in list(self._open.items()):
            twin = self._twin(site, device)
            if twin is not None:
                told = mine.returned if twin.online else mine.repeated
                self.write([told(twin.profile, now_ms())])

    async def round(self) -> None:
        """Deadlines, and what is to be told once more."""
        for position, ((site, device), mine) in enumerate(list(self._open.items())):
            if position % SLICE_MESSAGES_MAX == 0:
                await asyncio.sleep(0)
            twin = self._twin(site, device)
            if twin is None or twin.orders is not mine:  # forgotten, and perhaps built anew since
                self.note(site, device)
                continue
            step = mine.tell(twin.profile, there=self.is_there(twin), now=now_ms())
            if not step.is_empty:
                self.write([step])

    async def find_forgotten(self) -> None:
        """Commands whose time is up, and whose twin is not live (a fleet larger than a shard holds), wake it; those of
        devices that were taken out of the registry come to their end.
        """
        async with self._pool.acquire() as connection:
            found = await orders_sql.with_overdue_commands(connection, self._slots, at(now_ms()), ORDERS_FORGOTTEN_MAX)
            found = [each for each in found if (each.site_id, each.device_id) not in self._open]
            retired = await orders_sql.load_open_commands(connection, [each.site_id for each in found if each.retired])
        for each in found:
            if each.retired:
                gone = DeviceOrders(each.site_id, each.device_id, None, retired.get((each.site_id, each.device_id), ()))
                self.book.write([gone.deadlines(now_ms())])
            else:
                live = await self._catalog.site(each.site_id, now_ms())
                if live is not None:
                    self.adopt(live)

    def _twin(self, site: SiteId, device: DeviceId) -> DeviceTwin | None:
        live = self._catalog.sites.get(site)
        return None if live is None else live.devices.get(device)

    def _refused(self, steps: Sequence[Step]) -> None:
        """Nobody is told what is not stored; what the twin believes beyond that goes with it."""
        for step in steps:
            twin = self._twin(step.site, step.device)
            if twin is not None and twin.orders is not None:
                for command in step.commands:
                    twin.orders.commands.pop(command.id, None)
            self.mistaken.add(step.site)

    async def _publish(self, steps: Sequence[Step]) -> None:
        """What cannot be published now is told again when the broker, or the device, is back."""
        sent = 0
        for step in steps:
            if self.session is None or not (step.config_out or step.command_out):
                continue
            down = topics.down(step.site, step.device)
            if step.config_out is not None:
                self.session.publish(down.config, _encoder.encode(step.config_out), qos=1)
            if step.command_out is not None:
                self.session.publish(down.command, _encoder.encode(step.command_out), qos=1)
            sent += 1
            if sent % SLICE_PUBLISHES_MAX == 0:
                await asyncio.sleep(0)


def _letter(stray: _Stray, error: FleetError, now: UnixMs) -> DeadLetter:
    site, device = stray.route.site.record.id, stray.route.device.id
    head = stray.payload[:DEAD_LETTER_HEAD_BYTES]
    return DeadLetter(at(now), site, device, stray.topic[:500], error.code, error.detail[:500], len(stray.payload), head)
