"""Files as they get damaged on their way, or as somebody would damage them who knows what they look like."""

import re
from collections.abc import Callable
from random import Random
from typing import Final

SIZE_MAX: Final = 64 * 1024

_ODD: Final = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n", b"\r\n", b"\t", b'"', b'""', b"'", b";", b",", b"|",
    b" ", b"_", b"-", b"+", b".", b"\x02", b"\x03", b"<", b">", b"&a;", b"{", b"}", b"[", b"]", b"\\u0000", b"\\ud800",
    b"\xc3\xa9", b"\xe9", b"\xd9\xa1", b"\xf0\x9f\x92\xa1", b"\xe2\x80\xae",
    b"1e999", b"-1e308", b"NaN", b"nan", b"Infinity", b"-inf", b"0x1F", b"1_000", b"1.234,56", b"9" * 25, b"0", b"-1",
    b"-9223372036854775809", b"253402300800000", b"9007199254740991", b"0.000001", b"null", b"true",
    b"2024-03-31 02:30:00", b"31/03/2024 02:30", b"27/10/2024 02:30", b"2024-02-30", b"9999-12-31T23:59:59Z",
    b"0001-01-01 00:00:00", b"99/99/99", b"24:00:00", b"23:59:60",
    b"=HYPERLINK(\"http://example.test\";\"x\")", b"@SUM(1+1)*cmd|' /C calc'!A0", b"+33", b"<!DOCTYPE html>",
    b"VA", b"kVA", b"kW", b"MWh", b"J", b"Wh",
)  # fmt: skip
_NUMBER: Final = re.compile(rb"[0-9]+(?:[.,][0-9]+)?")
_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)?")


def mutated(luck: Random, raw: bytes, other: bytes, size_max: int = SIZE_MAX) -> bytes:
    """One to six changes, one after another. other: a file of another format."""
    for _ in range(luck.choice((1, 1, 1, 2, 3, 6))):
        raw = luck.choice(_CHANGES)(luck, raw, other)[:size_max]
    return raw


def _slice(luck: Random, raw: bytes) -> tuple[int, int]:
    start = luck.randint(0, len(raw))
    return start, min(len(raw), start + luck.choice((0, 1, 1, 2, 4, 10, 40, 200, 1_000)))


def _lines(raw: bytes) -> list[bytes]:
    return [line for line in _LINE.findall(raw) if line] or [b""]


def _flip(luck: Random, raw: bytes, _: bytes) -> bytes:
    changed = bytearray(raw)
    for _turn in range(luck.randint(1, 3)):
        if changed:
            changed[luck.randrange(len(changed))] ^= 1 << luck.randrange(8)
    return bytes(changed)


def _cut(luck: Random, raw: bytes, _: bytes) -> bytes:
    at = luck.randint(0, len(raw))
    return raw[:at] if luck.random() < 0.8 else raw[at:]


def _drop(luck: Random, raw: bytes, _: bytes) -> bytes:
    start, end = _slice(luck, raw)
    return raw[:start] + raw[end:]


def _repeat(luck: Random, raw: bytes, _: bytes) -> bytes:
    start, end = _slice(luck, raw)
    return raw[:end] + raw[start:end] * luck.choice((1, 1, 2, 3, 50, 1_000)) + raw[end:]


def _insert(luck: Random, raw: bytes, _: bytes) -> bytes:
    start, end = _slice(luck, raw)
    return raw[:start] + luck.choice(_ODD) + raw[luck.choice((start, end)) :]


def _number(luck: Random, raw: bytes, _: bytes) -> bytes:
    found = list(_NUMBER.finditer(raw))
    if not found:
        return raw
    one = luck.choice(found)
    return raw[: one.start()] + luck.choice(_ODD) + raw[one.end() :]


def _move_lines(luck: Random, raw: bytes, _: bytes) -> bytes:
    lines = _lines(raw)
    for _turn in range(luck.randint(1, 4)):
        lines.insert(luck.randint(0, len(lines)), lines.pop(luck.randrange(len(lines))))
    return b"".join(lines)


def _repeat_lines(luck: Random, raw: bytes, _: bytes) -> bytes:
    lines = _lines(raw)
    first = luck.randrange(len(lines))
    last = min(len(lines), first + luck.randint(1, 5))
    return b"".join([*lines[:last], *(lines[first:last] * luck.choice((1, 2, 10, 3_000))), *lines[last:]])


def _drop_lines(luck: Random, raw: bytes, _: bytes) -> bytes:
    lines = _lines(raw)
    first = luck.randrange(len(lines))
    return b"".join(lines[:first] + lines[first + luck.randint(1, 3) :])


def _foreign_lines(luck: Random, raw: bytes, other: bytes) -> bytes:
    lines, others = _lines(raw), _lines(other)
    at, first = luck.randint(0, len(lines)), luck.randrange(len(others))
    return b"".join([*lines[:at], *others[first : first + luck.randint(1, 6)], *lines[at:]])


def _swap_columns(luck: Random, raw: bytes, _: bytes) -> bytes:
    """From some line on, two columns change places: with the headings or without."""
    delimiter = max((b";", b",", b"\t", b"|"), key=raw.count)
    lines = _lines(raw)
    width = max(line.count(delimiter) for line in lines) + 1
    one, two, since = luck.randrange(width), luck.randrange(width), luck.randint(0, len(lines))
    for number, line in enumerate(lines[since:], since):
        text = line.rstrip(b"\r\n")
        cells = text.split(delimiter)
        if len(cells) > max(one, two):
            cells[one], cells[two] = cells[two], cells[one]
            lines[number] = delimiter.join(cells) + line[len(text) :]
    return b"".join(lines)


def _saved_otherwise(luck: Random, raw: bytes, _: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    return luck.choice((
        lambda: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
        lambda: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        lambda: b"\xef\xbb\xbf" + raw,
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-16-be", "replace"),
        lambda: text.encode("cp1252", "replace"),
        lambda: raw + raw,
        lambda: text.upper().encode(),
        lambda: raw.replace(b";", b","),
        lambda: raw.replace(b",", b"."),
    ))()  # fmt: skip


_CHANGES: Final[tuple[Callable[[Random, bytes, bytes], bytes], ...]] = (
    _flip, _cut, _drop, _repeat, _insert, _insert, _number, _number, _move_lines, _repeat_lines, _drop_lines, _foreign_lines,
    _swap_columns, _saved_otherwise,
)  # fmt: skip
