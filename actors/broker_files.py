"""What lies in the broker's folder, as the launcher and the guard both write it.

    acl       who may say and hear what
    denied    one device a line: whom the access list has to name also after the broker was started anew; CLOSED: everyone
    crl.pem   the revocation list

Every file is replaced as a whole, so that the broker reads the old one or the new one, whenever it reads.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import psutil
from cryptography import x509

from fleet import topics
from fleet.ids import is_device_id

ACL: Final = "acl"
DENIED: Final = "denied"
CRL: Final = "crl.pem"
PID: Final = "mosquitto.pid"
GUARD: Final = "sp-guard"
CANARY: Final = "sp-guard-canary"  # the client id under which the guard is connected while its canary knocks
CLOSED: Final = "*"  # as a line of `denied`: no device may do anything


class Denied(msgspec.Struct, frozen=True):
    """devices: in order, each once. closed: every device, because the broker is not known to refuse the revoked ones."""

    devices: tuple[str, ...] = ()
    closed: bool = False

    @classmethod
    def of(cls, devices: Iterable[str], *, closed: bool) -> "Denied":
        return cls(tuple(sorted(set(devices))), closed)

    @classmethod
    def read(cls, home: Path) -> "Denied":
        """Nobody is denied where there is no such file; what is no device's name has no certificate either."""
        try:
            lines = (home / DENIED).read_text(errors="replace").split()
        except FileNotFoundError:
            return cls()
        return cls.of(filter(is_device_id, lines), closed=CLOSED in lines)

    def text(self) -> str:
        return "".join(f"{line}\n" for line in ((CLOSED,) if self.closed else ()) + self.devices)


def acl(denied: Denied = Denied(), mark: str | None = None) -> str:  # noqa: B008 - it cannot change
    """A device's user name is its certificate's common name. mark: see topics.guard_mark."""
    lines = [] if denied.closed else [topics.ACL_DEVICE_WRITES, topics.ACL_DEVICE_READS]
    for user, rights in (("sp-twins", topics.ACL_PLATFORM), ("sp-web", topics.ACL_WEB)):
        lines += ["", f"user {user}", rights]
    if mark is not None:
        lines += ["", f"user {GUARD}", f"topic write {topics.guard_mark(mark)}"]
    for device in filter(is_device_id, denied.devices):
        lines += ["", f"user {device}", topics.ACL_DENIED]
    return "\n".join(lines) + "\n"


def replace(file: Path, content: bytes) -> None:
    """The new file belongs to whom the old one belonged and is as readable; the first one belongs to its folder's owner."""
    former = _state(file)
    owner = former or file.parent.stat()
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    _clear_up(file)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as fresh:
        fresh.write(content)
        if former is not None:
            os.fchmod(descriptor, former.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        fresh.flush()
        os.fsync(descriptor)
    aside.replace(file)
    _sync(file.parent)


def replace_if_other(file: Path, content: bytes) -> bool:
    """Whether it had to be."""
    if content_of(file) == content:
        return False
    replace(file, content)
    return True


def content_of(file: Path) -> bytes | None:
    """None: there is no such file, or it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return None


def crl_readable(content: bytes | None) -> bool:
    """Whether the broker could read it at all; says nothing about its signature."""
    try:
        x509.load_pem_x509_crl(content or b"")
    except ValueError:
        return False
    return True


def _clear_up(file: Path) -> None:
    """What writers left that were killed while they wrote, and we before."""
    for left in file.parent.glob(f".{file.name}.[0-9]*"):
        pid = int(left.suffix[1:])
        if pid == os.getpid() or not psutil.pid_exists(pid):
            left.unlink(missing_ok=True)


def _state(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
