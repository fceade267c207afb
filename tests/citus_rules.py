"""What Citus asks of a schema that it distributes, as far as its documentation and source state it, and who breaks it.

Sources, by the letters at each rule:
  D   Citus documentation, "Creating and Modifying Distributed Objects (DDL)" and "SQL Support and Workarounds"
  S   Citus source, src/backend/distributed/commands/{create_distributed_table,foreign_constraint,policy}.c
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import fleet.storage
from fleet.storage.database import Connection

COLUMN: Final = "site_id"
# rule → a query for what breaks it: $1 the distributed tables with their partitions, $2 the reference tables, $3 the column
SCHEMA_RULES: Final[Mapping[str, str]] = {
    "D: a primary key, unique or exclusion constraint holds the distribution column": """
        SELECT i.indexrelid::regclass::text FROM pg_index i
        WHERE i.indrelid = ANY($1::oid[]) AND (i.indisunique OR i.indisexclusion)
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attname = $3
                          AND a.attnum = ANY(i.indkey::int2[]))""",
    "D: a foreign key goes between colocated tables on that column, or to a reference table": """
        SELECT c.conrelid::regclass || ' → ' || c.confrelid::regclass FROM pg_constraint c
        WHERE c.contype = 'f'
          AND (c.conrelid = ANY($1::oid[]) OR c.confrelid = ANY($1::oid[]) OR c.confrelid = ANY($2::oid[]))
          AND NOT (c.conrelid = ANY($1::oid[]) AND c.confrelid = ANY($2::oid[]))
          AND NOT (c.conrelid = ANY($1::oid[]) AND c.confrelid = ANY($1::oid[]) AND EXISTS (
              SELECT FROM unnest(c.conkey, c.confkey) k(own, other)
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own AND a.attname = $3
              JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.other AND b.attname = $3))""",
    "S: no triggers": """
        SELECT t.tgrelid::regclass || '.' || t.tgname FROM pg_trigger t
        WHERE (t.tgrelid = ANY($1::oid[]) OR t.tgrelid = ANY($2::oid[])) AND NOT t.tgisinternal""",
    "S: no subquery in a policy of row-level security": """
        SELECT p.polrelid::regclass || '.' || p.polname FROM pg_policy p
        WHERE (p.polrelid = ANY($1::oid[]) OR p.polrelid = ANY($2::oid[]))
          AND (coalesce(p.polqual::text, '') || coalesce(p.polwithcheck::text, '')) LIKE '%SUBLINK%'""",
    "D: no rules": """
        SELECT r.ev_class::regclass::text FROM pg_rewrite r
        WHERE r.ev_class = ANY($1::oid[]) OR r.ev_class = ANY($2::oid[])""",
    "S: partitions of one level, and no other inheritance": """
        SELECT i.inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE (i.inhparent = ANY($1::oid[]) OR i.inhrelid = ANY($1::oid[])) AND (NOT c.relispartition OR c.relkind = 'p')""",
    "S: identity columns and sequences are bigint": """
        SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = ANY($1::oid[]) AND a.atttypid <> 'bigint'::regtype
          AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval%')""",
    "S: the distribution column is there, is no generated one and never NULL, and is of one type and collation": """
        SELECT t.oid::regclass::text FROM unnest($1::oid[]) t(oid)
        WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = $3 AND a.attnotnull
            AND a.attgenerated = '' AND a.atttypid = 'text'::regtype AND a.attcollation = 'pg_catalog."C"'::regcollation)""",
    "S: tables are permanent heaps": """
        SELECT c.oid::regclass::text FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam
        WHERE c.oid = ANY($1::oid[]) AND (c.relpersistence <> 'p' OR coalesce(m.amname, 'heap') <> 'heap')""",
}


async def broken(connection: Connection, distributed: list[str], references: list[str]) -> dict[str, list[str]]:
    """Rule → who breaks it; rules that all keep are left out."""
    spread = await connection.fetchval(
        "SELECT array_agg(oid) FROM (SELECT unnest($1::text[])::regclass::oid AS oid UNION"
        " SELECT p.relid::oid FROM unnest($1::text[]) t, pg_partition_tree(t::regclass) p) o",
        distributed,
    )
    copied = await connection.fetchval("SELECT $1::text[]::regclass[]::oid[]", references)
    found = {}
    for rule, query in SCHEMA_RULES.items():
        rows = await connection.fetch(
            f"SELECT found.* FROM ({query}) found"  # noqa: S608 - put together from constants
            " WHERE $1::oid[] IS NOT NULL AND $2::oid[] IS NOT NULL AND $3::text IS NOT NULL",
            spread,
            copied,
            COLUMN,
        )
        if rows:
            found[rule] = sorted(row[0] for row in rows)
    return found


# Statements -------------------------------------------------------------------------------------------------------


class Statement(NamedTuple):
    """name: module and constant, or module and function."""

    name: str
    sql: str


def statements() -> Iterator[Statement]:
    """All SQL of fleet.storage: its modules' constants, put together as they run, and what functions hold themselves."""
    for file in sorted(Path(inspect.getfile(fleet.storage)).parent.glob("*.py")):
        module = importlib.import_module(f"fleet.storage.{file.stem}")
        for name, value in vars(module).items():
            if isinstance(value, str) and not name.startswith("__"):
                yield Statement(f"{file.stem}.{name}", value)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                texts = (part.value for step in body for part in ast.walk(step) if isinstance(part, ast.Constant))
                yield from (Statement(f"{file.stem}.{node.name}", text) for text in texts if isinstance(text, str))


def _names(tables: list[str]) -> "re.Pattern[str]":
    return re.compile(rf"\b(?:{'|'.join(re.escape(table) for table in tables)})\b")


def touching(found: Iterator[Statement], tables: list[str]) -> list[Statement]:
    names = _names(tables)
    return [statement for statement in found if names.search(statement.sql)]


def writes(statement: Statement, tables: list[str]) -> list[str]:
    """The writing parts of a statement: from each INSERT, UPDATE or DELETE of these tables to the next one, or the end."""
    starts = re.finditer(rf"(INSERT INTO|UPDATE|DELETE FROM)\s+({_names(tables).pattern})", statement.sql)
    at = [match.start() for match in starts]
    return [statement.sql[start:end] for start, end in pairwise([*at, len(statement.sql)])]


def is_routed(write: str) -> bool:
    """Whether each of its rows says by itself where it belongs, or it is for one site: a column among those inserted, or an
    equality with a parameter."""
    if write.startswith("INSERT"):
        columns = re.search(r"\(([^)]*)\)", write)
        return columns is not None and COLUMN in columns[1]
    return is_of_one_site(write)


def is_of_one_site(sql: str) -> bool:
    return re.search(rf"\b{COLUMN} = \$\d", sql) is not None


def conflict_targets(write: str) -> list[str]:
    return re.findall(r"ON CONFLICT \(([^)]*)\)", write)


def mixes(statement: Statement, local: "re.Pattern[str]") -> set[str]:
    """Tables that are on the coordinator only, or temporary, and that this statement needs as well."""
    return {match[0] for match in local.finditer(statement.sql)}
