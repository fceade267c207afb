"""A company's own file formats: guessed from a file that nobody recognised, tried on its beginning, saved, and used."""

import time
from contextlib import suppress
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.codecs.files.guess import ColumnGuess, Guess, guess
from fleet.codecs.files.lines import head_lines
from fleet.codecs.files.reading import Context, ReadingSettings
from fleet.codecs.files.wide_csv import WideCsv, faults
from fleet.errors import BadInput, Conflict, NotFound
from fleet.storage import audit, company_formats, import_lists, notices
from fleet.storage.company_formats import FormatRow
from fleet.storage.import_lists import FileRow
from fleet.telemetry import UnixMs
from web.import_changes import check_settings
from web.import_views import ImportRefusal, refusal_told
from web.imports import parse_import
from web.language import Language, language_of
from web.new_sites import LINE
from web.originals import original_path
from web.paging import Page
from web.previews import Curve, Head, Preview
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address

FormatName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=120, pattern=LINE, examples=["Portail Solaris, journalier"])
]
_SHOWN_LINES = 20
_SHOWN_CHARS = 500
_AGAIN_MAX = 500  # files of that company that waited for a format


class Sample(msgspec.Struct, frozen=True):
    """A file with its beginning, and what its reading knows beside that."""

    row: FileRow
    head: Head
    context: Context


class NewFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """file: that it was made from: it is read again by it, and so are others of the company that nobody recognised."""

    name: FormatName
    definition: WideCsv
    file: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class FormatChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """version: the one that was read and changed. What is left out stays."""

    version: int
    name: FormatName | None = None
    definition: WideCsv | None = None
    file: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class PreviewAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    file: Annotated[str, msgspec.Meta(max_length=40)]
    definition: WideCsv
    settings: ReadingSettings | None = None


class FileAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    file: Annotated[str, msgspec.Meta(max_length=40)]


class FormatFault(msgspec.Struct, frozen=True):
    """column: index among the definition's; null: the definition as a whole."""

    column: int | None
    code: str


class FormatPreview(msgspec.Struct, frozen=True):
    """What the beginning of the file reads as; rows and refused are of that beginning, or of all of it (whole)."""

    faults: list[FormatFault]
    whole: bool
    rows: int
    first_at: UnixMs | None
    last_at: UnixMs | None
    devices: list[str | None]
    t: list[UnixMs]
    curves: list[Curve]
    refused: int
    refusals: list[ImportRefusal]
    problem: ImportRefusal | None


class FormatGuess(msgspec.Struct, frozen=True):
    """How an unknown file probably reads. heading: line of the headings, null without; doubts: what to look at."""

    definition: WideCsv
    lines: list[str]
    heading: int | None
    columns: list[ColumnGuess]
    doubts: list[str]


async def sample(services: Services, visit: Visit, file_id: str, settings: ReadingSettings | None = None) -> Sample:
    """Raises NotFound (unknown_import), Gone (original_gone), TooMany (too_many_requests), BadInput (not_describable),
    Unavailable (preview_slow).
    """
    services.looked_into.take(visit.claims.person_id, time.monotonic())
    async with visit.enter() as connection:
        row = await import_lists.file(connection, file_id)
        await visit.must_keep(connection, row.site)
        if settings is not None:
            await check_settings(connection, settings)
    try:
        head = await services.previews.head(original_path(services, row), row.name)
    except FileNotFoundError:  # the importer has moved it just now
        head = await services.previews.head(original_path(services, row), row.name)
    used = msgspec.structs.replace(settings or row.settings, format_id=None)
    return Sample(row, head, Context(head.name, row.timezone, row.received_at, used))


async def guessed(services: Services, found: Sample) -> Guess:
    """Raises BadInput (not_describable), Unavailable (preview_slow)."""
    if b"\0" in found.head.content[:1_000] and found.head.content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput("not_describable", "the file is no text")
    return await services.previews.guess(lambda: guess(found.head.content, found.context))


async def previewed(services: Services, found: Sample, definition: WideCsv) -> Preview:
    """Raises Unavailable (preview_slow)."""
    return await services.previews.preview(definition, found.head, found.context)


async def save_new(visit: Visit, new: NewFormat, address: str) -> FormatRow:
    """For those who keep sites. Raises BadInput (bad_format), NotFound (unknown_import), Conflict (too_many_formats)."""
    check(new.definition)
    async with visit.enter() as connection:
        visit.must_be("installer", "ops", "admin")
        row = await import_lists.file(connection, parse_import(new.file)) if new.file else None
        if row is not None:
            await visit.must_keep(connection, row.site)
        made = await company_formats.add(
            connection,
            format_id=f"own-{uuid4().hex[:16]}",
            organisation=await company_formats.organisation_for(connection, row.site if row else None),
            name=new.name,
            definition=new.definition,
            person_id=visit.person.id,
        )
        await _record(visit, connection, "format.make", made, address)
    await _use(visit, made, row)
    return made


