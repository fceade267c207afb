"""What people send by hand: written to the intake's disk piece by piece, then handed to the importer as a row."""

import asyncio
import errno
import os
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from uuid import uuid4

from litestar.datastructures import UploadFile
from litestar.exceptions import InternalServerException

from fleet.codecs.files.reading import ReadingSettings
from fleet.errors import BadInput, Unavailable
from fleet.file_limits import (
    FILE_CHUNK_BYTES,
    FILE_NAME_CHARS_MAX,
    UPLOAD_FREE_BYTES_MIN,
    UPLOAD_IDLE_S,
    UPLOAD_PIECE_BYTES,
    UPLOAD_SLOW_BYTES,
)
from fleet.ids import DeviceId, SiteId
from fleet.storage import audit, import_lists, notices, registry
from fleet.storage.import_lists import NewUpload
from web.services import Services
from web.visits import Visit

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Received(NamedTuple):
    """A file that lies on the intake's disk in full."""

    id: str
    path: Path
    size_bytes: int
    sha256: bytes


def intake_folder(services: Services) -> Path:
    """Raises Unavailable (no_intake)."""
    folder = services.settings.intake_folder
    if folder is None:
        raise Unavailable("no_intake", "this platform has no place to take files in")
    return folder


async def take_in(
    services: Services,
    visit: Visit,
    site: SiteId,
    content: AsyncIterator[bytes],
    *,
    name: str,
    device: DeviceId | None,
    announced_bytes: int,
    address: str,
) -> str:
    """One file of a site's keeper, from its first byte to its row. Returns its id.

    device: a logger, as if it had sent the file; or whose readings they are where the file does not tell.

    Raises NotFound (unknown_site, unknown_device), Forbidden (not_allowed), TooMany (too_many_uploads),
    BadInput (empty_upload, upload_cut), Unavailable (no_intake, no_space).
    """
    folder = intake_folder(services)
    place = await check_place(visit, site, device)
    person = visit.claims.person_id
    await _check_room(folder, announced_bytes)
    with services.uploads.slot(person, announced_bytes, time.monotonic()):
        received = await receive(folder, content)
        services.uploads.count(person, received.size_bytes, time.monotonic())
    try:
        async with visit.enter() as connection:
            new = NewUpload(
                id=received.id,
                site=site,
                logger=place.logger,
                person_id=visit.person.id,
                name=clean_name(name),
                size_bytes=received.size_bytes,
                sha256=received.sha256,
                settings=place.settings,
            )
            await import_lists.add_upload(connection, new)
            await audit.record(
                connection,
                "import.upload",
                person_id=visit.person.id,
                subject=received.id,
                detail={"site": site, "size_bytes": received.size_bytes},  # names of files may hold a customer's numbers
                address=address,
            )
            await notices.notify(connection, notices.FILE, received.id)
    except BaseException:
        await asyncio.to_thread(received.path.unlink, missing_ok=True)
        raise
    return received.id


class Place(NamedTuple):
    """Whom a file belongs to. settings None: the logger's own."""

    logger: DeviceId | None
    settings: ReadingSettings | None


async def check_place(visit: Visit, site: SiteId, device: DeviceId | None) -> Place:
    """Before anything is read. Raises NotFound (unknown_site, unknown_device), Forbidden (not_allowed)."""
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site)
        await visit.must_keep(connection, site)
        if device is None:
            return Place(None, None)
        row = await registry.device(connection, device)
    if row.site != site:
        raise registry.no_device(device)
    return Place(device, None) if row.kind == "gateway" else Place(None, ReadingSettings(serial=device))


async def receive(folder: Path, content: AsyncIterator[bytes]) -> Received:
    """Whole and on the disk, or not there at all. Raises BadInput (empty_upload, upload_cut), Unavailable (no_space)."""
    file_id = uuid4().hex
    part, path = folder / "uploads" / f"{file_id}.part", folder / "uploads" / file_id
    try:
        writing = await asyncio.to_thread(_Writing, part)
        try:
            async for piece in _pieces(content):
                await asyncio.to_thread(writing.write, piece)
            if writing.size_bytes == 0:
                raise BadInput("empty_upload", "the file is empty")
            await asyncio.to_thread(writing.finish, path)
        except BaseException:
            await asyncio.to_thread(writing.give_up)
            raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Unavailable("no_space", "the platform's disk is full") from error
        raise
    return Received(file_id, path, writing.size_bytes, writing.digest.digest())


class _Writing:
    """A file under its temporary name; works in threads, one call at a time."""

    def __init__(self, part: Path) -> None:
        part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._part = part
        self._file: BinaryIO = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        self.digest = sha256()
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Raises OSError (ENOSPC), also when others would have no room left: how much comes, nobody need have said."""
        if shutil.disk_usage(self._part.parent).free < UPLOAD_FREE_BYTES_MIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._file.write(piece)
        self.digest.update(piece)
        self.size_bytes += len(piece)

    def finish(self, path: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def give_up(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


async def _pieces(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Larger ones than the network's. Raises BadInput (upload_cut)."""
    loop = asyncio.get_running_loop()
    gathered: list[bytes] = []
    size = came = 0
    until_s = loop.time() + UPLOAD_IDLE_S
    while True:
        try:
            async with asyncio.timeout_at(until_s):
                chunk = await anext(content)
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise BadInput("upload_cut", f"next to nothing came for {UPLOAD_IDLE_S:.0f} s") from None
        except InternalServerException:  # litestar's word for a sender who hung up
            raise BadInput("upload_cut", "the sender hung up before the end") from None
        gathered.append(chunk)
        size += len(chunk)
        came += len(chunk)
        if came >= UPLOAD_SLOW_BYTES:
            came, until_s = 0, loop.time() + UPLOAD_IDLE_S
        if size >= UPLOAD_PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)


async def chunks_of(part: UploadFile) -> AsyncIterator[bytes]:
    """A file out of a form, which litestar has laid down already."""
    while chunk := await part.read(FILE_CHUNK_BYTES):
        yield chunk


async def _check_room(folder: Path, announced_bytes: int) -> None:
    """Raises Unavailable (no_space)."""

    def free_bytes() -> int:
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(folder).free

    if await asyncio.to_thread(free_bytes) - announced_bytes < UPLOAD_FREE_BYTES_MIN:
        raise Unavailable("no_space", "the platform's disk is nearly full")


def clean_name(text: str) -> str:
    """A name that can be shown and saved: no folders, no control or direction characters, of bounded length."""
    base = text.replace("\\", "/").rpartition("/")[2]
    shown = "".join(sign for sign in base if unicodedata.category(sign)[0] != "C").strip()
    if len(shown) > FILE_NAME_CHARS_MAX:
        stem, dot, ending = shown.rpartition(".")
        ending = dot + ending if len(ending) <= 10 else ""
        shown = (stem or shown)[: FILE_NAME_CHARS_MAX - len(ending)] + ending
    return shown if shown.strip(".") else "file"
