"""A device of that world: the agent's journal and rules on a disk in memory, whose power is cut at any write."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from edge.agent.journal import Entry, Journal
from edge.agent.line_file import LineFile
from edge.obeying import answer, factory_config
from fleet.device_setting import Setting
from fleet.ids import DeviceId
from fleet.order_messages import Command, CommandResult, DesiredConfig, RejectedConfig, ReportedConfig
from fleet.telemetry import UnixMs
from tests.order_simulation.world import Broker, Link, PartName, World

_NOWHERE = Path("/nonexistent/commands.json")
_TELEMETRY_MS = 5_000
_WATCH_MS = 5_000
RESTART = "restart"


class _Disk(LineFile):
    """The file of an agent's journal. What was written and not waited for is torn anywhere when the power is cut, and stays
    when the process alone is killed.
    """

    def __init__(self, luck: Random) -> None:
        super().__init__(_NOWHERE)
        self.point: Callable[[], None] = lambda: None
        self._luck = luck
        self._content: bytes | None = None
        self._safe_bytes = 0

    def cut(self) -> None:
        if self._content is not None and self._luck.random() < 0.7:
            self._content = self._content[: self._luck.randint(self._safe_bytes, len(self._content))]

    def read(self) -> list[bytes]:
        self.lines, self.spoilt = 0, True
        if self._content is None:
            return []
        self._safe_bytes = len(self._content)
        *lines, torn = self._content.split(b"\n")
        self.lines, self.spoilt = len(lines), torn != b""
        return lines

    def add(self, line: bytes, *, wait: bool = True) -> None:
        assert not self.spoilt
        self.point()
        self._content = (self._content or b"") + line + b"\n"
        self.point()
        if wait:
            self._safe_bytes = len(self._content)
            self.point()
        self.lines += 1

    def replace(self, lines: Iterable[bytes]) -> None:
        listed = list(lines)
        self.point()
        self._content = b"".join(line + b"\n" for line in listed)
        self._safe_bytes = len(self._content)
        self.point()
        self.lines, self.spoilt = len(listed), False


class _Journal(Journal):
    """The agent's own, on that disk."""

    def __init__(self, disk: _Disk) -> None:
        self._path = _NOWHERE
        self._file = disk
        self._entries = {entry.id: entry for entry in self._load()}


