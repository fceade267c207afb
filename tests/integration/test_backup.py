"""Backups: what is in one comes back equal, to the last grant; what is wrong with one is said, and nothing is left."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.keeping import backup, equality, sealing
from actors.keeping.archive import writing
from actors.keeping.manifest import HEADER, ROWS
from actors.keeping.restore import How, look, restore
from actors.keeping.sealing import Opener
from fleet.errors import BadInput, Conflict, FleetError
from fleet.settings import KeepingSettings
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate
from tests.fleet_rig import seed_fleet
from tests.keeping_rig import Kept, elsewhere, empty_database, files_of, kept, schema_of
from tests.servers import Cluster, Database

DAMAGES = {
    "truncated": "damaged",
    "cut_in_half": "damaged",
    "changed": "damaged",
    "cut_header": "not_an_archive",
    "other": "not_an_archive",
    "empty": "not_an_archive",
}
SAMPLES = """
    INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings)
    SELECT 'site-a', 'inverter-' || d, '2025-03-28 00:00+00'::timestamptz + t * interval '7 minutes', now(),
        ARRAY[t * 1.1, NULL, 'NaN'::float8, '-0'::float8, 1e308, d]
    FROM generate_series(1, 2) d, generate_series(0, 999) t
"""


async def fill(database: Database) -> None:
    await seed_fleet(database, [("site-a", {"inverter-1": "inverter", "inverter-2": "inverter"}), ("site-b", {})])
    owner = await connect(database.owner)
    try:
        for day in ("2025-03-28", "2025-03-30", "2025-04-01", "2026-11-20"):
            await owner.execute("SELECT telemetry.create_sample_partition($1::text::date)", day)
        await owner.execute("SELECT nextval('telemetry.shard_epoch') FROM generate_series(1, 7)")
        await owner.execute(SAMPLES)
        await owner.execute("UPDATE registry.device SET gateway_id = 'inverter-1' WHERE id = 'inverter-2'")
        await owner.execute(
            "INSERT INTO audit.entry (action, detail) SELECT 'x', '{\"é\": [1, null]}' FROM generate_series(1, 9)"
        )
        await owner.execute(
            "INSERT INTO remote.receipt SELECT 1, n, n, 's', 'd', 'k', '', '{}', sha256(n::text::bytea)"
            " FROM generate_series(1, 5) n"
        )
        await owner.execute(
            "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
            " VALUES ('p', 'org-customer', 'p@example.net', 'P', 'customer', 'x')"
        )
        await owner.execute(
            "INSERT INTO accounts.session (id, person_id, refresh_hash, expires_at)"
            " VALUES ('s', 'p', 'r', now() + interval '1 day')"
        )
    finally:
        await owner.close()


def fill_folders(settings: KeepingSettings) -> None:
    for name, content in (
        ("dropbox/box/a.csv", b"1;2\n"),
        ("dropbox/empty", b""),
        ("originals/ab/cd.zst", os.urandom(3_000_000)),  # more than what is read at once
        ("pki/devices-ca/key.pem", b"-----key-----"),
        ("secrets/jwt_key.pem", b"secret"),
        ("secrets/sp_web", b"password"),
        ("plan.json", b"{}"),
    ):
        file = settings.archives.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (settings.archives.parent / "pki/devices-ca/key.pem").chmod(0o400)


@pytest.fixture
def full(postgres: Cluster, database: Database, tmp_path: Path) -> Kept:
    asyncio.run(fill(database))
    made = kept(postgres, database.owner, tmp_path)
    fill_folders(made.settings)
    return made


@pytest.fixture
def target(postgres: Cluster, full: Kept, tmp_path: Path) -> Iterator[KeepingSettings]:
    database = empty_database(postgres, "restored")
    yield elsewhere(full.settings, database, tmp_path / "second")
    postgres.drop_database(database.name)


async def test_what_comes_back_is_equal(full: Kept, target: KeepingSettings) -> None:
    """Rows to the bit, the schema to the last grant, sequences, files and modes; what the target has of its own stays."""
    made = await backup.back_up(full.settings, full.seal)
    own = target.folders[3].path / "sp_web"
    own.parent.mkdir(parents=True)
    own.write_text("of the new installation")
    done = await restore(target, made.file, full.opener, How(verify=True))
    assert (done.verified_s or 0.0) > 0
    assert schema_of(target.database) == schema_of(full.settings.database)
    there, here = files_of(target), files_of(full.settings)
    assert there.pop("secrets/sp_web")[0] == b"of the new installation"
    assert there == {name: told for name, told in here.items() if name != "secrets/sp_web"}
    tables = {table.name: table.rows for table in done.manifest.tables}
    assert tables["telemetry.sample_202503"] + tables["telemetry.sample_202504"] == 2_000
    assert tables["remote.receipt"] == 5
    owner = await connect(target.database)
    try:
        async with owner.transaction():
            (ended,) = await equality.differences(owner, target.folders, done.manifest)
        assert ended.startswith("accounts.session")  # by the restore; nothing else is different
        assert await owner.fetchval("SELECT nextval('telemetry.shard_epoch')") == 8
        assert await migrate(owner, {role: (target.passwords / role).read_text() for role in SERVICE_ROLES}) == []
    finally:
        await owner.close()


async def test_one_view_while_it_is_written_to(full: Kept, target: KeepingSettings, database: Database) -> None:
    """Rows that come, and partitions that retention drops while the backup runs: it is whole, and nobody waits for it."""
    owner = await connect(database.owner)
    stop = asyncio.Event()

    async def write() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            async with owner.transaction():
                await owner.execute("INSERT INTO audit.entry (action) VALUES ('more')")
                await owner.execute("SELECT nextval('telemetry.shard_epoch')")
                await owner.execute("SELECT telemetry.create_sample_partition('2020-01-01'::date + $1::int * 40)", number)
        return number

    writing = asyncio.create_task(write())
    try:
        made = await backup.back_up(full.settings, full.seal)
    finally:
        stop.set()
        written = await writing
        await owner.close()
    assert written > 0
    await restore(target, made.file, full.opener, How(verify=True))


def damaged(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "truncated": content[:-1],
        "cut_in_half": content[:middle],
        "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "cut_header": content[:60],
        "other": b"what is this?" * 100,
        "empty": b"",
    }[how]


async def test_what_is_wrong_is_said_and_nothing_is_left(full: Kept, target: KeepingSettings) -> None:
    made = await backup.back_up(full.settings, full.seal)
    whole = made.file.read_bytes()
    for how, code in DAMAGES.items():
        made.file.write_bytes(damaged(whole, how))
        with pytest.raises(BadInput) as refused:
            await restore(target, made.file, full.opener)
        assert (how, refused.value.code) == (how, code)
        await nothing_is_left(target)


async def test_a_restore_that_fails_gives_back_what_there_was(full: Kept, target: KeepingSettings) -> None:
    """Keys that the first start has made are moved aside for it: they may be in use after all."""
    made = await backup.back_up(full.settings, full.seal)
    secrets, plan = target.folders[3].path, target.folders[4].path
    secrets.mkdir(parents=True)
    (secrets / "jwt_key.pem").write_text("in use")
    plan.write_text("somebody's")
    with pytest.raises(Conflict, match="folder_taken"):
        await restore(target, made.file, full.opener)
    assert [path.name for path in secrets.iterdir()] == ["jwt_key.pem"]
    plan.unlink()
    made.file.write_bytes(damaged(made.file.read_bytes(), "changed"))
    with pytest.raises(BadInput, match="damaged"):
        await restore(target, made.file, full.opener)
    assert [path.name for path in secrets.iterdir()] == ["jwt_key.pem"]
    assert (secrets / "jwt_key.pem").read_text() == "in use"


HOSTILE = (
    {"name": "pg_catalog.pg_authid"},
    {"name": "telemetry.x", "parent": "telemetry.sample", "bound": "DEFAULT; DROP TABLE audit.entry"},
    {
        "name": "telemetry.x",
        "parent": "telemetry.sample",
        "bound": "FOR VALUES FROM ('2025-01-01') TO ('2025-01-02')",
        "grants": ["GRANT SELECT ON telemetry.x TO sp_web; DROP TABLE audit.entry"],
    },
)


@pytest.mark.parametrize("told", HOSTILE)
async def test_an_archive_that_was_made_up_says_nothing_to_the_database(
    full: Kept, target: KeepingSettings, told: dict[str, object]
) -> None:
    """Anybody can seal one who knows for whom."""
    made = await backup.back_up(full.settings, full.seal)
    header = look(made.file, full.opener)
    described = {"columns": [], "key": [], "parent": None, "bound": None, "grants": []} | told
    with writing(made.file, full.seal) as archive:
        archive.add_struct(HEADER, header)
        archive.add(f"{ROWS}/{told['name']}/table.json", msgspec.json.encode(described))
        archive.add(f"{ROWS}/{told['name']}/000000.copy", b"")
    with pytest.raises(BadInput, match="damaged"):
        await restore(target, made.file, full.opener)
    await nothing_is_left(target)


async def test_what_is_in_use_is_not_set_aside(full: Kept, database: Database) -> None:
    made = await backup.back_up(full.settings, full.seal)
    service = await connect(database.sp_web)
    try:
        with pytest.raises(Conflict, match="installation_runs"):
            await restore(full.settings, made.file, full.opener, How(set_aside=True))
        assert await service.fetchval("SELECT 1") == 1
    finally:
        await service.close()


async def nothing_is_left(target: KeepingSettings) -> None:
    assert files_of(target) == {}
    owner = await connect(target.database)
    try:
        assert await owner.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname !~ '^pg_|^information'") == 0
    finally:
        await owner.close()


async def test_the_wrong_key_opens_nothing(full: Kept, target: KeepingSettings, tmp_path: Path) -> None:
    made = await backup.back_up(full.settings, full.seal)
    sealing.make_key(tmp_path / "other")
    (tmp_path / "word").write_text("a passphrase of some length\n")
    for opener, code in (
        (Opener(sealing.keys_in(tmp_path / "other")), "wrong_key"),
        (Opener(passphrase=sealing.passphrase_in(tmp_path / "word")), "needs_key"),
    ):
        with pytest.raises(BadInput) as refused:
            look(made.file, opener)
        assert refused.value.code == code
    assert b"PGCOPY" not in made.file.read_bytes()


async def test_a_passphrase_seals_as_well(full: Kept, tmp_path: Path) -> None:
    word, other = tmp_path / "word", tmp_path / "other_word"
    word.write_text("a passphrase of some length\n")
    other.write_text("another passphrase of some length\n")
    made = await backup.back_up(full.settings, sealing.with_passphrase(word))
    assert look(made.file, Opener(passphrase=sealing.passphrase_in(word))).kind == "backup"
    with pytest.raises(BadInput) as refused:
        look(made.file, Opener(passphrase=sealing.passphrase_in(other)))
    assert refused.value.code == "wrong_key"
    with pytest.raises(BadInput) as refused:
        look(made.file, full.opener)
    assert refused.value.code == "needs_passphrase"


async def test_nothing_is_overwritten(full: Kept, target: KeepingSettings) -> None:
    made = await backup.back_up(full.settings, full.seal)
    with pytest.raises(Conflict) as refused:
        await restore(full.settings, made.file, full.opener)
    assert refused.value.code == "database_taken"
    (target.folders[0].path).mkdir(parents=True)
    (target.folders[0].path / "somebody's").write_text("x")
    with pytest.raises(Conflict) as refused:
        await restore(target, made.file, full.opener)
    assert refused.value.code == "folder_taken"


async def test_a_restore_that_was_cut_short_starts_nowhere(full: Kept, target: KeepingSettings) -> None:
    owner = await connect(target.database)
    try:
        await owner.execute("CREATE TABLE public.restoring ()")  # what one that was killed leaves
        with pytest.raises(Conflict) as refused:
            await migrate(owner, {role: (target.passwords / role).read_text() for role in SERVICE_ROLES})
        assert refused.value.code == "half_restored"
    finally:
        await owner.close()


async def test_two_never_run_at_once(full: Kept) -> None:
    outcomes = await asyncio.gather(*(backup.back_up(full.settings, full.seal) for _ in range(2)), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, FleetError)]
    assert [one.code for one in refused] == ["backup_runs"]
    assert len(list(full.settings.archives.iterdir())) == 1


async def test_old_ones_are_pruned(full: Kept) -> None:
    full.settings.archives.mkdir()
    old = [full.settings.archives / f"backup-2020010{day}T000000Z-0.tar.zst.age" for day in range(1, 5)]
    for file in [*old, full.settings.archives / "snapshot-20200101T000000Z-0.tar.zst.age"]:
        file.touch()
    made = await backup.back_up(full.settings, full.seal, keep=2)
    assert sorted(full.settings.archives.iterdir()) == sorted(
        [old[3], made.file, full.settings.archives / "snapshot-20200101T000000Z-0.tar.zst.age"]
    )
