"""What keeps a process from working: one line at its start says what, why and what to do; it ends with 1, or waits.

Nothing is left half made: no ready file, and what was there stays as it was.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from certs.authority import Pki as Authorities
from fleet.errors import BadInput
from fleet.runtime.folders import alone_with
from fleet.settings import SmtpSettings
from fleet.storage.database import connect
from tests import small_disk
from tests.servers import Cluster, Database, Pki, pki_folder, server_folder
from tests.start_rig import MODULES, ROLES, World, started

ALL: Final = tuple(MODULES)
PKCS8: Final = PrivateFormat.PKCS8


@pytest.fixture(scope="module")
def own_pki() -> Iterator[Pki]:
    with pki_folder() as made:
        yield made


@pytest.fixture(scope="module")
def module_database(postgres: Cluster) -> Iterator[Database]:
    yield postgres.create_database("sp_start")
    postgres.drop_database("sp_start")


@pytest.fixture
def world(module_database: Database, own_pki: Pki) -> Iterator[World]:
    with server_folder("start") as folder:
        yield World(folder, module_database, own_pki)


def refused(world: World, process: str, told: Any, *, mortal: bool = False) -> dict[str, Any]:
    """The one line of a process that did not start."""
    with started(world, process, told, mortal=mortal) as it:
        assert it.ended() == 1, it.said
    last = it.said[-1]
    assert last["event"] == f"{process}_stopped"
    assert last["level"] == "error"
    assert "exception" not in last, last["exception"]
    assert len(it.said) <= 2
    assert not world.ready(process).exists()
    return last


def with_database(told: Any, **changed: object) -> Any:
    return msgspec.structs.replace(told, database=msgspec.structs.replace(told.database, **changed))


# settings and secrets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ALL)
@pytest.mark.parametrize("told", [None, '{"database": {}}'])
def test_settings_that_are_missing_or_wrong(world: World, process: str, told: str | None) -> None:
    last = refused(world, process, told)
    assert last["code"] == "bad_settings"
    assert f"{process}.json" in last["error"]


@pytest.mark.parametrize("process", ALL)
def test_a_password_that_is_missing(world: World, process: str) -> None:
    world.secret(ROLES[process]).unlink()
    last = refused(world, process, world.told(process))
    assert last["code"] == "bad_secret_file"
    assert str(world.secret(ROLES[process])) in last["error"]
    assert "init-pki" in last["error"]


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"", "empty"), (b" \n\t", "empty"), (b"\xff\xfe\x00", "text"), (b"one\ntwo\n", "more than one line")],
)
def test_a_password_that_is_none(world: World, content: bytes, part: str) -> None:
    world.secret("sp_notifier").write_bytes(content)
    last = refused(world, "notifier", world.told("notifier"))
    assert last["code"] == "bad_secret_file"
    assert part in last["error"]


def test_a_password_that_may_not_be_read(world: World) -> None:
    world.secret("sp_notifier").chmod(0)
    last = refused(world, "notifier", world.told("notifier"), mortal=True)
    assert last["code"] == "bad_secret_file"
    assert "may not be read" in last["error"]


@pytest.mark.parametrize("process", ALL)
def test_a_password_that_is_wrong(world: World, process: str) -> None:
    world.secret(ROLES[process]).write_text("of another installation")
    last = refused(world, process, world.told(process))
    assert last["code"] == "database_refused"
    assert ROLES[process] in last["error"]
    assert "`migrate`" in last["error"]


async def test_data_that_belong_to_other_keys(module_database: Database, tmp_path: Path) -> None:
    """The job `migrate` sets services' passwords; nobody sets its own."""
    (tmp_path / "postgres").write_text("of another installation")
    told = msgspec.structs.replace(module_database.owner, password_file=tmp_path / "postgres")
    with pytest.raises(BadInput, match="volume `vault`"):
        await connect(told)


def test_the_wrong_kinds_of_keys_for_access_tokens(world: World) -> None:
    key = rsa.generate_private_key(65537, 2048)
    ours = (world.pki.folder / "platform" / "sp-web" / "key.pem").read_bytes()
    cases = {
        "need an EC P-256": key.private_bytes(Encoding.PEM, PKCS8, NoEncryption()),
        "no readable private key": key.private_bytes(Encoding.PEM, PKCS8, BestAvailableEncryption(b"x")),
        "no readable": ours[:60],
    }
    for part, content in cases.items():
        world.secret("jwt_key.pem").write_bytes(content)
        last = refused(world, "web", world.told("web"))
        assert last["code"] == "bad_settings"
        assert part in last["error"]


@pytest.mark.parametrize("process", ["web", "importer", "rollouts", "twins"])
def test_no_token_of_the_cluster(world: World, process: str) -> None:
    world.secret("ray_token").unlink()
    assert refused(world, process, world.told(process))["code"] == "bad_secret_file"


