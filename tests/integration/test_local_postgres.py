"""The embedded PostgreSQL: keeps its data through every way of stopping, and clears what an earlier run left."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import asyncpg
import psutil
import pytest

from actors.local.postgres import PostgresServer
from fleet.errors import Conflict, Unavailable
from fleet.settings import DatabaseSettings
from fleet.storage.database import connect
from tests.servers import Cluster, Database


async def test_a_migrated_database_per_test(database: Database) -> None:
    connection = await connect(database.sp_web)
    assert await connection.fetch("SELECT id FROM registry.site") == []
    await connection.close()


@pytest.mark.parametrize("how", ["stop", "stop_immediate", "kill"])
async def test_committed_rows_survive(own_postgres: Cluster, how: str) -> None:
    settings = own_postgres.settings("postgres", "postgres")
    await _write(settings)
    getattr(own_postgres.server, how)()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await connect(settings)
    own_postgres.server.start()
    assert await _read(settings) == 42


async def test_only_with_the_password(own_postgres: Cluster) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host="127.0.0.1", port=own_postgres.server.port, user="postgres", password="guess", database="postgres"
        )


def test_never_runs_as_root(own_postgres: Cluster) -> None:
    assert own_postgres.server.pid is not None
    assert psutil.Process(own_postgres.server.pid).uids().effective != 0


def test_a_lock_whose_number_is_another_process_now(own_postgres: Cluster) -> None:
    own_postgres.server.stop()
    (own_postgres.server.folder / "postmaster.pid").write_text(f"{os.getpid()}\n{own_postgres.server.folder}\n")
    own_postgres.server.start()
    assert own_postgres.server.running


async def test_takes_over_from_a_server_that_outlived_its_starter(own_postgres: Cluster) -> None:
    settings = own_postgres.settings("postgres", "postgres")
    await _write(settings)
    orphan = own_postgres.server
    heir = PostgresServer(
        orphan.folder, port=orphan.port, password_file=own_postgres.secrets / "postgres", log_file=orphan.log_file
    )
    heir.start()
    try:
        assert await _read(settings) == 42
        assert not orphan.running
    finally:
        heir.stop()


async def test_what_a_killed_server_has_left_is_waited_for(own_postgres: Cluster) -> None:
    """Its children end by themselves, and hold its shared memory until then."""
    settings = own_postgres.settings("postgres", "postgres")
    await _write(settings)
    connection = await connect(settings)
    slow = await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    await connection.close()
    os.kill(slow, signal.SIGSTOP)
    own_postgres.server.kill()
    goes_on = threading.Timer(1.0, os.kill, (slow, signal.SIGCONT))
    goes_on.start()
    try:
        own_postgres.server.start()
    finally:
        goes_on.join()
    assert await _read(settings) == 42


def test_a_failed_start_shows_the_log(own_postgres: Cluster, tmp_path: Path) -> None:
    own_postgres.server.stop()
    wrong = PostgresServer(
        own_postgres.server.folder,
        port=0,
        password_file=own_postgres.secrets / "postgres",
        log_file=tmp_path / "postgres.log",
        settings={"shared_buffers": "nonsense"},
    )
    with pytest.raises(Unavailable, match="shared_buffers") as refused:
        wrong.start()
    assert refused.value.code == "child_failed"


def test_data_of_another_major_version_is_named_and_not_touched(
    own_postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    server = own_postgres.server
    server.stop()
    version = server.folder / "PG_VERSION"
    ours = version.read_text()
    version.write_text("16\n")
    with pytest.raises(Conflict, match="written by PostgreSQL 16") as raised:
        server.start()
    assert raised.value.code == "postgres_old_data"
    assert version.read_text() == "16\n"
    version.write_text(ours)
    server.start()


def test_a_full_disk_is_named(own_postgres: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    server = PostgresServer(tmp_path / "data", port=0, password_file=own_postgres.secrets / "postgres", log_file=log)
    log.write_text('FATAL:  could not write to file "pg_wal/xlogtemp.27": No space left on device\n')
    assert "disk that holds" in server.explain()
    assert "free some space" in server.explain()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can close a folder to PostgreSQL's account")
def test_as_root_below_a_closed_folder(own_postgres: Cluster, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(
        closed / "postgres", port=0, password_file=own_postgres.secrets / "postgres", log_file=closed / "log"
    )
    try:
        server.start()
        assert (closed / "postgres").is_symlink()
        assert (closed / "postgres" / "PG_VERSION").exists()
    finally:
        server.stop()
        home = (closed / "postgres").resolve()
        subprocess.run(["rm", "-rf", home], check=True)


async def _write(settings: DatabaseSettings) -> None:
    connection = await connect(settings)
    await connection.execute("CREATE TABLE kept (value int)")
    await connection.execute("INSERT INTO kept VALUES (42)")
    await connection.close()


async def _read(settings: DatabaseSettings) -> object:
    connection = await connect(settings)
    try:
        return await connection.fetchval("SELECT value FROM kept")
    finally:
        await connection.close()
