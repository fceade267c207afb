"""Programs that the machine lacks, from its own distribution (Debian, Ubuntu): installed as root, else only unpacked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

APT_DEADLINE_S = 600.0
_APT_GET = ("apt-get", "-qq", "-o", "Acquire::Retries=3")  # a mirror that stumbles once is no package that is missing


class Unpacked(NamedTuple):
    """A program and what its environment needs besides ours."""

    path: Path
    env: dict[str, str]


def obtain(package: str, program: str) -> Unpacked | None:
    """Installs (root, or sudo without a password) or unpacks a package; `program` is its path below /.

    None = not possible here.
    """
    if shutil.which("apt-get") is None:
        return None
    unpacked = Path(sys.prefix) / "debian" / package
    if (unpacked / program).exists():
        return Unpacked(unpacked / program, _library_path(unpacked))
    if install(package) and (Path("/") / program).exists():
        return Unpacked(Path("/") / program, {})
    return unpack(package, program)


def unpack(package: str, program: str) -> Unpacked | None:
    """As obtain, of a package that would start a service of its own if it were installed."""
    folder = Path(sys.prefix) / "debian" / package
    found = _below(folder, program)
    if found is None and shutil.which("apt-get") and _unpack(package, folder):
        found = _below(folder, program)
    return None if found is None else Unpacked(found, _library_path(folder))


def _below(folder: Path, program: str) -> Path | None:
    """Since Debian 13 packages bring below /usr what they brought below / before."""
    return next((path for path in (folder / program, folder / "usr" / program) if path.exists()), None)


def install(package: str) -> bool:
    """As root, or through sudo when it asks for no password; False when neither works."""
    root = _root_prefix()
    if root is None or shutil.which("apt-get") is None:
        return False
    install = [*root, *_APT_GET, "-y", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends", "install", package]
    if not _succeeds(install):
        _succeeds([*root, *_APT_GET, "update"])
        if not _succeeds(install):
            return False
    if shutil.which("systemctl") and Path("/run/systemd/system").exists():
        # We start our own; the package's service would hold ports that nobody asked for.
        _succeeds([*root, "systemctl", "disable", "--now", package])
    return True


def _root_prefix() -> list[str] | None:
    """What to put before a command that needs root; None when there is no way without asking for a password."""
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    if os.geteuid() == 0:
        return quiet
    if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]):
        return ["sudo", "-n", *quiet]
    return None


def _unpack(package: str, folder: Path) -> bool:
    """The package and what it needs and the machine lacks, into a folder of our own; apt keeps its state there too."""
    half = folder.with_name(f"{folder.name}.{os.getpid()}")
    for part in ("lists/partial", "archives/partial", "root"):
        (half / part).mkdir(parents=True, exist_ok=True)
    own_state = ["-o", f"Dir::State::lists={half}/lists", "-o", f"Dir::Cache={half}", "-o", "Debug::NoLocking=1"]
    own_state += ["-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User="]
    try:
        if not _succeeds([*_APT_GET, *own_state, "update"]):
            return False
        if not _succeeds([*_APT_GET, "-y", *own_state, "--no-install-recommends", "--download-only", "install", package]):
            return False
        archives = sorted((half / "archives").glob("*.deb"))
        if not archives or not all(_succeeds(["dpkg", "-x", str(archive), str(half / "root")]) for archive in archives):
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            (half / "root").rename(folder)
        except OSError:
            return folder.is_dir()  # another process was first
        return True
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _library_path(folder: Path) -> dict[str, str]:
    libraries = [
        str(path)
        for base in ("usr/lib", "lib")
        for path in (folder / base, *(folder / base).glob("*-linux-*"))
        if path.is_dir()
    ]
    return {"LD_LIBRARY_PATH": ":".join(libraries)}


def _succeeds(command: list[str]) -> bool:
    try:
        return (
            subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=APT_DEADLINE_S, check=False
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