@pytest.mark.parametrize("process", ["web", "importer"])
def test_a_key_that_seals_nothing(world: World, process: str) -> None:
    world.secret("pull_key").write_text("not a key")
    last = refused(world, process, world.told(process))
    assert last["code"] == "bad_settings"
    assert "pull_key" in last["error"]


def test_no_password_for_the_mail_server(world: World) -> None:
    smtp = SmtpSettings("mail.example", 587, "sp@example.net", user="sp", password_file=world.secret("smtp"))
    told = msgspec.structs.replace(world.told("notifier"), smtp=smtp)
    assert refused(world, "notifier", told)["code"] == "bad_secret_file"


# the database ------------------------------------------------------------------------------------------------------


async def _execute(database: Database, *statements: str) -> None:
    connection = await connect(database.owner)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _says(code: str) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda said: any(line.get("code") == code for line in said)


@pytest.mark.parametrize("process", ALL)
def test_while_the_database_is_away_it_waits_says_so_and_can_be_stopped(world: World, process: str) -> None:
    told, began = with_database(world.told(process), port=1), time.monotonic()
    with started(world, process, told) as it:
        it.says(_says("database_away"))
        assert not world.ready(process).exists()
        assert it.stop() == 0
    assert len(it.said) <= 1 + (time.monotonic() - began) // 30  # the others come every half a minute
    for line in it.said:
        assert line["event"] == "waiting_for_database"
        assert "127.0.0.1:1" in line["error"]


def test_a_schema_that_is_older_is_waited_for(world: World, database: Database) -> None:
    world.database = database
    asyncio.run(
        _execute(
            database,
            "CREATE TABLE public.aside AS SELECT * FROM public.schema_migration WHERE name = '0004_remote.sql'",
            "DELETE FROM public.schema_migration WHERE name = '0004_remote.sql'",
        )
    )
    with started(world, "notifier", world.told("notifier")) as it:
        it.says(_says("schema_older"))
        assert "0004_remote.sql" in it.said[0]["error"]
        assert not world.ready("notifier").exists()
        asyncio.run(_execute(database, "INSERT INTO public.schema_migration SELECT * FROM public.aside"))
        it.says(lambda _: world.ready("notifier").exists())
        assert it.stop() == 0
    assert not world.ready("notifier").exists()


def test_a_database_that_knows_nothing_of_us_is_waited_for(world: World, database: Database) -> None:
    world.database = database
    asyncio.run(_execute(database, "DROP TABLE public.schema_migration"))
    with started(world, "guard", world.told("guard")) as it:
        it.says(_says("schema_older"))
        assert it.stop() == 0


def test_a_database_that_is_not_there_is_waited_for(world: World) -> None:
    with started(world, "rollouts", with_database(world.told("rollouts"), name="nowhere")) as it:
        it.says(_says("no_database"))
        assert it.stop() == 0


def test_a_newer_schema_is_gone_on_with_unless_it_took_something_away(world: World, database: Database) -> None:
    world.database = database
    asyncio.run(_execute(database, "INSERT INTO public.schema_migration VALUES ('9998_more.sql', '')"))
    with started(world, "notifier", world.told("notifier")) as it:
        it.says(lambda _: world.ready("notifier").exists())
        assert it.stop() == 0
    asyncio.run(_execute(database, "INSERT INTO public.schema_migration VALUES ('9999_less_contract.sql', '')"))
    last = refused(world, "notifier", world.told("notifier"))
    assert last["code"] == "schema_newer"
    assert "9999_less_contract.sql" in last["error"]


def test_a_schema_of_somebody_else(world: World, database: Database) -> None:
    world.database = database
    asyncio.run(_execute(database, "UPDATE public.schema_migration SET checksum = '' WHERE name = '0001_initial.sql'"))
    assert refused(world, "notifier", world.told("notifier"))["code"] == "migration_changed"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_another_one(world: World, database: Database, hours: int) -> None:
    """A function that stands before PostgreSQL's own, for this role."""
    world.database = database
    asyncio.run(
        _execute(
            database,
            "CREATE SCHEMA skewed",
            "GRANT USAGE ON SCHEMA skewed TO sp_notifier",
            "CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
            f" AS $$ SELECT pg_catalog.clock_timestamp() + interval '{hours} hours' $$",
            f'ALTER ROLE sp_notifier IN DATABASE "{database.name}" SET search_path = skewed, pg_catalog',
        )
    )
    last = refused(world, "notifier", world.told("notifier"))
    assert last["code"] == "clock_skew"
    assert "NTP" in last["error"]


# folders and ports -------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(world: World) -> Iterator[Path]:
    with small_disk.mounted(world.folder / "tiny", "256k") as folder:
        yield folder


FOLDERS: Final = {"importer": "intake_folder", "dropbox": "folder", "notifier": "mail_folder", "guard": "broker_folder"}


