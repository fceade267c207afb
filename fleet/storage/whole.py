"""The database as a whole, for backups: what is in it, its rows in the order of their keys, and back again.

The schema itself is what the migrations make, so rows, partitions and sequences are all there is to keep. Rows travel by
binary COPY, bit for bit.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from graphlib import TopologicalSorter
from typing import Final, NamedTuple

import asyncpg

from fleet.errors import Conflict
from fleet.storage.database import Connection, DirectConnection

_ONE_AT_A_TIME: Final = 0x50_1A_16  # any constant: two backups of one database never run at once
_MARK: Final = "public.restoring"

_TABLES: Final = """
    SELECT c.oid, n.nspname AS schema, c.relname AS name, pn.nspname AS parent_schema, p.relname AS parent,
        pg_get_expr(c.relpartbound, c.oid) AS bound,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
        (SELECT array_agg(quote_ident(a.attname) || CASE WHEN a.attcollation <> 0 THEN ' COLLATE "C"' ELSE '' END
                          ORDER BY k.place)
         FROM pg_index x CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE x.indrelid = c.oid AND x.indisprimary) AS key,
        (SELECT array_agg(format('GRANT %s ON %I.%I TO %I', g.privilege_type, n.nspname, c.relname, r.rolname)
                          ORDER BY r.rolname, g.privilege_type)
         FROM aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee WHERE g.grantee <> c.relowner) AS grants
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    LEFT JOIN pg_class p ON p.oid = i.inhparent LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND format('%s.%s', n.nspname, c.relname) <> 'public.restoring'
    ORDER BY n.nspname, c.relname
"""
_REFERENCES: Final = """
    SELECT DISTINCT format('%s.%s', fn.nspname, f.relname) AS from_table, format('%s.%s', tn.nspname, t.relname) AS to_table
    FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
    JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
"""
_SEQUENCES: Final = """
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2
"""
_IS_EMPTY: Final = """
    SELECT NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
"""
_ORIGINALS: Final = """
    SELECT DISTINCT sha256 FROM imports.file WHERE original_gone_at IS NULL AND state <> 'same' ORDER BY sha256
"""
Sink = Callable[[bytes], Awaitable[None]]


class StoredTable(NamedTuple):
    """A table or a partition.

    name   schema.table
    key    what its rows are ordered by, the same in every locale
    bound  of a partition, as FOR VALUES …; grants: a partition's own
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    parent: str | None
    bound: str | None
    grants: tuple[str, ...]


class StoredSequence(NamedTuple):
    name: str
    last_value: int
    is_called: bool


