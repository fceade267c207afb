"""Reading a composed file as the importer does, in pieces of any size."""

from collections.abc import Mapping
from datetime import datetime

from fleet.codecs.files.reading import (
    Content,
    Context,
    Definition,
    FileFormat,
    ReadingSettings,
    Refusal,
    Rows,
    Unreadable,
)
from fleet.codecs.files.refusals import words
from fleet.file_limits import REFUSED_TEXT_CHARS_MAX
from fleet.measures import is_measure
from fleet.serials import is_serial

RECEIVED = 1_767_225_600_000  # 2026-01-01T00:00:00Z

Read = dict[str | None, dict[int, dict[str, float]]]  # serial → t → measure → value


class Reading:
    """What a file came to. unreadable: the code for which it was refused as a whole; what came before then is void."""

    def __init__(self) -> None:
        self.rows: Read = {}
        self.order: list[tuple[str | None, int]] = []
        self.refusals: list[Refusal] = []
        self.definitions: list[Definition] = []
        self.unreadable: Refusal | None = None

    @property
    def codes(self) -> list[str]:
        return [each.code for each in self.refusals]


def read(
    file_format: FileFormat,
    raw: bytes,
    *,
    name: str = "export",
    timezone: str = "Europe/Paris",
    settings: ReadingSettings | None = None,
    definitions: Mapping[str, str] | None = None,
    chunk: int = 1 << 16,
) -> Reading:
    """Holds what every format promises: equal columns, known measures, finite numbers, times, serials, refusals in words;
    and text that PostgreSQL can hold."""
    context = Context(name, timezone, RECEIVED, settings or ReadingSettings(), definitions or {})
    content = Content(lambda: [raw[at : at + chunk] for at in range(0, len(raw), chunk)])
    found = Reading()
    try:
        for each in file_format.read(content, context):
            if isinstance(each, Rows):
                _take(found, each)
            elif isinstance(each, Refusal):
                found.refusals.append(_said(each))
            else:
                assert "\0" not in each.name + each.text
                assert (each.name + each.text).encode()
                found.definitions.append(each)
    except Unreadable as refused:
        found.unreadable = _said(refused.refusal)
        found.rows = {}
    return found


def _said(refused: Refusal) -> Refusal:
    """There are words for it, in both languages, and what fills their gaps."""
    assert words(refused, french=True) != words(refused, french=False)
    assert len(refused.text.encode()) <= 4 * REFUSED_TEXT_CHARS_MAX
    assert 0 <= refused.line < 2**63
    assert refused.column is None or 0 < refused.column < 2**31
    return refused


def _take(found: Reading, rows: Rows) -> None:
    assert rows.serial is None or is_serial(rows.serial)
    assert len(rows.values) == len(rows.measures) == len(set(rows.measures))
    assert all(is_measure(measure) for measure in rows.measures)
    assert all(len(column) == len(rows.t) for column in rows.values)
    assert all(type(t) is int for t in rows.t)
    assert -(2**63) <= min(rows.t, default=0) <= max(rows.t, default=0) < 2**63
    device = found.rows.setdefault(rows.serial, {})
    for place, t in enumerate(rows.t):
        found.order.append((rows.serial, t))
        for measure, column in zip(rows.measures, rows.values, strict=True):
            value = column[place]
            if value is not None:
                assert abs(value) < float("inf")
                device.setdefault(t, {})[measure] = value


def at(text: str) -> int:
    """ISO with its offset → Unix ms."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return round(moment.timestamp() * 1000)
