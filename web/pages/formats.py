"""An unknown export, described by hand: first lines, a guess to correct, the curve that comes of it, and saving it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.codecs.files.wide_csv import WideCsv
from fleet.errors import BadInput, FleetError, NotFound
from fleet.storage import company_formats, import_lists
from fleet.storage.company_formats import FormatRow
from fleet.telemetry import UnixMs
from web.errors import Problem, problem_of
from web.formats import (
    FormatChange,
    FormatFault,
    FormatPreview,
    NewFormat,
    Sample,
    change,
    guessed,
    parse_format,
    preview_told,
    previewed,
    remove,
    sample,
    save_new,
)
from web.imports import parse_import
from web.language import Language, language_of
from web.pages import measures
from web.pages.format_form import (
    FormatFields,
    FormFault,
    Lines,
    declaration_of,
    fields_from,
    fields_typed,
    first_lines,
    heading_of,
    units_offered,
)
from web.pages.forms import fields_of
from web.pages.operations import ZONE
from web.pages.rendering import now_ms, page
from web.pages.times import moment
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address

_TABLE_ROWS = 6
_LINE_CHARS = 400


class ChartCurve(msgspec.Struct, frozen=True):
    """name: in the reader's language, with its unit."""

    name: str
    unit: str
    values: list[float | None]


class Chart(msgspec.Struct, frozen=True):
    """labels: the times, in the site's zone."""

    labels: list[str]
    curves: list[ChartCurve]


class TryPage(msgspec.Struct, frozen=True):
    """What the page shows. fields None: the file cannot be described, refusal says why."""

    sample: Sample | None
    shown: Lines
    fields: FormatFields | None
    doubts: list[str]
    faults: list[FormFault]
    preview: FormatPreview | None
    chart: Chart | None
    table: list[list[str]]

    def faults_of(self, column: int) -> list[str]:
        return [each.code for each in self.faults if each.column == column]


class FormatLine(msgspec.Struct, frozen=True):
    """file: the newest that was read by it, to look at a change with."""

    row: FormatRow
    file: str | None


@get("/formats", guards=[site_keepers], include_in_schema=False)
async def formats_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    async with visit.enter() as connection:
        rows = await company_formats.formats(connection)
        files = await import_lists.newest_read_by(connection, [row.id for row in rows])
    lines = [FormatLine(row, files.get(row.id)) for row in rows]
    return page(request, "formats.html", person=visit.person, lines=lines, now=now_ms(), zone=ZONE)


