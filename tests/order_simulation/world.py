"""The whole road of an order in memory and in simulated time: client → web → shard → database → broker → device, and back.

All that happens is drawn from a seed: delays, lost answers, and when which part is killed. The rules are the real ones
(fleet.device_orders, fleet.receipts, edge.obeying, edge.agent.journal); what surrounds them is modelled with its faults:

database  has what was committed; a commit may fail, or succeed without anybody hearing of it
broker    loses what is under way when it dies, and perhaps what it held; delivers again, and twice
web       dies with its requests; the client asks again with the same key
shard     dies between any two steps, or is superseded and does not know it
device    has what was written to its disk; its power is cut before and after every write
"""

import contextlib
import heapq
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple, Protocol

from fleet.commands import EVENTS, MOVES, CommandState, IssuedCommand
from fleet.configuration import ConfigState, Desired
from fleet.device_orders import Step
from fleet.errors import StaleOwner
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import CommandResult
from fleet.receipts import GENESIS, Line, chained
from fleet.telemetry import UnixMs

PartName = Literal["shard", "web", "broker", "agent"]
PARTS: tuple[PartName, ...] = ("shard", "web", "broker", "agent")
SITE = SiteId("site-1")
STORM_MS = 30_000
_FATE_STEPS = 80  # a part dies at one of so many of its steps


class Killed(Exception):
    """A part has died at this very step."""


class Mortal(Protocol):
    part: PartName

    def die(self) -> None: ...


