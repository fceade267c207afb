"""Formats that are told, not programmed: one declaration (`wide_declaration`) says how a file of rows and columns reads."""

from collections.abc import Iterator

from fleet.codecs.files import wide_reading
from fleet.codecs.files.reading import Content, Context, FileFormat, Found
from fleet.codecs.files.wide_declaration import Column, Fault, Kind, Place, TimeCells, WideCsv, faults, kind_of

__all__ = ["Column", "Fault", "Kind", "Place", "TimeCells", "WideCsv", "faults", "kind_of", "wide_format"]


def wide_format(format_id: str, label_fr: str, label_en: str, profile_id: str, declaration: WideCsv) -> FileFormat:
    """A format of a declaration; it recognises its files by their headings."""

    def recognises(head: bytes) -> bool:
        return wide_reading.recognises(declaration, head)

    def read(content: Content, context: Context) -> Iterator[Found]:
        return wide_reading.read(declaration, content, context)

    return FileFormat(format_id, label_fr, label_en, profile_id, recognises, read)
