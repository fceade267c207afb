"""Backups of an installation, and what two of them have to agree on."""

from tests.compose.stack import Stack

# One line a table: how many rows, and a hash of them all, whatever their order.
_SUMMARY = """
SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables
WHERE schemaname IN ('accounts', 'registry', 'telemetry', 'imports', 'remote', 'pki', 'audit') ORDER BY 1
"""


def summary(stack: Stack) -> dict[str, str]:
    """Table → rows and their hash."""
    tables = [table for (table,) in stack.sql(_SUMMARY)]
    each = " UNION ALL ".join(
        f"SELECT '{table}', count(*) || ' ' || coalesce(sum(hashtextextended(row::text, 0)), 0) FROM {table} AS row"  # noqa: S608 - names out of the catalogue
        for table in tables
    )
    return {line[0]: line[1] for line in stack.sql(each)}
