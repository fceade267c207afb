"""A file that was read, on disk: its rows in blocks, ready for the twins, and what there is to say of it.

Crash contract: a spool with a summary is whole. One without is what a reading left that did not come to its end.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np

from actors.disk import must_have_room
from fleet.codecs.files.reading import Refusal, Rows, Unreadable
from fleet.codecs.files.refusals import NOTES
from fleet.columns import DAY_MS, ColumnBlock, rank_of
from fleet.file_limits import (
    DEFINITIONS_BYTES_MAX,
    FILE_SERIALS_MAX,
    IMPORT_DISK_FREE_MIN_BYTES,
    REFUSED_LINES_KEPT_MAX,
    REFUSED_TEXT_CHARS_MAX,
    SPOOL_BYTES_MAX,
    SPOOL_DAYS_MAX,
)
from fleet.ids import DeviceId
from fleet.limits import HISTORY_DAYS
from fleet.measures import INTERVAL_LENGTH, INTERVAL_OF, LENGTH_OF
from fleet.telemetry import UnixMs

_LENGTH: Final = struct.Struct("<I")
_OURS_MS: Final = (-(HISTORY_DAYS + 2) * DAY_MS, 400 * DAY_MS)  # around now; of what lies within, the twins decide
_DISK_LOOK_BYTES: Final = 16 * 1024**2


class SpooledBlock(msgspec.Struct, frozen=True):
    """t, values: as in fleet.columns.ColumnBlock."""

    serial: str
    measures: tuple[str, ...]
    corrected: bool
    t: bytes
    values: bytes


class Told(msgspec.Struct):
    """What a file has of one device. newest: number of the day since 1970 (UTC) → its last instant."""

    rows: int = 0
    measures: set[str] = msgspec.field(default_factory=set)
    newest: dict[int, UnixMs] = msgspec.field(default_factory=dict)


class Summary(msgspec.Struct):
    """problem: why nothing of the file is taken. refusals: the first of them; lines_refused counts all but mere notes.

    late: rows of a time in which nobody can store any; rows counts them, blocks have none of them.
    """

    format_id: str | None = None
    format_version: int = 0
    problem: Refusal | None = None
    blocks: int = 0
    rows: int = 0
    late: int = 0
    lines_refused: int = 0
    refusals: list[Refusal] = []
    first_at: UnixMs | None = None
    last_at: UnixMs | None = None
    devices: dict[str, Told] = {}
    definitions: dict[str, str] = {}


class SpoolWriter:
    """Takes what a format finds, whatever that is, within bounds. Each file's spool is written by one reader at a time."""

    def __init__(self, folder: Path, number: int, now: UnixMs) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _summary_path(folder, number).unlink(missing_ok=True)
        self._folder, self._number = folder, number
        self._span = now + _OURS_MS[0], now + _OURS_MS[1]
        self._file: BinaryIO = _blocks_path(folder, number).open("wb")
        self._bytes = self._bytes_looked = 0
        self._days = 0
        self._definition_bytes = 0
        self.summary = Summary()

    def rows(self, rows: Rows, serial: str) -> None:
        """Raises Unreadable (too_many_serials, too_many_days, too_many_values), OSError: the disk is full."""
        summary = self.summary
        summary.rows += len(rows.t)
        ours = _within(rows, self._span)
        summary.late += len(rows.t) - len(ours.t)
        if not ours.t:
            return
        rows = _with_own_lengths(ours)
        t = np.array(rows.t, "<i8")
        values = b"".join(np.array(column, "<f8").tobytes() for column in rows.values)
        frame = msgspec.msgpack.encode(SpooledBlock(serial, rows.measures, rows.corrected, t.tobytes(), values))
        self._write(_LENGTH.pack(len(frame)) + frame)
        summary.blocks += 1
        first, last = int(t.min()), int(t.max())
        summary.first_at = first if summary.first_at is None else min(summary.first_at, first)
        summary.last_at = last if summary.last_at is None else max(summary.last_at, last)
        told = self._told(serial)
        told.rows += len(rows.t)
        told.measures.update(rows.measures)
        by_day = np.sort(t)
        days, firsts = np.unique(by_day // DAY_MS, return_index=True)
        for day, newest in zip(days.tolist(), by_day[[*(firsts[1:] - 1), len(by_day) - 1]].tolist(), strict=True):
            if day not in told.newest:
                self._days += 1
            told.newest[day] = max(newest, told.newest.get(day, newest))
        if self._days > SPOOL_DAYS_MAX:
            raise Unreadable("too_many_days", days_max=str(SPOOL_DAYS_MAX))

    def refusal(self, refusal: Refusal) -> None:
        self.summary.lines_refused += refusal.code not in NOTES
        if len(self.summary.refusals) < REFUSED_LINES_KEPT_MAX:
            self.summary.refusals.append(storable(refusal))

    def definition(self, name: str, text: str) -> None:
        """Raises Unreadable (too_many_definitions)."""
        self._definition_bytes += len(text.encode(errors="replace"))
        if self._definition_bytes > DEFINITIONS_BYTES_MAX:
            raise Unreadable("too_many_definitions", bytes_max=str(DEFINITIONS_BYTES_MAX))
        self.summary.definitions[_storable(name)] = _storable(text)

    def _told(self, serial: str) -> Told:
        """A format counts the devices of one file; an archive has many."""
        devices = self.summary.devices
        if serial not in devices and len(devices) >= FILE_SERIALS_MAX:
            raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
        return devices.setdefault(serial, Told())

    def _write(self, frame: bytes) -> None:
        self._bytes += len(frame)
        if self._bytes > SPOOL_BYTES_MAX:
            raise Unreadable("too_many_values")
        if self._bytes - self._bytes_looked > _DISK_LOOK_BYTES:
            self._bytes_looked = self._bytes
            must_have_room(self._folder, 0, leave=IMPORT_DISK_FREE_MIN_BYTES)
        self._file.write(frame)

    def abandon(self) -> None:
        """What was written of it may be the very room that the disk lacks."""
        with suppress(OSError):
            self._file.close()
        forget(self._folder, self._number)

    def finish(self) -> Summary:
        """Whole, and on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = _summary_path(self._folder, self._number)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.msgpack.encode(self.summary))
        fresh.rename(path)
        return self.summary


class Spool:
    """One that is whole. Raises FileNotFoundError when there is none."""

    def __init__(self, folder: Path, number: int) -> None:
        self._blocks = _blocks_path(folder, number)
        self._number = number
        self.summary = msgspec.msgpack.decode(_summary_path(folder, number).read_bytes(), type=Summary)

    def blocks(self, done: int) -> Iterator[SpooledBlock]:
        """From the one after the `done` first ones on."""
        with self._blocks.open("rb") as file:
            for number in range(self.summary.blocks):
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                if number < done:
                    file.seek(length, os.SEEK_CUR)
                else:
                    yield msgspec.msgpack.decode(file.read(length), type=SpooledBlock)

    def columns(self, block: SpooledBlock, device: DeviceId) -> ColumnBlock:
        """With each row's rank, for which the whole file had to be known."""
        newest = self.summary.devices[block.serial].newest
        ranks = {day: rank_of(self._number, last, corrected=block.corrected) for day, last in newest.items()}
        days, day_of = np.unique(np.frombuffer(block.t, "<i8") // DAY_MS, return_inverse=True)
        of_days = np.array([ranks[day] for day in days.tolist()], "<i8")
        return ColumnBlock(device, block.measures, block.t, block.values, of_days[day_of].tobytes())


def numbers(folder: Path) -> set[int]:
    """Of the files that have one, whole or not."""
    return {int(path.stem) for path in folder.iterdir() if path.stem.isdigit()}


def forget(folder: Path, number: int) -> None:
    for path in (_summary_path(folder, number), _blocks_path(folder, number)):
        path.unlink(missing_ok=True)


def storable(refusal: Refusal) -> Refusal:
    """As the database takes it, whatever stands in the file: PostgreSQL's texts have no NUL, its indexes no long ones."""
    gaps = {name: _storable(text[:REFUSED_TEXT_CHARS_MAX]) for name, text in refusal.gaps.items()}
    return refusal._replace(gaps=gaps, text=_storable(refusal.text[:REFUSED_TEXT_CHARS_MAX]))


def _storable(text: str) -> str:
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _within(rows: Rows, span: tuple[UnixMs, UnixMs]) -> Rows:
    first, last = span
    if first <= min(rows.t) and max(rows.t) <= last:
        return rows
    kept = [index for index, t in enumerate(rows.t) if first <= t <= last]
    return rows._replace(t=[rows.t[i] for i in kept], values=[[column[i] for i in kept] for column in rows.values])


def _with_own_lengths(rows: Rows) -> Rows:
    """The length of a row's intervals becomes that of each register in it: files of import and export may differ."""
    if INTERVAL_LENGTH not in rows.measures:
        return rows
    length = rows.values[rows.measures.index(INTERVAL_LENGTH)]
    told = {
        measure: column for measure, column in zip(rows.measures, rows.values, strict=True) if measure != INTERVAL_LENGTH
    }
    told |= {own: length for register, own in LENGTH_OF.items() if INTERVAL_OF[register] in told}
    return rows._replace(measures=tuple(told), values=list(told.values()))


def _blocks_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.blocks"


def _summary_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.summary"
