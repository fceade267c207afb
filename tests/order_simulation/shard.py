"""The platform's side of that world: a shard, as actors.orders, actors.order_book and actors.order_asks are one;
and the web before it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from fleet.commands import IssuedCommand
from fleet.configuration import Change, ConfigState
from fleet.device_orders import DeviceOrders, Step, late_answer
from fleet.errors import Conflict, FleetError, NotFound, StaleOwner, Unavailable
from fleet.ids import DeviceId
from fleet.limits import ORDERS_ROUND_S
from fleet.order_messages import CommandResult, ReportedConfig
from fleet.profiles import DeviceProfile
from tests.order_simulation.world import SITE, Broker, Database, Link, Message, PartName, World

Reply = Callable[[object], None]  # an answer, or a FleetError


class CommandAsk(NamedTuple):
    device: DeviceId
    id: str
    key: str
    name: str
    expires_in_ms: int
    run_s: float


class ConfigAsk(NamedTuple):
    device: DeviceId
    change: Change


class CancelAsk(NamedTuple):
    device: DeviceId
    id: str


class Asked(NamedTuple):
    ask: CommandAsk | ConfigAsk | CancelAsk
    reply: Reply


class Shard:
    part: PartName = "shard"

    def __init__(
        self, world: World, database: Database, broker: Broker, devices: Sequence[DeviceId], profile: DeviceProfile
    ) -> None:
        self._world, self._database, self._broker, self._profile = world, database, broker, profile
        self.alive = True
        self._epoch = database.claim()
        open_commands: dict[DeviceId, list[IssuedCommand]] = {device: [] for device in devices}
        for command in database.commands.values():
            if command.is_open:
                open_commands[command.device].append(msgspec.structs.replace(command, asked_at=0, asked=0))
        self._orders = {
            device: DeviceOrders(SITE, device, _stored(database, device), open_commands[device], world.now)
            for device in devices
        }
        self._online = {device: database.online.get(device, False) for device in devices}
        self._link: Link | None = None
        self._inbox: deque[Message] = deque()
        self._taking_in = False
        self._book: deque[tuple[list[Step], Callable[[], None]]] = deque()
        self._storing = False
        self._lately: dict[str, IssuedCommand] = {}
        self._last_number = 0
        self.asked: list[Asked] = []  # and not answered
        self._connect()
        self._round()

    @property
    def is_idle(self) -> bool:
        return not (self._inbox or self._taking_in or self._book) and self._link is not None

    def die(self) -> None:
        self.alive = False
        if self._link is not None:
            self._link.cut("client")
        for asked in self.asked:
            self._world.later(0, 50, partial(asked.reply, Unavailable("shard_away", "the shard has died")))
        self.asked.clear()

    def _soon(self, low_ms: int, high_ms: int, deed: Callable[[], None]) -> None:
        """Unless this shard is dead by then."""
        self._world.later(low_ms, high_ms, lambda: deed() if self.alive else None)

    # broker ---------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._epoch != self._database.epoch:  # the next one has taken the session
            return
        self._link = self._broker.accept_shard(self)
        if self._link is None:
            self._soon(100, 1_000, self._connect)
            return
        for device, mine in self._orders.items():
            if mine.is_open:
                told = mine.returned if self._online[device] else mine.repeated
                self._write([told(self._profile, self._world.now)])

    def broker_lost(self) -> None:
        self._link = None
        if self.alive:
            self._inbox.clear()
            self._soon(100, 1_000, self._connect)

    def hear(self, message: object) -> None:
        assert isinstance(message, Message)
        if self.alive:
            self._inbox.append(message)
            if not self._taking_in:
                self._taking_in = True
                self._soon(0, 20, self._take_in)

    def _take_in(self) -> None:
        """A batch: the twins, then the transaction, then the acks."""
        batch, link = list(self._inbox), self._link
        self._inbox.clear()
        strays: list[Message] = []
        for message in batch:
            self._world.point(self)
            self._take(message, strays)
        self._settled(lambda: self._take_strays(strays, lambda: self._settled(lambda: self._ack(batch, link))))

    def _take(self, message: Message, strays: list[Message]) -> None:
        mine, now, there = self._orders[message.device], self._world.now, self._link is not None
        said = message.said
        has_returned = said == "online"
        self._online[message.device] = said != "offline"
        if has_returned and mine.is_open and there:
            self._write([mine.returned(self._profile, now)])
        if isinstance(said, ReportedConfig):
            step = mine.report(said, self._profile, there=there, now=now)
            if step is not None:
                self._write([step])
        elif isinstance(said, CommandResult):
            try:
                step = mine.answer(said, self._profile, there=there, now=now)
            except NotFound:
                strays.append(message)
                return
            if step is not None:
                self._write([step])
        if self._world.luck.random() < 0.5:
            self._database.online[message.device] = self._online[message.device]

    def _take_strays(self, strays: list[Message], then: Callable[[], None]) -> None:
        ended = dict(self._database.commands)
        for device, said in strays:
            assert isinstance(said, CommandResult)
            assert ended[said.id].device == device
            step = late_answer(ended[said.id], said, self._world.now)
            if step is not None:
                ended[said.id] = step.commands[0]
                self._write([step])
        then()

    def _ack(self, batch: list[Message], link: Link | None) -> None:
        for message in batch:
            self._world.point(self)
            if link is not None and link.is_open:
                link.up.send(partial(self._broker.ack, message))
        self._taking_in = False
        if self._inbox:
            self._taking_in = True
            self._soon(0, 20, self._take_in)

    def _round(self) -> None:
        for device, mine in self._orders.items():
            if mine.is_open:
                there = self._online[device] and self._link is not None
                self._write([mine.tell(self._profile, there=there, now=self._world.now)])
        self._soon(int(ORDERS_ROUND_S * 1000), int(ORDERS_ROUND_S * 1000), self._round)

    # book -----------------------------------------------------------------------------------------------------------

    def _write(self, steps: list[Step], stored: Callable[[], None] = lambda: None) -> None:
        self._book.append(([step for step in steps if not step.is_empty], stored))
        if not self._storing:
            self._storing = True
            self._soon(0, 5, self._store)

    def _settled(self, then: Callable[[], None]) -> None:
        if self._book:
            self._write([], then)
        else:
            then()

    def _store(self) -> None:
        entries = list(self._book)
        self._commit(entries, None)

    def _commit(self, entries: list[tuple[list[Step], Callable[[], None]]], tried: tuple[int, bytes] | None) -> None:
        world = self._world
        world.point(self)
        if world.chance(0.03):  # PostgreSQL is away
            self._soon(50, 3_000, partial(self._commit, entries, tried))
            return
        steps = [step for written, _ in entries for step in written if step.needs_storing]
        if steps and (tried is None or tried != self._database.head):
            try:
                tried = self._database.commit(self._epoch, steps)
            except StaleOwner:
                world.note("a superseded shard stops")
                self.die()
                return
            for step in steps:
                for receipt in step.receipts:
                    world.note(f"stored {receipt.device} {receipt.kind} {receipt.subject}")
            world.point(self)
            if world.chance(0.03):  # it was committed, and nobody heard of it
                self._soon(50, 3_000, partial(self._commit, entries, tried))
                return
        self._soon(0, 5, partial(self._stored, entries))

    def _stored(self, entries: list[tuple[list[Step], Callable[[], None]]]) -> None:
        self._world.point(self)
        for steps, _ in entries:
            for step in steps:
                self._publish(step)
        for _, stored in entries:
            self._book.popleft()
            stored()
        self._storing = bool(self._book)
        if self._storing:
            self._soon(0, 5, self._store)

    def _publish(self, step: Step) -> None:
        for told in (step.config_out, step.command_out):
            if told is not None and self._link is not None and self._link.is_open:
                self._link.up.send(partial(self._broker.take_down, step.device, told))
                self._world.point(self)

    # asks -----------------------------------------------------------------------------------------------------------

    def ask(self, asked: Asked) -> None:
        self.asked.append(asked)
        self._world.point(self)
        ask = asked.ask
        if isinstance(ask, CommandAsk):
            known = self._database.keys.get(ask.key)
            self._soon(0, 3, partial(self._issue, asked, ask, known))
            return
        mine, now = self._orders[ask.device], self._world.now
        there = self._online[ask.device] and self._link is not None
        try:
            if isinstance(ask, CancelAsk):
                step: Step | None = mine.cancel(ask.id, "person", self._profile, there=there, now=now)
            else:
                step = mine.wish(ask.change, None, self._profile, there=there, now=now)
        except FleetError as error:
            self._answer(asked, error)
            return
        answer = ask.id if isinstance(ask, CancelAsk) else mine.config.version
        self._write([] if step is None else [step], partial(self._answer, asked, answer))

    def _issue(self, asked: Asked, ask: CommandAsk, known: str | None) -> None:
        before = self._lately.get(ask.key)
        if known is not None or before is not None:
            answer = known or (before.id if before is not None else "")
            self._settled(partial(self._answer, asked, answer))
            return
        now, mine = self._world.now, self._orders[ask.device]
        self._last_number = max(now * 1000, self._last_number + 1, *(each.number + 1 for each in mine.commands.values()))
        command = IssuedCommand(
            id=ask.id,
            site=SITE,
            device=ask.device,
            number=self._last_number,
            name=ask.name,
            args={},
            state="queued",
            created_at=now,
            expires_at=now + ask.expires_in_ms,
            run_s=ask.run_s,
            created_by="person",
            idempotency_key=ask.key,
        )
        try:
            there = self._online[ask.device] and self._link is not None
            step = mine.issue(command, self._profile, there=there, now=now)
        except Conflict as error:
            self._answer(asked, error)
            return
        self._lately[ask.key] = command

        self._write([step], partial(self._answer, asked, command.id))

    def _answer(self, asked: Asked, answer: object) -> None:
        self._world.point(self)
        self.asked.remove(asked)
        self._world.later(0, 5, partial(asked.reply, answer))


def _stored(database: Database, device: DeviceId) -> ConfigState | None:
    config = database.configs.get(device)
    return None if config is None else msgspec.structs.replace(config, asked_at=0, asked=0)
