"""What a device is wanted to be and to do, as its twin holds it: its configuration, and its open commands in their order.

Pure: every method takes (…, now), changes this object, and returns a Step: what must be stored of that, and what may be told
the device once it is. `there`: whether it can be told anything now. profile: the one in force; beyond its limits nothing is
told, however right it was when it was wished.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from fleet import command_catalog, config_wishes, configuration
from fleet.commands import CommandEvent, IssuedCommand
from fleet.config_limits import held
from fleet.configuration import Change, ConfigState, Desired
from fleet.device_setting import SettingProblem
from fleet.errors import Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import (
    COMMANDS_OPEN_PER_DEVICE_MAX,
    CONFIG_REPORTS_PER_H,
    CONFIG_SPARED_PER_DAY,
    DEVICE_MESSAGES_BURST,
    DEVICE_MESSAGES_PER_S,
)
from fleet.order_messages import Command, CommandResult, DesiredConfig, ReportedConfig
from fleet.profiles import DeviceProfile
from fleet.rate import TokenBucket
from fleet.receipts import Receipt
from fleet.telemetry import UnixMs

BEYOND_LIMITS: Final = "beyond_limits"  # in the detail of a command that ended on that account
_RECEIPT_OF: Final = {
    "queued": "command.queued",
    "sent": "command.sent",
    "accepted": "command.accepted",
    "succeeded": "command.succeeded",
    "failed": "command.failed",
    "timed_out": "command.timed_out",
    "expired": "command.expired",
    "cancelled": "command.cancelled",
}


class Step(NamedTuple):
    """One device's next state. config, desired, commands, receipts: to be stored in one transaction; config_out and
    command_out: to be published after it, in that order.
    """

    site: SiteId
    device: DeviceId
    config: ConfigState | None = None
    desired: Desired | None = None
    commands: tuple[IssuedCommand, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    config_out: DesiredConfig | None = None
    command_out: Command | None = None

    @property
    def needs_storing(self) -> bool:
        return self.config is not None or bool(self.commands)

    @property
    def is_empty(self) -> bool:
        return not (self.needs_storing or self.config_out or self.command_out)


class DeviceOrders:
    """One command at a time: the next is sent once the one before has ended, whatever became of it."""

    __slots__ = ("_answers", "_found_held", "_reports", "_spared", "commands", "config", "device", "site")

    def __init__(
        self,
        site: SiteId,
        device: DeviceId,
        config: ConfigState | None = None,
        commands: Iterable[IssuedCommand] = (),
        now: UnixMs = 0,
    ) -> None:
        self.site, self.device = site, device
        self.config = config or ConfigState()
        self.commands = {command.id: command for command in sorted(commands, key=lambda each: each.number)}
        self._reports = TokenBucket(CONFIG_REPORTS_PER_H, now)
        self._spared = TokenBucket(CONFIG_SPARED_PER_DAY, now)
        self._answers = TokenBucket(DEVICE_MESSAGES_BURST, now)
        self._found_held: tuple[ConfigState, DeviceProfile] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is anything to be told, or to be waited for."""
        return bool(self.commands) or self.config.status in ("pending", "applying")

    # what people want -------------------------------------------------------------------------------------------------

    def wish(
        self, change: Change, earlier: Desired | None, profile: DeviceProfile, *, there: bool, now: UnixMs
    ) -> Step | None:
        """A new version of its configuration; None when that would change nothing. earlier: see config_wishes.plan.

        Raises Conflict (stale_version, not_drifted, stale_report, unknown_version, drifted), RefusedValues (bad_config).
        """
        said = self.config.reported
        settings = configuration.settings_of(profile, said.values if said is not None else None)
        desired = config_wishes.plan(self.config, change, settings, earlier, now)
        if desired is None:
            return None
        return _joined(self._adopt(desired, now), self.tell(profile, there=there, now=now))

    def issue(self, command: IssuedCommand, profile: DeviceProfile, *, there: bool, now: UnixMs) -> Step:
        """Raises Conflict (too_many_open_commands)."""
        if len(self.commands) >= COMMANDS_OPEN_PER_DEVICE_MAX:
            raise Conflict(
                "too_many_open_commands",
                f"{COMMANDS_OPEN_PER_DEVICE_MAX} commands wait for this device: cancel some, or wait",
            )
        detail: dict[str, object] = {
            "name": command.name,
            "args": command.args,
            "by": command.created_by,
            "expires_at": command.expires_at,
        }
        step = self._command_step(command, detail, now)
        return _joined(step, self.tell(profile, there=there, now=now))

    def cancel(self, command_id: str, person_id: str, profile: DeviceProfile, *, there: bool, now: UnixMs) -> Step:
        """Raises NotFound (unknown_command_id), Conflict (illegal_move) once it was sent."""
        command = self.commands.get(command_id)
        if command is None:
            raise NotFound("unknown_command_id", f"no command {command_id[:40]!r} is open for this device")
        step = self._command_step(command.moved("cancel", now), {"by": person_id}, now)
        return _joined(step, self.tell(profile, there=there, now=now))

    # what the device says -----------------------------------------------------------------------------------------

    def admit(self, now: UnixMs) -> bool:
        """Whether one more answer of this device is looked at: as many as of its telemetry, and counted apart from that."""
        return self._answers.admit(DEVICE_MESSAGES_PER_S, DEVICE_MESSAGES_BURST, now)

    def report(self, said: ReportedConfig, profile: DeviceProfile, *, there: bool, now: UnixMs) -> Step | None:
        """None when it says nothing new. What was changed on site before it took what a rollout brings becomes its own.

        Raises BadInput (bad_version, bad_report).
        """
        settings = configuration.settings_of(profile, said.values)
        before, after = self.config, configuration.reported(self.config, said, settings, now)
        if after is before:
            return None
        self.config = after
        receipts, spared = [], None
        if self._reports.admit(CONFIG_REPORTS_PER_H / 3600.0, CONFIG_REPORTS_PER_H, now):
            detail: dict[str, object] = {"status": after.status, "values": said.values}
            if after.reported is not None and after.reported.rejected is not None:
                detail["rejected"] = after.reported.rejected  # as it is kept: a device may have said 60 kB
            receipts.append(self._receipt("config.reported", str(said.version), detail, now))
            spared = config_wishes.sparing(before, said, settings, now)
            if spared is not None and not self._spared.admit(CONFIG_SPARED_PER_DAY / 86_400.0, CONFIG_SPARED_PER_DAY, now):
                spared = None  # it moves by itself: nobody's wish
        step = self._config_step(receipts)
        if spared is not None:
            step = _joined(step, self._adopt(spared, now))
        return _joined(step, self.tell(profile, there=there, now=now))

    def answer(self, result: CommandResult, profile: DeviceProfile, *, there: bool, now: UnixMs) -> Step | None:
        """None when it says the same once more.

        Raises NotFound (unknown_command_id) for what is not open here, Conflict (illegal_move).
        """
        command = self.commands.get(result.id)
        if command is None:
            raise NotFound("unknown_command_id", f"no command {result.id[:64]!r} is open for this device")
        after = command.answered(result, now)
        if after is None:
            return None
        detail: dict[str, object] = {} if result.detail is None else {"detail": result.detail}
        return _joined(self._command_step(after, detail, now), self.tell(profile, there=there, now=now))

    def returned(self, profile: DeviceProfile, now: UnixMs) -> Step:
        """It has connected: what it has not answered is told at once, and again. So is what it has accepted: how that ended
        may have been lost with the broker, and a device that knows a command says so once more instead of doing it.
        """
        self.config = configuration.returned(self.config)
        self._head(lambda head: msgspec.structs.replace(head, asked_at=0, asked=0))
        step = self.tell(profile, there=True, now=now)
        head = next(iter(self.commands.values()), None)
        return step._replace(command_out=head.wire()) if head is not None and head.state == "accepted" else step

    def repeated(self, profile: DeviceProfile, now: UnixMs) -> Step:
        """Whether it is there is not known any more: what it was told before is told again, whoever may hear it."""
        out = Step(self.site, self.device)
        if self.config.status == "applying" and self.config.desired is not None and not self._held(profile):
            self.config = configuration.sent(self.config, now)
            out = out._replace(config_out=self.config.desired.wire() if self.config.desired else None)
        head = next(iter(self.commands.values()), None)
        if head is not None and (head.state == "accepted" or (head.state == "sent" and not _beyond(head, profile))):
            self._head(lambda head: msgspec.structs.replace(head, asked_at=now, asked=max(head.asked, 1)))
            out = out._replace(command_out=head.wire())
        return out

    # time -----------------------------------------------------------------------------------------------------------

    def deadlines(self, now: UnixMs) -> Step:
        """Commands whose time is up."""
        step = Step(self.site, self.device)
        for command in list(self.commands.values()):
            event = command.overdue(now)
            if event is not None:
                step = _joined(step, self._command_step(command.moved(event, now), {}, now))
        return step

    def tell(self, profile: DeviceProfile, *, there: bool, now: UnixMs) -> Step:
        """Deadlines, and what is due to be told: of its commands only the first."""
        step = self.deadlines(now)
        if not there:
            return step
        self._catch_up(now)
        if configuration.is_due(self.config, now) and not self._held(profile):
            step = _joined(step, self._tell_config(now))
        return _joined(step, self._tell_command(profile, now))

    def _tell_config(self, now: UnixMs) -> Step:
        before, desired = self.config, self.config.desired
        if desired is None:
            return Step(self.site, self.device)
        self.config = configuration.sent(before, now)
        out = desired.wire()
        if self.config.revision == before.revision:  # once more: nothing to write down
            return Step(self.site, self.device, config_out=out)
        receipt = self._receipt("config.sent", str(desired.version), {}, now)
        return self._config_step([receipt])._replace(config_out=out)

    def _tell_command(self, profile: DeviceProfile, now: UnixMs) -> Step:
        step = Step(self.site, self.device)
        while self.commands:
            head = next(iter(self.commands.values()))
            if head.state == "queued":
                if problems := _beyond(head, profile):
                    step = _joined(step, self._withdrawn(head, "cancel", problems, now))
                    continue
                sent = head.moved("send", now)
                return _joined(step, self._command_step(sent, {}, now)._replace(command_out=sent.wire()))
            if head.state == "accepted":
                return step
            match head.silence(now):
                case "wait":
                    return step
                case "again" if problems := _beyond(head, profile):
                    step = _joined(step, self._withdrawn(head, "time_out", problems, now))
                case "again":
                    self._head(lambda head: msgspec.structs.replace(head, asked_at=now, asked=head.asked + 1))
                    return step._replace(command_out=head.wire())
                case "give_up":
                    given_up = head.moved("time_out", now)
                    step = _joined(step, self._command_step(given_up, {"why": "no answer"}, now))
        return step

    # --------------------------------------------------------------------------------------------------------------

    def _held(self, profile: DeviceProfile) -> bool:
        """Whether the newest version waits for limits that allow it, or for another version. Either may be days away, and
        every round asks: what was found stands until the configuration or the profile is another object.
        """
        found = self._found_held
        if found is not None and found[0] is self.config and found[1] is profile:
            return True
        said = self.config.reported
        if not held(self.config, configuration.settings_of(profile, said.values if said is not None else None)):
            return False
        self._found_held = self.config, profile
        return True

    def _adopt(self, desired: Desired, now: UnixMs) -> Step:
        kept = config_wishes.kept_on_site(self.config.desired, desired)
        self.config = configuration.adopted(self.config, desired, now)
        detail: dict[str, object] = {"kind": desired.kind, "by": desired.person_id, "values": desired.values}
        if desired.rollout is not None:
            detail["rollout"] = desired.rollout
        if kept:
            detail["kept"] = kept
        receipt = self._receipt("config.desired", str(desired.version), detail, now)
        return self._config_step([receipt])._replace(desired=desired)

    def _withdrawn(self, head: IssuedCommand, event: CommandEvent, problems: list[SettingProblem], now: UnixMs) -> Step:
        """It is told no more, and keeps nothing waiting behind it."""
        why = {"why": BEYOND_LIMITS, "problems": msgspec.to_builtins(problems)}
        return self._command_step(head.moved(event, now, why), why, now)

    def _catch_up(self, now: UnixMs) -> None:
        """After the clock stepped back, what was told is waited for from now on, and not until that time comes again."""
        if self.config.asked_at > now:
            self.config = msgspec.structs.replace(self.config, asked_at=now)
        self._head(lambda head: msgspec.structs.replace(head, asked_at=min(head.asked_at, now)))

    def _head(self, change: Callable[[IssuedCommand], IssuedCommand]) -> None:
        """Of the first command, if it was sent."""
        head = next(iter(self.commands.values()), None)
        if head is not None and head.state == "sent":
            self.commands[head.id] = change(head)

    def _config_step(self, receipts: list[Receipt]) -> Step:
        return Step(self.site, self.device, config=self.config, receipts=tuple(receipts))

    def _command_step(self, command: IssuedCommand, detail: dict[str, object], now: UnixMs) -> Step:
        if command.is_open:
            self.commands[command.id] = command
        else:
            self.commands.pop(command.id, None)
        receipt = self._receipt(_RECEIPT_OF[command.state], command.id, detail, now)
        return Step(self.site, self.device, commands=(command,), receipts=(receipt,))

    def _receipt(self, kind: str, subject: str, detail: dict[str, object], now: UnixMs) -> Receipt:
        return Receipt(now, self.site, self.device, kind, subject, detail)


def late_answer(command: IssuedCommand, result: CommandResult, now: UnixMs) -> Step | None:
    """An answer about a command that has ended; None when it says nothing new. Raises Conflict (illegal_move)."""
    after = command.answered(result, now)
    if after is None:
        return None
    detail: dict[str, object] = {"status": result.status, "detail": result.detail}
    receipt = Receipt(now, command.site, command.device, "command.late", command.id, detail)
    return Step(command.site, command.device, commands=(after,), receipts=(receipt,))


def _beyond(command: IssuedCommand, profile: DeviceProfile) -> list[SettingProblem]:
    return command_catalog.beyond_limits(profile, command.name, command.args)


def _joined(first: Step, then: Step) -> Step:
    """Both as one: of a command that is in both, the later state."""
    commands = {command.id: command for command in (*first.commands, *then.commands)}
    return Step(
        first.site,
        first.device,
        config=then.config or first.config,
        desired=then.desired or first.desired,
        commands=tuple(commands.values()),
        receipts=first.receipts + then.receipts,
        config_out=then.config_out or first.config_out,
        command_out=then.command_out or first.command_out,
    )