@pytest.mark.parametrize("process", FOLDERS)
def test_a_volume_of_another_user(world: World, process: str) -> None:
    foreign = world.folder / "foreign"
    foreign.mkdir(mode=0o555)
    told = msgspec.structs.replace(world.told(process), **{FOLDERS[process]: foreign})
    last = refused(world, process, told, mortal=True)
    assert last["code"] == "no_permission"
    assert str(foreign) in last["error"]
    assert list(foreign.iterdir()) == []


@pytest.mark.parametrize("process", FOLDERS)
def test_a_volume_that_can_only_be_read(world: World, tiny: Path, process: str) -> None:
    small_disk.read_only(tiny)
    told = msgspec.structs.replace(world.told(process), **{FOLDERS[process]: tiny})
    assert refused(world, process, told)["code"] == "read_only"


@pytest.mark.parametrize("process", ["dropbox", "notifier", "guard"])
def test_a_disk_that_is_full(world: World, tiny: Path, process: str) -> None:
    small_disk.filled(tiny, 256 * 1024)
    told = msgspec.structs.replace(world.told(process), **{FOLDERS[process]: tiny})
    assert refused(world, process, told)["code"] == "disk_full"


def test_an_importer_works_on_a_full_disk(world: World, tiny: Path) -> None:
    (tiny / "spool").mkdir()
    (tiny / "originals").mkdir()
    (tiny / "uploads").mkdir()
    (tiny / ".importer.lock").touch()
    small_disk.filled(tiny, 256 * 1024 - 3 * 4096)
    with (tiny / "rest").open("wb") as rest:
        try:
            rest.write(b"x" * 64 * 1024)
            rest.flush()
        except OSError:
            pass
    with started(world, "importer", msgspec.structs.replace(world.told("importer"), intake_folder=tiny)) as it:
        it.says(lambda _: world.ready("importer").exists())
        assert it.said[0]["event"] == "no_room"
        assert it.said[0]["code"] == "disk_full"
        assert it.stop() == 0


@pytest.mark.parametrize("process", ["importer", "dropbox", "guard", "authority"])
def test_a_folder_that_another_installation_works_on(world: World, process: str) -> None:
    told = world.told(process)
    folder = told.folder if process == "authority" else getattr(told, FOLDERS[process])
    with alone_with(folder, process):
        last = refused(world, process, told)
    assert last["code"] == "folder_taken"
    assert str(folder) in last["error"]


@pytest.mark.parametrize("process", ["web", "authority", "dropbox"])
def test_a_port_that_another_installation_has(world: World, process: str, module_database: Database) -> None:
    told = msgspec.structs.replace(world.told(process), port=module_database.owner.port)
    last = refused(world, process, told)
    assert last["code"] == "port_busy"
    assert str(module_database.owner.port) in last["error"]


# certificates ------------------------------------------------------------------------------------------------------


def _issued(world: World, age: timedelta) -> Any:
    """A platform's certificate that was issued so long ago, by an authority of its own."""
    folder = world.folder / f"pki{age.days}"
    pki = Authorities.create(folder, datetime.now(UTC) - age)
    pki.issue_platform("sp-web", datetime.now(UTC) - age)
    own = folder / "platform" / "sp-web"
    return msgspec.structs.replace(world.broker, cert_file=own / "chain.pem", key_file=own / "key.pem")


@pytest.mark.parametrize("process", ["twins", "guard"])
@pytest.mark.parametrize(("days", "code"), [(400, "certificate_expired"), (-30, "certificate_early")])
def test_a_certificate_that_is_not_in_force(world: World, process: str, days: int, code: str) -> None:
    world.broker = _issued(world, timedelta(days=days))
    last = refused(world, process, world.told(process))
    assert last["code"] == code
    assert str(world.broker.cert_file) in last["error"]


@pytest.mark.parametrize("process", ["twins", "guard", "web"])
def test_a_certificate_with_the_key_of_another(world: World, process: str) -> None:
    world.broker = msgspec.structs.replace(world.broker, key_file=world.pki.folder / "platform" / "sp-guard" / "key.pem")
    assert refused(world, process, world.told(process))["code"] == "bad_tls_files"


def test_the_web_goes_without_the_live_feed(world: World) -> None:
    world.broker = _issued(world, timedelta(days=400))
    with started(world, "web", world.told("web")) as it:
        it.says(lambda said: {line["event"] for line in said} >= {"no_live_feed", "web_starts", "live_feed_lost"})
        assert {line["code"] for line in it.said if "live_feed" in line["event"]} == {"certificate_expired"}
        assert it.stop() == 0


def test_no_authority_in_its_folder(world: World) -> None:
    (world.folder / "empty").mkdir()
    told = msgspec.structs.replace(world.told("authority"), folder=world.folder / "empty")
    assert refused(world, "authority", told)["code"] == "no_pki"
