"""backup and restore of this machine's installation: the data folder, and its PostgreSQL, whether it runs or not."""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from actors.keeping import backup, options, sealing, words
from actors.keeping.restore import How, look, restore
from actors.keeping.sealing import Opener
from actors.keeping.texts import text
from actors.local.configuration import DATABASE
from actors.local.layout import Layout, keep_secret
from actors.local.onboarding_checks import is_running
from actors.local.ports import LOOPBACK
from actors.local.postgres import SUPERUSER, PostgresServer
from fleet import settings
from fleet.errors import Conflict, NotFound
from fleet.settings import DatabaseSettings, KeepingSettings, KeptFolder, TwinsSettings
from fleet.storage import migrate
from fleet.storage.database import connect


def add_backup_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="where the archive is written; default: backups in the data folder"
    )
    options.add_seal_to(parser)
    parser.add_argument("--make-key", type=Path, metavar="FILE", help="make no backup, but a key to seal backups for")


def add_restore_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--into", type=Path, metavar="DIR", help="a data folder that does not exist yet; default: try it out, keep nothing"
    )
    options.add_opening_to(parser)


def act(chosen: argparse.Namespace) -> Iterator[str]:
    """Sentences of what was done. Raises FleetError with what is in the way."""
    return bring_back(chosen) if chosen.command == "restore" else back_up(Layout(chosen.data_dir), chosen)


def back_up(layout: Layout, chosen: argparse.Namespace) -> Iterator[str]:
    """Sentences of what was done. Raises FleetError with what is in the way."""
    if chosen.make_key is not None:
        yield text("key_made", recipient=sealing.make_key(chosen.make_key), file=chosen.make_key)
        return
    seal = options.seal_of(chosen)
    with database_of(layout) as database:
        told = settings_of(layout, database, chosen.to or layout.folder / "backups")
        yield from words.made(asyncio.run(backup.back_up(told, seal, keep=chosen.keep)), told)


def bring_back(chosen: argparse.Namespace) -> Iterator[str]:
    """The same of a restore; without a folder to keep, of a drill. Raises FleetError with what is in the way."""
    opener = options.opener_of(chosen)
    look(chosen.file, opener)
    if chosen.into is None:
        parent = Path(tempfile.mkdtemp(prefix="solarperform-drill-"))
        parent.chmod(0o755)  # as root, PostgreSQL runs as somebody else, who has to pass through
        try:
            yield from _restored(chosen, opener, parent / "data", drill=True)
        finally:
            shutil.rmtree(parent)
        yield text("drill_done")
        return
    into = chosen.into.absolute()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Conflict("target_taken", text("target_taken", folder=into))
    fresh = into.with_name(f".{into.name}.restoring")
    shutil.rmtree(fresh, ignore_errors=True)  # of one that was cut short
    try:
        yield from _restored(chosen, opener, fresh, drill=False)
        if into.exists():
            into.rmdir()
        fresh.rename(into)  # there is a whole installation or none
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    yield text("next_start", folder=into)


def _restored(chosen: argparse.Namespace, opener: Opener, folder: Path, *, drill: bool) -> Iterator[str]:
    layout = Layout(folder)
    layout.make()
    with layout.locked():
        for name in (SUPERUSER, *migrate.SERVICE_ROLES):  # passwords of its own; every other secret comes from the archive
            keep_secret(layout.secret(name), token_hex(32))
        server = _server(layout)
        try:
            server.start()
            owner = DatabaseSettings(LOOPBACK, server.port, DATABASE, SUPERUSER, layout.secret(SUPERUSER))
            asyncio.run(_create(owner))
            told = settings_of(layout, owner, folder / "backups")
            how = How(verify=chosen.verify or drill, newer_list=chosen.crl)
            done = asyncio.run(restore(told, chosen.file, opener, how))
            yield from words.restored(done, chosen.into or folder)
            if not drill:
                if done.header.kind == "snapshot":
                    yield text("snapshot_files")
                yield from words.warnings(done)
        finally:
            server.stop()


@contextmanager
def database_of(layout: Layout) -> Iterator[DatabaseSettings]:
    """As its owner: the running platform's; or PostgreSQL alone, for as long as this takes. Raises NotFound (no_data)."""
    if not (layout.postgres / "PG_VERSION").exists():
        raise NotFound("no_data", text("no_data", folder=layout.folder))
    if is_running(layout):
        port = settings.load(layout.settings / "twins.json", TwinsSettings).database.port
        yield DatabaseSettings(LOOPBACK, port, DATABASE, SUPERUSER, layout.secret(SUPERUSER))
        return
    with layout.locked():
        server = _server(layout)
        try:
            server.start()
            yield DatabaseSettings(LOOPBACK, server.port, DATABASE, SUPERUSER, layout.secret(SUPERUSER))
        finally:
            server.stop()


def settings_of(layout: Layout, owner: DatabaseSettings, archives: Path) -> KeepingSettings:
    """What an installation on one machine consists of. What is made anew at each start is not in it, nor are logs."""
    own = (SUPERUSER, *migrate.SERVICE_ROLES)  # a restored database takes the passwords that it finds
    return KeepingSettings(
        database=owner,
        passwords=layout.secrets,
        folders=(
            KeptFolder("dropbox", layout.dropbox, first=True, bulky=True),
            KeptFolder("intake-uploads", layout.intake / "uploads", bulky=True),
            KeptFolder("intake-originals", layout.intake / "originals", bulky=True),
            KeptFolder("pki", layout.pki, skip=(".lock",)),
            KeptFolder("secrets", layout.secrets, leave=own),
            KeptFolder("settings", layout.settings),
            KeptFolder("mail", layout.mail),
            KeptFolder("simulator", layout.simulator),
            KeptFolder("plan", layout.plan),
        ),
        originals=layout.intake / "originals",
        pki=layout.pki,
        archives=archives,
    )


def _server(layout: Layout) -> PostgresServer:
    return PostgresServer(layout.postgres, port=0, password_file=layout.secret(SUPERUSER), log_file=layout.log("postgres"))


async def _create(owner: DatabaseSettings) -> None:
    connection = await connect(DatabaseSettings(owner.host, owner.port, "postgres", owner.user, owner.password_file))
    try:
        await connection.execute(f'CREATE DATABASE "{owner.name}"')
    finally:
        await connection.close()
