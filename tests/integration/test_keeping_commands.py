"""backup, restore and support-bundle as they are typed; and what a restore must not bring back."""

import asyncio
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from actors.keeping import __main__ as among_containers
from actors.keeping import backup
from actors.keeping.aftermath import Aftermath
from actors.keeping.restore import How, restore
from actors.local import cli
from actors.local.configuration import DATABASE
from actors.local.layout import Layout
from actors.local.ports import LOOPBACK
from actors.local.postgres import SUPERUSER, PostgresServer
from certs import crl, last_list
from certs.authority import Pki as Authorities
from fleet import settings
from fleet.settings import DatabaseSettings
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate
from tests.fleet_rig import seed_fleet
from tests.keeping_rig import elsewhere, empty_database, kept
from tests.servers import Cluster, Database, certs, server_folder

CERTIFICATE = """
    INSERT INTO pki.certificate (serial, site_id, device_id, key_hash, intent_at, not_before, not_after, revoked_at)
    VALUES ($1, 's', $2, '', now(), now(), now() + interval '90 days', $3)
"""


@pytest.fixture
def installation() -> Iterator[Layout]:
    """As a start has left it, without what a start takes its time for."""
    with server_folder("installation") as folder:
        layout = Layout(folder / "data")
        layout.make()
        layout.make_secrets()
        certs("init", str(layout.pki))
        (layout.settings / "web.json").write_text("{}")
        server = PostgresServer(
            layout.postgres, port=0, password_file=layout.secret(SUPERUSER), log_file=layout.log("postgres")
        )
        server.start()
        try:
            asyncio.run(_migrated(layout, server.port))
        finally:
            server.stop()
        yield layout


async def _migrated(layout: Layout, port: int) -> None:
    first = await connect(DatabaseSettings(LOOPBACK, port, "postgres", SUPERUSER, layout.secret(SUPERUSER)))
    await first.execute(f"CREATE DATABASE {DATABASE}")
    await first.close()
    owner = await connect(DatabaseSettings(LOOPBACK, port, DATABASE, SUPERUSER, layout.secret(SUPERUSER)))
    await migrate(owner, {role: layout.secret(role).read_text() for role in SERVICE_ROLES})
    await owner.close()