@post("/formats/{format_id:str}/remove", guards=[site_keepers], include_in_schema=False)
async def remove_format(
    format_id: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Redirect:
    await remove(visit, parse_format(format_id), client_address(request))
    return Redirect("/formats", status_code=303)


FormatQuery = Annotated[str | None, QueryParameter(name="format", max_length=40)]


@get("/imports/{file:str}/format", guards=[site_keepers], include_in_schema=False)
async def format_page(
    file: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    format_id: FormatQuery = None,
) -> Response[str]:
    """Begins with the guess, or with a format of the company that is to be changed."""
    try:
        found = await sample(services, visit, parse_import(file))
        shown = first_lines(found.head.content)
        if format_id is not None:
            async with visit.enter() as connection:
                row = await company_formats.format_(connection, parse_format(format_id))
            declaration = msgspec.convert(row.definition, WideCsv)
            heading = heading_of(declaration, shown)
            fields = fields_from(declaration, shown, heading, name=row.name, format_id=row.id, version=row.version)
            doubts: list[str] = []
        else:
            best = await guessed(services, found)
            fields = fields_from(best.declaration, shown, best.header_line or 0)
            doubts = list(best.doubts)
    except FleetError as error:
        return await _undescribable(request, visit, file, error)
    tried = await _tried(services, found, shown, fields, doubts, language_of(request))
    return _page(request, visit, tried, None)


@post("/imports/{file:str}/format", guards=[site_keepers], include_in_schema=False)
async def describe_format(
    file: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """do=save: keeps it and reads the file by it; else: looks what it would be."""
    typed = await fields_of(request)
    try:
        found = await sample(services, visit, parse_import(file))
        shown = first_lines(found.head.content)
        fields = fields_typed(typed, shown)
    except FleetError as error:
        return await _undescribable(request, visit, file, error)
    refusal = None
    if typed.get("do") == "save":
        try:
            await _save(visit, fields, found, client_address(request))
        except FleetError as error:
            refusal = problem_of(error, language_of(request))
        else:
            return Redirect(f"/imports/{found.row.id}", status_code=303)
    tried = await _tried(services, found, shown, fields, [], language_of(request))
    return _page(request, visit, tried, refusal)


async def _save(visit: Visit, fields: FormatFields, found: Sample, address: str) -> None:
    """Raises BadInput (bad_format, format_name_needed), Conflict (format_changed, too_many_formats)."""
    declaration, faults = declaration_of(fields)
    if declaration is None or faults:
        raise BadInput("bad_format", "the description is not enough to read the file: see the marked fields")
    if not fields.name:
        raise BadInput("format_name_needed", "give the format a name")
    try:
        if fields.format_id:
            changed = msgspec.convert({"version": fields.version, "name": fields.name, "file": found.row.id}, FormatChange)
            changed = msgspec.structs.replace(changed, definition=declaration)
            await change(visit, parse_format(fields.format_id), changed, address)
        else:
            new = msgspec.convert({"name": fields.name, "definition": msgspec.to_builtins(declaration)}, NewFormat)
            await save_new(visit, msgspec.structs.replace(new, file=found.row.id), address)
    except msgspec.ValidationError as error:
        raise BadInput("format_name_needed", str(error)) from None


async def _tried(
    services: Services, found: Sample, shown: Lines, fields: FormatFields, doubts: list[str], language: Language
) -> TryPage:
    declaration, faults = declaration_of(fields)
    preview = chart = None
    table: list[list[str]] = []
    if declaration is not None and not faults:
        read = await previewed(services, found, declaration)
        preview = preview_told(read, [FormatFault(each.column, each.code) for each in faults], language)
        zone = found.row.timezone
        now = now_ms()
        chart = chart_of(preview, zone, now, language)
        table = [
            [chart.labels[index], *(_figure(curve.measure, curve.values[index], language) for curve in preview.curves)]
            for index in range(min(_TABLE_ROWS, len(preview.t)))
        ]
    return TryPage(found, shown, fields, doubts, faults, preview, chart, table)


def chart_of(preview: FormatPreview, zone: str, now: UnixMs, language: Language) -> Chart:
    labels = [moment(at, now, zone, language) for at in preview.t]
    curves = [
        ChartCurve(measures.label(each.measure, language), measures.unit_of(each.measure), each.values)
        for each in preview.curves
    ]
    return Chart(labels, curves)


def _figure(measure: str, value: float | None, language: Language) -> str:
    return str(measures.figure(measure, value, language))


async def _undescribable(request: Request[Any, Any, Any], visit: Visit, file: str, error: FleetError) -> Response[str]:
    if isinstance(error, NotFound):
        raise error
    async with visit.enter() as connection:
        await import_lists.file(connection, parse_import(file))
    shown = TryPage(None, Lines([]), None, [], [], None, None, [])
    return _page(request, visit, shown, problem_of(error, language_of(request)), file=file)


def _page(
    request: Request[Any, Any, Any], visit: Visit, shown: TryPage, refusal: Problem | None, *, file: str = ""
) -> Response[str]:
    return page(
        request,
        "format.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        file=shown.sample.row.id if shown.sample else file,
        refusal=refusal,
        posted=request.method == "POST",
        units=units_offered(),
        line_chars=_LINE_CHARS,
        now=now_ms(),
    )
