"""Files of known formats that went through a spreadsheet: all cells in quotes, or separated by what its country uses.

Nobody's recogniser takes them as they are, and none has to: what stands in the cells did not change, so the lines are
written again the way their format does, cell by cell, while they are read. Lines keep their numbers. Dates that a
spreadsheet turned around (01/07/2024 where 2024-07-01 stood) stay as they are, and are refused where they could mean two
days.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from fleet.codecs.files.lines import head_lines, line_blocks
from fleet.codecs.files.reading import Content, Context, FileFormat, Found
from fleet.codecs.files.row_reader import split
from fleet.file_limits import RESPELLED_LINES_MAX

_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_DELIMITERS: Final = (";", ",", "\t")
_NO_ROWS: Final = re.compile(r"[\ufeff\s]*[{\[<\x02]")  # JSON, XML, a meter's frame


class Respelling(NamedTuple):
    """told: what separates the file's cells. meant: what separates its format's."""

    told: str
    meant: str

    def of(self, content: Content) -> Content:
        def chunks() -> Iterator[bytes]:
            for _, texts in line_blocks(content):
                yield "".join([f"{self.line(text)}\n" for text in texts]).encode()

        return Content(chunks)

    def line(self, text: str) -> str:
        if '"' not in text and self.told == self.meant:
            return text
        cells = split(text, self.told)
        if self.meant not in text:
            return self.meant.join(cells)
        return self.meant.join([self._cell(cell) for cell in cells])

    def _cell(self, cell: str) -> str:
        if self.meant not in cell:
            return cell
        if self.meant == "," and _DECIMAL_COMMA.fullmatch(cell.strip()) is not None:
            return cell.strip().replace(",", ".")
        return '"' + cell.replace('"', '""') + '"'


def recognised(head: bytes, formats: tuple[FileFormat, ...]) -> FileFormat | None:
    """The format of a file that none of them knows as it is, reading it the way its format is written."""
    texts = head_lines(head, RESPELLED_LINES_MAX)
    if not texts or _NO_ROWS.match(texts[0]) is not None:
        return None
    told = max(_DELIMITERS, key=lambda each: sum(len(split(text, each)) for text in texts))
    for meant in (";", ","):  # no format of ours has tabs
        each = Respelling(told, meant)
        written = [each.line(text) for text in texts]
        if written == texts:
            continue
        again = "\n".join(written).encode()
        known = next((known for known in formats if known.recognises(again)), None)
        if known is not None:
            return _reading(known, each)
    return None


def _reading(known: FileFormat, respelling: Respelling) -> FileFormat:
    def read(content: Content, context: Context) -> Iterator[Found]:
        return known.read(respelling.of(content), context)

    return known._replace(read=read)
