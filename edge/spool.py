"""Store and forward: what a device has measured stays here until the platform says that it is stored.

Both spools number a device's messages from 1 and keep them in order. Over its bytes a device gives up its oldest messages
first: the newest tell how the site is, and `oldest` tells the platform what will never come.
"""

import secrets
import sqlite3
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edge.limits import ENTRY_OVERHEAD_BYTES, SPOOL_BYTES_PER_DEVICE_MAX
from fleet.errors import Conflict
from fleet.ids import DeviceId

_GIVE_UP_AT_ONCE = 64  # rows looked at per round when a device is over its bytes

_TABLES = (
    "create table if not exists shelf (device text primary key, stream text, oldest integer, last integer)",
    "create table if not exists held (device text, seq integer, samples blob, primary key (device, seq)) without rowid",
)


class Shelf(msgspec.Struct):
    """One device's place. stream names the run of the counter: a lost disk starts a new one.

    oldest..last are held (none when oldest > last); up to `ready` they are safely written and may be sent.
    """

    stream: str
    oldest: int = 1
    last: int = 0
    ready: int = 0
    bytes: int = 0
    given_up: int = 0


class Spool(Protocol):
    def shelf(self, device: DeviceId) -> Shelf:
        """The device's shelf, made when there is none. Read it, leave the writing to the spool."""

    def append(self, device: DeviceId, samples: bytes) -> int:
        """Holds one message, whatever its bytes mean; returns its seq. It may be sent after the next commit."""

    def commit(self) -> None: ...

    def after(self, device: DeviceId, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` committed messages beyond seq, in order."""

    def stored(self, device: DeviceId, seq: int) -> None:
        """Lets go of everything up to and including seq: the platform has it."""

    def close(self) -> None: ...


def held(spool: Spool, device: DeviceId) -> int:
    """How many messages wait there."""
    shelf = spool.shelf(device)
    return shelf.last - shelf.oldest + 1


class MemorySpool:
    """For the load generator: the same behaviour, gone with the process."""

    def __init__(self, bytes_max: int = SPOOL_BYTES_PER_DEVICE_MAX) -> None:
        self._bytes_max = bytes_max
        self._shelves: dict[DeviceId, Shelf] = {}
        self._held: dict[DeviceId, dict[int, bytes]] = {}

    def shelf(self, device: DeviceId) -> Shelf:
        shelf = self._shelves.get(device)
        if shelf is None:
            shelf = self._shelves[device] = Shelf(secrets.token_hex(8))
            self._held[device] = {}
        return shelf

    def append(self, device: DeviceId, samples: bytes) -> int:
        shelf = self.shelf(device)
        held = self._held[device]
        shelf.last += 1
        shelf.ready = shelf.last
        held[shelf.last] = samples
        shelf.bytes += len(samples) + ENTRY_OVERHEAD_BYTES
        while shelf.bytes > self._bytes_max and shelf.oldest < shelf.last:
            self._drop(shelf, held)
            shelf.given_up += 1
        return shelf.last

    def commit(self) -> None:
        """Nothing to do: what is appended may be sent."""

    def after(self, device: DeviceId, seq: int, limit: int) -> list[tuple[int, bytes]]:
        shelf, held = self.shelf(device), self._held[device]
        first = max(seq + 1, shelf.oldest)
        return [(number, held[number]) for number in range(first, min(first + limit, shelf.ready + 1))]

    def stored(self, device: DeviceId, seq: int) -> None:
        shelf, held = self.shelf(device), self._held[device]
        while shelf.oldest <= min(seq, shelf.last):
            self._drop(shelf, held)

    def close(self) -> None:
        self._held.clear()

    @staticmethod
    def _drop(shelf: Shelf, held: dict[int, bytes]) -> None:
        shelf.bytes -= len(held.pop(shelf.oldest)) + ENTRY_OVERHEAD_BYTES
        shelf.oldest += 1


class DiskSpool:
    """One SQLite file for all devices of a process. What commit() returned from survives kill -9 and a power cut.

    Raises Conflict (spool_in_use) when another process has the file.
    """

    def __init__(self, path: Path, bytes_max: int = SPOOL_BYTES_PER_DEVICE_MAX) -> None:
        self._bytes_max = bytes_max
        self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            self._open_tables()
        except sqlite3.OperationalError as error:
            self._db.close()
            raise Conflict("spool_in_use", f"{path} cannot be opened: {error}") from None
        self._shelves = self._load()
        self._touched: set[DeviceId] = set()

    def shelf(self, device: DeviceId) -> Shelf:
        shelf = self._shelves.get(device)
        if shelf is None:
            shelf = self._shelves[device] = Shelf(secrets.token_hex(8))
            self._begin()
            self._db.execute("insert into shelf (device, stream, oldest, last) values (?, ?, 1, 0)", (device, shelf.stream))
        return shelf

    def append(self, device: DeviceId, samples: bytes) -> int:
        shelf = self.shelf(device)
        self._begin()
        self._touched.add(device)
        shelf.last += 1
        self._db.execute("insert into held (device, seq, samples) values (?, ?, ?)", (device, shelf.last, samples))
        shelf.bytes += len(samples) + ENTRY_OVERHEAD_BYTES
        while shelf.bytes > self._bytes_max and shelf.oldest < shelf.last:
            self._give_up_some(device, shelf)
        return shelf.last

    def commit(self) -> None:
        if not self._db.in_transaction:
            return
        for device in self._touched:
            shelf = self._shelves[device]
            self._db.execute("update shelf set oldest = ?, last = ? where device = ?", (shelf.oldest, shelf.last, device))
        self._db.execute("commit")
        for device in self._touched:
            self._shelves[device].ready = self._shelves[device].last
        self._touched.clear()

    def after(self, device: DeviceId, seq: int, limit: int) -> list[tuple[int, bytes]]:
        query = "select seq, samples from held where device = ? and seq > ? and seq <= ? order by seq limit ?"
        return self._db.execute(query, (device, seq, self.shelf(device).ready, limit)).fetchall()

    def stored(self, device: DeviceId, seq: int) -> None:
        shelf = self.shelf(device)
        if shelf.oldest <= min(seq, shelf.last):
            self._delete_to(device, shelf, min(seq, shelf.last))

    def abandon(self) -> None:
        """After a write that failed (sqlite3.Error: the disk is full): back to the last commit, shelves and all."""
        if self._db.in_transaction:
            self._db.execute("rollback")
        self._touched.clear()
        found = self._load()
        for device, shelf in list(self._shelves.items()):
            kept = found.get(device)
            if kept is None:
                del self._shelves[device]  # it was never written: made anew when it is next asked for
            else:
                shelf.oldest, shelf.last, shelf.ready, shelf.bytes = kept.oldest, kept.last, kept.ready, kept.bytes

    def read(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Of whoever keeps tables of his own in the same file, so that they are as old as the messages."""
        return self._db.execute(statement, values).fetchall()

    def write(self, statement: str, values: tuple[object, ...] = ()) -> None:
        """Likewise. commit() makes it last, together with the messages."""
        self._begin()
        self._db.execute(statement, values)

    def close(self) -> None:
        self.commit()
        self._db.close()

    def _open_tables(self) -> None:
        self._db.execute("pragma locking_mode = exclusive")
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        for statement in _TABLES:
            self._db.execute(statement)

    def _load(self) -> dict[DeviceId, Shelf]:
        query = """
            select shelf.device, stream, oldest, last, coalesce(sum(length(samples) + ?), 0)
            from shelf left join held using (device) group by shelf.device
        """
        rows = self._db.execute(query, (ENTRY_OVERHEAD_BYTES,))
        return {device: Shelf(stream, oldest, last, last, size) for device, stream, oldest, last, size in rows}

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("begin immediate")

    def _give_up_some(self, device: DeviceId, shelf: Shelf) -> None:
        query = "select seq, length(samples) from held where device = ? and seq < ? order by seq limit ?"
        excess = shelf.bytes - self._bytes_max
        up_to = shelf.oldest
        for seq, size in self._db.execute(query, (device, shelf.last, _GIVE_UP_AT_ONCE)):
            up_to = seq
            excess -= size + ENTRY_OVERHEAD_BYTES
            if excess <= 0:
                break
        shelf.given_up += up_to - shelf.oldest + 1
        self._delete_to(device, shelf, up_to)

    def _delete_to(self, device: DeviceId, shelf: Shelf, seq: int) -> None:
        self._begin()
        self._touched.add(device)
        gone = self._db.execute(
            "delete from held where device = ? and seq <= ? returning length(samples)", (device, seq)
        ).fetchall()
        shelf.bytes -= sum(size + ENTRY_OVERHEAD_BYTES for (size,) in gone)
        shelf.oldest = seq + 1
