"""deploy/citus on a real, migrated PostgreSQL: what Citus asks of schema and statements, and who sees what afterwards.

Citus itself is not here. Its functions are stood in for by ones that note what they were asked; its rules are in
tests.citus_rules, with their sources.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from fleet.storage.database import Connection, connect, open_pool
from tests import citus_rules as rules
from tests.acting import acting_as
from tests.servers import Cluster, Database

FOLDER = Path(__file__).parents[2] / "deploy" / "citus"
DISTRIBUTED = [
    "telemetry.counter_event",
    "telemetry.dirty_day",
    "telemetry.sample",
    "telemetry.sample_revision",
    "telemetry.site_day",
]
REFERENCES = ["spread.person", "spread.site", "spread.site_share"]
LOCAL = re.compile(
    r"\b(?:accounts|audit|imports|pki|registry|remote|supervision|pg_temp)\.\w+"
    r"|\btelemetry\.(?:codec_memory|counted_change|dead_letter|device_latest|shard_lease|waiting_source)\b"
)
_STAND_INS = """
    CREATE TABLE public.asked (what text, name text, col text, with_name text);
    CREATE FUNCTION public.create_reference_table(table_name regclass) RETURNS void LANGUAGE sql AS
        $$ INSERT INTO public.asked VALUES ('reference', table_name::text) $$;
    CREATE FUNCTION public.create_distributed_table(table_name regclass, distribution_column text, colocate_with text)
        RETURNS void LANGUAGE sql AS
        $$ INSERT INTO public.asked VALUES ('distributed', table_name::text, distribution_column, colocate_with) $$;
    CREATE FUNCTION public.create_distributed_function(
        function_name regprocedure, distribution_arg_name text DEFAULT NULL, colocate_with text DEFAULT 'default'
    ) RETURNS void LANGUAGE sql AS
        $$ INSERT INTO public.asked VALUES ('function', function_name::text, distribution_arg_name, colocate_with) $$;
"""
_PEOPLE = """
    INSERT INTO accounts.organisation (id, name, kind) VALUES ('c1', 'C1', 'customer'), ('c2', 'C2', 'customer'),
        ('i1', 'I1', 'installer'), ('p', 'P', 'platform');
    INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash) VALUES
        ('owner', 'c1', 'a@x', 'A', 'customer', '-'), ('manager', 'c2', 'b@x', 'B', 'energy_manager', '-'),
        ('fitter', 'i1', 'c@x', 'C', 'installer', '-'), ('ops', 'p', 'd@x', 'D', 'ops', '-'),
        ('admin', 'p', 'e@x', 'E', 'admin', '-'), ('guest', 'c2', 'f@x', 'F', 'customer', '-');
    INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id,
                               installer_organisation_id) VALUES
        ('s1', 1, 'S1', 45, 5, 1, 'c1', 'i1'), ('s2', 2, 'S2', 45, 5, 1, 'c2', NULL), ('s3', 3, 'S3', 45, 5, 1, 'c1', 'i1');
"""
_CHANGES = """
    INSERT INTO registry.site_share VALUES ('s1', 'guest'), ('s3', 'manager');
    UPDATE registry.site SET customer_organisation_id = 'c2', installer_organisation_id = NULL WHERE id = 's3';
    UPDATE accounts.person SET role = 'ops', organisation_id = 'p' WHERE id = 'fitter';
    UPDATE accounts.person SET disabled_at = now() WHERE id = 'admin';
    INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)
        VALUES ('s4', 4, 'S4', 45, 5, 1, 'c1');
    INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash) VALUES
        ('new', 'c1', 'g@x', 'G', 'customer', '-');
"""
_BACK = """
    DELETE FROM registry.site_share WHERE person_id = 'guest';
    UPDATE accounts.person SET disabled_at = NULL WHERE id = 'admin';
    UPDATE accounts.person SET disabled_at = now() WHERE id = 'owner';
