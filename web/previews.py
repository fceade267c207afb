"""The beginning of a file as a declared format reads it: a curve, a table and what was refused, before anything is saved."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from fleet.calendar import local_day
from fleet.codecs.files.reading import Content, Context, Refusal, Rows, Unreadable
from fleet.codecs.files.unpack import members
from fleet.codecs.files.wide_csv import WideCsv, wide_format
from fleet.errors import BadInput, Unavailable
from fleet.file_limits import (
    PREVIEW_ARCHIVE_BYTES_MAX,
    PREVIEW_BYTES,
    PREVIEW_DAYS,
    PREVIEW_POINTS_MAX,
    PREVIEW_POINTS_MIN,
    PREVIEW_REFUSALS_MAX,
    PREVIEW_TIMEOUT_S,
    PREVIEWS_AT_ONCE,
)
from fleet.measures import INTERVAL_LENGTH
from fleet.storage.originals import unpacked
from fleet.telemetry import UnixMs

T = TypeVar("T")

_CHUNK_BYTES: Final = 64 * 1024  # between two looks at the clock
_PACKED: Final = (b"PK", b"\x1f\x8b")


class Head(msgspec.Struct, frozen=True):
    """The first bytes of a plain file, ending with a line. whole: that is all of it. name: within its archive, if in one."""

    name: str
    content: bytes
    whole: bool


class Curve(msgspec.Struct, frozen=True):
    """values: as many as there are times."""

    measure: str
    values: list[float | None]


class Preview(msgspec.Struct, frozen=True):
    """rows, refused: of the beginning of the file, or of all of it (whole). t, curves: the first days of the first device.

    problem: why nothing can be read.
    """

    whole: bool
    rows: int
    first_at: UnixMs | None
    last_at: UnixMs | None
    devices: list[str | None]
    t: list[UnixMs]
    curves: list[Curve]
    refused: int
    refusals: list[Refusal]
    problem: Refusal | None


class Previews:
    """In threads, few at a time, each for a bounded time."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(PREVIEWS_AT_ONCE)

    async def head(self, path: Path, name: str) -> Head:
        """Raises BadInput (not_describable), Unavailable (preview_slow)."""
        return await self._run(lambda until: head_of(path, name, until))

    async def preview(self, declaration: WideCsv, head: Head, context: Context) -> Preview:
        """Raises Unavailable (preview_slow)."""
        return await self._run(lambda until: preview_of(declaration, head, context, until))

    async def guess(self, work: Callable[[], T]) -> T:
        """Raises Unavailable (preview_slow)."""
        return await self._run(lambda _: work())

    async def _run(self, work: Callable[[float], T]) -> T:
        """A thread cannot be ended: it looks at the clock by itself, and keeps its place until it is done."""
        await self._free.acquire()
        until = time.monotonic() + PREVIEW_TIMEOUT_S
        running = asyncio.get_running_loop().run_in_executor(None, work, until)
        running.add_done_callback(lambda _: self._free.release())
        try:
            async with asyncio.timeout(2 * PREVIEW_TIMEOUT_S):
                return await asyncio.shield(running)
        except TimeoutError:
            raise Unavailable("preview_slow", "the preview could not be made in time; try again") from None


def head_of(path: Path, name: str, until: float) -> Head:
    """path: an original (web.originals). Raises BadInput (not_describable), TimeoutError."""
    pieces = _timed(unpacked(path), until)
    first = next(pieces, b"")
    if not first.startswith(_PACKED):
        return _cut(name, _joined(first, pieces))
    with tempfile.TemporaryFile() as plain:
        for piece in _joined(first, pieces):
            plain.write(piece)
            if plain.tell() > PREVIEW_ARCHIVE_BYTES_MAX:
                raise BadInput("not_describable", "the archive is too large to look into: unpack it and send one file of it")
        try:
            for member in members(plain, name):
                return _cut(member.name, _timed(member.content.chunks(), until))
        except Unreadable as error:
            raise BadInput("not_describable", f"the archive cannot be read: {error.refusal.code}") from None
    raise BadInput("not_describable", "the archive is empty")


