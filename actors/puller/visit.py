"""One visit to a customer's SFTP server: what is new there comes into the logger's box, whole or not at all.

Crash contract: a file lies in pulled/, on the disk, before it is remembered as taken. Killed in between, it is fetched once
more, and the importer knows its bytes.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncssh
import structlog

from actors.disk import free_bytes
from actors.dropbox import box
from actors.dropbox.algorithms import MODERN
from actors.dropbox.box import Usage
from actors.dropbox.names import Name, file_name
from actors.dropbox.refused import Refused
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.file_limits import (
    DROP_KEEPALIVE_S,
    FILE_BYTES_MAX,
    PULL_BYTES_MAX,
    PULL_CONNECT_S,
    PULL_FILES_MAX,
    PULL_LIST_S,
    PULL_LISTED_MAX,
    PULL_PIECE_BYTES,
    PULL_WAIT_S,
    PULL_WAITING_BYTES_MAX,
    PULL_WAITING_FILES_MAX,
)
from fleet.runtime import reach
from fleet.runtime.cancelled import end_if_cancelled
from fleet.storage.pull_sources import DuePull, PulledFile, wanted

log = structlog.get_logger("puller")

_GOODBYE_S: Final = 2.0


Remembered = Callable[[Sequence[str]], Awaitable[dict[str, PulledFile]]]


class Listed(NamedTuple):
    """files: all that match, the oldest first. problem: not everything was looked at."""

    files: list[PulledFile]
    problem: str | None


class Visit:
    """secret: unsealed. problem: what kept some files from being taken; the others were. more: there is more to fetch."""

    def __init__(self, source: DuePull, secret: str, folder: Path, networks: reach.Networks, *, disk_free_min: int) -> None:
        self.problem: str | None = None
        self.more = False
        self.names: list[str] = []
        self._source = source
        self._secret = secret
        self._folder = folder
        self._networks = networks
        self._disk_free_min = disk_free_min
        self._fetching = box.being_pulled(folder, source.device, source.id)

    async def files(self, remembered: Remembered) -> AsyncGenerator[PulledFile, None]:
        """Each one when it lies in the box: the caller remembers it. remembered: what he does of these names.

        Raises BadInput (host_not_allowed, bad_secret), Unavailable (server_away, host_key_changed, old_cryptography,
        login_refused, no_sftp, no_folder, took_too_long, waiting_room_full, disk_full).
        """
        usage = await asyncio.to_thread(box.pulled_usage, self._folder, self._source.device)
        async with self._leaving_nothing(), self._sftp() as sftp:
            listed = await self._list(sftp)
            self.problem, self.names = listed.problem, [file.name for file in listed.files]
            taken = await remembered(self.names)
            fetched = 0
            for number, file in enumerate(file for file in listed.files if taken.get(file.name) != file):
                if number >= PULL_FILES_MAX or fetched + file.size_bytes > PULL_BYTES_MAX:
                    self.more = True
                    return
                if file.size_bytes > FILE_BYTES_MAX:
                    self.problem = "file_too_large"
                    continue
                self._must_have_room(usage, file.size_bytes)
                if await self._fetch(sftp, file):
                    fetched += file.size_bytes
                    usage = Usage(usage.bytes + file.size_bytes, usage.files + 1)
                    yield file

    @asynccontextmanager
    async def _leaving_nothing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._fetching.unlink(missing_ok=True)

    @asynccontextmanager
    async def _sftp(self) -> AsyncIterator[asyncssh.SFTPClient]:
        source = self._source
        address = await reach.resolved(source.host, source.port, self._networks)
        pinned = asyncssh.import_public_key(source.host_key)
        kind = source.host_key.partition(" ")[0]
        by_key = source.auth == "key"
        try:
            connection = await asyncssh.connect(
                address,
                source.port,
                username=source.username,
                known_hosts=([pinned], [], []),
                server_host_key_algs=["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind],
                client_keys=[asyncssh.import_private_key(self._secret)] if by_key else None,
                password=None if by_key else self._secret,
                agent_path=None,
                config=None,
                connect_timeout=PULL_CONNECT_S,
                login_timeout=PULL_CONNECT_S,
                keepalive_interval=DROP_KEEPALIVE_S,
                kex_algs=MODERN["kex_algs"],
                encryption_algs=MODERN["encryption_algs"],
                mac_algs=MODERN["mac_algs"],
                compression_algs=MODERN["compression_algs"],
                gss_kex=False,
                gss_auth=False,
            )
        except (OSError, asyncssh.Error, asyncssh.KeyImportError) as error:
            end_if_cancelled()
            raise _explained(error) from None
        try:
            end_if_cancelled()
            yield await _begun(connection)
        except asyncssh.Error as error:
            raise Unavailable("server_away", str(error)) from None
        finally:
            connection.close()
            with suppress(TimeoutError):  # of a server that does not let us go
                async with asyncio.timeout(_GOODBYE_S):
                    await connection.wait_closed()
            connection.abort()

    async def _list(self, sftp: asyncssh.SFTPClient) -> Listed:
        files: list[PulledFile] = []
        looked_at = 0
        try:
            async with _in_time(PULL_LIST_S):
                async for entry in sftp.scandir(self._source.folder.encode()):
                    looked_at += 1
                    if looked_at > PULL_LISTED_MAX:
                        return Listed(sorted(files, key=_by_age), "too_many_files")
                    file = _file(entry)
                    if file is not None and wanted(file.name, self._source.pattern):
                        files.append(file)
        except asyncssh.SFTPError as error:
            raise Unavailable("no_folder", f"{self._source.folder}: {error.reason}") from None
        return Listed(sorted(files, key=_by_age), None)

    def _must_have_room(self, usage: Usage, size: int) -> None:
        if usage.files >= PULL_WAITING_FILES_MAX or usage.bytes + size > PULL_WAITING_BYTES_MAX:
            raise Unavailable("waiting_room_full", f"{usage.files} files of {self._source.device} wait to be read")
        if free_bytes(self._fetching.parent) < self._disk_free_min + size:
            raise Unavailable("disk_full", "no room for another file")

    async def _fetch(self, sftp: asyncssh.SFTPClient, file: PulledFile) -> bool:
        """Whether it came whole. One that changes meanwhile is being written: it is fetched the next time."""
        path = f"{self._source.folder.rstrip('/')}/{file.name}".encode()
        try:
            async with _in_time(PULL_WAIT_S):
                there = await sftp.open(path, "rb")
            async with there:
                received = await self._receive(there, file.size_bytes)
            async with _in_time(PULL_WAIT_S):
                after = await sftp.stat(path)
        except asyncssh.SFTPError as error:
            self.problem = "unreadable_file"
            log.warning("pull_unreadable", source=self._source.id, file=file.name, error=str(error.reason)[:200])
            return False
        if received != file.size_bytes or (after.size, after.mtime) != (file.size_bytes, file.mtime):
            log.info("pull_unsettled", source=self._source.id, file=file.name)
            return False
        own = self._folder, self._source.device, self._fetching, file.name
        await asyncio.to_thread(box.pulled, *own, time.time_ns())
        log.info("file_pulled", source=self._source.id, device=self._source.device, file=file.name, bytes=received)
        return True

    async def _receive(self, there: asyncssh.SFTPClientFile, size: int) -> int:
        """How many bytes came, of `size`; they are on the disk."""
        self._fetching.unlink(missing_ok=True)
        descriptor = os.open(self._fetching, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as here:
            received = 0
            while received < size:
                async with _in_time(PULL_WAIT_S):
                    piece: Any = await there.read(min(PULL_PIECE_BYTES, size - received), received)
                if not piece or len(piece) > size - received:
                    break
                here.write(piece)
                received += len(piece)
            here.flush()
            await asyncio.to_thread(os.fsync, here.fileno())
        return received


async def _begun(connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
    """Raises Unavailable (no_sftp, took_too_long)."""
    try:
        async with _in_time(PULL_CONNECT_S):
            return await connection.start_sftp_client(path_encoding=None)  # names are bytes, whatever they mean there
    except asyncssh.Error as error:
        raise Unavailable("no_sftp", str(error)) from None


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """Raises Unavailable (took_too_long)."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("took_too_long", f"no answer within {seconds:.0f} s") from None


