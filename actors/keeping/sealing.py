"""Archives are sealed as age files: for recipients, whose secret key lies elsewhere, or with a passphrase.

With a passphrase a key is made for this archive alone; sealed with the passphrase, it stands before the age file.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import pyrage
from pyrage import passphrase as by_passphrase

from actors.disk import free_bytes
from actors.keeping.texts import text
from fleet.errors import BadInput, Conflict, Unavailable
from fleet.limits import ARCHIVE_DISK_FREE_MIN_BYTES, PASSPHRASE_CHARS_MIN

_MARK: Final = b"SolarPerform key "  # then its length, a line's end, and the key
_MARK_BYTES_MAX: Final = 4_096
_PIPE_BYTES: Final = 1024 * 1024


class Seal(NamedTuple):
    """For whom an archive is closed. before: what stands before the age file."""

    recipients: list[Any]
    before: bytes = b""


class Opener(NamedTuple):
    """What an archive may be opened with."""

    keys: Sequence[Any] = ()
    passphrase: str | None = None


def make_key(file: Path) -> str:
    """A new secret key, in a file that only we can read. Returns its recipient. Raises Conflict (key_there)."""
    key = pyrage.x25519.Identity.generate()
    recipient = str(key.to_public())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict("key_there", text("key_there", file=file)) from None
    with os.fdopen(descriptor, "w") as out:
        out.write(f"# public key: {recipient}\n{key}\n")
        out.flush()
        os.fsync(out.fileno())
    return recipient


def for_recipients(recipients: Sequence[str]) -> Seal:
    """Raises BadInput (bad_recipient)."""
    made = []
    for recipient in recipients:
        try:
            made.append(pyrage.x25519.Recipient.from_str(recipient.strip()))
        except pyrage.RecipientError:
            raise BadInput("bad_recipient", text("bad_recipient", recipient=recipient)) from None
    return Seal(made)


def with_passphrase(file: Path) -> Seal:
    """Raises BadInput (weak_passphrase, no_passphrase_file)."""
    key = pyrage.x25519.Identity.generate()
    sealed = by_passphrase.encrypt(str(key).encode(), passphrase_in(file))
    return Seal([key.to_public()], _MARK + f"{len(sealed)}\n".encode() + sealed)


def passphrase_in(file: Path) -> str:
    """Raises BadInput (weak_passphrase, no_passphrase_file)."""
    try:
        told = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("no_passphrase_file", text("no_passphrase_file", file=file, why=error)) from None
    if len(told) < PASSPHRASE_CHARS_MIN:
        raise BadInput("weak_passphrase", text("weak_passphrase", file=file, least=PASSPHRASE_CHARS_MIN))
    return told


def keys_in(file: Path) -> list[Any]:
    """The secret keys of a file as age-keygen writes it. Raises BadInput (bad_key)."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
        raise BadInput("bad_key", text("bad_key", file=file, why=error)) from None
    if not keys:
        raise BadInput("bad_key", text("bad_key", file=file, why="-"))
    return keys


@contextmanager
def sealed(file: Path, seal: Seal) -> Iterator[BinaryIO]:
    """What is written to the yielded pipe is in `file` at the end, sealed, whole and on the disk; or nothing is.

    Raises Unavailable (disk_full).
    """
    fresh = file.with_name(f".{file.name}.new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(seal.before)
            with _beside(lambda plain: pyrage.encrypt_io(plain, out, seal.recipients), reads=True) as (pipe, work):
                try:
                    yield pipe
                    pipe.close()
                except BrokenPipeError as error:
                    work.end()
                    raise work.error or error from None  # the sealing has ended first, and says why
                work.end()
                if work.error is not None:
                    raise work.error
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(file)
        _sync(file.parent)
    except OSError as error:
        if free_bytes(file.parent) < ARCHIVE_DISK_FREE_MIN_BYTES:
            raise Unavailable("disk_full", text("disk_filled", folder=file.parent)) from error
        raise
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def unsealed(file: Path, opener: Opener) -> Iterator[BinaryIO]:
    """The plain text, as a pipe. Raises BadInput (no_archive, wrong_key, needs_key, needs_passphrase, damaged)."""
    try:
        source = file.open("rb")
    except OSError as error:
        raise BadInput("no_archive", text("no_archive", file=file, why=error.strerror)) from None
    with source:
        keys = _keys_for(source, file, opener)
        with _beside(lambda plain: pyrage.decrypt_io(source, plain, keys), reads=False) as (pipe, work):
            try:
                yield pipe
            except BaseException:
                work.end(pipe)
                if work.error is not None and not isinstance(work.error, BrokenPipeError):
                    raise _explained(work.error, file) from work.error  # what came through was cut off here
                raise
            while pipe.read(_PIPE_BYTES):
                pass  # to the end: the last piece says that it is the last
            work.end(pipe)
            if work.error is not None:
                raise _explained(work.error, file) from work.error


def _keys_for(source: BinaryIO, file: Path, opener: Opener) -> list[Any]:
    head = source.readline(64)
    if not head.startswith(_MARK):
        source.seek(0)
        if not opener.keys:
            raise BadInput("needs_key", text("needs_key", file=file))
        return list(opener.keys)
    if opener.passphrase is None:
        raise BadInput("needs_passphrase", text("needs_passphrase", file=file))
    length = head.removeprefix(_MARK).strip()
    box = source.read(int(length)) if length.isdigit() and int(length) <= _MARK_BYTES_MAX else b""
    try:
        return [pyrage.x25519.Identity.from_str(by_passphrase.decrypt(box, opener.passphrase).decode())]
    except pyrage.DecryptError as error:
        raise _explained(error, file) from None


def _explained(error: BaseException, file: Path) -> BadInput:
    said = str(error)
    if isinstance(error, pyrage.DecryptError):
        if "No matching keys" in said or "incorrect passphrase" in said.lower() or said.startswith("Decryption failed"):
            return BadInput("wrong_key", text("wrong_key", file=file))
        return BadInput("not_an_archive", text("not_an_archive", file=file, why=said))
    return BadInput("damaged", text("damaged", file=file, why=said))


class _Work:
    """A thread at the other end of a pipe, and what it has died of."""

    def __init__(self, what: Callable[[BinaryIO], object], end: BinaryIO) -> None:
        self.error: BaseException | None = None
        self._what = what
        self._end = end
        self._thread = threading.Thread(target=self._run, name="sealing", daemon=True)
        self._thread.start()

    def end(self, pipe: BinaryIO | None = None) -> None:
        if pipe is not None:
            pipe.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._end:
                self._what(self._end)
        except BaseException as error:  # noqa: BLE001 - told to whoever holds the other end
            self.error = error


@contextmanager
def _beside(what: Callable[[BinaryIO], object], *, reads: bool) -> Iterator[tuple[BinaryIO, _Work]]:
    """A pipe to a thread that reads from it, or from one that writes to it. It has ended afterwards."""
    reader, writer = os.pipe()
    theirs, ours = (reader, writer) if reads else (writer, reader)
    pipe = open(ours, "wb" if reads else "rb", buffering=0 if reads else _PIPE_BYTES)  # noqa: SIM115 - closed below
    work = _Work(what, open(theirs, "rb" if reads else "wb", buffering=_PIPE_BYTES))  # noqa: SIM115 - its thread closes it
    try:
        yield pipe, work
    finally:
        with suppress(OSError):
            pipe.close()
        work.end()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
