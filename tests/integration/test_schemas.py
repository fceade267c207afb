"""PostgreSQL holds each subject in a schema of its own, and each service comes in a role that can do little."""

from fleet.storage.database import connect
from tests.servers import Database

SCHEMAS = {"accounts", "registry", "telemetry", "supervision", "pki", "audit", "imports", "remote"}
# Which of them a role may so much as look into.
ROOMS = {
    "sp_twins": {"registry", "telemetry", "supervision", "audit", "remote"},
    "sp_web": SCHEMAS,
    "sp_pki": {"pki", "registry", "audit"},
    "sp_guard": {"pki", "audit"},
    "sp_notifier": {"accounts", "audit"},
    "sp_sftp": {"imports"},
    "sp_importer": {"imports", "registry", "telemetry", "accounts"},
    "sp_rollouts": {"registry", "telemetry", "supervision", "accounts", "audit", "remote"},
}


async def test_each_subject_has_a_schema_and_each_role_its_own(database: Database) -> None:
    connection = await connect(database.owner)
    try:
        rows = await connection.fetch(
            """SELECT rolname, array_agg(nspname) AS rooms
                 FROM pg_roles, pg_namespace
                WHERE rolname = ANY($1::text[]) AND nspname = ANY($2::text[])
                  AND has_schema_privilege(rolname, nspname, 'USAGE')
                GROUP BY rolname""",
            sorted(ROOMS),
            sorted(SCHEMAS),
        )
        might = await connection.fetch(
            """SELECT rolname FROM pg_roles
                WHERE rolname = ANY($1::text[]) AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)""",
            sorted(ROOMS),
        )
    finally:
        await connection.close()
    found = {row["rolname"]: set(row["rooms"]) for row in rows}
    assert found == ROOMS
    assert [row["rolname"] for row in might] == []
