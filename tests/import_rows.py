"""Files as the importer would have left them, for tests of what people see of them."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

from tests.web_app import ALPHA, Web

_COLUMNS = (
    "id", "site_id", "device_id", "via", "person_id", "name", "size_bytes", "sha256", "state", "settings", "format_id",
    "problem_code", "problem_gaps", "problem_line", "blocks", "blocks_done", "bytes_read", "rows_read", "rows_new",
    "rows_same", "rows_corrected", "rows_waiting", "rows_late", "lines_refused", "stored_with",
)  # fmt: skip
_PLAIN: dict[str, Any] = {
    "site_id": ALPHA, "via": "sftp", "name": "day.csv", "size_bytes": 1_000, "state": "imported", "settings": {},
    "problem_gaps": {}, "blocks_done": 0, "bytes_read": 0, "rows_read": 0, "rows_new": 0, "rows_same": 0,
    "rows_corrected": 0, "rows_waiting": 0, "rows_late": 0, "lines_refused": 0,
}  # fmt: skip


async def add_file(web: Web, file_id: str, *, content: bytes | None = None, **columns: Any) -> int:
    """A line of imports.file; returns its number. content: is kept as its original."""
    row = {**_PLAIN, "id": file_id, "sha256": sha256(file_id.encode()).digest(), **columns}
    if content is not None:
        row |= {"sha256": sha256(content).digest(), "size_bytes": len(content)}
        keep_original(web, content)
    names = [name for name in _COLUMNS if name in row]
    gaps = ", ".join(f"${index}" for index in range(1, len(names) + 1))
    found = await web.execute(
        f"INSERT INTO imports.file ({', '.join(names)}) VALUES ({gaps}) RETURNING number",  # noqa: S608 - names of ours
        *(row[name] for name in names),
    )
    return int(found[0]["number"])


async def add_refusal(web: Web, number: int, position: int, line: int, code: str, text: str, **gaps: str) -> None:
    await web.execute(
        "INSERT INTO imports.refusal (site_id, file_number, position, line, cell, code, gaps, text)"
        " SELECT site_id, number, $2, $3, 2, $4, $5, $6 FROM imports.file WHERE number = $1",
        number,
        position,
        line,
        code,
        gaps,
        text,
    )


async def add_serial(web: Web, number: int, serial: str, measures: list[str], *, device: str | None = None) -> None:
    await web.execute(
        "INSERT INTO imports.file_serial (site_id, file_number, serial, device_id, rows, measures, waiting)"
        " SELECT site_id, number, $2, $3, 96, $4, $3::text IS NULL FROM imports.file WHERE number = $1",
        number,
        serial,
        device,
        measures,
    )


def keep_original(web: Web, content: bytes) -> Path:
    folder = web.services.settings.intake_folder
    assert folder is not None
    name = sha256(content).hexdigest()
    file = folder / "originals" / name[:2] / f"{name}.zst"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(zstandard.ZstdCompressor().compress(content))
    return file
