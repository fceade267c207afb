"""What the inputs have read goes to the disk from here, in messages that the platform takes."""

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec
import structlog

from edge.limits import AGENT_MESSAGE_BYTES_MAX, AGENT_PENDING_SAMPLES_MAX
from edge.outbox import Outbox
from edge.spool import DiskSpool
from fleet.limits import RAW_PER_MESSAGE_MAX, SAMPLES_PER_MESSAGE_MAX
from fleet.telemetry import RawMessage, Sample

log = structlog.get_logger()


class Recorder:
    """The inputs' sink. Takes at once; write() makes messages of what it took, a few a second at most.

    While the disk takes nothing, the newest are kept in memory; the oldest are dropped beyond a bound, and counted.
    """

    def __init__(self, outbox: Outbox, spool: DiskSpool) -> None:
        self.lost = 0  # samples and raw messages that never reached the disk
        self._outbox = outbox
        self._spool = spool
        self._samples: dict[str | None, list[Sample]] = {}
        self._raw: list[RawMessage] = []
        self._disk_fails = False

    def samples(self, samples: list[Sample], source: str | None) -> None:
        waiting = self._samples.setdefault(source, [])
        waiting += samples
        self.lost += _cut(waiting)

    def raw(self, messages: list[RawMessage]) -> None:
        self._raw += messages
        self.lost += _cut(self._raw)

    def write(self) -> None:
        """Everything taken so far is on the disk when this returns, unless the disk takes nothing."""
        try:
            self._offer()
            self._spool.commit()
        except sqlite3.Error as error:
            self._spool.abandon()
            self._say_disk(str(error))
            return
        self._samples.clear()
        self._raw.clear()
        self._say_disk("")
        self._outbox.pump()

    def _offer(self) -> None:
        for source, samples in self._samples.items():
            for array in _arrays(map(msgspec.json.encode, samples), SAMPLES_PER_MESSAGE_MAX):
                self._outbox.offer(array, source=source)
        for array in _arrays(map(msgspec.json.encode, self._raw), RAW_PER_MESSAGE_MAX):
            self._outbox.offer(b"[]", raw=array)

    def _say_disk(self, failure: str) -> None:
        """Once when it fails and once when it works again."""
        if failure and not self._disk_fails:
            log.error("agent.disk_failed", reason=failure)
        elif self._disk_fails and not failure:
            log.info("agent.disk_works_again", lost=self.lost)
        self._disk_fails = bool(failure)


def _cut(waiting: list[Sample] | list[RawMessage]) -> int:
    excess = max(len(waiting) - AGENT_PENDING_SAMPLES_MAX, 0)
    del waiting[:excess]
    return excess


def _arrays(encoded: Iterable[bytes], count_max: int) -> Iterator[bytes]:
    """JSON arrays of at most so many elements, and of so many bytes when one element is not larger by itself."""
    held: list[bytes] = []
    size = 0
    for each in encoded:
        if held and (len(held) == count_max or size + len(each) > AGENT_MESSAGE_BYTES_MAX):
            yield b"[" + b",".join(held) + b"]"
            held, size = [], 0
        held.append(each)
        size += len(each) + 1
    if held:
        yield b"[" + b",".join(held) + b"]"
