"""Files in the web, without a server: progress told honestly, names, bounds of sending, beginnings of files, words."""

import gzip
import time
import zipfile
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.reading import Context, ReadingSettings
from fleet.codecs.files.refusals import WORDS
from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv
from fleet.errors import BadInput
from fleet.file_limits import (
    FILE_NAME_CHARS_MAX,
    PREVIEW_BYTES,
    PREVIEW_POINTS_MAX,
    UPLOAD_BYTES_PER_DAY_MAX,
    UPLOADS_AT_ONCE_PER_PERSON,
    UPLOADS_PER_MIN,
)
from fleet.ids import SiteId
from fleet.storage.import_lists import FileRow, RefusalRow
from web.attempts import UploadRate
from web.errors import TooMany
from web.import_views import progress_of, refusal_of
from web.originals import disposition
from web.pages import import_words, logger_words
from web.previews import head_of, preview_of
from web.uploads import clean_name

NOW = 1_763_800_000_000
ROW = FileRow(
    number=1, id="f", site=SiteId("s"), site_name="S", timezone="Europe/Paris", device=None, device_name=None, via="upload",
    person=None, name="f.csv", size_bytes=1_000, sha256="00" * 32, received_at=NOW, state="received", state_at=NOW,
    finished_at=None, settings=ReadingSettings(), format_id=None, problem_code=None, problem_gaps={}, problem_line=None,
    blocks=None, blocks_done=0, bytes_read=0, rows_read=0, rows_new=0, rows_same=0, rows_corrected=0, rows_waiting=0,
    rows_late=0, lines_refused=0, first_at=None, last_at=None, has_original=True, has_rows=False,
)  # fmt: skip
CONTEXT = Context("f.csv", "Europe/Paris", NOW)
DECLARED = WideCsv(TimeCells(("Date",)), (Column("P", "pv_power_w"),), delimiter=";")


def far() -> float:
    return time.monotonic() + 60


def export(rows: int, step_min: int = 15) -> bytes:
    lines = ["Date;P"]
    for index in range(rows):
        minutes = index * step_min
        day, minute = divmod(minutes, 1_440)
        lines.append(f"2024-06-{day % 28 + 1:02d} {minute // 60:02d}:{minute % 60:02d};{index}")
    return "\n".join(lines).encode() + b"\n"


def test_progress_says_how_long_only_when_that_can_be_told() -> None:
    assert progress_of(msgspec.structs.replace(ROW, state="imported"), NOW) is None
    waiting = progress_of(ROW, NOW)
    assert waiting is not None
    assert (waiting.stage, waiting.share, waiting.left_s) == ("waiting", None, None)
    reading = msgspec.structs.replace(ROW, state="reading", bytes_read=250)
    for later_ms, left_s in ((1_000, None), (30_000, pytest.approx(90.0))):
        told = progress_of(reading, NOW + later_ms)
        assert told is not None
        assert (told.share, told.left_s) == (0.25, left_s)
    packed = progress_of(msgspec.structs.replace(reading, bytes_read=20_000), NOW + 30_000)  # an archive that grew
    assert packed is not None
    assert (packed.share, packed.left_s) == (None, None)
    storing = progress_of(msgspec.structs.replace(ROW, state="storing", blocks=200, blocks_done=1), NOW + 30_000)
    assert storing is not None
    assert (storing.share, storing.left_s) == (0.005, None)  # too little to go by


def test_a_refusal_without_words_is_told_by_its_code() -> None:
    assert refusal_of(RefusalRow(0, 3, None, "of_tomorrow", {}, "x"), "fr").detail == "of_tomorrow"
    gapless = refusal_of(RefusalRow(0, 3, None, "time_does_not_exist", {}, "x"), "en")  # its gap was not stored
    assert gapless.detail == "time_does_not_exist"
    assert all(words.fr and words.en for words in WORDS.values())


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_name_can_be_shown_and_saved(text: str) -> None:
    name = clean_name(text)
    assert 0 < len(name) <= FILE_NAME_CHARS_MAX
    assert not set(name) & set("/\\\r\n\0\u202e")
    header = disposition(text)
    header.encode("latin-1")
    assert header.isprintable()
    assert header.count('"') == 2


