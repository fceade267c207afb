"""What Vite built: which files a page loads."""

from functools import lru_cache
from pathlib import Path

import msgspec

BUILT_DIR = Path(__file__).parent.parent / "static" / "built"
_URL = "/static/built/"
_ENTRY = "src/main.ts"


class Assets(msgspec.Struct, frozen=True):
    """Addresses on this host. script None: nothing was built; pages still work, without style and live values."""

    script: str | None = None
    styles: tuple[str, ...] = ()


class _Chunk(msgspec.Struct, frozen=True):
    file: str
    css: tuple[str, ...] = ()


def built_assets(folder: Path = BUILT_DIR) -> Assets:
    """Looked up again when the build has changed, so that a running server takes over a new one."""
    manifest = folder / "manifest.json"
    try:
        return _read(manifest, manifest.stat().st_mtime_ns)
    except OSError:
        return Assets()


@lru_cache(maxsize=4)
def _read(manifest: Path, _: int) -> Assets:
    chunks = msgspec.json.decode(manifest.read_bytes(), type=dict[str, _Chunk])
    entry = chunks[_ENTRY]
    return Assets(_URL + entry.file, tuple(_URL + css for css in entry.css))
