"""Before a new schema is laid over what there is, a snapshot is taken of it: the way back to the release before."""

from pathlib import Path

from actors.keeping import backup, sealing
from actors.keeping.backup import Made
from actors.keeping.sealing import Seal
from fleet.limits import SNAPSHOTS_KEPT
from fleet.settings import KeepingSettings
from fleet.storage import migrate
from fleet.storage.database import connect


async def snapshot(settings: KeepingSettings, key: Path) -> Made | None:
    """None: the database is empty, or has this release's schema already. key: made by the first snapshot.

    A snapshot lies on the machine that it was taken of, so its key may as well; it is not a backup.
    There is no upgrade without a way back, so this raises Conflict (schema_newer, migration_changed, backup_runs,
    half_restored) and Unavailable (no_room, disk_full).
    """
    connection = await connect(settings.database)
    try:
        if not await migrate.is_laid(connection) or not await migrate.pending(connection):
            return None
    finally:
        await connection.close()
    return await backup.back_up(settings, _seal(key), kind="snapshot", keep=SNAPSHOTS_KEPT)


def _seal(key: Path) -> Seal:
    if not key.exists():
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealing.make_key(key)
    return Seal([one.to_public() for one in sealing.keys_in(key)])
