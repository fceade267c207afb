"""The people of that world and the web before them: they ask until they know, with the same key."""

from collections.abc import Callable
from functools import partial

from fleet.configuration import Change
from fleet.errors import Conflict, FleetError, NotFound, Unavailable
from fleet.ids import DeviceId
from tests.order_simulation.device import RESTART
from tests.order_simulation.shard import Asked, CancelAsk, CommandAsk, ConfigAsk, Reply, Shard
from tests.order_simulation.world import STORM_MS, Database, PartName, World

_IMPATIENT = 0.1  # how often somebody asks twice at once


class Web:
    """Dies with the requests in it. Each request makes an id of its own, as web.commands does."""

    part: PartName = "web"

    def __init__(self, world: World, shard: Callable[[], Shard]) -> None:
        self._world, self._shard = world, shard
        self.alive = True
        self._life = 0
        self._requests: list[Reply] = []

    def request(self, ask: CommandAsk | ConfigAsk | CancelAsk, reply: Reply) -> None:
        self._world.later(1, 10, partial(self._serve, ask, reply))

    def _serve(self, ask: CommandAsk | ConfigAsk | CancelAsk, reply: Reply) -> None:
        if not self.alive:
            reply(Unavailable("web_away", "nobody listens"))
            return
        life = self._life
        self._requests.append(reply)

        def answered(answer: object) -> None:
            if self.alive and self._life == life and reply in self._requests:
                self._world.point(self)
                self._requests.remove(reply)
                self._world.later(1, 5, partial(reply, answer))

        self._world.point(self)
        shard = self._shard()
        if shard.alive:
            shard.ask(Asked(ask, answered))
        else:
            answered(Unavailable("shard_away", "try again"))

    def die(self) -> None:
        self.alive = False
        self._life += 1
        for reply in self._requests:
            self._world.later(0, 20, partial(reply, Unavailable("web_died", "the connection was cut")))
        self._requests.clear()
        self._world.later(50, 1_500, self._come_back)

    def _come_back(self) -> None:
        self.alive = True


class Clients:
    """accepted: key → the id that was answered. cancelled: ids of which was answered that they are. changed: versions that
    were answered.
    """

    def __init__(self, world: World, web: Web, database: Database, devices: list[DeviceId]) -> None:
        self._world, self._web, self._database, self._devices = world, web, database, devices
        self.accepted: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.changed: set[tuple[DeviceId, int]] = set()
        self.waiting = 0
        self._tries = 0

    def plan(self, commands: int, changes: int) -> None:
        for number in range(commands):
            self._world.later(0, STORM_MS - 5_000, partial(self._command, f"key-{number}"))
        for number in range(changes):
            self._world.later(0, STORM_MS - 5_000, partial(self._change, 5.0 + number))
        self.waiting = commands + changes

    def _command(self, key: str) -> None:
        luck = self._world.luck
        device, name = luck.choice(self._devices), luck.choice(("blink", "resend", RESTART))
        expires_in_ms, run_s = luck.choice((5_000, 20_000, 60_000)), luck.choice((10.0, 40.0))

        def ask() -> None:
            self._tries += 1
            wish = CommandAsk(device, f"c{key.removeprefix('key-')}.{self._tries}", key, name, expires_in_ms, run_s)
            self._web.request(wish, answered)

        def answered(answer: object) -> None:
            if isinstance(answer, Unavailable):
                self._world.later(50, 1_500, ask)
                return
            assert isinstance(answer, str), f"{key}: {answer!r}"
            known = self.accepted.get(key)
            assert known in (None, answer), f"{key} was answered {known}, then {answer}"
            if known is None:
                self._world.note(f"accepted {key} as {answer}")
                self.accepted[key] = answer
                self.waiting -= 1
                if luck.random() < 0.2:
                    self._world.later(0, 3_000, partial(self._cancel, device, answer))

        ask()
        if self._world.chance(_IMPATIENT):
            ask()

    def _cancel(self, device: DeviceId, command_id: str) -> None:
        def answered(answer: object) -> None:
            if isinstance(answer, str):
                self.cancelled.add(answer)
            elif isinstance(answer, Unavailable):
                self._world.later(50, 1_500, partial(self._cancel, device, command_id))
            else:
                assert isinstance(answer, Conflict | NotFound), repr(answer)

        self._web.request(CancelAsk(device, command_id), answered)

    def _change(self, value: float) -> None:
        device = self._world.luck.choice(self._devices)

        def ask() -> None:
            """Whoever changes something has looked at what is."""
            stored = self._database.configs.get(device)
            version = 0 if stored is None else stored.version
            change = Change("set", expected=version, own={"report_interval_s": value}, person_id="person")
            self._web.request(ConfigAsk(device, change), answered)

        def answered(answer: object) -> None:
            if isinstance(answer, FleetError):  # stale, or nobody knows: look again
                self._world.later(50, 1_500, ask)
                return
            assert isinstance(answer, int)
            self.changed.add((device, answer))
            self.waiting -= 1

        ask()
