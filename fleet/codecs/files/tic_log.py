"""Logs of the TIC as the meter sends it, historic or standard, by whatever listens to it.

Source: Enedis-NOI-CPT_54E for frames and labels (fleet.codecs.tic); recorded logs for what loggers make of them. Frames
stand between STX and ETX, or, where a logger drops those, begin anew when a label returns. A line whose checksum is wrong is
left out, the rest of its frame counts. The instant is the meter's own DATE (standard output), else the time that the logger
writes before its lines (`2024-07-01T14:30:00+02:00 PAPP 00910 +`): without an offset it is the wall clock of the zone.
Historic frames have no time of their own, so without the logger's they are no curve. Energies are lifetime counters in Wh;
PAPP and SINSTS are VA; CCASN and CCAIN are means of a past period and left out, since EAST and EAIT count the same.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from fleet.codecs import tic
from fleet.codecs.files.lines import head_lines, lines
from fleet.codecs.files.local_time import LocalTimes, naive_ms
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Refusal, Unreadable, refusal
from fleet.codecs.files.sparse_rows import SparseRows
from fleet.serials import is_serial
from fleet.telemetry import UnixMs

_STX, _ETX = "\x02", "\x03"
_PREFIX: Final = re.compile(
    r"[\[(]?([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2}[/.][0-9]{2}[/.][0-9]{4})[T ]"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r" ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})?[\])]?[ \t;,:|>-]*"
)
_TIME_BEGINS: Final = tuple("0123456789[(")
_ADDRESSES: Final = frozenset(("ADSC", "ADCO"))
_DELIVERY_POINT: Final = re.compile(r"[0-9]{10,}(?=[0-9]{4})")
_LINES_TO_RECOGNISE: Final = 3
_LABELS_PER_FRAME_MAX: Final = 200  # the longest real one has about 70 lines


class _Time(NamedTuple):
    """The logger's: its wall clock, with the offset in ms if it says one."""

    naive: int
    offset: int | None


class _Frame:
    """What was heard since the last one ended. line: its first."""

    def __init__(self) -> None:
        self.line = 0
        self.labels: dict[str, str] = {}
        self.date: str | None = None
        self.logged: _Time | None = None


def recognises(head: bytes) -> bool:
    """Several lines whose checksums are right, and they are most of the lines."""
    good = bad = 0
    for text in head_lines(head, most=60):
        bare = text.strip(_STX + _ETX)
        prefix = _PREFIX.match(bare)
        bare = bare if prefix is None else bare[prefix.end() :]
        if bare.strip():
            try:
                tic.decode_line(bare)
                good += 1
            except tic.BadLine:
                bad += 1
    return good >= _LINES_TO_RECOGNISE and good > bad


def read(content: Content, context: Context) -> Iterator[Found]:
    return _Log(context.zone).read(content)


