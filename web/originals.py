"""Files as they came: kept compressed by the importer under their hash, handed out unpacked and as nothing but bytes."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import quote

from litestar.response import Stream

from fleet.storage.import_lists import FileRow
from fleet.storage.originals import kept_path, unpacked
from web.errors import Gone
from web.services import Services
from web.uploads import clean_name, intake_folder

_MOVES: Final = 3  # from one place to the other, and once more to be sure
_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]")


def original_path(services: Services, row: FileRow) -> Path:
    """Compressed in originals/, or in uploads/ as it came while the importer has not taken it yet.

    Raises Gone (original_gone), Unavailable (no_intake).
    """
    folder = intake_folder(services)
    for path in (kept_path(folder / "originals", bytes.fromhex(row.sha256)), folder / "uploads" / row.id):
        if row.has_original and path.is_file():
            return path
    raise Gone("original_gone", "the file itself is not kept any more; what was read of it stays")


async def original(services: Services, row: FileRow) -> Stream:
    """Saved by the browser, never shown. Raises as original_path."""
    pieces = await asyncio.to_thread(_begun, services, row)
    headers = {"Content-Disposition": disposition(row.name), "X-Content-Type-Options": "nosniff"}
    return Stream(_told(pieces), media_type="application/octet-stream", headers=headers)


def _begun(services: Services, row: FileRow) -> Iterator[bytes]:
    """With its first piece read: the importer may move a file from uploads/ to originals/ just now."""
    for _ in range(_MOVES):
        pieces = unpacked(original_path(services, row))
        with suppress(FileNotFoundError):
            return chain([next(pieces, b"")], pieces)
    raise Gone("original_gone", "the file is being put away: try again")


def disposition(name: str) -> str:
    """RFC 6266: the name in plain letters, and as it is in percent-encoded UTF-8."""
    shown = clean_name(name)
    plain = _PLAIN.sub("_", shown)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"


async def _told(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
