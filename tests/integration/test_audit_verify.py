"""audit verify: finds whatever the database's owner does to the journal of receipts."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from actors.keeping import __main__ as among_containers
from actors.local import cli
from actors.local.configuration import DATABASE
from actors.local.layout import Layout
from actors.local.ports import LOOPBACK
from actors.local.postgres import SUPERUSER, PostgresServer
from fleet import settings
from fleet.ids import DeviceId, SiteId
from fleet.receipts import GENESIS, Line, Receipt, chained
from fleet.settings import BrokerSettings, DatabaseSettings, KeepingSettings
from fleet.storage.database import Connection, connect
from fleet.storage.migrate import SERVICE_ROLES, migrate
from tests.fleet_rig import twins_settings
from tests.servers import Database, server_folder

LINES = 2_500  # more than one piece of a cursor
_COLUMNS = ("chain", "seq", "at", "site_id", "device_id", "kind", "subject", "detail", "hash")
Tampering = Callable[[Connection], Awaitable[object]]


def lines_of(chain: int, number: int = LINES, kind: str = "config.reported") -> list[Line]:
    receipts = [
        Receipt(1_764_000_000_000 + at, SiteId("site"), DeviceId("device"), kind, f"{at}", {"at": at})
        for at in range(number)
    ]
    return chained(chain, 0, GENESIS, receipts)


async def write(connection: Connection, lines: list[Line]) -> None:
    await connection.copy_records_to_table("receipt", schema_name="remote", columns=_COLUMNS, records=lines)
    await connection.execute(
        "INSERT INTO remote.receipt_head VALUES ($1, $2, $3)"
        " ON CONFLICT (chain) DO UPDATE SET (seq, hash) = (excluded.seq, excluded.hash)",
        lines[-1].chain,
        lines[-1].seq,
        lines[-1].hash,
    )


def as_owner(database: DatabaseSettings, deed: Tampering) -> None:
    """With the triggers out of the way."""

    async def act() -> None:
        connection = await connect(database)
        try:
            await connection.execute("SET session_replication_role = replica")
            await deed(connection)
        finally:
            await connection.close()

    asyncio.run(act())


@pytest.fixture
def running(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """What a launcher leaves for others to see, by our own number; two chains are written."""
    monkeypatch.setenv("LC_ALL", "C")
    layout = Layout(tmp_path / "data")
    layout.make()
    layout.postgres.mkdir()
    layout.ready_file.write_text(f'{{"pid": {os.getpid()}}}')
    nowhere = Path("nowhere")
    told = twins_settings(database.sp_twins, BrokerSettings(LOOPBACK, 1, nowhere, nowhere, nowhere))
    settings.save(layout.settings / "twins.json", told)

    async def written(connection: Connection) -> None:
        await write(connection, lines_of(0))
        await write(connection, lines_of(1, 10))

    as_owner(database.owner, written)
    return layout


def verified(layout: Layout, *more: str) -> int:
    return cli.main(["audit", "verify", "--data-dir", str(layout.folder), *more])


def test_a_journal_that_nobody_touched_is_whole(running: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(running) == 0
    said = capsys.readouterr().out
    head = lines_of(0)[-1].hash.hex()[:12]
    assert f"✓ chain 0: 2500 lines, the newest of 2025-11-24 16:00:02 UTC, head {head}" in said
    assert "✓ chain 1: 10 lines" in said
    assert "The journal is whole: 2510 lines in 2 chains" in said


def test_french_where_lang_says_so(
    running: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert verified(running) == 0
    assert "Le journal est intact" in capsys.readouterr().out


def test_before_the_first_order(running: Layout, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    as_owner(database.owner, lambda connection: connection.execute("TRUNCATE remote.receipt, remote.receipt_head"))
    assert verified(running) == 0
    assert "No receipt has been written yet" in capsys.readouterr().out


async def change_detail(connection: Connection) -> None:
    await connection.execute("UPDATE remote.receipt SET detail = '{}' WHERE chain = 0 AND seq = 1234")


async def move_to_another_device(connection: Connection) -> None:
    await connection.execute("UPDATE remote.receipt SET device_id = 'other' WHERE chain = 0 AND seq = 2500")


async def delete_in_the_middle(connection: Connection) -> None:
    await connection.execute("DELETE FROM remote.receipt WHERE chain = 0 AND seq = 1001")


async def delete_and_close_up(connection: Connection) -> None:
    await connection.execute("DELETE FROM remote.receipt WHERE chain = 0 AND seq = 2000")
    await connection.execute("UPDATE remote.receipt SET seq = -seq WHERE chain = 0 AND seq > 2000")
    await connection.execute("UPDATE remote.receipt SET seq = -seq - 1 WHERE chain = 0 AND seq < 0")
    await connection.execute("UPDATE remote.receipt_head SET seq = seq - 1 WHERE chain = 0")


async def cut_end(connection: Connection) -> None:
    await connection.execute("DELETE FROM remote.receipt WHERE chain = 0 AND seq > 2400")


async def cut_all(connection: Connection) -> None:
    await connection.execute("DELETE FROM remote.receipt WHERE chain = 0")


async def put_in(connection: Connection) -> None:
    """A line that fits the one before it; those that follow are moved up."""
    await connection.execute("UPDATE remote.receipt SET seq = -seq WHERE chain = 0 AND seq > 700")
    await connection.execute("UPDATE remote.receipt SET seq = 1 - seq WHERE chain = 0 AND seq < 0")
    before = lines_of(0)[699]
    forged = chained(0, 700, before.hash, [Receipt(before.at, SiteId("site"), DeviceId("device"), "command.sent", "x")])
    await connection.copy_records_to_table("receipt", schema_name="remote", columns=_COLUMNS, records=forged)
    await connection.execute("UPDATE remote.receipt_head SET seq = seq + 1 WHERE chain = 0")


async def add_at_the_end(connection: Connection) -> None:
    last = lines_of(0)[-1]
    forged = chained(0, last.seq, last.hash, [Receipt(last.at, SiteId("site"), DeviceId("device"), "command.sent", "x")])
    await connection.copy_records_to_table("receipt", schema_name="remote", columns=_COLUMNS, records=forged)


async def take_the_head_away(connection: Connection) -> None:
    await connection.execute("DELETE FROM remote.receipt_head WHERE chain = 0")


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        (change_detail, "line 1234 was changed"),
        (move_to_another_device, "line 2500 was changed"),
        (delete_in_the_middle, "line 1001 is missing"),
        (delete_and_close_up, "line 2000 was changed"),
        (cut_end, "cut off: line 2401"),
        (cut_all, "cut off: line 1 "),
        (put_in, "line 702 was changed"),
        (add_at_the_end, "line 2501 and those after it were added"),
        (take_the_head_away, "line 1 and those after it were added"),
    ],
)
def test_tampering_is_found_where_it_was_done(
    running: Layout, database: Database, capsys: pytest.CaptureFixture[str], tampering: Tampering, told: str
) -> None:
    as_owner(database.owner, tampering)
    assert verified(running) == 1
    said = capsys.readouterr().out
    assert "✗ chain 0" in said
    assert told in said
    assert "✓ chain 1: 10 lines" in said
    assert "1 of 2 chains are broken" in said


async def rewrite(connection: Connection) -> None:
    """The chain as a whole, and its head: it holds, and is another one."""
    await connection.execute("DELETE FROM remote.receipt WHERE chain = 0")
    await write(connection, lines_of(0, LINES + 300, "command.sent"))


async def forget_everything(connection: Connection) -> None:
    await connection.execute("TRUNCATE remote.receipt, remote.receipt_head")


async def cut_with_the_head(connection: Connection) -> None:
    await connection.execute("DELETE FROM remote.receipt WHERE chain = 0")
    await write(connection, lines_of(0)[:2000])


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        (rewrite, "rewritten: line 2500 is not the one"),
        (cut_with_the_head, "cut off: line 2001"),
        (forget_everything, "cut off: line 1 "),
    ],
)
def test_a_chain_that_holds_is_compared_with_heads_kept_elsewhere(
    running: Layout,
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tampering: Tampering,
    told: str,
) -> None:
    kept = str(tmp_path / "heads.json")
    assert verified(running, "--save", kept) == 0
    assert verified(running, "--against", kept) == 0
    as_owner(database.owner, tampering)
    assert verified(running) == 0  # it holds in itself
    capsys.readouterr()
    assert verified(running, "--against", kept) == 1
    assert told in capsys.readouterr().out


def test_among_containers(running: Layout, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no data folder: as the database's owner, by settings."""
    told, heads = tmp_path / "keeping.json", tmp_path / "heads.json"
    settings.save(told, KeepingSettings(database.owner, tmp_path, (), tmp_path, tmp_path, tmp_path))
    words = ["audit", "verify", "--settings", str(told)]
    assert among_containers.main([*words, "--save", str(heads)]) == 0
    assert "The journal is whole: 2510 lines in 2 chains" in capsys.readouterr().out
    as_owner(database.owner, lambda connection: connection.execute("UPDATE remote.receipt SET detail = '{}' WHERE seq = 7"))
    assert among_containers.main([*words, "--against", str(heads)]) == 1
    assert among_containers.main([*words, "--against", str(told)]) == 1
    assert "[bad_heads]" in capsys.readouterr().err


