"""Bytes to numbered lines of text: encodings, byte order marks and line ends as they are found, lengths bounded."""

import codecs
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from fleet.codecs.files.reading import Content, Unreadable
from fleet.file_limits import FILE_HEAD_BYTES, FILE_LINE_CHARS_MAX

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
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
    for first, block in line_blocks(content, encoding=encoding):
        for number, text in enumerate(block, first):
            yield Line(number, text)


def line_blocks(content: Content, *, encoding: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The same, as many at a time as a piece of the content holds: the first one's number, and their texts."""
    number = 1
    rest = ""
    for piece in _texts(content.chunks(), encoding):
        if "\0" in piece:
            raise Unreadable("nul_bytes", number + piece[: piece.index("\0")].count("\n"))
        text = rest + piece
        cr_at_end = text.endswith("\r")  # its LF may come with the next piece
        text = text[:-1] if cr_at_end else text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *whole, rest = text.replace(_MARK, "").split("\n")
        _check_lengths(number, [*whole, rest])
        if whole:
            yield number, whole
            number += len(whole)
        if cr_at_end:
            rest += "\r"
    rest = rest.removesuffix("\r")
    if rest:
        yield number, [rest]


def _check_lengths(number: int, texts: list[str]) -> None:
    if max(map(len, texts)) > FILE_LINE_CHARS_MAX:
        too_long = next(index for index, text in enumerate(texts) if len(text) > FILE_LINE_CHARS_MAX)
        raise Unreadable("line_too_long", number + too_long, chars_max=str(FILE_LINE_CHARS_MAX))


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
