"""Reads one file to its end: original → plain members → format → spool. Synchronous: it runs in the reader's process."""

import codecs
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from actors.disk import must_have_room
from actors.importer.spool import SpoolWriter, Summary, storable
from fleet.codecs.files import registry
from fleet.codecs.files.lines import head_lines
from fleet.codecs.files.reading import Content, Context, Definition, FileFormat, Refusal, Rows, Unreadable, refusal
from fleet.codecs.files.unpack import Member, members
from fleet.codecs.files.wide_csv import WideCsv, wide_format
from fleet.codecs.files.wide_reading import is_html
from fleet.file_limits import FILE_CHUNK_BYTES, FILE_HEAD_BYTES, IMPORT_DISK_FREE_MIN_BYTES
from fleet.serials import is_serial, serial_of_path
from fleet.storage.company_formats import CompanyFormat
from fleet.storage.originals import unpacked

_COMPANY_PROFILE: Final = "imported-inverter"
_PIECES_A_LOOK: Final = 16 * 1024**2 // FILE_CHUNK_BYTES


class ReadingJob(msgspec.Struct, frozen=True):
    """own_serial: whose the rows are where the file does not tell, or names only the logger (logger_serial)."""

    number: int
    original: Path
    spool: Path
    context: Context
    own_serial: str
    company_formats: list[CompanyFormat] = []
    logger_serial: str | None = None


class _Counted:
    """Counts the bytes that are read, and now and then tells how far it is."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self.bytes = 0

    def of(self, content: Content) -> Content:
        def chunks() -> Iterator[bytes]:
            for chunk in content.chunks():
                self.bytes += len(chunk)
                self._tell(self.bytes)
                yield chunk

        return Content(chunks)


def read(job: ReadingJob, tell: Callable[[int, int], None]) -> Summary:
    """tell: bytes (of the file as it came, as far as that can be said) and rows read so far, whenever a piece was read.

    Raises OSError: the disk is full, or the original is gone.
    """
    writer = SpoolWriter(job.spool, job.number, time.time_ns() // 1_000_000)
    try:
        _read(job, tell, writer)
        return writer.finish()
    except OSError:
        writer.abandon()
        raise


def _read(job: ReadingJob, tell: Callable[[int, int], None], writer: SpoolWriter) -> None:
    size = 0

    def progress(position: int) -> None:
        tell(min(position, size), writer.summary.rows)  # what is packed grows, and some formats look twice

    counted = _Counted(progress)
    try:
        with tempfile.TemporaryFile(dir=job.spool) as plain:
            for number, piece in enumerate(unpacked(job.original)):
                if number % _PIECES_A_LOOK == 0:
                    must_have_room(job.spool, 0, leave=IMPORT_DISK_FREE_MIN_BYTES)
                    progress(0)  # a slow disk is not silence
                size += plain.write(piece)
            plain.flush()
            for member in members(plain, job.context.name):
                _member(job, member, counted, writer)
        _judge(writer.summary)
    except Unreadable as error:
        writer.summary.problem = storable(error.refusal)
    except MemoryError:
        writer.summary.problem = refusal("too_much_memory", 0)


def _member(job: ReadingJob, member: Member, counted: _Counted, writer: SpoolWriter) -> None:
    head = _head(member.content)
    known = _format(job, head)
    if known is None:
        for _ in counted.of(member.content).chunks():  # a packed file may turn out to be damaged, or a bomb
            pass
        writer.refusal(refusal(_why_unknown(head), 0, None, member.name))
        return
    writer.summary.format_id = writer.summary.format_id or known.id
    writer.summary.format_version = next((each.version for each in job.company_formats if each.id == known.id), 0)
    context = msgspec.structs.replace(job.context, name=member.name)
    for found in known.read(counted.of(member.content), context):
        if isinstance(found, Rows):
            if found.t:
                writer.rows(found, _serial(job, known, found.serial))
        elif isinstance(found, Refusal):
            writer.refusal(found)
        elif isinstance(found, Definition):
            writer.definition(found.name, found.text)


def _serial(job: ReadingJob, known: FileFormat, told: str | None) -> str:
    """Of one device on this earth, as far as the file can tell."""
    if told is None or told == job.logger_serial:
        return job.own_serial
    local = known.local is not None and known.local.fullmatch(told) is not None
    return serial_of_path(f"{job.own_serial}/{told}") if local or not is_serial(told) else told


def _format(job: ReadingJob, head: bytes) -> FileFormat | None:
    """As a person has set it, else ours, else the company's own."""
    own = list(_company_formats(job.company_formats))
    wanted = job.context.settings.format_id
    if wanted is not None:
        return registry.by_id(wanted) or next((each for each in own if each.id == wanted), None)
    return registry.recognised(head) or next((each for each in own if each.recognises(head)), None)


def _company_formats(known: Sequence[CompanyFormat]) -> Iterator[FileFormat]:
    """Without those that this version does not understand: they must not keep it from reading everything else."""
    for each in known:
        with suppress(msgspec.ValidationError):
            declaration = msgspec.convert(each.definition, WideCsv)
            yield wide_format(each.id, each.name, each.name, _COMPANY_PROFILE, declaration)


def _head(content: Content) -> bytes:
    head = b""
    for chunk in content.chunks():
        head += chunk
        if len(head) >= FILE_HEAD_BYTES:
            break
    return head[:FILE_HEAD_BYTES]


def _why_unknown(head: bytes) -> str:
    if not head.strip():
        return "empty_file"
    if b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "nul_bytes"
    return "html_file" if is_html(" ".join(head_lines(head, 3))) else "unknown_format"


def _judge(summary: Summary) -> None:
    """A file that gave nothing is not imported: its keeper is told why."""
    if summary.rows or summary.definitions:
        return
    if summary.format_id is None and summary.refusals:
        summary.problem = summary.refusals[0]
    elif summary.refusals:
        summary.problem = refusal("nothing_usable", summary.refusals[0].line, None, summary.refusals[0].text)
    else:
        summary.problem = refusal("header_only" if summary.format_id else "empty_file", 0)