async def hold_alone(connection: DirectConnection) -> bool:
    """Whether nobody else makes a backup; nobody does until the connection ends."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ONE_AT_A_TIME))


async def see_everything(connection: Connection) -> None:
    """Rather an error than rows that row-level security has left out."""
    await connection.execute("SET row_security = off")


async def size_bytes(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT pg_database_size(current_database())"))


async def is_empty(connection: Connection) -> bool:
    return bool(await connection.fetchval(_IS_EMPTY))


async def tables(connection: Connection) -> list[StoredTable]:
    """Every one that holds rows, in an order in which none refers to a later one."""
    rows = await connection.fetch(_TABLES)
    found = {f"{row['schema']}.{row['name']}": _table(row) for row in rows}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(found, ()))
    for row in await connection.fetch(_REFERENCES):
        if row["from_table"] in found and row["to_table"] in found:
            order.add(row["from_table"], row["to_table"])
    return [found[name] for name in order.static_order()]


def _table(row: asyncpg.Record) -> StoredTable:
    parent = f"{row['parent_schema']}.{row['parent']}" if row["parent"] is not None else None
    return StoredTable(
        f"{row['schema']}.{row['name']}",
        tuple(row["columns"] or ()),
        tuple(row["key"] or ()),
        parent,
        row["bound"],
        tuple(row["grants"] or ()) if parent is not None else (),
    )


async def sequences(connection: Connection) -> list[StoredSequence]:
    """As they stand now: they know no views, and only ever go on."""
    found = []
    for row in await connection.fetch(_SEQUENCES):
        name = f"{row['schema']}.{row['name']}"
        stand = await connection.fetchrow(f"SELECT last_value, is_called FROM {_quoted(name)}")  # noqa: S608 - from the catalogue
        assert stand is not None  # noqa: S101 - a sequence is a row
        found.append(StoredSequence(name, stand["last_value"], stand["is_called"]))
    return found


async def set_sequences(connection: Connection, stands: Iterable[StoredSequence]) -> None:
    for one in stands:
        await connection.execute(
            "SELECT setval($1::text::regclass, $2, $3)", _quoted(one.name), one.last_value, one.is_called
        )


async def read_rows(connection: Connection, table: StoredTable, sink: Sink) -> int | None:
    """Gives the table's rows to the sink, as one binary COPY in the order of its key. How many they were.

    Within a transaction, whose view it is. The table is not held longer than it takes: whoever wants to drop a partition
    waits for that one at most, and nobody has to wait for the parent. None: retention has dropped it since.
    """
    order = ", ".join(table.key) or "whole"
    columns = ", ".join(map(_identifier, table.columns))
    query = f"SELECT {columns} FROM ONLY {_quoted(table.name)} AS whole ORDER BY {order}"  # noqa: S608 - from the catalogue
    try:
        async with connection.transaction() as inner:
            status = await connection.copy_from_query(query, output=sink, format="binary")  # type: ignore[arg-type]
            raise _Seen(int(status.rsplit(" ", 1)[1]))  # back to before the lock, not before the view
    except _Seen as seen:
        del inner
        return seen.rows
    except asyncpg.UndefinedTableError:
        return None


class _Seen(Exception):
    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


async def make_partition(connection: Connection, table: StoredTable) -> None:
    assert table.parent is not None  # noqa: S101 - of partitions only
    await connection.execute(f"CREATE TABLE {_quoted(table.name)} PARTITION OF {_quoted(table.parent)} {table.bound}")
    for grant in table.grants:
        await connection.execute(grant)


async def write_rows(connection: Connection, table: StoredTable, source: AsyncIterator[bytes], *, fresh: bool) -> int:
    """Puts rows in. fresh: the table was made in this very transaction. Returns how many there were."""
    schema, _, name = table.name.partition(".")
    status = await connection.copy_to_table(
        name, schema_name=schema, columns=table.columns, source=source, format="binary", freeze=fresh or None
    )
    return int(status.rsplit(" ", 1)[1])


async def clear(connection: Connection, those: Sequence[StoredTable]) -> None:
    """Of rows that the migrations have brought themselves. those: in the order of `tables`."""
    for table in reversed(those):
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {_quoted(table.name)})"):  # noqa: S608 - from the catalogue
            await connection.execute(f"DELETE FROM {_quoted(table.name)}")  # noqa: S608 - as above


async def analyse(connection: Connection) -> None:
    """The planner knows nothing of rows that came a moment ago."""
    await connection.execute("ANALYZE")


async def originals(connection: Connection) -> list[bytes]:
    """SHA-256 of every original file that should still be kept; of a database that knows files at all."""
    if await connection.fetchval("SELECT to_regclass('imports.file') IS NULL"):
        return []
    return [row["sha256"] for row in await connection.fetch(_ORIGINALS)]


async def mark_half_restored(connection: Connection) -> None:
    """Raises Conflict (half_restored): somebody else has."""
    try:
        await connection.execute(f"CREATE TABLE {_MARK} (since timestamptz NOT NULL DEFAULT now())")
    except (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):  # the latter: at the same moment
        raise _half_restored() from None


async def unmark(connection: Connection) -> None:
    await connection.execute(f"DROP TABLE {_MARK}")


async def is_half_restored(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", _MARK))


async def mark_stands(connection: Connection) -> bool:
    """The same, once whoever is just dropping it has ended, one way or the other. Raises AWAY when that takes long."""
    await connection.execute("SET lock_timeout = '30s'")
    try:
        await connection.execute(f"SELECT FROM {_MARK}")
    except asyncpg.UndefinedTableError:
        return False
    return True


async def refuse_half_restored(connection: Connection) -> None:
    """Raises Conflict (half_restored)."""
    if await is_half_restored(connection):
        raise _half_restored()


def _half_restored() -> Conflict:
    return Conflict(
        "half_restored",
        "a restore into this database was cut short; drop it, or take a new installation, and restore again",
    )


def _quoted(name: str) -> str:
    return ".".join(map(_identifier, name.split(".", 1)))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
