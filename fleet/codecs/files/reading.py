"""What a file format is: it recognises its files by their content, and reads them into rows and refusals.

Everything streams: a format holds at most one block of rows per device, whatever the size of the file.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from fleet.file_limits import FILE_CELLS_GATHERED_MAX, FILE_ROWS_PER_BLOCK, FILE_SERIALS_MAX, REFUSED_TEXT_CHARS_MAX
from fleet.limits import SERIAL_CHARS_MAX
from fleet.serials import SERIAL_PATTERN
from fleet.telemetry import UnixMs

_Id = Annotated[str, msgspec.Meta(max_length=40)]
_Zone = Annotated[str, msgspec.Meta(max_length=64)]
_Serial = Annotated[str, msgspec.Meta(max_length=SERIAL_CHARS_MAX, pattern=SERIAL_PATTERN)]

DateOrder = Literal["dmy", "mdy", "ymd"]
StampEnd = Literal["start", "end", "instant"]
Role = Literal["pv", "grid", "battery", "load"]


class ReadingSettings(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a person has set for a logger or for one file, because the file cannot tell. None: the format's own rule.

    format_id   read it as this, whatever it looks like
    timezone    of the logger's clock: an IANA name, or '+01:00' for one that does not follow summer time
    date_order  of dates such as 01/07/24
    stamp       which end of its interval a time names
    role        what is measured, where a file says only "energy"
    serial      whose readings they are, where a file does not tell: a device's serial, or its id
    """

    format_id: _Id | None = None
    timezone: _Zone | None = None
    date_order: DateOrder | None = None
    stamp: StampEnd | None = None
    role: Role | None = None
    serial: _Serial | None = None


class Context(msgspec.Struct, frozen=True):
    """What a format may know beside the content.

    name         as the sender called the file; a hint for dates, never for the format
    timezone     the site's, unless the settings have another one
    definitions  name → text of the definition files that this logger has sent (WebdynSun), for scales and units
    """

    name: str
    timezone: str
    received_at: UnixMs
    settings: ReadingSettings = ReadingSettings()
    definitions: Mapping[str, str] = {}

    @property
    def zone(self) -> str:
        return self.settings.timezone or self.timezone


class Rows(NamedTuple):
    """Samples of one device, by column. t: Unix ms UTC, in the order of the file. values: for each measure as many as t.

    serial     of the device; None: the file does not tell, so it is the logger's own
    corrected  this curve was put right by whoever measured: it outranks a raw one, whichever comes first
    """

    serial: str | None
    measures: tuple[str, ...]
    t: list[UnixMs]
    values: list[list[float | None]]
    corrected: bool = False


class Refusal(NamedTuple):
    """Something in the file that is not taken in, and why.

    line    counted from 1; 0: the file as a whole
    column  cell of the line, counted from 1; None: the whole line
    code    stable; fleet.codecs.files.refusals has its words
    gaps    what fills the gaps in those words
    text    the offending text
    """

    line: int
    column: int | None
    code: str
    gaps: dict[str, str] = {}  # noqa: RUF012 - nobody writes to it
    text: str = ""


class Definition(NamedTuple):
    """The file explains others: it is kept for them under this name."""

    name: str
    text: str


Found = Rows | Refusal | Definition


class Unreadable(Exception):
    """The file as a whole cannot be read as this format: nothing of it is taken in."""

    def __init__(self, code: str, line: int = 0, column: int | None = None, text: str = "", **gaps: str) -> None:
        super().__init__(code, line)
        self.refusal = Refusal(line, column, code, gaps, text[:REFUSED_TEXT_CHARS_MAX])


class Content:
    """A file to read, from its beginning, as often as asked. open_chunks: its bytes, unpacked, in pieces of bounded size."""

    def __init__(self, open_chunks: Callable[[], Iterable[bytes]]) -> None:
        self._open_chunks = open_chunks

    def chunks(self) -> Iterator[bytes]:
        return iter(self._open_chunks())

    def whole(self, bytes_max: int) -> bytes:
        """For formats that cannot be read in pieces. Raises Unreadable (file_too_large)."""
        parts: list[bytes] = []
        size = 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > bytes_max:
                raise Unreadable("file_too_large", bytes_max=str(bytes_max))
            parts.append(chunk)
        return b"".join(parts)


class FileFormat(NamedTuple):
    """recognises: from the first bytes (FILE_HEAD_BYTES, unpacked). read: raises Unreadable.

    profile_id: what a device that is first heard of in such a file most likely is.
    local: the form of serials that are none: names such as "inverter-1", which another logger's files have as well.
    """

    id: str
    label_fr: str
    label_en: str
    profile_id: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Content, Context], Iterator[Found]]
    local: re.Pattern[str] | None = None


_Key = tuple[str | None, tuple[str, ...], bool]


class Gathering:
    """Collects rows into blocks, one per device and list of measures.

    for … : yield from gathering.add(…)        yield from gathering.rest()
    """

    def __init__(self) -> None:
        self._open: dict[_Key, Rows] = {}
        self._cells = 0

    def add(
        self,
        serial: str | None,
        measures: tuple[str, ...],
        t: UnixMs,
        values: Iterable[float | None],
        *,
        corrected: bool = False,
    ) -> Iterator[Rows]:
        """Yields a block when it is full. Raises Unreadable (too_many_serials)."""
        key: Final = (serial, measures, corrected)
        rows = self._open.get(key)
        if rows is None:
            if len(self._open) >= FILE_SERIALS_MAX:
                raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
            rows = self._open[key] = Rows(serial, measures, [], [[] for _ in measures], corrected)
        rows.t.append(t)
        for column, value in zip(rows.values, values, strict=True):
            column.append(value)
        self._cells += len(measures)
        if len(rows.t) >= FILE_ROWS_PER_BLOCK:
            del self._open[key]
            self._cells -= len(rows.t) * len(measures)
            yield rows
        elif self._cells >= FILE_CELLS_GATHERED_MAX:
            yield from self.rest()

    def rest(self) -> Iterator[Rows]:
        yield from self._open.values()
        self._open.clear()
        self._cells = 0


def refusal(code: str, line: int, column: int | None = None, text: str = "", **gaps: str) -> Refusal:
    return Refusal(line, column, code, gaps, text[:REFUSED_TEXT_CHARS_MAX])
