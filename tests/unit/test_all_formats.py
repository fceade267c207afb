"""All file formats side by side: a file is of one format, also as other programs would have saved or packed it."""

import codecs
import io
import zipfile
from collections.abc import Iterator

import pytest

from fleet.codecs.files import registry
from fleet.codecs.files.guess import guess
from fleet.codecs.files.reading import Context, FileFormat
from fleet.codecs.files.unpack import members
from fleet.file_limits import FILE_HEAD_BYTES
from tests.file_reading import RECEIVED, Reading, read
from tests.samples.file_samples import FILES, Sample
from tests.samples.packed import gzipped, zipped

# Formats that say their encoding themselves, or whose standard does, are not saved in another one.
_UTF_8_ONLY = {"enedis-r6x-json", "enedis-data-connect", "enedis-r4x", "enedis-r50", "enedis-r151", "enedis-r171", "fronius"}


def format_of(sample: Sample) -> FileFormat:
    found = registry.by_id(sample.format_id)
    assert found is not None
    return found


def reading_of(sample: Sample, raw: bytes, chunk: int = 1 << 16) -> Reading:
    return read(format_of(sample), raw, name=sample.name, definitions=sample.definitions, chunk=chunk)


def saved_otherwise(sample: Sample) -> Iterator[tuple[str, bytes]]:
    """The same text as another program or system would have written it."""
    if not sample.is_text:
        return
    text = sample.raw.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    yield "plain", text.encode()
    yield "mark", codecs.BOM_UTF8 + text.encode()
    yield "CR LF", text.replace("\n", "\r\n").encode()
    yield "CR", text.replace("\n", "\r").encode()
    yield "mark, CR LF", codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode()
    yield "empty lines at its end", text.encode() + b"\n\r\n"
    yield "without its last end of line", text.removesuffix("\n").encode()
    if sample.format_id not in _UTF_8_ONLY and sample.format_id != "senml":
        yield "Windows-1252", text.encode("cp1252")
        yield "UTF-16", codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le")


def packed(raw: bytes) -> Iterator[tuple[str, bytes]]:
    yield "gzip", gzipped(raw)
    yield "gzip, two members", gzipped(raw[: len(raw) // 2]) + gzipped(raw[len(raw) // 2 :])
    yield "zip", zipped(raw)
    yield "zip, stored", zipped(raw, zipfile.ZIP_STORED)


def test_every_format_has_a_sample() -> None:
    assert {each.format_id for each in FILES.values()} == {each.id for each in registry.FORMATS}
    assert len({each.id for each in registry.FORMATS}) == len(registry.FORMATS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_of_its_own_format_alone_however_it_was_saved_and_says_the_same(name: str) -> None:
    sample = FILES[name]
    whole = reading_of(sample, sample.raw)
    assert whole.rows or whole.definitions or whole.unreadable
    for how, raw in [("as it is", sample.raw), *saved_otherwise(sample)]:
        assert [each.id for each in registry.FORMATS if each.recognises(raw[:FILE_HEAD_BYTES])] == [sample.format_id], how
        for chunk in (1 << 16, 7):
            found = reading_of(sample, raw, chunk)
            assert (found.rows, found.codes, found.unreadable) == (whole.rows, whole.codes, whole.unreadable), how


@pytest.mark.parametrize("name", FILES)
def test_packing_changes_nothing(name: str) -> None:
    sample = FILES[name]
    for how, raw in packed(sample.raw):
        (member,) = members(io.BytesIO(raw), sample.name)
        plain = b"".join(member.content.chunks())
        assert plain == sample.raw, how
        assert registry.recognised(plain[:FILE_HEAD_BYTES]) is format_of(sample)


@pytest.mark.parametrize("name", FILES)
def test_the_guess_of_an_unknown_export_looks_at_anything(name: str) -> None:
    """Also at what nobody should describe: packed bytes, the beginning of a file."""
    sample = FILES[name]
    forms = [sample.raw, *(raw for _, raw in saved_otherwise(sample)), *(raw for _, raw in packed(sample.raw))]
    for raw in [*forms, sample.raw[: len(sample.raw) // 3]]:
        found = guess(raw[:FILE_HEAD_BYTES], Context(sample.name, "Europe/Paris", RECEIVED))
        assert len(found.preview) <= 20
