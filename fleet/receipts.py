"""The journal of what was wished, sent and reported: each line holds the hash of the one before, so that none can be
changed, taken out or put in without all that follow showing it.

There is a chain per shard, which is the only one that writes to it; and one per restore, which draws its number by lot: what
an earlier restore wrote into the installation that was lost may stand in heads that were saved.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs

GENESIS: Final = bytes(32)  # what the first line of a chain holds as the hash before it
RESTORE_CHAINS: Final = range(2**14, 2**15)  # above the number of any shard
_encoder = msgspec.json.Encoder(order="sorted")


class Receipt(msgspec.Struct, frozen=True):
    """One step. kind: "config.desired", "command.sent"; subject: a version or a command's id."""

    at: UnixMs
    site: SiteId
    device: DeviceId
    kind: str
    subject: str
    detail: dict[str, object] = {}


class Line(NamedTuple):
    """As it is stored; detail: the JSON text that was hashed, byte for byte."""

    chain: int
    seq: int
    at: UnixMs
    site: str
    device: str
    kind: str
    subject: str
    detail: str
    hash: bytes


class Head(NamedTuple):
    """The newest line of a chain, noted apart from it. seq 0: the chain has none."""

    chain: int
    seq: int
    hash: bytes


class Broken(NamedTuple):
    """Where a chain does not hold.

    code: missing_line, changed_line; of its end: cut_end (the head names a later line), added_end (lines that the head does
    not know), other_head (the newest line is not the one that the head names); rewritten: the chain holds, and once held
    another line at this place.
    """

    chain: int
    seq: int
    code: str


def chained(chain: int, seq: int, head: bytes, receipts: Iterable[Receipt]) -> list[Line]:
    """The next lines of a chain whose newest line is `seq` with the hash `head`."""
    lines = []
    for receipt in receipts:
        seq += 1
        detail = _encoder.encode(receipt.detail).decode()
        told = (chain, seq, receipt.at, receipt.site, receipt.device, receipt.kind, receipt.subject, detail)
        head = _hash(head, told)
        lines.append(Line(*told, head))
    return lines


class Verifier:
    """Goes along one chain, line by line from its first; says at the end whether it is whole."""

    def __init__(self, chain: int) -> None:
        self.chain = chain
        self.seq = 0
        self.head = GENESIS

    def check(self, line: Line) -> Broken | None:
        if line.seq != self.seq + 1:
            return Broken(self.chain, self.seq + 1, "missing_line")
        expected = _hash(self.head, line[:-1])
        if line.hash != expected:
            return Broken(self.chain, line.seq, "changed_line")
        self.seq, self.head = line.seq, expected
        return None

    def end(self, seq: int, head: bytes) -> Broken | None:
        """seq, head: of the newest line, as they were noted apart from the lines."""
        if self.seq < seq:
            return Broken(self.chain, self.seq + 1, "cut_end")
        if self.seq > seq:
            return Broken(self.chain, seq + 1, "added_end")
        return None if self.head == head else Broken(self.chain, seq, "other_head")

    def against(self, saved: Head) -> Broken | None:
        """Whether the line that was just checked is the one that was noted for its place, long ago and elsewhere."""
        if self.seq == saved.seq and self.head != saved.hash:
            return Broken(self.chain, self.seq, "rewritten")
        return None


def _hash(before: bytes, told: tuple[object, ...]) -> bytes:
    return sha256(before + _encoder.encode(told)).digest()
