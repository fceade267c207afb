"""How far a device's messages are known without a gap: the number that the platform acks."""

from fleet.limits import SEQUENCE_GAP_MAX


class SequenceTracker:
    """The highest number up to which nothing is missing, for one run (`stream`) of a device's counter.

    Replays and shuffles change nothing. A new stream starts from nothing. `oldest` closes gaps that the device will
    never fill: it holds nothing below it, because that was acked or given up.

    Losing this state is safe: the device names `oldest` in every message and sends again what is not acked. Knowing too
    much after a restart is not: `stored` and `stored_stream` say how far all is committed, and only they may be kept.
    """

    __slots__ = ("_beyond", "contiguous", "stored", "stored_stream", "stream")

    def __init__(self, stream: str | None = None, contiguous: int = 0) -> None:
        self.stream = self.stored_stream = stream
        self.contiguous = self.stored = contiguous
        self._beyond: set[int] | None = None  # numbers taken above the first gap

    def take(self, stream: str | None, seq: int, oldest: int | None) -> None:
        """Notes that message `seq` is taken. A device that never says `oldest` is believed from its first number on."""
        if stream != self.stream:
            self.stream = stream
            self.contiguous = 0
            self._beyond = None
        if oldest is not None:
            self.contiguous = max(self.contiguous, oldest - 1)
        elif self.contiguous == 0:
            self.contiguous = seq - 1
        if seq == self.contiguous + 1 and self._beyond is None:  # the common case
            self.contiguous = seq
            return
        if seq > self.contiguous:
            self._note_beyond(seq)
        self._close_gap()

    def settle(self) -> None:
        """All messages taken so far are committed."""
        self.stored_stream, self.stored = self.stream, self.contiguous

    def _note_beyond(self, seq: int) -> None:
        if self._beyond is None:
            self._beyond = set()
        if len(self._beyond) < SEQUENCE_GAP_MAX:  # past it we forget, and the device sends again
            self._beyond.add(seq)

    def _close_gap(self) -> None:
        beyond = self._beyond
        if beyond is None:
            return
        while self.contiguous + 1 in beyond:
            self.contiguous += 1
            beyond.discard(self.contiguous)
        stale = [seq for seq in beyond if seq <= self.contiguous] if beyond else []
        beyond.difference_update(stale)
        if not beyond:
            self._beyond = None
