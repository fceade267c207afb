"""The journal of what was wished, sent and reported: each line holds the hash of the one before, so that none can be
changed, taken out or put in without all that follow showing it.

There is a chain per shard, which is the only one that writes to it.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.telemetry import UnixMs

GENESIS: Final = bytes(32)  # what the first line of a chain holds as the hash before it
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


class Broken(NamedTuple):
    """Where a chain does not hold. code: missing_line, changed_line, cut_end (fewer lines than its head says)."""

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
        return None if (self.seq, self.head) == (seq, head) else Broken(self.chain, self.seq + 1, "cut_end")


def _hash(before: bytes, told: tuple[object, ...]) -> bytes:
    return sha256(before + _encoder.encode(told)).digest()
