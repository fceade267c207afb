"""A restore whose connection breaks, or that somebody interrupts: it has happened wholly, or not at all."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from actors.keeping import aside, backup
from actors.keeping.restore import How, restore
from fleet.errors import Conflict, Unavailable
from fleet.settings import DatabaseSettings, KeepingSettings
from fleet.storage.database import AWAY, connect
from tests.fleet_rig import seed_fleet
from tests.keeping_rig import Kept, elsewhere, empty_database, files_of, kept
from tests.servers import Cluster, Database

_COMMIT = b"COMMIT;\x00"
_FIRST = b"CREATE TABLE public.restoring"
_LAST = b"DROP TABLE public.restoring"  # before the commit


Fate = Literal["goes on", "answer lost", "word lost"]


@dataclass
class Wire:
    """To PostgreSQL. When `at` is said, `then` is called; what it returns becomes of the connection.

    absent  how many connections after that one are not taken
    """

    told: KeepingSettings
    at: bytes
    then: Callable[[], Fate]
    absent: int = 0
    _is_cut: bool = False

    @asynccontextmanager
    async def settings(self) -> AsyncIterator[KeepingSettings]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        database = self.told.database
        try:
            port = server.sockets[0].getsockname()[1]
            wired = DatabaseSettings("127.0.0.1", port, database.name, database.user, database.password_file)
            yield msgspec.structs.replace(self.told, database=wired)
        finally:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut and self.absent:
            self.absent -= 1
            writer.close()
            return
        theirs, ours = await asyncio.open_connection(self.told.database.host, self.told.database.port)
        back = asyncio.create_task(_back(theirs, writer))
        while piece := await reader.read(65_536):
            fate = self.then() if self.at in piece else "goes on"
            if fate != "goes on":
                self._is_cut = True
                back.cancel()
            if fate != "word lost":
                ours.write(piece)
                await ours.drain()
            if fate == "answer lost":
                await asyncio.wait([back])
                await theirs.read(65_536)
            if fate != "goes on":
                break
        ours.close()
        writer.close()


async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@pytest.fixture
def empty(postgres: Cluster) -> Iterator[DatabaseSettings]:
    yield (made := empty_database(postgres, "restored"))
    postgres.drop_database(made.name)


@pytest.mark.parametrize("fate", ["answer lost", "word lost"])
async def test_a_commit_whose_answer_does_not_come(
    database: Database, postgres: Cluster, empty: DatabaseSettings, tmp_path: Path, fate: Literal["answer lost", "word lost"]
) -> None:
    """The files stay exactly if the rows do."""
    await seed_fleet(database, [("s", {"inverter-1": "inverter"})])
    rig = kept(postgres, database.owner, tmp_path)
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals" / "a").write_text("a")
    made = await backup.back_up(rig.settings, rig.seal)
    target = elsewhere(rig.settings, empty, tmp_path / "second")
    async with Wire(target, _COMMIT, lambda: fate).settings() as wired:
        with pytest.raises(AWAY):
            await restore(wired, made.file, rig.opener)
    came = fate == "answer lost"
    owner = await connect(target.database)
    try:
        marked = await owner.fetchval("SELECT to_regclass('public.restoring') IS NOT NULL")
        restored = await owner.fetchval("SELECT to_regclass('registry.device') IS NOT NULL")
    finally:
        await owner.close()
    assert (marked, restored, sorted(files_of(target))) == (False, came, ["originals/a"] if came else [])


async def test_who_interrupts_it_has_what_there_was(database: Database, postgres: Cluster, tmp_path: Path) -> None:
    rig, archive = await lived_in(database, postgres, tmp_path)
    before = files_of(rig.settings)
    going: list[asyncio.Task[object]] = []

    def interrupted() -> Literal["goes on"]:
        going[0].cancel()
        return "goes on"

    async with Wire(rig.settings, _LAST, interrupted).settings() as wired:
        going.append(asyncio.create_task(restore(wired, archive, rig.opener, How(set_aside=True))))
        with pytest.raises(asyncio.CancelledError):
            await going[0]
    assert files_of(rig.settings) == before
    owner = await connect(database.owner)
    try:
        assert await owner.fetchval("SELECT count(*) FROM registry.device") == 1
        names = await owner.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{database.name}_")
        assert names == []
    finally:
        await owner.close()


async def test_what_was_cut_off_can_be_set_aside(database: Database, postgres: Cluster, tmp_path: Path) -> None:
    """Of one that was killed: it leaves its mark, and what it had written."""
    rig = kept(postgres, database.owner, tmp_path)
    made = await backup.back_up(rig.settings, rig.seal)
    owner = await connect(database.owner)
    try:
        await owner.execute("CREATE TABLE public.restoring (since timestamptz)")
    finally:
        await owner.close()
    (tmp_path / "plan.json").write_text("half")
    with pytest.raises(Conflict, match="half_restored"):
        await restore(rig.settings, made.file, rig.opener)
    await restore(rig.settings, made.file, rig.opener, How(set_aside=True, verify=True))
    owner = await connect(database.owner)
    try:
        assert await owner.fetchval("SELECT to_regclass('public.restoring') IS NULL")
    finally:
        await owner.close()


async def lived_in(database: Database, postgres: Cluster, folder: Path) -> tuple[Kept, Path]:
    """An installation that has changed since its backup; and the backup."""
    await seed_fleet(database, [("s", {"inverter-1": "inverter"})])
    rig = kept(postgres, database.owner, folder)
    (folder / "originals").mkdir()
    (folder / "originals" / "a").write_text("a")
    made = await backup.back_up(rig.settings, rig.seal)
    (folder / "originals" / "a").write_text("since")
    return rig, made.file


async def databases(database: Database) -> list[str]:
    """The names of those that were made in its place."""
    owner = await connect(database.owner)
    try:
        rows = await owner.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{database.name}_")
    finally:
        await owner.close()
    return [row["datname"] for row in rows]


async def test_a_postgresql_that_restarts_before_the_commit_gets_everything_back(
    database: Database, postgres: Cluster, tmp_path: Path
) -> None:
    """It does not answer at once."""
    rig, archive = await lived_in(database, postgres, tmp_path)
    before = files_of(rig.settings)
    async with Wire(rig.settings, _LAST, lambda: "word lost", absent=3).settings() as wired:
        with pytest.raises(AWAY):
            await restore(wired, archive, rig.opener, How(set_aside=True))
    assert files_of(rig.settings) == before
    assert await databases(database) == []
    owner = await connect(database.owner)
    try:
        assert await owner.fetchval("SELECT count(*) FROM registry.device") == 1
    finally:
        await owner.close()


@pytest.mark.parametrize(("at", "times"), [(_LAST, 1), (_COMMIT, 2)])  # the first commit gives the databases their names
async def test_a_postgresql_that_stays_away_is_told_with_the_name_of_what_there_was(
    database: Database, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: bytes, times: int
) -> None:
    fates: Iterator[Fate] = chain(repeat("goes on", times - 1), ["word lost"])
    monkeypatch.setattr("actors.keeping.aside.RESTORE_PATIENCE_S", 0.0)
    rig, archive = await lived_in(database, postgres, tmp_path)
    before = files_of(rig.settings)
    async with Wire(rig.settings, at, lambda: next(fates), absent=sys.maxsize).settings() as wired:
        with pytest.raises(Unavailable, match="not_undone") as caught:
            await restore(wired, archive, rig.opener, How(set_aside=True))
    (name,) = await databases(database)
    assert f"{database.name}_until_" in name
    assert name in str(caught.value)
    surely_not = at == _LAST
    assert (files_of(rig.settings) == before) == surely_not  # what needs no database is undone
    await asyncio.to_thread(postgres.drop_database, name)


async def test_a_mark_whose_answer_does_not_come_is_no_half_restore(
    database: Database, postgres: Cluster, empty: DatabaseSettings, tmp_path: Path
) -> None:
    rig, archive = await lived_in(database, postgres, tmp_path)
    target = elsewhere(rig.settings, empty, tmp_path / "second")
    async with Wire(target, _FIRST, lambda: "answer lost").settings() as wired:
        with pytest.raises(AWAY):
            await restore(wired, archive, rig.opener)
    await restore(target, archive, rig.opener)


async def test_another_restores_mark_stays(empty: DatabaseSettings) -> None:
    """Of two that found the database empty, one marks it first."""
    await aside.mark(empty, AsyncExitStack())
    async with AsyncExitStack() as undo:
        with pytest.raises(Conflict, match="half_restored"):
            await aside.mark(empty, undo)
    owner = await connect(empty)
    try:
        assert await owner.fetchval("SELECT to_regclass('public.restoring') IS NOT NULL")
    finally:
        await owner.close()
