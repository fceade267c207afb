"""Bytes as a sender packs them."""

import gzip
import io
import zipfile


def gzipped(raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0)


def zipped(raw: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "a/file.txt") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(name, raw)
    return packed.getvalue()
