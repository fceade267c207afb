"""An installation of folders and a database, to be kept and brought back: for integration tests and benchmarks."""

from dataclasses import dataclass
from pathlib import Path

from actors.keeping import sealing
from actors.keeping.sealing import Opener, Seal
from fleet.settings import DatabaseSettings, KeepingSettings, KeptFolder
from tests.servers import Cluster, Pki


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
