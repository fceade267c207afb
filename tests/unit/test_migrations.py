"""Migrations that the release before survives: first expand; what takes away stands in a file of its own, a release later.

Two releases run side by side during a rolling restart, and the older one again after a step back. So a file after those
of the first releases only adds, unless its name ends with `_contract.sql`; such a file may come once no release in use needs
what it takes away.
"""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "fleet" / "storage" / "migrations"
BEFORE_THE_RULE = ("0001_initial.sql", "0002_onboarding.sql", "0003_field_data.sql", "0004_remote.sql")
_NOT_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
_TAKES_AWAY = {
    "drops": r"DROP\s+(?:TABLE|VIEW|MATERIALIZED|FUNCTION|SCHEMA|TYPE|SEQUENCE|COLUMN|DEFAULT|POLICY|ROLE)",
    "renames": r"RENAME",
    "changes a type": r"ALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE",
    "forbids NULL": r"SET\s+NOT\s+NULL",
    "takes rights": r"REVOKE\s+(?!ALL ON FUNCTION|EXECUTE ON FUNCTION)",
}
_ADDED_COLUMN = re.compile(r"ADD\s+COLUMN\s+[^,]*(?:,(?!\s*ADD)[^,]*)*", re.IGNORECASE)
_TABLE = r"(?:ONLY\s+)?([\w.\"]+)"


def offences(sql: str) -> list[str]:
    """What the code of the release before would stumble over."""
    code = _NOT_CODE.sub(" ", sql)
    own = {name.lower() for name in re.findall(rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_TABLE}", code, re.IGNORECASE)}
    found = []
    for statement in (" ".join(part.split()) for part in code.split(";")):
        table = re.match(
            rf"(?:ALTER TABLE (?:IF EXISTS )?|CREATE UNIQUE INDEX (?:\S+ )?ON ){_TABLE}", statement, re.IGNORECASE
        )
        if table is not None and table[1].lower() in own:
            continue
        found += [f"{why}: {statement}" for why, form in _TAKES_AWAY.items() if re.search(form, statement, re.IGNORECASE)]
        for added in _ADDED_COLUMN.findall(statement):
            if re.search("NOT NULL", added, re.IGNORECASE) and not re.search("DEFAULT|GENERATED", added, re.IGNORECASE):
                found.append(f"needs a value: {statement}")
        if re.match("CREATE UNIQUE INDEX", statement, re.IGNORECASE) or re.search(
            r"ADD (?:CONSTRAINT \S+ )?(?:CHECK|UNIQUE|FOREIGN|EXCLUDE)", statement, re.IGNORECASE
        ):
            found.append(f"refuses what was allowed: {statement}")
    return found


def test_migrations_expand_first() -> None:
    new = [file for file in sorted(FOLDER.glob("*.sql")) if file.name not in BEFORE_THE_RULE]
    expanding = [file for file in new if not file.name.endswith("_contract.sql")]
    assert {file.name: offences(file.read_text()) for file in expanding} == {file.name: [] for file in expanding}


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE a.t DROP COLUMN c;",
        "DROP TABLE a.t;",
        "ALTER TABLE a.t RENAME COLUMN c TO d;",
        "ALTER TABLE a.t ALTER COLUMN c TYPE bigint;",
        "ALTER TABLE a.t ALTER c SET NOT NULL;",
        "ALTER TABLE a.t ADD COLUMN c text NOT NULL;",
        "ALTER TABLE a.t ADD COLUMN b int DEFAULT 1, ADD COLUMN c text NOT NULL;",
        "ALTER TABLE a.t ADD CONSTRAINT k CHECK (c > 0);",
        "CREATE UNIQUE INDEX ON a.t (c);",
        "DROP FUNCTION a.f(int);",
        "REVOKE SELECT ON a.t FROM sp_web;",
        "DROP POLICY p ON a.t;",
    ],
)
def test_what_takes_away_is_found(sql: str) -> None:
    assert offences(sql) != []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE a.t ADD COLUMN c text;",
        "ALTER TABLE a.t ADD COLUMN c text NOT NULL DEFAULT '';",
        "CREATE TABLE a.n (c text NOT NULL); CREATE UNIQUE INDEX ON a.n (c); ALTER TABLE a.n ADD CHECK (c <> '');",
        "CREATE INDEX ON a.t (c); -- DROP TABLE a.t",
        "CREATE OR REPLACE FUNCTION a.f() RETURNS int LANGUAGE sql AS $$ DROP TABLE x $$;",
        "REVOKE ALL ON FUNCTION a.f FROM PUBLIC; GRANT EXECUTE ON FUNCTION a.f TO sp_web;",
    ],
)
def test_what_only_adds_is_let_in(sql: str) -> None:
    assert offences(sql) == []