def test_sending_is_bounded_per_person_and_minute_and_day() -> None:
    rate = UploadRate()
    with rate.slot("ines", 10, 0.0), rate.slot("otto", 10, 0.0):
        slots = [rate.slot("ines", 10, 0.0) for _ in range(UPLOADS_AT_ONCE_PER_PERSON)]
        for slot in slots[:-1]:
            slot.__enter__()
        with pytest.raises(TooMany):
            slots[-1].__enter__()
        for slot in slots[:-1]:
            slot.__exit__(None, None, None)
    for _ in range(UPLOADS_PER_MIN - UPLOADS_AT_ONCE_PER_PERSON):
        with rate.slot("ines", 10, 1.0):
            pass
    with pytest.raises(TooMany), rate.slot("ines", 10, 2.0):
        pass
    with rate.slot("ines", 10, 70.0):
        rate.count("ines", UPLOAD_BYTES_PER_DAY_MAX - 5, 70.0)
    with pytest.raises(TooMany), rate.slot("ines", 10, 140.0):
        pass
    with rate.slot("ines", 5, 140.0):
        pass
    with rate.slot("ines", 10, 90_000.0):
        pass


@pytest.mark.parametrize("packing", ["plain", "zst", "gzip", "zip"])
def test_the_beginning_of_a_file_comes_out_of_whatever_it_is_packed_in(tmp_path: Path, packing: str) -> None:
    content = export(100)
    if packing == "zip":
        packed = BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.csv", content)
        raw = packed.getvalue()
    else:
        raw = gzip.compress(content) if packing == "gzip" else content
    file = tmp_path / ("f" if packing == "plain" else "f.zst")
    file.write_bytes(raw if packing == "plain" else zstandard.ZstdCompressor().compress(raw))
    head = head_of(file, "outer.csv", far())
    assert (head.content, head.whole) == (content, True)
    assert head.name == ("inner.csv" if packing == "zip" else "outer.csv")


def test_a_long_file_is_cut_at_the_end_of_a_line(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16"):
        file = tmp_path / encoding
        file.write_bytes(("12345;67890\n" * 400_000).encode(encoding))
        head = head_of(file, "f", far())
        assert not head.whole
        assert PREVIEW_BYTES - 50 < len(head.content) <= PREVIEW_BYTES
        assert head.content.decode(encoding).endswith("67890\n")


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"PK\x03\x04 no archive", b"\x1f\x8b\x08 cut"])
def test_what_cannot_be_described_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "f"
    file.write_bytes(content)
    with pytest.raises(BadInput, match="not_describable"):
        head_of(file, "f", far())


def test_reading_that_takes_too_long_ends(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(export(100))
    head = head_of(file, "f", far())
    with pytest.raises(TimeoutError):
        preview_of(DECLARED, head, CONTEXT, time.monotonic() - 1)


def test_a_preview_shows_the_first_days_and_counts_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(export(96 * 10) + b"2024-06-11 00:00;abc\nshort\n")
    found = preview_of(DECLARED, head_of(file, "f", far()), CONTEXT, far())
    assert (found.rows, found.refused, found.whole) == (960, 2, True)
    assert len(found.t) == 96 * 3
    assert [curve.measure for curve in found.curves] == ["pv_power_w"]
    assert found.curves[0].values[:3] == [0.0, 1.0, 2.0]
    assert {refusal.code for refusal in found.refusals} == {"bad_number", "wrong_field_count"}
    file.write_bytes(export(28, step_min=1_440))
    daily = preview_of(DECLARED, head_of(file, "f", far()), CONTEXT, far())
    assert len(daily.t) == 28  # three points are no curve


def test_a_preview_is_bounded_whatever_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(export(40_000, step_min=1))
    found = preview_of(DECLARED, head_of(file, "f", far()), CONTEXT, far())
    assert len(found.t) <= PREVIEW_POINTS_MAX
    wrong = preview_of(WideCsv(TimeCells(("No",)), (Column("P", "pv_power_w"),)), head_of(file, "f", far()), CONTEXT, far())
    assert wrong.problem is not None
    assert (wrong.rows, wrong.t) == (0, [])


def test_words_of_files_stand_for_every_code() -> None:
    for language in ("fr", "en"):
        assert len({import_words.state(code, language).text for code in import_words._STATES}) == len(import_words._STATES)
        assert len(import_words.shows(language)) == len(import_words._SHOWS)
        assert import_words.zones(language, "Asia/Tokyo")[-1] == ("Asia/Tokyo", "Asia/Tokyo")
        assert (7_200, logger_words.expected(7_200, language)) in logger_words.expectations(language, 7_200)
    assert logger_words.expected(7_200, "en") == "every 2 h"