def _file(entry: asyncssh.SFTPName) -> PulledFile | None:
    """A regular file that is not being written, under a name that the box can have; else None."""
    attributes = entry.attrs
    if attributes.type != asyncssh.FILEXFER_TYPE_REGULAR or attributes.size is None or attributes.mtime is None:
        return None
    raw = entry.filename if isinstance(entry.filename, bytes) else entry.filename.encode()
    with suppress(Refused):
        name: Name = file_name(raw)
        if not name.prefix and not name.temporary and name.name.encode() == raw:
            return PulledFile(name.name, attributes.size, int(attributes.mtime))
    return None


def _by_age(file: PulledFile) -> tuple[int, str]:
    return file.mtime, file.name


def _explained(error: Exception) -> FleetError:
    if isinstance(error, asyncssh.KeyImportError):
        return BadInput("bad_secret", "the stored key cannot be read")
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return Unavailable("host_key_changed", str(error))
    if isinstance(error, asyncssh.KeyExchangeFailed):  # no key of the kind that was pinned, or nothing else in common
        return Unavailable("host_key_changed" if "host key" in str(error).lower() else "old_cryptography", str(error))
    if isinstance(error, asyncssh.PermissionDenied):
        return Unavailable("login_refused", str(error))
    return Unavailable("server_away", str(error) or type(error).__name__)
