"""Enedis's R6x flows as JSON, and what its Data Connect answers.

    {"header": {"codeFlux": "R63"}, "mesures": [{"idPrm", "etapeMetier": "BRUT"|"BEST", "pas", "grandeur":
     [{"grandeurMetier": "CONS"|"PROD", "grandeurPhysique", "unite", "points": [{"d", "v", "p": "PT30M", "n", "iv"}]}]}]}
R63 curves, R65 daily energy ("pas": "P1D"; d is a day), R66 daily peaks (d is the very time). R64 registers by tariff:
    {"idPrm", "contexte": [{"contexteReleve", "grandeur": [{…, "calendrier": [{"idCalendrier", "libelleCalendrier",
     "classeTemporelle": [{"idClasseTemporelle", "valeur": [{"d", "v"}]}]}], "cadranTotalisateur": {"valeur": […]}}]}]}
R67 tells what was billed, by months, and is refused. Values are numbers or texts; times are legal time without offset, so
the hour that comes twice is told by the order. Every nature of a point (n) is taken in; BEST is a corrected curve.

    {"meter_reading": {"usage_point_id", "reading_type": {"unit"}, "interval_reading": [{"value", "date",
     "interval_length"}]}}
is Data Connect's: ends of intervals. Whether it was drawn or fed in it does not say: the logger's role does ("pv": fed in).
Its later versions answer with one of R6x's measures alone, ends of intervals too.

Sources: guide of R6x (Enedis.SGE.GUI.0503) for names and codes; documentation of Data Connect (metering data).
"""

import re
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from fleet.codecs.files.enedis.long_csv import Meant, SeriesOfRows, step_of
from fleet.codecs.files.enedis.r64_csv import Register, RegisterRows
from fleet.codecs.files.enedis.registers import TOTAL, Source, rank_of
from fleet.codecs.files.enedis.series import Series
from fleet.codecs.files.enedis.words import masked
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Unreadable
from fleet.file_limits import FILE_CHUNK_BYTES, FILE_WHOLE_BYTES_MAX

_BOM: Final = b"\xef\xbb\xbf"
_FLOW: Final = re.compile(rb'"codeFlux"\s*:\s*"R6[3-7]')
_OBJECT: Final = re.compile(rb"\s*\{")
_NOTHING: Final = msgspec.Raw(b"[]")
_BETWEEN: Final = b" \t\r\n,"

_Item = TypeVar("_Item")


class _Point(msgspec.Struct, gc=False):
    """d: time. v: value. p: step."""

    d: str | None = None
    v: str | int | float | None = None
    p: str | None = None


class _Reading(_Point, rename={"d": "date", "v": "value", "p": "interval_length"}, gc=False):
    """The same in the words of Data Connect."""

    d: str | None = None
    v: str | int | float | None = None
    p: str | None = None


class _Values(msgspec.Struct):
    valeur: msgspec.Raw = _NOTHING


class _Tariff(msgspec.Struct, rename="camel"):
    id_classe_temporelle: str | None = None
    code_cadran: str | None = None
    valeur: msgspec.Raw = _NOTHING


class _Calendar(msgspec.Struct, rename="camel"):
    id_calendrier: str | None = None
    libelle_calendrier: str | None = None
    libelle_grille: str | None = None
    classe_temporelle: list[_Tariff] = []


class _Quantity(msgspec.Struct, rename="camel"):
    grandeur_metier: str | None = None
    grandeur_physique: str | None = None
    unite: str | None = None
    points: msgspec.Raw = _NOTHING
    calendrier: list[_Calendar] = []
    cadran_totalisateur: _Values | None = None


class _Reads(msgspec.Struct, rename="camel"):
    contexte_releve: str | None = None
    grandeur: list[_Quantity] = []


class _Measure(msgspec.Struct, rename="camel"):
    id_prm: str | int | None = None
    etape_metier: str | None = None
    pas: str | None = None
    grandeur: list[_Quantity] = []
    contexte: list[_Reads] = []


class _Header(msgspec.Struct, rename="camel", frozen=True):
    code_flux: str | None = None


class _Flow(msgspec.Struct):
    header: _Header = _Header()
    mesures: list[msgspec.Raw] = []


class _ReadingType(msgspec.Struct, frozen=True):
    unit: str | None = None
    aggregate: str | None = None
    measuring_period: str | None = None


class _MeterReading(msgspec.Struct):
    usage_point_id: str | int | None = None
    quality: str | None = None
    reading_type: _ReadingType = _ReadingType()
    interval_reading: msgspec.Raw = _NOTHING


class _Answer(_Measure):
    meter_reading: _MeterReading | None = msgspec.field(default=None, name="meter_reading")


def is_flow(head: bytes) -> bool:
    is_object = _OBJECT.match(head.removeprefix(_BOM)) is not None
    return is_object and (_FLOW.search(head) is not None or (b'"mesures"' in head and b'"idPrm"' in head))


