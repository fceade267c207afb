"""An upgrade takes a snapshot first, and the snapshot is the way back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.keeping import sealing, upgrade
from actors.keeping.restore import How, restore
from actors.keeping.sealing import Opener
from fleet.errors import BadInput
from fleet.settings import DatabaseSettings, KeepingSettings
from fleet.storage import migrate as migrations
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate
from tests.keeping_rig import elsewhere, empty_database, kept, schema_of
from tests.servers import Cluster

OLDER = ("0001_initial.sql", "0002_onboarding.sql", "0003_field_data.sql")


def passwords(cluster: Cluster) -> dict[str, str]:
    return {role: (cluster.secrets / role).read_text() for role in SERVICE_ROLES}


async def as_older_release(cluster: Cluster, database: DatabaseSettings) -> None:
    owner = await connect(database)
    try:
        async with owner.transaction():
            await migrations.replay(owner, passwords(cluster), OLDER)
            await owner.execute("INSERT INTO accounts.organisation (id, name, kind) VALUES ('o', 'O', 'customer')")
            await owner.execute("SELECT telemetry.create_sample_partition('2026-01-02')")
            await owner.execute("INSERT INTO telemetry.sample VALUES ('s', 'd', '2026-01-02 12:00+00', now(), '{1,2}')")
    finally:
        await owner.close()


async def upgraded(cluster: Cluster, database: DatabaseSettings) -> list[str]:
    owner = await connect(database)
    try:
        return await migrate(owner, passwords(cluster))
    finally:
        await owner.close()


@pytest.fixture
def blank(postgres: Cluster) -> Iterator[DatabaseSettings]:
    yield (made := empty_database(postgres, "blank"))
    postgres.drop_database(made.name)


@pytest.fixture
def older(postgres: Cluster, tmp_path: Path) -> Iterator[KeepingSettings]:
    database = empty_database(postgres, "older")
    asyncio.run(as_older_release(postgres, database))
    settings = kept(postgres, database, tmp_path).settings
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "key").write_text("k")
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals" / "large").write_text("not in a snapshot")
    yield settings
    postgres.drop_database(database.name)


async def test_the_snapshot_is_the_way_back(
    older: KeepingSettings, blank: DatabaseSettings, postgres: Cluster, tmp_path: Path
) -> None:
    schema, key = schema_of(older.database), tmp_path / "keys" / "snapshot_key"
    made = await upgrade.snapshot(older, key)
    assert made is not None
    assert made.file.name.startswith("snapshot-")
    assert (await upgraded(postgres, older.database))[0] == "0004_remote.sql"
    assert await upgrade.snapshot(older, key) is None  # nothing is new any more

    target = elsewhere(older, blank, tmp_path / "second")
    (target.archives.parent / "originals").mkdir(parents=True)
    (target.archives.parent / "originals" / "large").write_text("of the folder that was kept")
    await restore(target, made.file, Opener(sealing.keys_in(key)), How(verify=True))
    assert schema_of(target.database) == schema
    assert (target.pki / "key").read_text() == "k"
    assert (target.originals / "large").exists()  # what a snapshot does not hold, it does not touch
    assert (await upgraded(postgres, target.database))[0] == "0004_remote.sql"  # and forward again


async def test_an_empty_database_needs_none(postgres: Cluster, blank: DatabaseSettings, tmp_path: Path) -> None:
    settings = kept(postgres, blank, tmp_path).settings
    assert await upgrade.snapshot(settings, tmp_path / "snapshot_key") is None
    assert not settings.archives.exists()


async def test_a_newer_release_s_archive_is_refused(
    older: KeepingSettings, blank: DatabaseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await upgrade.snapshot(older, tmp_path / "snapshot_key")
    assert made is not None
    known = {name: told for name, told in migrations.shipped_checksums().items() if name != OLDER[-1]}
    monkeypatch.setattr(migrations, "shipped_checksums", lambda: known)  # as a release without that file has it
    target = elsewhere(older, blank, tmp_path / "second")
    with pytest.raises(BadInput) as refused:
        await restore(target, made.file, Opener(sealing.keys_in(tmp_path / "snapshot_key")))
    assert refused.value.code == "backup_newer"