def _cut(name: str, pieces: Iterator[bytes]) -> Head:
    """Raises BadInput (not_describable)."""
    content = b""
    for piece in pieces:
        content += piece
        if len(content) > PREVIEW_BYTES:
            break
    whole = len(content) <= PREVIEW_BYTES
    if not whole:
        content = _whole_lines(content[:PREVIEW_BYTES])
    if not content.strip(b"\0\r\n\t "):
        raise BadInput("not_describable", "the file is empty")
    return Head(name, content, whole)


def _whole_lines(content: bytes) -> bytes:
    ends = (b"\n\0", b"\0\n") if content[:2] in (b"\xff\xfe", b"\xfe\xff") else (b"\n", b"\r")
    for end in ends:
        at = content.rfind(end)
        if at > 0:
            return content[: at + len(end)]
    return content


def preview_of(declaration: WideCsv, head: Head, context: Context, until: float) -> Preview:
    """Raises TimeoutError."""
    found = _Found(context.zone)
    problem = None
    content = Content(lambda: _timed(_sliced(head.content), until))
    try:
        for each in wide_format("preview", "", "", "", declaration).read(content, context):
            if isinstance(each, Rows):
                found.add(each)
            elif isinstance(each, Refusal):
                found.refuse(each)
    except Unreadable as error:
        problem = error.refusal
    return found.preview(whole=head.whole, problem=problem)


class _Found:
    """What is kept of a reading: the first device's first days, and the first refusals."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._devices: dict[str | None, None] = {}
        self._shown: dict[UnixMs, dict[str, float | None]] = {}
        self._rows = self._refused = 0
        self._refusals: list[Refusal] = []
        self._first: UnixMs | None = None
        self._last: UnixMs | None = None

    def add(self, rows: Rows) -> None:
        self._devices.setdefault(rows.serial)
        self._rows += len(rows.t)
        if not rows.t:
            return
        low, high = min(rows.t), max(rows.t)
        self._first = low if self._first is None else min(self._first, low)
        self._last = high if self._last is None else max(self._last, high)
        if rows.serial != next(iter(self._devices)):
            return
        for index, at in enumerate(rows.t):
            if len(self._shown) >= PREVIEW_POINTS_MAX and at not in self._shown:
                break
            row = self._shown.setdefault(at, {})
            row.update({name: values[index] for name, values in zip(rows.measures, rows.values, strict=True)})

    def refuse(self, refusal: Refusal) -> None:
        self._refused += 1
        if len(self._refusals) < PREVIEW_REFUSALS_MAX:
            self._refusals.append(refusal)

    def preview(self, *, whole: bool, problem: Refusal | None) -> Preview:
        times = self._first_days(sorted(self._shown))
        measures = dict.fromkeys(name for at in times for name in self._shown[at] if name != INTERVAL_LENGTH)
        return Preview(
            whole=whole,
            rows=self._rows,
            first_at=self._first,
            last_at=self._last,
            devices=list(self._devices),
            t=times,
            curves=[Curve(name, [self._shown[at].get(name) for at in times]) for name in measures],
            refused=self._refused,
            refusals=self._refusals,
            problem=problem,
        )

    def _first_days(self, times: list[UnixMs]) -> list[UnixMs]:
        """A few of them, unless these have too few points to be a curve (a daily index)."""
        if not times:
            return []
        days = list(dict.fromkeys(_day_of(at, self._zone) for at in times))[:PREVIEW_DAYS]
        few = [at for at in times if _day_of(at, self._zone) in days]
        return few if len(few) >= PREVIEW_POINTS_MIN else times


def _day_of(at: UnixMs, zone: str) -> object:
    """Local; of UTC for a clock with a fixed offset."""
    return local_day(at, zone) if "/" in zone else at // 86_400_000


def _sliced(content: bytes) -> Iterator[bytes]:
    return (content[start : start + _CHUNK_BYTES] for start in range(0, len(content), _CHUNK_BYTES))


def _timed(pieces: Iterator[bytes], until: float) -> Iterator[bytes]:
    for piece in pieces:
        if time.monotonic() > until:
            raise TimeoutError
        yield piece


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
