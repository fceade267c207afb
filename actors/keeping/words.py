"""What backup and restore say of what they have done, for whoever types the command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from actors.keeping.backup import Made
from actors.keeping.restore import Restored
from actors.keeping.texts import text
from fleet.settings import KeepingSettings

_NAMED_MAX: Final = 10  # rollouts; of more, the number is told


def made(told: Made, settings: KeepingSettings) -> Iterator[str]:
    counts = {"rows": told.rows, "tables": len(told.manifest.tables), "files": len(told.manifest.files)}
    yield text("backup_done", file=told.file, size_mb=told.size_bytes / 1e6, seconds=told.seconds, **counts)
    lost = told.manifest.lost_originals
    if lost:
        yield text("originals_lost", number=len(lost), folder=settings.originals, first=lost[0])
    if told.pruned:
        yield text("backup_pruned", number=told.pruned)


def restored(told: Restored, where: Path | str) -> Iterator[str]:
    counts = {"rows": told.rows, "tables": len(told.manifest.tables), "files": len(told.manifest.files)}
    words = {"where": where, "release": told.header.release, "taken_at": told.header.taken_at}
    yield text("restored", seconds=told.seconds, **words, **counts)
    if told.homeless:
        yield text("homeless", names=", ".join(told.homeless))
    if told.aside is not None:
        yield text("set_aside", name=told.aside)
    if told.verified_s is not None:
        yield text("verified", seconds=told.verified_s)


def warnings(told: Restored) -> Iterator[str]:
    """What whoever restores has to know, and to do."""
    taken_at, after = told.header.taken_at, told.after
    yield text("warn_since", taken_at=taken_at)
    yield text("warn_sessions")
    yield text("warn_commands")
    if after.paused:
        more = ["…"] if len(after.paused) > _NAMED_MAX else []
        yield text("rollouts_paused", number=len(after.paused), names=", ".join(after.paused[:_NAMED_MAX] + more))
    if after.cancelled:
        yield text("commands_cancelled", number=after.cancelled)
    if after.revoked_again is None:
        yield text("warn_revoked_unknown", taken_at=taken_at)
    elif not after.revoked_again:
        yield text("revoked_none")
    else:
        yield from (text("revoked_again", serial=serial, device=device) for serial, device in after.revoked_again)
    if after.list_number is not None:
        yield text("list_number", number=after.list_number)