class World:
    """Time, luck, and the fates of the parts. calm: the storm is over, nothing fails any more."""

    def __init__(self, seed: int, spared: frozenset[int]) -> None:
        self.luck = Random(seed)
        self.now: UnixMs = 1_764_000_000_000
        self.storm_ends_at = self.now + STORM_MS
        self.calm = False
        self.log: list[str] = []
        self.kills = 0
        self.coverage: set[tuple[PartName, str]] = set()
        self.troubles: list[UnixMs] = []  # when something died
        self.lost: dict[str, UnixMs] = {}  # answers about a command that the broker had taken and died with
        self.states: Callable[[], set[str]] = set
        self._spared = spared  # kills that do not happen: to find those that a failure needs
        self._agenda: list[tuple[UnixMs, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._steps: Counter[PartName] = Counter()
        self._fates = {part: self.luck.randint(1, _FATE_STEPS) for part in PARTS}

    def note(self, text: str) -> None:
        self.log.append(f"{self.now % 1_000_000:7} {text}")

    def later(self, low_ms: int, high_ms: int, deed: Callable[[], None]) -> None:
        self.at(self.now + self.luck.randint(low_ms, high_ms), deed)

    def at(self, time: UnixMs, deed: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._agenda, (time, self._scheduled, deed))

    def chance(self, share: float) -> bool:
        """Of something going wrong."""
        return not self.calm and self.luck.random() < share

    def run_one(self) -> None:
        self.now, _, deed = heapq.heappop(self._agenda)
        with contextlib.suppress(Killed):
            deed()

    def point(self, mortal: Mortal) -> None:
        """Between two steps of a part: where it may die. Raises Killed."""
        if self.calm:
            return
        self._steps[mortal.part] += 1
        if self._steps[mortal.part] == self._fates[mortal.part]:
            self._fates[mortal.part] += self.luck.randint(1, 2 * _FATE_STEPS)
            if self.kill(mortal):
                raise Killed

    def kill(self, mortal: Mortal) -> bool:
        self.kills += 1
        if self.kills in self._spared:
            return False
        self.note(f"KILL {self.kills}: {mortal.part}")
        self.troubles.append(self.now)
        self.coverage.update((mortal.part, state) for state in self.states())
        mortal.die()
        return True


class Wire:
    """One direction of a connection: in order, with delay. What is under way when its end dies is lost; when its beginning
    dies, some of it has left already.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._last_at: UnixMs = 0
        self._sent = 0
        self._arrives_up_to: int | None = None
        self._arrived = 0

    def send(self, deed: Callable[[], None]) -> None:
        if self._arrives_up_to is not None:
            return
        self._sent += 1
        number = self._sent
        self._last_at = max(self._last_at, self._world.now + self._world.luck.randint(1, 25))

        def arrive() -> None:
            if self._arrives_up_to is None or number <= self._arrives_up_to:
                self._arrived = number
                deed()

        self._world.at(self._last_at, arrive)

    def cut(self, *, at_its_end: bool) -> None:
        if self._arrives_up_to is None:
            self._arrives_up_to = self._arrived if at_its_end else self._world.luck.randint(self._arrived, self._sent)


class Database:
    """Only what was committed."""

    def __init__(self) -> None:
        self.epoch = 0
        self.configs: dict[DeviceId, ConfigState] = {}
        self.changes: dict[tuple[DeviceId, int], Desired] = {}
        self.commands: dict[str, IssuedCommand] = {}
        self.keys: dict[str, str] = {}
        self.lines: list[Line] = []
        self.online: dict[DeviceId, bool] = {}  # the twins' snapshots, which may be behind

    def claim(self) -> int:
        self.epoch += 1
        return self.epoch

    @property
    def head(self) -> tuple[int, bytes]:
        return (self.lines[-1].seq, self.lines[-1].hash) if self.lines else (0, GENESIS)

    def commit(self, epoch: int, steps: list[Step]) -> tuple[int, bytes] | None:
        """One transaction; the new head of the chain. Raises StaleOwner, as the lease does."""
        if epoch != self.epoch:
            raise StaleOwner("stale_epoch", "superseded")
        for step in steps:
            if step.config is not None:
                before = self.configs.get(step.device)
                if before is None or before.revision < step.config.revision:
                    self.configs[step.device] = step.config
            if step.desired is not None:
                self.changes.setdefault((step.device, step.desired.version), step.desired)
            for command in step.commands:
                self._save(command)
        receipts = [receipt for step in steps for receipt in step.receipts]
        if not receipts:
            return None
        self.lines += chained(0, *self.head, receipts)
        return self.head

    def _save(self, command: IssuedCommand) -> None:
        before = self.commands.get(command.id)
        if before is None and command.idempotency_key is not None:
            assert command.idempotency_key not in self.keys, f"key {command.idempotency_key} makes a second command"
            self.keys[command.idempotency_key] = command.id
        if before is not None and before.revision >= command.revision:
            return
        start: CommandState = "queued" if before is None else before.state
        assert is_reachable(start, command.state), f"{command.id} was {start} and becomes {command.state}"
        self.commands[command.id] = command


def is_reachable(start: CommandState, end: CommandState) -> bool:
    """By legal moves: a transaction may hold several of them."""
    reached, looked_at = {start}, deque([start])
    while looked_at:
        state = looked_at.popleft()
        for event in EVENTS:
            after = MOVES.get((state, event))
            if after is not None and after not in reached:
                reached.add(after)
                looked_at.append(after)
    return end in reached


class Message(NamedTuple):
    """From a device, as the broker keeps it for the shard until that has acked it."""

    device: DeviceId
    said: object


class Link:
    """A client's connection to the broker."""

    def __init__(self, world: World) -> None:
        self.up, self.down = Wire(world), Wire(world)
        self.is_open = True

    def cut(self, by: Literal["client", "broker"]) -> None:
        self.is_open = False
        self.up.cut(at_its_end=by == "broker")
        self.down.cut(at_its_end=by == "client")


class Ear(Protocol):
    """Whoever has a connection to the broker."""

    def hear(self, message: object) -> None: ...

    def broker_lost(self) -> None: ...


class Broker:
    """Its session for the shard outlives the shard's connections, and mostly its own death."""

    part: PartName = "broker"

    def __init__(self, world: World) -> None:
        self._world = world
        self.alive = True
        self.held: list[Message] = []
        self._acked: deque[Message] = deque(maxlen=5)
        self._has_session = False
        self._shard: tuple[Link, Ear] | None = None
        self._devices: dict[DeviceId, tuple[Link, Ear]] = {}

    def accept_shard(self, ear: Ear) -> Link | None:
        if not self.alive:
            return None
        if self._shard is not None:  # the same client id: the one before is sent away
            link, before = self._shard
            link.cut("broker")
            before.broker_lost()
        self._has_session = True
        link = Link(self._world)
        self._shard = (link, ear)
        for message in self.held:
            self._deliver(message)
        return link

    def accept_device(self, device: DeviceId, ear: Ear) -> Link | None:
        if not self.alive:
            return None
        self.device_gone(device, None)
        link = Link(self._world)
        self._devices[device] = (link, ear)
        return link

    def device_gone(self, device: DeviceId, link: Link | None) -> None:
        """The broker notices that a connection (link; None: whichever there is) has ended, and publishes the will."""
        known = self._devices.get(device)
        if known is None or (link is not None and known[0] is not link):
            return
        known[0].cut("client")
        del self._devices[device]
        self._keep(Message(device, "offline"))

    def take_up(self, device: DeviceId, said: object) -> bool:
        """Whether anybody listens: the acknowledgement says so (no matching subscribers)."""
        self._world.point(self)
        self._keep(Message(device, said))
        self._world.point(self)
        return self._has_session

    def take_down(self, device: DeviceId, told: object) -> None:
        self._world.point(self)
        if device in self._devices:
            link, ear = self._devices[device]
            for _ in range(2 if self._world.chance(0.05) else 1):
                link.down.send(lambda: ear.hear(told))

    def ack(self, message: Message) -> None:
        self._world.point(self)
        self.held = [each for each in self.held if each is not message]
        self._acked.append(message)

    def _keep(self, message: Message) -> None:
        if self.alive and self._has_session:
            self.held.append(message)
            self._deliver(message)

    def _deliver(self, message: Message) -> None:
        if self._shard is not None and self._shard[0].is_open:
            link, ear = self._shard
            link.down.send(lambda: ear.hear(message))

    def die(self) -> None:
        self.alive = False
        gone = [*self._devices.values(), *([self._shard] if self._shard is not None else [])]
        self._devices, self._shard = {}, None
        before = self.held
        match self._world.luck.choice(("nothing", "newest missing", "older")):  # what the sessions' file holds
            case "nothing":
                self.held, self._has_session = [], False
            case "newest missing":
                self.held = self.held[: self._world.luck.randint(0, len(self.held))]
            case _:  # it was written before those were acked
                self.held = [*self._acked, *self.held]
        self._acked.clear()
        for message in before:
            if message not in self.held and isinstance(message.said, CommandResult):
                self._world.lost[message.said.id] = self._world.now
        for link, ear in gone:
            link.cut("broker")
            ear.broker_lost()
        self._world.later(50, 2_000, self.come_back)

    def come_back(self) -> None:
        self.alive = True
