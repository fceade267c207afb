"""Bytes to numbered lines of text: encodings, byte order marks and line ends as they are found, lengths bounded."""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from fleet.codecs.files.reading import Content, Unreadable
from fleet.limits import FILE_HEAD_BYTES, FILE_LINE_CHARS_MAX

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LINE_END: Final = re.compile("\r\n|\n|\r")
_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


class Line(NamedTuple):
    """number: counted from 1, as an editor counts."""

    number: int
    text: str


def lines(content: Content, *, encoding: str | None = None) -> Iterator[Line]:
    """LF, CR LF and lone CR all end a line. A byte order mark in the middle (files glued together) is left out.

    encoding None: a byte order mark tells, else it is UTF-8 and, from the first byte on that cannot be UTF-8, Windows-1252.
    Raises Unreadable (line_too_long, nul_bytes, bad_encoding).
    """
    number = 0
    rest = ""
    for text in _texts(content.chunks(), encoding):
        if "\0" in text:
            raise Unreadable("nul_bytes", number + text[: text.index("\0")].count("\n") + 1)
        rest += text
        cr_at_end = rest.endswith("\r")  # its LF may come with the next piece
        *whole, rest = _LINE_END.split(rest[:-1] if cr_at_end else rest)
        if cr_at_end:
            rest += "\r"
        for each in whole:
            number += 1
            if len(each) > FILE_LINE_CHARS_MAX:
                raise Unreadable("line_too_long", number, chars_max=str(FILE_LINE_CHARS_MAX))
            yield Line(number, each.replace(_MARK, "") if _MARK in each else each)
        if len(rest) > FILE_LINE_CHARS_MAX:
            raise Unreadable("line_too_long", number + 1, chars_max=str(FILE_LINE_CHARS_MAX))
    rest = rest.removesuffix("\r")
    if rest:
        yield Line(number + 1, rest.replace(_MARK, ""))


def head_lines(head: bytes, most: int = 40) -> list[str]:
    """The first lines, for recognising a format; the last one may be cut. Nothing for what is no text."""
    found = []
    try:
        for line in lines(Content(lambda: [head[:FILE_HEAD_BYTES]])):
            found.append(line.text)
            if len(found) == most:
                break
    except Unreadable:
        pass
    return found


def _texts(chunks: Iterator[bytes], encoding: str | None) -> Iterator[str]:
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= 4:
            break
    for mark, name in _BOMS:
        if first.startswith(mark):
            first, encoding = first[len(mark) :], name
            break
    if encoding is not None:
        yield from _strict(_joined(first, chunks), encoding)
    else:
        yield from _utf8_else_cp1252(_joined(first, chunks))


def _joined(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _strict(chunks: Iterator[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for chunk in chunks:
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Unreadable("bad_encoding", encoding=encoding) from None


def _utf8_else_cp1252(chunks: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    pending = b""  # what the decoder holds: the beginning of a character
    for chunk in chunks:
        try:
            text = decoder.decode(chunk)
            pending = decoder.getstate()[0]
        except UnicodeDecodeError:
            yield _cp1252(pending + chunk)
            for later in chunks:
                yield _cp1252(later)
            return
        yield text
    if pending:
        yield _cp1252(pending)


def _cp1252(raw: bytes) -> str:
    """Windows-1252 leaves five bytes without a meaning; Latin-1 gives them one."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
