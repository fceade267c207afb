"""Tables as CSV (RFC 4180) that a spreadsheet opens without running anything."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from litestar import Response

Cell = str | int | float | None
_SIGNS = "=+\\-@＝＋－＠"  # the wide ones are formulas to spreadsheets of Asian languages
_FORMULA_START = re.compile(rf"[ \u00a0\u200b\ufeff]*[{_SIGNS}\t\r\n]")
# A spreadsheet of another country takes this sign for the one between cells, whatever quotes stand around.
_FORMULA_WITHIN = re.compile(rf"([;,|]|(?<!\A)[\t\r\n])(?=[\s\"']*[{_SIGNS}])")


def csv_response(file_name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response[bytes]:
    """With a byte order mark: without it Excel reads UTF-8 as something else."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([defused(cell) for cell in header])
    writer.writerows([defused(cell) for cell in row] for row in rows)
    return Response(
        b"\xef\xbb\xbf" + text.getvalue().encode(),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )


def defused(cell: Cell) -> str:
    """A text that a spreadsheet would take for a formula, or a part of it behind a separator, gets an apostrophe.

    Numbers stay numbers.
    """
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.3f}".rstrip("0").rstrip(".")
    if not isinstance(cell, str):
        return str(cell)
    harmless = _FORMULA_WITHIN.sub(r"\1'", cell)
    return "'" + harmless if _FORMULA_START.match(cell) else harmless
