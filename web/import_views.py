"""A file as API and pages tell of it: what was read, what was refused in the reader's words, how far it is. Pure."""

from typing import Final, Literal

import msgspec

from fleet.codecs.files import refusals as refusal_words
from fleet.codecs.files import registry
from fleet.codecs.files.reading import ReadingSettings, Refusal
from fleet.ids import DeviceId, SiteId
from fleet.storage.import_lists import FileRow, FileState, FileVia, RefusalRow, SerialRow
from fleet.telemetry import UnixMs
from web.language import Language

_TELLING_S: Final = 5.0  # of work, before it says how long the rest takes
_TELLING_SHARE: Final = 0.02


class ImportProblem(msgspec.Struct, frozen=True):
    """Why nothing of it was taken in. line: 0 when it is no line's fault."""

    code: str
    detail: str
    line: int


class ImportProgress(msgspec.Struct, frozen=True):
    """stage: waiting for its turn, being read, stored, or taken out again. share: of this stage, from 0 to 1. left_s: to the
    stage's end, going by its pace so far; null until that can be told.
    """

    stage: Literal["waiting", "reading", "storing", "undoing"]
    share: float | None
    left_s: float | None


class ImportRows(msgspec.Struct, frozen=True):
    """Samples. read = new + same + corrected + waiting + late. late: too old, or of a time that is yet to come."""

    read: int
    new: int
    same: int
    corrected: int
    waiting: int
    late: int

    @property
    def stored(self) -> int:
        return self.new + self.same + self.corrected


class ImportRefusal(msgspec.Struct, frozen=True):
    """line: 0 when it is no line's fault; cell: counted from 1, null for the whole line. text: what stands there."""

    line: int
    cell: int | None
    code: str
    detail: str
    text: str


class Import(msgspec.Struct, frozen=True):
    """device: the logger that sent it; null for a file that somebody sent for the site."""

    id: str
    site: SiteId
    site_name: str
    device: DeviceId | None
    device_name: str | None
    via: FileVia
    person: str | None
    name: str
    size_bytes: int
    sha256: str
    received_at: UnixMs
    finished_at: UnixMs | None
    state: FileState
    format: str | None
    format_name: str | None
    settings: ReadingSettings
    problem: ImportProblem | None
    progress: ImportProgress | None
    rows: ImportRows
    lines_refused: int
    first_at: UnixMs | None
    last_at: UnixMs | None
    has_original: bool
    can_undo: bool


class ImportDetail(msgspec.Struct, frozen=True):
    """refusals: the first ones; next_refusals is the cursor that the rest begins with."""

    file: Import
    serials: list[SerialRow]
    refusals: list[ImportRefusal]
    next_refusals: str | None


def import_of(row: FileRow, now: UnixMs, language: Language, company_formats: dict[str, str]) -> Import:
    """company_formats: names of those that the reader may see."""
    return Import(
        id=row.id,
        site=row.site,
        site_name=row.site_name,
        device=row.device,
        device_name=row.device_name,
        via=row.via,
        person=row.person,
        name=row.name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        received_at=row.received_at,
        finished_at=row.finished_at,
        state=row.state,
        format=row.format_id,
        format_name=format_name(row.format_id, language, company_formats) if row.format_id else None,
        settings=row.settings,
        problem=_problem(row, language),
        progress=progress_of(row, now),
        rows=ImportRows(row.rows_read, row.rows_new, row.rows_same, row.rows_corrected, row.rows_waiting, row.rows_late),
        lines_refused=row.lines_refused,
        first_at=row.first_at,
        last_at=row.last_at,
        has_original=row.has_original,
        can_undo=row.has_rows and not row.active,
    )


def refusal_of(row: RefusalRow, language: Language) -> ImportRefusal:
    return refusal_told(Refusal(row.line, row.cell, row.code, row.gaps, row.text), language)


def refusal_told(refused: Refusal, language: Language) -> ImportRefusal:
    return ImportRefusal(refused.line, refused.column, refused.code, said(refused, language), refused.text)


def said(refused: Refusal, language: Language) -> str:
    """In the reader's language. A code of a newer importer, whose words this process does not know, is told as it is."""
    try:
        return refusal_words.words(refused, french=language == "fr")
    except (KeyError, ValueError, IndexError):
        return refused.code


def format_name(format_id: str, language: Language, company_formats: dict[str, str]) -> str:
    known = registry.by_id(format_id)
    if known is not None:
        return known.label_en if language == "en" else known.label_fr
    return company_formats.get(format_id, format_id)


def progress_of(row: FileRow, now: UnixMs) -> ImportProgress | None:
    """None for a file that nothing is being done with."""
    if row.state == "received":
        return ImportProgress("waiting", None, None)
    if row.state == "reading":
        share = row.bytes_read / row.size_bytes if 0 < row.bytes_read <= row.size_bytes else None  # packed ones grow
        return ImportProgress("reading", share, _left_s(share, now - row.state_at))
    if row.state == "storing":
        share = min(1.0, row.blocks_done / row.blocks) if row.blocks else None
        return ImportProgress("storing", share, _left_s(share, now - row.state_at))
    return ImportProgress("undoing", None, None) if row.state == "undoing" else None


def _left_s(share: float | None, taken_ms: int) -> float | None:
    if share is None or share < _TELLING_SHARE or taken_ms < _TELLING_S * 1000:
        return None
    return taken_ms / 1000 * (1 - share) / share


def _problem(row: FileRow, language: Language) -> ImportProblem | None:
    if row.problem_code is None:
        return None
    line = row.problem_line or 0
    return ImportProblem(row.problem_code, said(Refusal(line, None, row.problem_code, row.problem_gaps), language), line)
