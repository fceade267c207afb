"""A simulated device's obedience: takes `down/config` and `down/command`, does what they say, and tells the truth of it."""

import random
import secrets
import struct
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import structlog

from edge.curtailment import Curtailment, Limits
from edge.limits import SIMULATED_EVENT_CHARS_MAX, SIMULATED_EVENTS_KEPT, SIMULATED_LOCAL_INTERVALS_S
from edge.obeying import EXPORT_LIMITED, EXPORT_MAX, FULL_PCT, INTERVAL, LIMIT, answer, factory_config, understood
from edge.order_book import OrderBook
from edge.outbox import Outbox
from edge.session import Delivered
from edge.spool import Spool, held
from fleet import topics
from fleet.configuration import settings_of
from fleet.device_setting import check_values
from fleet.errors import BadInput, FleetError
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import Command, CommandResult, ConfigValue, DesiredConfig, ReportedConfig
from fleet.profiles import DeviceProfile
from fleet.telemetry import Sample, State, UnixMs

log = structlog.get_logger()

Args = dict[str, ConfigValue]

_COMMAND = msgspec.json.Decoder(Command)
_CONFIG = msgspec.json.Decoder(DesiredConfig)
_RESTART: Final = "restart"
_REGISTERS_AT: Final = 40_000  # of the image of its readings: two a channel of its profile, as a float


class Line(Protocol):
    """What it needs of a link."""

    @property
    def up(self) -> bool: ...

    @property
    def room(self) -> int: ...

    def publish(self, topic: str, payload: bytes, delivered: Delivered | None = None) -> None: ...

    def reconnect(self) -> None: ...


