"""A command's life: which states there are, what may follow what, and what each answer of a device means.

queued ──▶ sent ──▶ accepted ──▶ succeeded │ failed
   │         │          └──────▶ timed_out
   │         └─▶ succeeded │ failed │ timed_out
   └─▶ expired │ cancelled
"""

from typing import Any, Final, Literal

import msgspec

from fleet.errors import Conflict
from fleet.ids import DeviceId, SiteId
from fleet.limits import COMMAND_ANSWER_GRACE_S, COMMAND_RESEND_S
from fleet.order_messages import Command, CommandResult, CommandStatus
from fleet.telemetry import UnixMs

CommandState = Literal["queued", "sent", "accepted", "succeeded", "failed", "timed_out", "expired", "cancelled"]
CommandEvent = Literal["send", "accept", "succeed", "fail", "time_out", "expire", "cancel"]

STATES: Final[tuple[CommandState, ...]] = (
    "queued", "sent", "accepted", "succeeded", "failed", "timed_out", "expired", "cancelled",
)  # fmt: skip
EVENTS: Final[tuple[CommandEvent, ...]] = ("send", "accept", "succeed", "fail", "time_out", "expire", "cancel")
OPEN_STATES: Final[frozenset[CommandState]] = frozenset(("queued", "sent", "accepted"))

# What is not here is illegal. A device's answer to what was never sent is: only what is stored as sent is published.
MOVES: Final[dict[tuple[CommandState, CommandEvent], CommandState]] = {
    ("queued", "send"): "sent",
    ("queued", "expire"): "expired",
    ("queued", "cancel"): "cancelled",
    ("sent", "accept"): "accepted",
    ("sent", "succeed"): "succeeded",
    ("sent", "fail"): "failed",
    ("sent", "time_out"): "timed_out",
    ("accepted", "succeed"): "succeeded",
    ("accepted", "fail"): "failed",
    ("accepted", "time_out"): "timed_out",
}
# The same answer once more: MQTT delivers at least once, and a device repeats what it does not know to be heard.
REPEATS: Final[frozenset[tuple[CommandState, CommandEvent]]] = frozenset(
    (
        ("accepted", "accept"),
        ("succeeded", "accept"),
        ("succeeded", "succeed"),
        ("failed", "accept"),
        ("failed", "fail"),
    )
)
# An answer to what was given up: kept beside the state as late, and changes nothing.
GIVEN_UP: Final[frozenset[CommandState]] = frozenset(("timed_out", "expired", "cancelled"))

EVENT_OF: Final[dict[CommandStatus, CommandEvent]] = {"accepted": "accept", "succeeded": "succeed", "failed": "fail"}


def move(state: CommandState, event: CommandEvent) -> CommandState:
    """The state after it. Raises Conflict (illegal_move); nothing has changed then."""
    after = MOVES.get((state, event))
    if after is None:
        raise Conflict("illegal_move", f"a command that is {state} cannot {event.replace('_', ' ')}")
    return after


class LateAnswer(msgspec.Struct, frozen=True):
    at: UnixMs
    status: CommandStatus
    detail: Any = None


class IssuedCommand(msgspec.Struct, frozen=True):
    """One command to one device, as the platform keeps it. number: its place in that device's order.

    expires_at: the device does not begin it after that; run_s: how long it may take once it was accepted.
    revision grows with every change, so that of two writes the later one stands.
    asked_at, asked: when it was last published, and how often in this presence of the device; not stored.
    """

    id: str
    site: SiteId
    device: DeviceId
    number: int
    name: str
    args: dict[str, Any]
    state: CommandState
    created_at: UnixMs
    expires_at: UnixMs
    run_s: float
    created_by: str | None = None
    idempotency_key: str | None = None
    batch: str | None = None
    revision: int = 1
    sent_at: UnixMs | None = None
    accepted_at: UnixMs | None = None
    ended_at: UnixMs | None = None
    detail: Any = None
    late: LateAnswer | None = None
    asked_at: UnixMs = 0
    asked: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    def moved(self, event: CommandEvent, now: UnixMs, detail: Any = None) -> "IssuedCommand":
        """Raises Conflict (illegal_move)."""
        state = move(self.state, event)
        return msgspec.structs.replace(
            self,
            state=state,
            revision=self.revision + 1,
            sent_at=now if event == "send" else self.sent_at,
            accepted_at=now if event == "accept" else self.accepted_at,
            ended_at=None if state in OPEN_STATES else now,
            detail=self.detail if detail is None else detail,
            asked_at=now if event == "send" else self.asked_at,
            asked=1 if event == "send" else self.asked,
        )

    def answered(self, result: CommandResult, now: UnixMs) -> "IssuedCommand | None":
        """After what its device says of it; None when that is a repetition. Raises Conflict (illegal_move)."""
        event = EVENT_OF[result.status]
        if (self.state, event) in REPEATS:
            return None
        if self.state in GIVEN_UP:
            if self._was_said(result.status):
                return None
            late = LateAnswer(now, result.status, result.detail)
            return msgspec.structs.replace(self, late=late, revision=self.revision + 1)
        return self.moved(event, now, result.detail)

    def _was_said(self, status: CommandStatus) -> bool:
        """Whether the device has said this before of a command that was given up, or already how it ended."""
        if self.late is not None and self.late.status != "accepted":
            return True
        return status == "accepted" and (self.late is not None or self.accepted_at is not None)

    def overdue(self, now: UnixMs) -> CommandEvent | None:
        """Whether time is up for it.

        What was never sent expires. What was sent is waited for a little longer, because the device's last word may be under
        way; and what was accepted as long as such a command may take.
        """
        if self.state == "queued":
            return "expire" if now > self.expires_at else None
        if self.state == "sent":
            return "time_out" if now > self.expires_at + COMMAND_ANSWER_GRACE_S * 1000 else None
        if self.state == "accepted":
            return "time_out" if now > (self.accepted_at or now) + self.run_s * 1000 else None
        return None

    def silence(self, now: UnixMs) -> Literal["wait", "again", "give_up"]:
        """What to do about a connected device that has not answered what was sent."""
        waits = COMMAND_RESEND_S[min(max(self.asked, 1), len(COMMAND_RESEND_S)) - 1]
        if now - self.asked_at < waits * 1000:
            return "wait"
        return "again" if self.asked < len(COMMAND_RESEND_S) else "give_up"

    def wire(self) -> Command:
        return Command(self.id, self.name, self.expires_at, self.args)
