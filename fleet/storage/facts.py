"""What a support bundle tells of a database: sizes and counts, and nothing of what is in the rows."""

from typing import Any, Final

from fleet.storage.database import Connection

_SIZES: Final = """
    SELECT n.nspname || '.' || c.relname AS name, pg_total_relation_size(c.oid) AS bytes, c.reltuples::bigint AS rows_about
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY bytes DESC LIMIT 200
"""
_QUESTIONS: Final = {
    "migrations": "SELECT name, applied_at FROM public.schema_migration ORDER BY name",
    "alerts": (
        "SELECT rule, severity, count(*) AS number, count(*) FILTER (WHERE resolved_at IS NULL) AS open"
        " FROM supervision.alert GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "health": "SELECT status, count(*) AS number FROM supervision.health GROUP BY 1 ORDER BY 1",
    "dead_letters": (
        "SELECT code, count(*) AS number, max(received_at) AS newest FROM telemetry.dead_letter GROUP BY 1 ORDER BY 1"
    ),
    "imports": "SELECT state, count(*) AS number FROM imports.file GROUP BY 1 ORDER BY 1",
    "commands": "SELECT state, count(*) AS number FROM remote.command GROUP BY 1 ORDER BY 1",
    "configurations": "SELECT status, count(*) AS number FROM remote.config GROUP BY 1 ORDER BY 1",
    "mail": "SELECT sent_at IS NOT NULL AS sent, count(*) AS number FROM accounts.mail GROUP BY 1 ORDER BY 1",
    "shards": "SELECT shard, cardinality(slots) AS slots, epoch, claimed_at FROM telemetry.shard_lease ORDER BY shard",
    "connections": "SELECT usename AS role, state, count(*) AS number FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 1, 2",
    "certificates": (
        "SELECT count(*) AS issued, count(*) FILTER (WHERE revoked_at IS NOT NULL) AS revoked,"
        " min(not_after) FILTER (WHERE revoked_at IS NULL AND superseded_at IS NULL AND not_after > now()) AS first_ends"
        " FROM pki.certificate"
    ),
}


async def gather(connection: Connection) -> dict[str, Any]:
    """By subject; what an older schema does not have is missing."""
    found: dict[str, Any] = {
        "postgres": await connection.fetchval("SELECT version()"),
        "size_bytes": await connection.fetchval("SELECT pg_database_size(current_database())"),
        "tables": [dict(row) for row in await connection.fetch(_SIZES)],
    }
    for subject, question in _QUESTIONS.items():
        table = question.split(" FROM ", 1)[1].split()[0]
        if table.startswith("pg_") or await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
            found[subject] = [dict(row) for row in await connection.fetch(question)]
    return found
