"""A restore that fails leaves what there was: the database, its name, the folders. One that ends has settled everything."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from actors.keeping import __main__ as among_containers
from actors.keeping import backup, sealing
from actors.keeping.restore import restore
from certs import crl
from certs.authority import Pki as Authorities
from fleet import settings
from fleet.errors import BadInput
from fleet.settings import KeepingSettings
from fleet.storage.database import connect
from tests.fleet_rig import seed_fleet
from tests.keeping_rig import Kept, elsewhere, empty_database, files_of, kept, replace_path
from tests.servers import Cluster, Database, certs

_PATH_BYTES_MAX = 4096  # Linux: a path that is longer is no path
_SESSION = """
    WITH p AS (INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)
               VALUES ('p', 'org-customer', 'p@example.net', 'P', 'customer', 'x') RETURNING id)
    INSERT INTO accounts.session (id, person_id, refresh_hash, expires_at)
    SELECT 's', id, 'r', now() + interval '1 day' FROM p
"""


@pytest.fixture
def full(postgres: Cluster, database: Database, tmp_path: Path) -> Kept:
    rig = kept(postgres, database.owner, tmp_path)
    certs("init", str(rig.settings.pki))
    for name in ("secrets/jwt_key.pem", "dropbox/box/a.csv", "originals/ab/cd.zst", "plan.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("of the backup")
    (tmp_path / "originals" / "large").write_bytes(os.urandom(3_000_000))  # more than is read at once
    asyncio.run(_lived_in(database))
    return rig


async def _lived_in(database: Database) -> None:
    await seed_fleet(database, [("s", {"inverter-1": "inverter"})])
    owner = await connect(database.owner)
    try:
        await owner.execute(_SESSION)
    finally:
        await owner.close()


@pytest.fixture
def target(postgres: Cluster, full: Kept, tmp_path: Path) -> Iterator[KeepingSettings]:
    database = empty_database(postgres, "restored")
    yield elsewhere(full.settings, database, tmp_path / "second")
    postgres.drop_database(database.name)


async def tables_of(told: KeepingSettings) -> int:
    owner = await connect(told.database)
    try:
        return int(await owner.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname !~ '^pg_|^information'"))
    finally:
        await owner.close()


def test_an_archive_whose_very_end_is_damaged_leaves_what_there_was(full: Kept, target: KeepingSettings) -> None:
    """All its rows and files are read before the end shows it."""
    made = asyncio.run(backup.back_up(full.settings, full.seal))
    with sealing.unsealed(made.file, full.opener) as pipe:
        plain = pipe.read()
    with sealing.sealed(made.file, full.seal) as pipe:
        pipe.write(plain + os.urandom(3_000_000))  # of many sealed pieces, and the last one does not hold
    content = made.file.read_bytes()
    made.file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BadInput, match="damaged"):
        asyncio.run(restore(target, made.file, full.opener))
    assert files_of(target) == {}
    assert asyncio.run(tables_of(target)) == 0


def test_keys_that_cannot_be_moved_aside_stay(full: Kept, target: KeepingSettings, tmp_path: Path) -> None:
    """Half of them were moved already when one could not be."""
    deep = tmp_path / "second"
    while len(os.fsencode(deep)) < _PATH_BYTES_MAX - 500:
        deep = deep / ("d" * 200)
    deep = deep / ("d" * (_PATH_BYTES_MAX - len(os.fsencode(deep)) - 275))  # beside it a long name has room, below it none
    deep.mkdir(parents=True)
    there = {name: f"in use: {name[:5]}" for name in ("a" * 255, *(f"key{n}" for n in range(20)))}
    for name, content in there.items():
        (deep / name).write_text(content)
    folders = tuple(replace_path(one, deep) if one.made_anew else one for one in target.folders)
    made = asyncio.run(backup.back_up(full.settings, full.seal))
    with pytest.raises(OSError, match="too long"):
        asyncio.run(restore(msgspec.structs.replace(target, folders=folders), made.file, full.opener))
    assert {path.name: path.read_text() for path in deep.iterdir()} == there
    assert asyncio.run(tables_of(target)) == 0


def by_hand(full: Kept, told: KeepingSettings, *words: str) -> int:
    """As it is typed, of the newest archive."""
    file = told.archives.parent / "settings" / "keeping.json"
    settings.save(file, told)
    archive = max(full.settings.archives.iterdir())
    key = full.settings.archives.parent / "key"
    return among_containers.main(["restore", str(archive), "--settings", str(file), "--key", str(key), *words])


@pytest.mark.parametrize("which", ["missing", "foreign"])
def test_a_revocation_list_that_is_none_brings_nothing_back(
    full: Kept, target: KeepingSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    """Not an installation in which everything that was revoked is in force again."""
    asyncio.run(backup.back_up(full.settings, full.seal))
    lists, now = tmp_path / f"{which}.pem", datetime.now(UTC).replace(microsecond=0)
    if which == "foreign":
        certs("init", str(tmp_path / "foreign"))
        theirs = Authorities(tmp_path / "foreign").devices
        told = crl.build(theirs, 41, [], this_update=now, next_update=now + timedelta(days=3))
        lists.write_bytes(told.public_bytes(Encoding.PEM))
    assert by_hand(full, target, "--crl", str(lists)) == 1
    assert "[crl_foreign]" in capsys.readouterr().err
    assert files_of(target) == {}
    assert asyncio.run(tables_of(target)) == 0


def test_nobody_is_signed_in_once_the_rows_are_there(full: Kept, target: KeepingSettings) -> None:
    made = asyncio.run(backup.back_up(full.settings, full.seal))
    asyncio.run(restore(target, made.file, full.opener))

    async def open_sessions() -> int:
        owner = await connect(target.database)
        try:
            return int(await owner.fetchval("SELECT count(*) FROM accounts.session WHERE revoked_at IS NULL"))
        finally:
            await owner.close()

    assert asyncio.run(open_sessions()) == 0


async def organisations(told: KeepingSettings) -> int:
    owner = await connect(told.database)
    try:
        return int(await owner.fetchval("SELECT count(*) FROM accounts.organisation WHERE id = 'since'"))
    finally:
        await owner.close()


async def added_since(told: KeepingSettings) -> None:
    owner = await connect(told.database)
    try:
        await owner.execute("INSERT INTO accounts.organisation (id, name, kind) VALUES ('since', 'Since', 'customer')")
    finally:
        await owner.close()


def test_the_way_back_sets_folders_aside_as_well(
    full: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    asyncio.run(backup.back_up(full.settings, full.seal))
    (tmp_path / "dropbox" / "box" / "a.csv").write_text("since")
    (tmp_path / "plan.json").write_text("since")
    asyncio.run(added_since(full.settings))
    assert by_hand(full, full.settings, "--set-aside", "--verify") == 0
    assert "is kept as the database" in capsys.readouterr().out
    assert asyncio.run(organisations(full.settings)) == 0
    for name in ("dropbox/box/a.csv", "plan.json", "secrets/jwt_key.pem"):
        assert (tmp_path / name).read_text() == "of the backup"
    assert [path.read_text() for path in (tmp_path / "dropbox").glob(".before-restore-*/box/a.csv")] == ["since"]
    assert [path.read_text() for path in tmp_path.glob(".before-restore-*plan.json")] == ["since"]


def test_a_way_back_that_fails_was_never_gone(full: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The database has its name again, and every folder what it had."""
    made = asyncio.run(backup.back_up(full.settings, full.seal))
    asyncio.run(added_since(full.settings))
    (tmp_path / "dropbox" / "box" / "a.csv").write_text("since")
    before, content = files_of(full.settings), made.file.read_bytes()
    made.file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for _ in range(2):
        assert by_hand(full, full.settings, "--set-aside") == 1
        assert "[damaged]" in capsys.readouterr().err
        assert asyncio.run(organisations(full.settings)) == 1
        assert files_of(full.settings) == before