async def change(visit: Visit, format_id: str, changed: FormatChange, address: str) -> FormatRow:
    """Raises NotFound (no_such_format), Conflict (format_changed), BadInput (bad_format)."""
    if changed.definition is not None:
        check(changed.definition)
    async with visit.enter() as connection:
        before = await company_formats.format_(connection, format_id)
        row = await import_lists.file(connection, parse_import(changed.file)) if changed.file else None
        made = await company_formats.change(
            connection,
            format_id,
            version=changed.version,
            name=changed.name or before.name,
            definition=changed.definition if changed.definition is not None else before.definition,
        )
        await _record(visit, connection, "format.change", made, address)
    await _use(visit, made, row)
    return made


async def remove(visit: Visit, format_id: str, address: str) -> None:
    """Raises NotFound (no_such_format)."""
    async with visit.enter() as connection:
        row = await company_formats.format_(connection, format_id)
        await company_formats.remove(connection, format_id)
        await _record(visit, connection, "format.remove", row, address)


def check(definition: WideCsv) -> None:
    """Raises BadInput (bad_format)."""
    found = faults(definition)
    if found:
        where = "" if found[0].column is None else f"column {found[0].column + 1}: "
        raise BadInput("bad_format", f"{where}{found[0].code}")


async def _use(visit: Visit, made: FormatRow, row: FileRow | None) -> None:
    """The file is read by it, and those of the company that waited for a format are tried again."""
    async with visit.enter() as connection:
        if row is not None:
            settings = msgspec.structs.replace(row.settings, format_id=made.id)
            with suppress(Conflict):  # being read just now, or gone: the format is saved all the same
                await import_lists.read_again(connection, row, settings)
        await import_lists.try_again(connection, made.organisation, _AGAIN_MAX)
        await notices.notify(connection, notices.FILE, row.id if row else "")


async def _record(visit: Visit, connection: Any, action: str, row: FormatRow, address: str) -> None:
    await audit.record(
        connection,
        action,
        person_id=visit.person.id,
        subject=row.id,
        detail={"name": row.name, "organisation": row.organisation, "version": row.version},
        address=address,
    )


def preview_told(preview: Preview | None, found: list[FormatFault], language: Language) -> FormatPreview:
    """preview None: with these faults there was nothing to try."""
    if preview is None:
        return FormatPreview(found, True, 0, None, None, [], [], [], 0, [], None)
    return FormatPreview(
        faults=found,
        whole=preview.whole,
        rows=preview.rows,
        first_at=preview.first_at,
        last_at=preview.last_at,
        devices=preview.devices,
        t=preview.t,
        curves=preview.curves,
        refused=preview.refused,
        refusals=[refusal_told(each, language) for each in preview.refusals],
        problem=refusal_told(preview.problem, language) if preview.problem else None,
    )


@get("/", operation_id="listFormats", summary="File formats of your company", guards=[site_keepers])
async def list_formats(visit: NamedDependency[Visit]) -> Page[FormatRow]:
    async with visit.enter() as connection:
        return Page(await company_formats.formats(connection), None)


@post("/guess", status_code=200, operation_id="guessFormat", summary="How a file probably reads", guards=[site_keepers])
async def post_guess(
    data: JSONBody[FileAsked], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> FormatGuess:
    """Begin with it: correct it, try it with `/formats/preview`, then save it."""
    found = await sample(services, visit, parse_import(data.file))
    best = await guessed(services, found)
    return FormatGuess(best.declaration, lines_of(found.head.content), best.header_line, best.columns, list(best.doubts))


@post("/preview", status_code=200, operation_id="previewFormat", summary="What a file reads as", guards=[site_keepers])
async def post_preview(
    data: JSONBody[PreviewAsked],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> FormatPreview:
    """The first days of its first device as a curve, and what would be refused. Nothing is stored."""
    found = await sample(services, visit, parse_import(data.file), data.settings)
    wrong = [FormatFault(each.column, each.code) for each in faults(data.definition)]
    preview = None if wrong else await previewed(services, found, data.definition)
    return preview_told(preview, wrong, language_of(request))


@post("/", operation_id="makeFormat", summary="Save a format", guards=[site_keepers])
async def post_format(
    data: JSONBody[NewFormat], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> FormatRow:
    """From then on the company's files are recognised by it."""
    return await save_new(visit, data, client_address(request))


@patch("/{format_id:str}", operation_id="changeFormat", summary="Change a format", guards=[site_keepers])
async def patch_format(
    format_id: FromPath[str],
    data: JSONBody[FormatChange],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
) -> FormatRow:
    """Files that were read by it stay as they are until they are read again."""
    return await change(visit, parse_format(format_id), data, client_address(request))


@delete("/{format_id:str}", operation_id="removeFormat", summary="Remove a format", guards=[site_keepers])
async def delete_format(format_id: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> None:
    """What was read by it stays."""
    await remove(visit, parse_format(format_id), client_address(request))


def parse_format(text: str) -> str:
    """Raises NotFound: what cannot be an id names no format."""
    if not (text.isascii() and text.replace("-", "").isalnum() and len(text) <= 40):
        raise NotFound("no_such_format", "no such format")
    return text


def lines_of(content: bytes) -> list[str]:
    """The first ones, cut to a bearable length."""
    return [text[:_SHOWN_CHARS] for text in head_lines(content, _SHOWN_LINES)]


router = Router(
    "/formats",
    route_handlers=[list_formats, post_guess, post_preview, post_format, patch_format, delete_format],
    tags=["imports"],
)