class SimulatedDevice:
    """executed: every time that something was really done, in order; it outlives everything. stubborn: refuses every version
    that is a multiple of three.
    """

    part: PartName = "agent"

    def __init__(
        self, world: World, broker: Broker, device: DeviceId, settings: tuple[Setting, ...], *, stubborn: bool, skew_ms: int
    ) -> None:
        self.id = device
        self.executed: list[str] = []
        self.times: Counter[str] = Counter()
        self.ended: dict[str, UnixMs] = {}  # when it was known on the disk how
        self.alive = False
        self._world, self._broker, self._settings = world, broker, settings
        self._stubborn, self._skew_ms = stubborn, skew_ms
        self._disk = _Disk(world.luck)
        self._disk.point = lambda: world.point(self)
        self._config: bytes | None = None  # its file, which is replaced as a whole
        self._life = 0
        self._died_at: UnixMs = 0
        self.gone: list[tuple[UnixMs, UnixMs]] = []  # from when to when it had no power
        self.boot()

    @property
    def is_idle(self) -> bool:
        return (
            self.alive
            and self._link is not None
            and not self._waiting
            and not self.journal.untold()
            and not self.journal.unfinished()
        )

    def boot(self) -> None:
        self.alive = True
        self._life += 1
        self.gone.append((self._died_at, self._world.now))
        self._link: Link | None = None
        self._waiting: deque[tuple[Entry, Command]] = deque()
        self.journal = _Journal(self._disk)
        stored = self._config
        self.running = factory_config(self._settings) if stored is None else msgspec.json.decode(stored, type=ReportedConfig)
        for entry in self.journal.unfinished():
            if entry.name == RESTART:
                if self.times[entry.id] == 0:  # this start is the restart that was asked for
                    self._execute(entry.id)
                self.journal.close(entry, "succeeded", None)
            else:
                self.journal.close(entry, "failed", "interrupted")
            self.ended[entry.id] = self._world.now
        self._soon(50, 1_500, self._connect)
        self._soon(_TELEMETRY_MS, _TELEMETRY_MS, self._telemetry)
        self._soon(_WATCH_MS, _WATCH_MS, self._watch)

    def die(self) -> None:
        """The power is cut."""
        self.alive = False
        self._died_at = self._world.now
        self._disk.cut()
        if self._link is not None:
            self._link.cut("client")
            self._world.later(0, 3_000, partial(self._broker.device_gone, self.id, self._link))
        self._world.later(100, 6_000 if self._world.luck.random() < 0.9 else 40_000, self._boot_again)

    def _boot_again(self) -> None:
        if not self.alive:
            self.boot()

    def _soon(self, low_ms: int, high_ms: int, deed: Callable[[], None]) -> None:
        """Unless the power is cut before."""
        life = self._life
        self._world.later(low_ms, high_ms, lambda: deed() if self.alive and self._life == life else None)

    # connection -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._link = self._broker.accept_device(self.id, self)
        if self._link is None:
            self._soon(100, 1_000, self._connect)
            return
        self._say("online")
        if self.running.version:
            self._say(self.running)
        self._tell_untold()

    def broker_lost(self) -> None:
        if self._link is not None:
            self._link = None
            if self.alive:
                self._soon(50, 1_500, self._connect)

    def _say(self, said: object, heard: Callable[[], None] = lambda: None) -> None:
        link = self._link
        if link is None:
            return

        def arrive() -> None:
            is_heard = self._broker.take_up(self.id, said)
            link.down.send(lambda: heard() if is_heard and self.alive and self._link is link else None)

        link.up.send(arrive)

    def _telemetry(self) -> None:
        self._say("telemetry")
        self._soon(_TELEMETRY_MS, _TELEMETRY_MS, self._telemetry)

    def _watch(self) -> None:
        self._tell_untold()
        self._soon(_WATCH_MS, _WATCH_MS, self._watch)

    def _tell(self, entry: Entry) -> None:
        self._say(entry.result, partial(self.journal.note_told, entry, entry.status))

    def _tell_untold(self) -> None:
        for entry in self.journal.untold():
            self._tell(entry)

    # obeying ----------------------------------------------------------------------------------------------------------

    def hear(self, message: object) -> None:
        if not self.alive:
            return
        if isinstance(message, DesiredConfig):
            self._configure(message)
        elif isinstance(message, Command):
            self._take(message)

    def _configure(self, desired: DesiredConfig) -> None:
        if self._stubborn and desired.version % 3 == 0 and desired.version > self.running.version:
            self._say(msgspec.structs.replace(self.running, rejected=RejectedConfig(desired.version, {"key": "no"})))
            return
        said = answer(self.running, desired, self._settings)
        if said.rejected is None and said is not self.running:
            self._world.point(self)
            self._config = msgspec.json.encode(said)
            self._world.point(self)
            self.running = said
            self._world.note(f"{self.id} runs version {said.version}")
        self._say(said)

    def _take(self, command: Command) -> None:
        known = self.journal.find(command.id)
        if known is not None:
            self._tell(known)
            return
        refusal = "expired" if command.expires_at < self._clock() else None
        entry = self.journal.open(command, "failed" if refusal else "accepted", refusal, self._clock())
        self._tell(entry)
        if refusal is None:
            self._waiting.append((entry, command))
            if len(self._waiting) == 1:
                self._soon(0, 50, self._work)

    def _work(self) -> None:
        entry, command = self._waiting[0]
        if command.expires_at < self._clock():
            self._end(entry, CommandResult(entry.id, "failed", "expired while others were at work"))
            return
        self._execute(command.id)
        if command.name == RESTART:
            self.die()
            return
        slow_ms = 3_000 if self._world.luck.random() < 0.8 else 15_000
        succeeds = self._world.luck.random() < 0.9
        self._soon(
            0, slow_ms, partial(self._end, entry, CommandResult(entry.id, "succeeded" if succeeds else "failed", "done"))
        )

    def _execute(self, command_id: str) -> None:
        self.executed.append(command_id)
        self.times[command_id] += 1
        self._world.note(f"{self.id} executes {command_id}")

    def _end(self, entry: Entry, result: CommandResult) -> None:
        self.journal.close(entry, result.status, result.detail)
        self.ended[entry.id] = self._world.now
        self._tell(entry)
        self._waiting.popleft()
        if self._waiting:
            self._soon(0, 50, self._work)

    def _clock(self) -> UnixMs:
        """Devices' clocks are a little wrong."""
        return self._world.now + self._skew_ms