def test_without_room_nothing_is_set_aside(
    full: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.run(backup.back_up(full.settings, full.seal))
    monkeypatch.setattr("actors.keeping.restore.RESTORE_GROWS_TO", 1e12)
    asyncio.run(added_since(full.settings))
    assert by_hand(full, full.settings, "--set-aside") == 1
    assert "[no_room]" in capsys.readouterr().err
    assert asyncio.run(organisations(full.settings)) == 1
    assert made.file.exists()
    assert not list(tmp_path.rglob(".before-restore-*"))


def test_what_was_restored_is_on_the_disk(full: Kept, target: KeepingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file and its folders, before the rows say that all is there."""
    made = asyncio.run(backup.back_up(full.settings, full.seal))
    synced, sync = set(), os.fsync

    def noting(descriptor: int) -> None:
        told = os.fstat(descriptor)
        synced.add((told.st_dev, told.st_ino))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    asyncio.run(restore(target, made.file, full.opener))
    root = target.archives.parent
    restored = [root / name for name in files_of(target)]
    assert len(restored) > 4
    for path in {*restored, *(folder for file in restored for folder in file.parents if folder.is_relative_to(root))}:
        told = path.stat()
        if path.name != ".lock":
            assert (told.st_dev, told.st_ino) in synced, path