class _Log:
    def __init__(self, zone: str) -> None:
        self._zone: Final = zone
        self._clock: Final = LocalTimes(zone)
        self._rows: Final = SparseRows()
        self._frame = _Frame()
        self._framed = False  # the logger keeps STX and ETX; without them the meter's address begins a frame
        self._timed = False
        self._untimed = 0  # line of the first frame without a time

    def read(self, content: Content) -> Iterator[Found]:
        for number, text in lines(content):
            if _STX not in text and _ETX not in text:
                if text and (found := self._hear(number, text)):
                    yield from found
                continue
            self._framed = True
            before, _, after = text.replace(_STX, _ETX).partition(_ETX)
            yield from self._hear(number, before)
            yield from self._ended()
            yield from self._hear(number, after.replace(_ETX, ""))
        yield from self._ended()
        if self._untimed and not self._timed:
            raise Unreadable("no_clock", self._untimed)
        yield from self._rows.rest()

    def _hear(self, number: int, text: str) -> list[Found]:
        logged = None
        if text[:1] in _TIME_BEGINS:
            logged, text = _time_before(text)
            if logged is not None and not text.strip():  # a time on a line of its own: of the frame that follows
                ended = list(self._ended())
                self._frame.logged = logged
                return ended
        try:
            label, horodate, value = tic.decode_line(text)
        except tic.BadLine as bad:
            return [_refused(bad.code, number, text)] if text.strip() else []
        frame, ended = self._frame, []
        if frame.labels and (label in frame.labels or (label in _ADDRESSES and not self._framed)):
            ended = list(self._ended())
            frame = self._frame
        if not frame.line:
            frame.line = number
        if frame.logged is None:
            frame.logged = logged
        if label in tic.COUNTED and tic.number(value) is None:
            ended.append(_refused("bad_number", number, text))
        elif len(frame.labels) < _LABELS_PER_FRAME_MAX:
            frame.labels[label] = value
            if label == "DATE":
                frame.date = horodate
        return ended

    def _ended(self) -> Iterator[Found]:
        """The frame is whole, or the next one begins."""
        frame, self._frame = self._frame, _Frame()
        serial = tic.serial(frame.labels)
        if serial is not None and not is_serial(serial):
            serial = None
        if serial is not None:
            self._rows.name(serial)
        reading = tic.reading(frame.labels)
        if not reading:
            return
        t = self._instant(frame)
        if t is None:
            yield self._without_time(frame)
            return
        self._timed = True
        if serial is None and len(self._rows.serials) > 1:
            yield refusal("frame_without_serial", frame.line)
            return
        yield from self._rows.add(serial or next(iter(self._rows.serials), None), t, reading)

    def _instant(self, frame: _Frame) -> UnixMs | None:
        told = None if frame.date is None else tic.utc(frame.date)
        if told is not None or frame.logged is None:
            return told
        naive, offset = frame.logged
        return self._clock.utc(naive) if offset is None else naive - offset

    def _without_time(self, frame: _Frame) -> Refusal:
        if frame.logged is not None:
            return refusal("time_does_not_exist", frame.line, zone=self._zone)
        if frame.date is not None:
            return refusal("clock_in_doubt", frame.line, text=frame.date)
        self._untimed = self._untimed or frame.line
        return refusal("frame_without_time", frame.line)


def _time_before(text: str) -> tuple[_Time | None, str]:
    """The logger's time and the meter's line behind it."""
    found = _PREFIX.match(text)
    if found is None:
        return None, text
    day, hour, minute, second, fraction, offset = found.groups()
    midnight = _midnight_ms(day)
    if midnight is None or hour > "23" or minute > "59" or second > "59":
        return None, text
    naive = (
        midnight + (int(hour) * 3_600 + int(minute) * 60 + int(second)) * 1_000 + int((fraction or "0")[:3].ljust(3, "0"))
    )
    return _Time(naive, None if offset is None else _offset_ms(offset)), text[found.end() :]


@lru_cache(maxsize=64)
def _midnight_ms(day: str) -> int | None:
    """These are French meters: 01/07/2024 has the day first."""
    try:
        if not day[:4].isdecimal():
            return naive_ms(int(day[6:]), int(day[3:5]), int(day[:2]))
        return naive_ms(int(day[:4]), int(day[5:7]), int(day[8:]))
    except ValueError:
        return None


def _offset_ms(text: str) -> int:
    if text in {"Z", "UTC"}:
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (-minutes if text[0] == "-" else minutes) * 60_000


def _refused(code: str, line: int, text: str) -> Refusal:
    """The offending text without a delivery point's number, which names a home."""
    return refusal(code, line, text=_DELIVERY_POINT.sub(lambda digits: "•" * len(digits[0]), text))


FORMAT: Final = FileFormat(
    id="tic-log",
    label_fr="Journal TIC (Linky, compteurs électroniques)",
    label_en="TIC log (Linky and other French meters)",
    profile_id="imported-meter",
    recognises=recognises,
    read=read,
)
