"""The database's rows into an archive, and out of one; and what they are known by."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from hashlib import sha256
from typing import Any, Final

import msgspec

from actors.keeping.archive import Member, Reader, Writer
from actors.keeping.manifest import ROWS, Table
from actors.keeping.texts import text
from fleet.errors import BadInput
from fleet.limits import ARCHIVE_PIECE_BYTES
from fleet.storage import whole
from fleet.storage.database import Connection
from fleet.storage.whole import StoredTable

_TABLE: Final = "table.json"  # before a table's pieces: fleet.storage.whole.StoredTable
# What PostgreSQL tells of a partition becomes a statement of its owner's again. Whoever knows for whom archives are sealed
# can make one up.
_NAME: Final = r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*"
_BOUND: Final = re.compile(r"FOR VALUES FROM \('[^'\\]*'\) TO \('[^'\\]*'\)")
_GRANT: Final = re.compile(rf"GRANT [A-Z]+ ON {_NAME} TO [a-z_]+")


class _Stored(msgspec.Struct, frozen=True):
    """StoredTable, as the archive tells of it."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    parent: str | None
    bound: str | None
    grants: tuple[str, ...]


class _Pieces:
    """Rows on their way into the archive: hashed and packed in a thread, while the next ones come."""

    def __init__(self, writer: Writer, table: str) -> None:
        self._writer = writer
        self._table = table
        self._held = bytearray()
        self._number = 0
        self._packing: asyncio.Task[None] | None = None
        self._digest = sha256()

    async def take(self, content: bytes) -> None:
        self._held += content
        if len(self._held) >= ARCHIVE_PIECE_BYTES:
            await self._pass_on()

    async def end(self) -> str:
        """The digest of all."""
        if self._held:
            await self._pass_on()
        await self.settle()
        return self._digest.hexdigest()

    async def settle(self) -> None:
        if self._packing is not None:
            await self._packing
            self._packing = None

    async def _pass_on(self) -> None:
        await self.settle()
        piece, self._held, number = bytes(self._held), bytearray(), self._number
        self._number += 1
        self._packing = asyncio.create_task(asyncio.to_thread(self._pack, piece, number))

    def _pack(self, piece: bytes, number: int) -> None:
        self._digest.update(piece)
        self._writer.add(f"{ROWS}/{self._table}/{number:06}.copy", piece)


async def dump(connection: Connection, writer: Writer) -> list[Table]:
    """Within a transaction, whose view it is. Without the partitions that retention drops meanwhile."""
    kept = []
    for table in await whole.tables(connection):
        writer.add(f"{ROWS}/{table.name}/{_TABLE}", msgspec.json.encode(_Stored(*table)))
        pieces = _Pieces(writer, table.name)
        try:
            rows = await whole.read_rows(connection, table, pieces.take)
        finally:
            await pieces.settle()
        digest = await pieces.end()
        if rows is not None:
            kept.append(Table(table.name, rows, digest))
    return kept


async def known_by(connection: Connection, table: StoredTable) -> Table | None:
    """As `dump` would have told of it."""
    digest = sha256()

    async def take(content: bytes) -> None:
        await asyncio.to_thread(digest.update, content) if len(content) > 65_536 else digest.update(content)

    rows = await whole.read_rows(connection, table, take)
    return None if rows is None else Table(table.name, rows, digest.hexdigest())


class Loader:
    """Takes an archive's rows, member by member, into a database whose schema stands and is empty; in one transaction."""

    def __init__(self, connection: Connection, reader: Reader, known: Collection[str]) -> None:
        """known: names of the tables that the schema has; partitions are made."""
        self._connection = connection
        self._reader = reader
        self._known = known
        self.loaded: list[Table] = []

    async def load(self, first: Member) -> Member | None:
        """Everything from the member that begins a table's rows. Returns the first member that is not of them.

        Raises BadInput (damaged).
        """
        member: Member | None = first
        while member is not None and member.name.startswith(f"{ROWS}/"):
            member = await self._table(member)
        return member

    async def _table(self, first: Member) -> Member | None:
        stored = StoredTable(*msgspec.structs.astuple(await asyncio.to_thread(self._described, first)))
        if stored.parent is not None:
            await whole.make_partition(self._connection, stored)
        pieces = _Incoming(self._reader, f"{ROWS}/{stored.name}/")
        following = await pieces.begin()
        if following is not None:  # no piece: retention dropped it while the archive was made, and so its end says
            return following.member
        rows = await whole.write_rows(self._connection, stored, pieces.all(), fresh=stored.parent is not None)
        self.loaded.append(Table(stored.name, rows, pieces.digest.hexdigest()))
        return pieces.following

    def _described(self, member: Member) -> _Stored:
        if not member.name.endswith(f"/{_TABLE}") or member.size_bytes > ARCHIVE_PIECE_BYTES:
            raise BadInput("damaged", text("damaged", file=self._reader.file, why=member.name))
        stored = msgspec.json.decode(member.content.read(), type=_Stored)
        if not self._is_ours(stored):
            raise BadInput("damaged", text("damaged", file=self._reader.file, why=stored.name))
        return stored

    def _is_ours(self, stored: _Stored) -> bool:
        if stored.parent is None:
            return stored.name in self._known
        return bool(_BOUND.fullmatch(stored.bound or "")) and all(map(_GRANT.fullmatch, stored.grants))


class _Following:
    def __init__(self, member: Member | None) -> None:
        self.member = member


class _Incoming:
    """A table's pieces, one ahead of what PostgreSQL has taken."""

    def __init__(self, reader: Reader, prefix: str) -> None:
        self._reader = reader
        self._prefix = prefix
        self._first: bytes | None = None
        self.digest = sha256()
        self.following: Member | None = None

    async def begin(self) -> _Following | None:
        """None: there are rows. Otherwise what stands in the archive instead."""
        self._first = await asyncio.to_thread(self._next)
        return _Following(self.following) if self._first is None else None

    async def all(self) -> AsyncIterator[bytes]:
        piece = self._first
        while piece is not None:
            coming: asyncio.Task[Any] = asyncio.create_task(asyncio.to_thread(self._next))
            try:
                yield piece
            finally:
                piece = await coming

    def _next(self) -> bytes | None:
        member = self._reader.next()
        if member is None or not member.name.startswith(self._prefix):
            self.following = member
            return None
        if member.size_bytes > 16 * ARCHIVE_PIECE_BYTES:
            raise BadInput("damaged", text("damaged", file=self._reader.file, why=member.name))
        content = member.content.read()
        self.digest.update(content)
        return content