class Obedience:
    """All that it was told is in the book before anything is said of it, and a command's effect together with its end.

    Killed at any moment, it does nothing twice, and calls nothing done that is not.

    state: how it introduces itself. on_pace: called when it shall report at another pace; measure: what it shows at a time.
    """

    def __init__(
        self,
        site: SiteId,
        device: DeviceId,
        profile: DeviceProfile,
        *,
        line: Line,
        outbox: Outbox,
        spool: Spool,
        book: OrderBook,
        curtailment: Curtailment,
        state: State,
        now: Callable[[], UnixMs],
    ) -> None:
        self.on_pace: Callable[[], None] = lambda: None
        self.measure: Callable[[UnixMs], Sample] = lambda at: Sample(at, {})
        self._site, self._device, self._profile = site, device, profile
        self._settings = settings_of(profile)
        self._line, self._outbox, self._spool, self._book = line, outbox, spool, book
        self._curtailment = curtailment
        self._state = state
        self._now = now
        self._began_at = now()
        self._up, self._down = topics.up(site, device), topics.down(site, device)
        self._events: deque[str] = deque(maxlen=SIMULATED_EVENTS_KEPT)
        self._restarting: list[str] = []
        self._config_due = False
        self.running, self._changed_at = book.configured(device) or (factory_config(self._settings), 0)
        self._resume()

    @property
    def interval_s(self) -> float | None:
        """Between two reports; None while nobody has said anything of it."""
        value = self.running.values.get(INTERVAL)
        return float(value) if isinstance(value, int | float) and (self.running.version or self._changed_at) else None

    # Called by the device

    def ready(self) -> None:
        for command_id in self._restarting:
            self._book.end(self._device, command_id, "succeeded", None)
        self._restarting.clear()
        self._book.commit()
        self._note("connected")
        self._report()
        self._tell_untold()

    def message(self, topic: str, payload: bytes) -> bool:
        """Whether it was for this part of the device."""
        try:
            if topic == self._down.config:
                self._configure(_CONFIG.decode(payload))
            elif topic == self._down.command:
                self._take(_COMMAND.decode(payload))
            else:
                return False
        except msgspec.DecodeError as error:
            self._note(f"not understood: {error}")
        return True

    def sweep(self) -> None:
        """Every few seconds: says what could not be said."""
        if self._config_due:
            self._report()
        self._tell_untold()

    def change_on_site(self, at: UnixMs, seed: int) -> None:
        """Somebody beside it turns a knob, once for each `at`: it reports at another pace, or gives less."""
        if self._changed_at >= at:
            return
        luck = random.Random(f"{seed} {self._device} {at}")
        wishes: list[tuple[str, ConfigValue]] = [(INTERVAL, pace) for pace in SIMULATED_LOCAL_INTERVALS_S]
        wishes = [wish for wish in wishes if self.running.values.get(wish[0]) not in (None, wish[1])]
        luck.shuffle(wishes)
        for key, value in [*wishes, (LIMIT, 70.0)]:
            values = self.running.values | {key: value}
            if key in self.running.values and not check_values(self._settings, values, self.running.values):
                log.info("edge.changed_on_site", device=self._device, key=key, value=value)
                self._run(ReportedConfig(self.running.version, values), changed_at=at)
                self._report()
                return

    # Configuration

    def _configure(self, desired: DesiredConfig) -> None:
        said = answer(self.running, desired, self._settings)
        if said.rejected is None and said is not self.running:
            self._run(said, self._changed_at)
        elif said.rejected is not None:
            self._note(f"configuration {desired.version} refused: {', '.join(said.rejected.errors)}")
        self._report(said)

    def _run(self, config: ReportedConfig, changed_at: UnixMs) -> None:
        self._book.configure(self._device, config, changed_at)
        self.running, self._changed_at = config, changed_at
        own = self._curtailment.limits(self._device)
        self._limit(msgspec.structs.replace(own, own_pct=self._own_limit_pct(), export_max_w=self._export_max_w()))
        self._book.commit()
        self._note(f"runs configuration {config.version}")
        self.on_pace()

    def _own_limit_pct(self) -> float:
        value = self.running.values.get(LIMIT)
        return float(value) if isinstance(value, int | float) else FULL_PCT

    def _export_max_w(self) -> float | None:
        value = self.running.values.get(EXPORT_MAX)
        limited = self.running.values.get(EXPORT_LIMITED) is True
        return float(value) if limited and isinstance(value, int | float) else None

    def _limit(self, limits: Limits) -> None:
        self._curtailment.limit(self._device, limits, self._now())
        self.keep_withheld()

    def keep_withheld(self) -> None:
        """To be called after every sample, so that the two are written together."""
        if self._curtailment.began:
            self._book.withhold(self._site, self._curtailment.held)

    def _report(self, said: ReportedConfig | None = None) -> None:
        def told(is_heard: bool) -> None:
            self._config_due = self._config_due or not is_heard

        self._config_due = not self._say(self._up.config, said or self.running, told)

    # Commands

    def _take(self, command: Command) -> None:
        known = self._book.result(self._device, command.id)
        if known is not None:
            self._tell(known)
            return
        try:
            args = understood(self._profile, command, self._now())
            accepted = self._book.open(self._device, command, "accepted", None, self._now())
        except BadInput as error:
            self._refuse(command, error.detail[:SIMULATED_EVENT_CHARS_MAX])
            return
        except FleetError as error:
            self._tell(CommandResult(command.id, "failed", error.detail))
            return
        self._book.commit()
        self._tell(accepted)
        self._note(f"command {command.name} {command.id}")
        log.info("edge.command", device=self._device, name=command.name, id=command.id)
        if command.name == _RESTART:
            self._restart(command.id)
        else:
            self._do(command, args)

    def _refuse(self, command: Command, reason: str) -> None:
        refused = msgspec.structs.replace(command, name=command.name[:SIMULATED_EVENT_CHARS_MAX])
        try:
            result = self._book.open(self._device, refused, "failed", reason, self._now())
        except FleetError:
            result = CommandResult(command.id, "failed", reason)  # refused again, should it come again
        self._book.commit()
        self._note(f"command {command.id} refused: {reason}")
        self._tell(result)

    def _do(self, command: Command, args: Args) -> None:
        deeds: dict[str, Callable[[Args], Any]] = {
            "blink": lambda args: f"blinked for {args['duration_s']} s",
            "read_info": self._read_info,
            "resend": self._resend,
            "set_power_limit": self._set_power_limit,
            "read_registers": self._read_registers,
            "take_log": lambda args: {"lines": list(self._events)[-int(args["lines"]) :]},
        }
        try:
            result = self._book.end(self._device, command.id, "succeeded", deeds[command.name](args))
        except FleetError as error:
            result = self._book.end(self._device, command.id, "failed", error.detail)
        self._book.commit()
        self._tell(result)

    def _restart(self, command_id: str) -> None:
        """It comes back under another boot, and says then that it did."""
        self._restarting.append(command_id)
        self._state = msgspec.structs.replace(self._state, boot=secrets.token_hex(4))
        self._outbox.introduce(self._state)
        self._began_at = self._now()
        self._line.reconnect()

    def _read_info(self, _args: Args) -> dict[str, Any]:
        now = self._now()
        return {
            "model": self._state.model,
            "firmware": self._state.firmware,
            "boot": self._state.boot,
            "uptime_s": (now - self._began_at) // 1000,
            "held_messages": held(self._spool, self._device),
            "given_up_messages": self._outbox.given_up,
            "active_power_limit_pct": self._curtailment.limits(self._device).at(now),
        }

    def _resend(self, args: Args) -> dict[str, int]:
        first = self._outbox.again(int(args["from_seq"]))
        return {"from_seq": first, "messages": max(self._spool.shelf(self._device).ready - first + 1, 0)}

    def _set_power_limit(self, args: Args) -> dict[str, Any]:
        until = self._now() + int(args["duration_s"]) * 1000
        self._limit(Limits(self._own_limit_pct(), float(args[LIMIT]), until, self._export_max_w()))
        ends = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="seconds")
        return {LIMIT: self._curtailment.limits(self._device).at(self._now()), "until": ends}

    def _read_registers(self, args: Args) -> dict[str, Any]:
        """Raises BadInput (no_registers)."""
        shown = self.measure(self._now()).v
        values = [shown.get(channel) for channel in self._profile.channels]
        image = b"".join(struct.pack(">f", float("nan") if value is None else value) for value in values)
        words = struct.unpack(f">{len(image) // 2}H", image)
        first = int(args["address"]) - _REGISTERS_AT
        asked = words[max(first, 0) : first + int(args["count"])] if first >= 0 else ()
        if len(asked) < int(args["count"]):
            last = _REGISTERS_AT + len(words) - 1
            raise BadInput("no_registers", f"registers are {_REGISTERS_AT} to {last}, a float in two for each channel")
        return {"input": "", "address": args["address"], "registers": asked}

    # Telling

    def _resume(self) -> None:
        """What the process before this one was at: a restart has happened, anything else was not done."""
        for command_id, name in self._book.unfinished(self._device):
            if name == _RESTART:
                self._book.end(self._device, command_id, "succeeded", None)
            else:
                self._book.end(self._device, command_id, "failed", "interrupted: the device lost its power")
        self._note("started")

    def _tell_untold(self) -> None:
        if self._line.up:
            for result in self._book.untold(self._device):
                self._tell(result)

    def _tell(self, result: CommandResult) -> None:
        def told(is_heard: bool) -> None:
            if is_heard:
                self._book.note_told(self._device, result)

        self._say(self._up.result, result, told)

    def _say(self, topic: str, message: Any, told: Delivered | None = None) -> bool:
        if not (self._line.up and self._line.room):
            return False
        self._line.publish(topic, msgspec.json.encode(message), told)
        return True

    def _note(self, event: str) -> None:
        at = datetime.fromtimestamp(self._now() / 1000, UTC).isoformat(timespec="seconds")
        self._events.append(f"{at} {event}"[:SIMULATED_EVENT_CHARS_MAX])