def is_answer(head: bytes) -> bool:
    is_object = _OBJECT.match(head.removeprefix(_BOM)) is not None
    if is_object and b'"idPrm"' in head and b'"grandeur"' in head:
        return b'"mesures"' not in head and b'"codeFlux"' not in head
    return is_object and b'"meter_reading"' in head and b'"usage_point_id"' in head


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_json, file_too_large, coarser_than_a_day, cut_meter_number, too_many_serials,
    too_many_registers).
    """
    flow = _decoded(content.whole(FILE_WHOLE_BYTES_MAX).removeprefix(_BOM), _Flow)
    if (flow.header.code_flux or "").startswith("R67"):
        raise Unreadable("coarser_than_a_day")
    series = SeriesOfRows(context, None)
    registers = RegisterRows(context)
    for each in flow.mesures:
        measure = _decoded(each, _Measure)
        yield from _curves(series, measure)
        for reads in measure.contexte:
            for quantity in reads.grandeur:
                yield from _registers(registers, str(measure.id_prm or ""), reads.contexte_releve or "", quantity)
    yield from series.all.rest()
    yield from registers.rest()


def read_answer(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_json, file_too_large, coarser_than_a_day, cut_meter_number)."""
    answer = _decoded(content.whole(FILE_WHOLE_BYTES_MAX).removeprefix(_BOM), _Answer)
    settings = msgspec.structs.replace(context.settings, stamp=context.settings.stamp or "end")
    series = SeriesOfRows(msgspec.structs.replace(context, settings=settings), None)
    yield from _curves(series, answer) if answer.meter_reading is None else _readings(series, answer.meter_reading)
    yield from series.all.rest()


def _curves(series: SeriesOfRows, measure: _Measure) -> Iterator[Found]:
    for quantity in measure.grandeur:
        meant = Meant(str(measure.id_prm or ""), *_words(quantity), measure.etape_metier or "", 0)
        yield from _add(series, meant, measure.pas, _pieces(quantity.points, _Point))


def _readings(series: SeriesOfRows, told: _MeterReading) -> Iterator[Found]:
    peaks = (told.reading_type.aggregate or "").lower().startswith("max")
    unit = told.reading_type.unit or ""
    meant = Meant(str(told.usage_point_id or ""), "", "PMA" if peaks else "EA", unit, told.quality or "", 0)
    yield from _add(series, meant, told.reading_type.measuring_period, _pieces(told.interval_reading, _Reading))


def _words(quantity: _Quantity) -> tuple[str, str, str]:
    return quantity.grandeur_metier or "", quantity.grandeur_physique or "", quantity.unite or ""


def _add(series: SeriesOfRows, meant: Meant, usual_step: str | None, pieces: Iterator[list[_Point]]) -> Iterator[Found]:
    steps: dict[str | None, Meant] = {}
    for points in pieces:
        for point in points:
            known = steps.get(point.p)
            if known is None:
                known = steps[point.p] = meant._replace(step_ms=_step(point.p or usual_step or ""))
            target = series.of(0, known)
            if not isinstance(target, Series):
                if target is not None:
                    yield target
                continue
            refusal = target.add(0, point.d or "", "" if point.v is None else str(point.v), known.step_ms)
            if refusal is not None:
                yield refusal
            elif series.all.is_full():
                yield from series.all.older()


def _step(text: str) -> int:
    """Raises Unreadable (bad_json)."""
    try:
        return step_of(text)
    except ValueError:
        raise Unreadable("bad_json", text=masked(text)) from None


def _registers(rows: RegisterRows, meter: str, context: str, quantity: _Quantity) -> Iterator[Found]:
    told = [
        (_source(calendar, context), tariff.id_classe_temporelle or tariff.code_cadran or "", tariff.valeur)
        for calendar in quantity.calendrier
        for tariff in calendar.classe_temporelle
    ]
    if quantity.cadran_totalisateur is not None:
        told.append((Source(TOTAL, "", context), "", quantity.cadran_totalisateur.valeur))
    words = _words(quantity)
    for source, tariff_name, values in told:
        for points in _pieces(values, _Point):
            for point in points:
                value = "" if point.v is None else str(point.v)
                yield from rows.take(0, Register(meter, *words, point.d or "", value, source, tariff_name))


def _source(calendar: _Calendar, context: str) -> Source:
    name = calendar.id_calendrier or ""
    return Source(rank_of(name, f"{calendar.libelle_calendrier or ''} {calendar.libelle_grille or ''}"), name, context)


def _pieces(raw: msgspec.Raw, item: type[_Item]) -> Iterator[list[_Item]]:
    """An array of flat objects, some at a time: a long one is never held as objects. Raises Unreadable (bad_json)."""
    view = memoryview(raw)
    rest = b""
    for start in range(0, len(view), FILE_CHUNK_BYTES):
        piece = rest + bytes(view[start : start + FILE_CHUNK_BYTES])
        if start == 0:
            piece = piece.removeprefix(b"[")
        cut = piece.rfind(b"}") + 1
        rest = piece[cut:]
        if len(rest) > FILE_CHUNK_BYTES:
            raise Unreadable("bad_json")
        if cut:
            yield _decoded(b"[" + piece[:cut].lstrip(_BETWEEN) + b"]", list[item])  # type: ignore[valid-type]
    if rest.strip(b" \t\r\n]") not in {b"", b"null"}:
        raise Unreadable("bad_json")


def _decoded(raw: bytes | msgspec.Raw, shape: type[_Item]) -> _Item:
    """Raises Unreadable (bad_json)."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable("bad_json", text=masked(str(error))) from None


FORMATS: Final = (
    FileFormat(
        "enedis-r6x-json",
        "Enedis : flux R63, R64, R65, R66 (JSON)",
        "Enedis: flows R63, R64, R65, R66 (JSON)",
        "imported-meter",
        is_flow,
        read,
    ),
    FileFormat(
        "enedis-data-connect",
        "Enedis : Data Connect (JSON)",
        "Enedis: Data Connect (JSON)",
        "imported-meter",
        is_answer,
        read_answer,
    ),
)
