"""Between a device's spool and its link: sends what is held, in order, and lets go of what the platform has stored."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from edge.limits import ACK_STALL_MAX_S, ACK_STALL_S, UNACKED_MESSAGES_MAX
from edge.spool import Spool
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.telemetry import PlatformAck, RateNotice, State

_ACK = msgspec.json.Decoder(PlatformAck)
_RATE = msgspec.json.Decoder(RateNotice)


class Wire(Protocol):
    """What the outbox needs of a link."""

    @property
    def room(self) -> int: ...

    def publish(self, topic: str, payload: bytes) -> None: ...


class Outbox:
    """Listens to the link's session.

    After a reconnect everything that is not acked is sent again, and also when acks make no progress for a while although
    messages are outstanding. Never more than `window` messages are outstanding, so a silent platform costs little.
    """

    def __init__(
        self,
        site: SiteId,
        device: DeviceId,
        *,
        wire: Wire,
        spool: Spool,
        state: State,
        monotonic: Callable[[], float],
        window: int = UNACKED_MESSAGES_MAX,
    ) -> None:
        self.device = device
        self.sent = 0  # highest seq sent on this connection
        self.highest_sent = 0
        self.messages = 0  # telemetry messages written, repetitions included
        self.bad_messages = 0  # from the platform, not understood
        self.on_acked: Callable[[int], None] | None = None
        self.on_rate: Callable[[RateNotice], None] | None = None
        self._wire = wire
        self._spool = spool
        self._monotonic = monotonic
        self._window = window
        self.introduce(state)
        self._up = topics.up(site, device)
        self._down = topics.down(site, device)
        self._shelf = spool.shelf(device)
        self._progress_at = 0.0
        self._patience_s = ACK_STALL_S

    @property
    def acked(self) -> int:
        """Everything up to here is stored by the platform, or was given up for want of room."""
        return self._shelf.oldest - 1

    @property
    def outstanding(self) -> int:
        return max(self.sent - self.acked, 0)

    @property
    def given_up(self) -> int:
        """Messages dropped for want of room since the process started."""
        return self._shelf.given_up

    @property
    def stream(self) -> str:
        return self._shelf.stream

    def introduce(self, state: State) -> None:
        """What it says of itself with the next connection."""
        self._state = msgspec.json.encode(state)

    def offer(self, samples: bytes, *, source: str | None = None, raw: bytes | None = None) -> int:
        """Holds one message and returns its seq; pump() sends it once the spool has committed. samples, raw: JSON arrays."""
        if source is None and raw is None:
            return self._spool.append(self.device, samples)
        members = b'"samples":' + samples
        if source is not None:
            members += b',"source":' + msgspec.json.encode(source)
        if raw is not None:
            members += b',"raw":' + raw
        return self._spool.append(self.device, members)

    def again(self, seq: int) -> int:
        """Sends again what is held from this number on. Returns the first number that is."""
        first = max(seq, self.acked + 1)
        self.sent = min(self.sent, first - 1)
        self.pump()
        return first

    def pump(self) -> None:
        """Sends what may be sent now."""
        shelf = self._shelf
        self.sent = max(self.sent, shelf.oldest - 1)
        limit = min(self._wire.room, self._window - self.outstanding, shelf.ready - self.sent)
        if limit <= 0:
            return
        if self.outstanding == 0:
            self._progress_at = self._monotonic()
        stream = shelf.stream.encode()
        for seq, held in self._spool.after(self.device, self.sent, limit):
            members = b'"samples":' + held if held.startswith(b"[") else held
            frame = (seq, shelf.oldest, stream, members)
            self._wire.publish(self._up.telemetry, b'{"seq":%d,"oldest":%d,"stream":"%s",%s}' % frame)
            self.sent = seq
            self.messages += 1
        self.highest_sent = max(self.highest_sent, self.sent)

    def check(self) -> None:
        """Call every few seconds: sends again what waited too long for its ack."""
        now = self._monotonic()
        if self.outstanding and self._wire.room and now - self._progress_at > self._patience_s:
            self._patience_s = min(self._patience_s * 2, ACK_STALL_MAX_S)
            self._progress_at = now
            self.sent = self.acked
        self.pump()

    # Called by the session

    def ready(self) -> None:
        self.sent = self.acked
        self._patience_s = ACK_STALL_S
        self._wire.publish(self._up.state, self._state)
        self.pump()

    def room_again(self) -> None:
        self.pump()

    def message(self, topic: str, payload: bytes) -> None:
        try:
            if topic == self._down.ack:
                self._on_ack(_ACK.decode(payload))
            elif topic == self._down.rate and self.on_rate is not None:
                self.on_rate(_RATE.decode(payload))
        except msgspec.DecodeError:
            self.bad_messages += 1

    def _on_ack(self, ack: PlatformAck) -> None:
        if ack.stream not in (None, self._shelf.stream) or not self.acked < ack.seq <= self._shelf.ready:
            return
        self._spool.stored(self.device, ack.seq)
        self._progress_at = self._monotonic()
        self._patience_s = ACK_STALL_S
        if self.on_acked is not None:
            self.on_acked(ack.seq)
        self.pump()