def test_the_drill_on_one_machine(
    installation: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    key, folder = installation.folder.parent / "key", installation.folder
    data = ["--data-dir", str(folder)]
    assert cli.main(["backup", *data, "--make-key", str(key)]) == 0
    recipient = capsys.readouterr().out.split("--recipient ")[1].strip()
    assert cli.main(["backup", *data]) == 1  # for whom?
    assert "--recipient" in capsys.readouterr().err
    assert cli.main(["backup", *data, "--recipient", recipient]) == 0
    (archive,) = (folder / "backups").iterdir()

    assert cli.main(["restore", str(archive), "--key", str(key)]) == 0
    said = capsys.readouterr().out
    assert "Verified: every table, sequence and file is equal" in said
    assert "gone again" in said

    into = folder.parent / "second"
    assert cli.main(["restore", str(archive), "--key", str(key), "--verify", "--into", str(into)]) == 0
    said = capsys.readouterr().out
    assert f"./run up --data-dir {into}" in said
    assert "sign in again" in said
    assert (into / "secrets" / "pull_key").read_bytes() == installation.secret("pull_key").read_bytes()
    assert (into / "pki" / "devices-ca" / "key.pem").read_bytes() == (
        installation.pki / "devices-ca" / "key.pem"
    ).read_bytes()
    assert cli.main(["restore", str(archive), "--key", str(key), "--into", str(into)]) == 1
    assert "never overwrites" in capsys.readouterr().err
    assert not list(folder.parent.glob(".*restoring"))

    bundle = folder.parent / "support.tar.gz"
    assert cli.main(["support-bundle", *data, "--to", str(bundle)]) == 0
    with tarfile.open(bundle) as tar:
        assert {"support/versions.json", "support/doctor.txt", "support/database.json"} <= set(tar.getnames())


def test_what_was_revoked_since_is_revoked_again(database: Database, postgres: Cluster, tmp_path: Path) -> None:
    """Known to the ledger or not; nobody stays signed in; the lists' numbers go on above the newest."""
    rig = kept(postgres, database.owner, tmp_path)
    certs("init", str(rig.settings.pki))
    target = elsewhere(rig.settings, empty_database(postgres, "restored"), tmp_path / "second")
    authorities, now = Authorities(rig.settings.pki), datetime.now(UTC).replace(microsecond=0)
    held = [(0xA1, now, "lost"), (0xB2, now, "lost"), (0xC3, now, "lost")]
    newer = crl.build(authorities.devices, 41, held, this_update=now, next_update=now + timedelta(days=3))
    (tmp_path / "newer.pem").write_bytes(newer.public_bytes(Encoding.PEM))

    async def lived() -> Aftermath:
        await seed_fleet(database, [("s", {})])
        owner = await connect(database.owner)
        await owner.execute(CERTIFICATE, "a1", "device-a", None)
        await owner.execute(CERTIFICATE, "b2", "device-b", now)
        await owner.execute(
            "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
            " VALUES ('p', 'org-customer', 'p@example.net', 'P', 'customer', 'x')"
        )
        await owner.execute(
            "INSERT INTO accounts.session (id, person_id, refresh_hash, expires_at)"
            " VALUES ('s', 'p', 'r', now() + interval '1 d')"
        )
        await owner.close()
        made = await backup.back_up(rig.settings, rig.seal)
        done = await restore(target, made.file, rig.opener, How(newer_list=tmp_path / "newer.pem"))
        return done.after

    async def found() -> list[tuple[str, bool]]:
        owner = await connect(target.database)
        rows = await owner.fetch("SELECT serial, revoked_at IS NOT NULL FROM pki.certificate ORDER BY serial")
        assert await owner.fetchval("SELECT count(*) FROM accounts.session WHERE revoked_at IS NULL") == 0
        await owner.close()
        return [(row[0], row[1]) for row in rows]

    after = asyncio.run(lived())
    assert after.revoked_again == [("a1", "device-a")]
    assert asyncio.run(found()) == [("a1", True), ("b2", True), ("c3", True)]
    standing = last_list.standing(Authorities(target.pki).devices, target.pki)
    assert standing is not None
    assert crl.number_of(standing) == after.list_number
    assert after.list_number > 41
    postgres.drop_database(target.database.name)


def test_among_containers(
    database: Database,
    postgres: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same code by settings; a database that is in the way is set aside, as on the way back of an upgrade."""
    monkeypatch.setenv("LC_ALL", "C")
    rig = kept(postgres, database.owner, tmp_path)
    asyncio.run(seed_fleet(database, [("s", {"inverter-1": "inverter"})]))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "jwt_key.pem").write_text("old")
    told = tmp_path / "settings" / "keeping.json"
    assert among_containers.main(["make-key", str(tmp_path / "own_key")]) == 0
    recipient = capsys.readouterr().out.split("--recipient ")[1].strip()
    settings.save(told, msgspec.structs.replace(rig.settings, recipient=recipient))
    opening = ["--key", str(tmp_path / "own_key")]
    assert among_containers.main(["backup", "--settings", str(told)]) == 0
    (archive,) = rig.settings.archives.iterdir()
    (tmp_path / "secrets" / "jwt_key.pem").write_text("made anew")
    again = ["restore", str(archive), "--settings", str(told), *opening, "--verify"]
    assert among_containers.main(again) == 1
    assert "never overwrites" in capsys.readouterr().err
    assert among_containers.main([*again, "--set-aside"]) == 0
    assert "is kept as the database" in capsys.readouterr().out
    assert (tmp_path / "secrets" / "jwt_key.pem").read_text() == "old"
    assert [path.read_text() for path in (tmp_path / "secrets").glob(".before-restore-*/jwt_key.pem")] == ["made anew"]
