"""All file formats: whatever is done to a file, there are rows and refusals, or one reason for all of it.

tests.file_reading holds the rest of the promise: refusals in words of both languages, finite values, times and texts that
can be stored. More of the same, guided by coverage and for as long as one likes: ./run bench fuzz.
"""

from random import Random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.importer import reading
from actors.importer.reading import ReadingJob
from actors.importer.spool import Spool
from fleet.codecs.files import registry
from fleet.codecs.files.reading import Context, FileFormat, ReadingSettings
from fleet.ids import DeviceId
from tests.file_reading import RECEIVED, Reading, read
from tests.fuzz.mutations import SIZE_MAX, mutated
from tests.fuzz.targets import TARGETS, as_file, as_unknown_export
from tests.samples.file_samples import FILES
from tests.samples.packed import gzipped, zipped

RAWS = [sample.raw for sample in FILES.values()]


@pytest.mark.parametrize("name", FILES)
@given(luck=st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_damaged_files_are_read_or_refused(name: str, luck: Random) -> None:
    sample = FILES[name]
    as_file(_format(sample.format_id), mutated(luck, sample.raw, luck.choice(RAWS)))


@given(luck=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_damaged_files_read_as_any_other_format(luck: Random) -> None:
    """Somebody has set the wrong one."""
    raw = mutated(luck, luck.choice(RAWS), luck.choice(RAWS), 4_000)
    as_file(luck.choice(registry.FORMATS), raw)
    as_unknown_export(raw)


@given(luck=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_damaged_archives_are_unpacked_or_refused(luck: Random) -> None:
    raw = luck.choice(RAWS)
    TARGETS["archive"].run(mutated(luck, luck.choice((gzipped, zipped))(raw), raw))


@given(luck=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_reading_ends_with_a_summary_and_blocks_that_can_be_stored(
    luck: Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By whatever is recognised, packed or not; as the importer's reader does it."""
    folder = tmp_path_factory.mktemp("reading")
    sample = luck.choice(list(FILES.values()))
    raw = luck.choice((bytes, gzipped, zipped))(mutated(luck, sample.raw, luck.choice(RAWS), 8_000))
    original = folder / "original"
    original.write_bytes(zstandard.ZstdCompressor().compress(raw))
    context = Context(sample.name, "Europe/Paris", RECEIVED, definitions=sample.definitions)
    summary = reading.read(ReadingJob(1, original, folder, context, "logger-1"), lambda *_: None)
    spool = Spool(folder, 1)
    assert spool.summary == summary
    rows = 0
    for block in spool.blocks(0):
        columns = spool.columns(block, DeviceId("d"))
        rows += len(columns.t) // 8
        assert len(columns.t) == len(columns.ranks) == len(columns.values) // len(columns.measures)
    assert rows == summary.rows - summary.late
    assert summary.problem is not None or summary.rows or summary.definitions


@pytest.mark.parametrize("name", FILES)
def test_files_are_refused_or_read_however_long_one_piece_of_them_is(name: str) -> None:
    """A line, a cell, a word, a character, over and over again: what takes the square of its length would not end here."""
    sample = FILES[name]
    lines = sample.raw.splitlines(keepends=True)
    longest = max(lines, key=len)
    middle = len(longest) // 2
    for place, piece in (
        (0, longest), (len(sample.raw), lines[-1].strip() or b"x"), (len(sample.raw) // 2, longest[middle : middle + 1]),
        (sample.raw.index(longest) + middle, longest[middle : middle + 7]), (len(sample.raw), sample.raw),
    ):  # fmt: skip
        grown = sample.raw[:place] + piece * (SIZE_MAX // len(piece)) + sample.raw[place:]
        as_file(_format(sample.format_id), grown[:SIZE_MAX])


def _format(format_id: str) -> FileFormat:
    found = registry.by_id(format_id)
    assert found is not None
    return found


# What such searches have found ------------------------------------------------------------------------------------


def told(format_id: str, raw: bytes, **kept: str) -> Reading:
    return read(_format(format_id), raw, settings=ReadingSettings(**kept))  # type: ignore[arg-type]


def test_a_serial_of_which_nothing_is_left() -> None:
    title, rows = b"#INV2 ESN:210100000000000002", FILES["huawei-smartlogger"].raw
    found = told("huawei-smartlogger", rows.replace(title, b"#INV2 ESN:+33"))
    assert (found.codes, set(found.rows)) == (["bad_serial", "unknown_block"], {"210100000000000001"})
    short = told("senml", FILES["senml"].raw.replace(b"0024be:inv1", b"0"), role="pv")
    assert (short.codes, short.rows) == (["bad_serial", "bad_serial"], {})


@pytest.mark.parametrize("number", [b"1e308", b"1e300", b"-1e14"])
def test_numbers_that_no_meter_has_are_none_also_in_our_unit(number: bytes) -> None:
    for name, cell in (("huawei-smartlogger", b"19.210"), ("sma-csv1", b"12345,678"), ("sbfspot", b"12345,678")):
        found = told(name, FILES[name].raw.replace(cell, number))
        assert found.codes.count("bad_number") == 1, name


def test_a_channel_that_is_no_text_costs_itself_only() -> None:
    raw = FILES["fronius"].raw.replace(b'"Wh"', b'"\x99"')
    assert told("fronius", raw).codes == ["bad_number"]


def test_a_preamble_that_looks_like_headings() -> None:
    found = told("sbfspot", b"sep=;\nVersion CSV1|Tool SB d/MM/yyyy HH:mm:ss;kWh;kW\n01/07/2024 12:00:00;12345,678;3,204\n")
    assert found.unreadable is not None
    assert found.unreadable.code == "columns_not_found"