"""


@pytest.fixture(scope="module")
def migrated(postgres: Cluster) -> Iterator[Database]:
    """For tests that only look."""
    yield postgres.create_database("sp_citus")
    postgres.drop_database("sp_citus")


@pytest.fixture
async def schema(migrated: Database) -> AsyncIterator[Connection]:
    async with owner_of(migrated) as connection:
        yield connection


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    async with owner_of(database) as connection:
        yield connection


@asynccontextmanager
async def owner_of(database: Database) -> AsyncIterator[Connection]:
    connection = await connect(database.owner)
    try:
        await connection.execute("SELECT telemetry.create_sample_partition('2026-11-01')")
        yield connection
    finally:
        await connection.close()


async def distribute(owner: Connection) -> list[asyncpg.Record]:
    """As psql --single-transaction would. What Citus was asked for."""
    await owner.execute(_STAND_INS)
    async with owner.transaction():
        await owner.execute((FOLDER / "distribute.sql").read_text())
    return await owner.fetch("SELECT * FROM public.asked")


async def test_every_rule_of_citus_is_kept_once_it_is_distributed(owner: Connection) -> None:
    asked = await distribute(owner)
    tables = {(row["name"], row["col"], row["with_name"]) for row in asked if row["what"] == "distributed"}
    assert tables == {
        (table, "site_id", "none" if table == "telemetry.sample" else "telemetry.sample") for table in DISTRIBUTED
    }
    assert sorted(row["name"] for row in asked if row["what"] == "reference") == REFERENCES
    assert await rules.broken(owner, DISTRIBUTED, REFERENCES) == {}


async def test_the_rules_find_what_breaks_them(schema: Connection) -> None:
    """The schema as it is migrated, and the tables that stay on the coordinator for a reason."""
    as_migrated = await rules.broken(schema, DISTRIBUTED, [])
    assert as_migrated == {
        "S: no subquery in a policy of row-level security": [f"{table}.tenant" for table in DISTRIBUTED]
    }  # fmt: skip
    found = await rules.broken(
        schema, ["telemetry.dead_letter", "supervision.alert", "imports.file", "telemetry.shard_lease"], ["registry.site"]
    )
    letters = {rule[0] + ":" + rule[2:].partition(" of ")[0][:22] for rule in found}
    assert len(letters) >= 5, found  # keys, foreign keys, triggers, policies, the column


async def test_nothing_of_telemetry_is_forgotten(schema: Connection) -> None:
    """A new table of this schema has to be put on one side or the other."""
    tables = await schema.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relnamespace = 'telemetry'::regnamespace"
        " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    assert {row["name"] for row in tables if not LOCAL.fullmatch(row["name"])} == set(DISTRIBUTED)


async def test_every_statement_says_for_which_site_it_is_or_is_listed(schema: Connection) -> None:
    found = rules.touching(rules.statements(), DISTRIBUTED)
    assert len(found) > 30
    listed = documented()
    loose = {
        each.name for each in found for write in rules.writes(each, DISTRIBUTED) if not rules.is_routed(write)
    }  # fmt: skip
    mixed = {each.name for each in found if rules.mixes(each, LOCAL)}
    everywhere = {each.name for each in found if not rules.writes(each, DISTRIBUTED) and not rules.is_of_one_site(each.sql)}
    bodies = await schema.fetch(
        "SELECT p.oid::regproc::text AS name, p.prosrc AS sql FROM pg_proc p"
        " WHERE p.pronamespace::regnamespace::text IN ('telemetry', 'registry', 'supervision', 'imports', 'remote')"
    )
    functions = {
        row["name"] for row in bodies if rules.touching(iter([rules.Statement(row["name"], row["sql"])]), DISTRIBUTED)
    }
    assert loose | mixed | everywhere | functions == set(listed)
    assert all(reason for reason in listed.values())


async def test_conflicts_are_found_on_the_distribution_column_and_updates_are_not_volatile(schema: Connection) -> None:
    volatile = {
        row["proname"] for row in await schema.fetch("SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v'")
    } - {row["proname"] for row in await schema.fetch("SELECT DISTINCT proname FROM pg_proc WHERE provolatile <> 'v'")}
    for each in rules.touching(rules.statements(), DISTRIBUTED):
        for write in rules.writes(each, DISTRIBUTED):
            assert all("site_id" in target for target in rules.conflict_targets(write)), each
            if not write.startswith("INSERT"):
                assert not volatile & set(re.findall(r"\b(\w+)\(", write)), each
        assert "FOR UPDATE" not in each.sql, each
        assert "FOR SHARE" not in each.sql, each


def documented() -> dict[str, str]:
    """The table in deploy/citus/README.md: name → what becomes of it."""
    lines = (FOLDER / "README.md").read_text().splitlines()
    rows = [re.fullmatch(r"\| `([^`]+)` \| (.+) \|", line) for line in lines]
    return {row[1]: row[2] for row in rows if row}


async def test_everybody_sees_the_sites_that_they_saw_before(owner: Connection, database: Database) -> None:
    await owner.execute(_PEOPLE)
    await distribute(owner)
    for step in ("SELECT 1", _CHANGES, _BACK):
        await owner.execute(step)
        await owner.execute(
            "INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings) SELECT id, 'd', $1, $1, '{1}'"
            " FROM registry.site ON CONFLICT DO NOTHING",
            datetime(2026, 11, 1, 12, tzinfo=UTC),
        )
        pool = await open_pool(database.sp_web, size_max=1)
        people = [row["id"] for row in await owner.fetch("SELECT id FROM accounts.person")]
        assert len(people) >= 6
        for person in [*people, "nobody", None]:
            async with acting_as(pool, person) as connection:
                before = [row["id"] for row in await connection.fetch("SELECT id FROM registry.site ORDER BY id")]
                now = [row["site_id"] for row in await connection.fetch("SELECT site_id FROM telemetry.sample ORDER BY 1")]
                assert now == before, (person, step)
        pool.terminate()


async def test_the_check_that_an_owner_runs_finds_what_is_wrong(owner: Connection) -> None:
    await owner.execute(_PEOPLE)
    await distribute(owner)
    await owner.execute(
        "INSERT INTO telemetry.site_day SELECT id, current_date, 'UTC', 1, 1, 1, 1, 1, '{}', '{}', '{}', '{}', '{}', '{}',"
        " now() FROM registry.site"
    )
    assert await checked(owner) == set()
    await owner.execute("UPDATE spread.site SET customer_organisation_id = 'c2' WHERE id = 's1'")
    assert await checked(owner) == {
        ("owner", "s1", "registry"), ("manager", "s1", "telemetry"), ("guest", "s1", "telemetry"),
    }  # fmt: skip


async def checked(owner: Connection) -> set[tuple[str, str, str]]:
    before, answer = (FOLDER / "check.sql").read_text().split("SELECT person_id, site_id, string_agg")
    question, _, after = answer.partition(";")
    await owner.execute(before)
    rows = await owner.fetch(f"SELECT person_id, site_id, string_agg{question}")
    await owner.execute(after)
    return {(row["person_id"], row["site_id"], row["seen_only_in"]) for row in rows}