def test_the_journal_goes_on_after_heads_were_saved(running: Layout, database: Database, tmp_path: Path) -> None:
    kept = str(tmp_path / "heads.json")
    assert verified(running, "--save", kept) == 0

    async def go_on(connection: Connection) -> None:
        last = lines_of(0)[-1]
        more = [Receipt(last.at, SiteId("site"), DeviceId("device"), "command.sent", f"{at}") for at in range(10)]
        await write(connection, chained(0, last.seq, last.hash, more))

    as_owner(database.owner, go_on)
    assert verified(running, "--against", kept, "--save", kept) == 0
    assert '"seq": 2510' in Path(kept).read_text()


def test_heads_of_a_broken_journal_are_not_saved_over_good_ones(running: Layout, database: Database, tmp_path: Path) -> None:
    kept = tmp_path / "heads.json"
    assert verified(running, "--save", str(kept)) == 0
    before = kept.read_bytes()
    as_owner(database.owner, cut_end)
    assert verified(running, "--save", str(kept)) == 1
    assert kept.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"saved_at":1,"heads":[{"chain":0,"seq":1,"hash":"no hash"}]}'])
def test_a_file_that_holds_no_heads_is_named(
    running: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = tmp_path / "heads.json"
    file.write_text(content)
    assert verified(running, "--against", str(file)) == 1
    assert str(file) in capsys.readouterr().err


def test_a_step_without_its_receipt_is_named(
    running: Layout, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    async def store_steps(connection: Connection) -> None:
        await connection.execute("""
            INSERT INTO remote.config_change (site_id, device_id, version, "values", own, layers, at, kind)
            SELECT 'site', 'device', version, '{}', '{}', '[]', now(), 'set' FROM generate_series(1, 40) AS version""")
        await connection.execute("""
            INSERT INTO remote.command (id, site_id, device_id, number, name, args, state, revision, created_at, expires_at,
                                        run_s, sent_at, ended_at)
            VALUES ('c1', 'site', 'device', 1, 'blink', '{}', 'succeeded', 3, now(), now(), 60, now(), now())""")
        steps = [("config.desired", str(version)) for version in range(1, 41)]
        steps += [("command.queued", "c1"), ("command.sent", "c1"), ("command.succeeded", "c1")]
        last = lines_of(0)[-1]
        receipts = [Receipt(last.at, SiteId("site"), DeviceId("device"), *step) for step in steps]
        await write(connection, chained(0, last.seq, last.hash, receipts))

    as_owner(database.owner, store_steps)
    assert verified(running) == 0

    async def forge(connection: Connection) -> None:
        await connection.execute("UPDATE remote.command SET state = 'failed'")
        await connection.execute(
            "UPDATE remote.config_change SET version = version + 100, at = now() + interval '1 h' WHERE version > 15"
        )

    as_owner(database.owner, forge)
    capsys.readouterr()
    assert verified(running) == 1
    said = capsys.readouterr().out
    assert "✗ command.failed c1 of device device (site site) has no receipt" in said
    assert said.count("has no receipt\n") == 20
    assert "6 more steps have no receipt" in said
    assert "0 of 2 chains are broken, 26 steps" in said


def test_without_a_platform_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "verify", "--data-dir", str(tmp_path)]) == 1
    assert "--data-dir" in capsys.readouterr().err


def test_postgresql_is_started_for_a_platform_that_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with server_folder("audit") as folder:
        layout = Layout(folder)
        layout.make()
        layout.make_secrets()
        server = PostgresServer(
            layout.postgres, port=0, password_file=layout.secret(SUPERUSER), log_file=layout.log("postgres")
        )

        def owner(name: str = DATABASE) -> DatabaseSettings:
            return DatabaseSettings(LOOPBACK, server.port, name, SUPERUSER, layout.secret(SUPERUSER))

        async def make(connection: Connection) -> None:
            await migrate(connection, {role: layout.secret(role).read_text() for role in SERVICE_ROLES})  # type: ignore[arg-type]
            await write(connection, lines_of(0))

        server.start()
        server.stop()
        assert verified(layout) == 1  # the first start was cut short: there is a server, and no database
        assert "start the platform once" in capsys.readouterr().err
        server.start()
        try:
            as_owner(owner("postgres"), lambda connection: connection.execute(f"CREATE DATABASE {DATABASE}"))
            as_owner(owner(), make)
        finally:
            server.stop()
        capsys.readouterr()
        assert verified(layout) == 0
        assert "chain 0: 2500 lines" in capsys.readouterr().out
        assert not (layout.postgres / "postmaster.pid").exists()
