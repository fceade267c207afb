"""What a file may put into its spool, whatever it is made of. Values are made up."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from actors.importer import reading, spool
from actors.importer.originals import Originals
from actors.importer.reading import ReadingJob
from actors.importer.spool import Spool, SpoolWriter, Summary
from fleet.codecs.files.reading import Context, ReadingSettings, Rows, Unreadable, refusal
from fleet.columns import DAY_MS
from fleet.file_limits import FILE_SERIALS_MAX, REFUSED_TEXT_CHARS_MAX
from fleet.limits import HISTORY_DAYS
from fleet.storage.company_formats import CompanyFormat

NOW = time.time_ns() // 1_000_000


@pytest.fixture
def writer(tmp_path: Path) -> SpoolWriter:
    return SpoolWriter(tmp_path, 1, NOW)


def rows(*t: int) -> Rows:
    return Rows(None, ("pv_power_w",), list(t), [[float(index) for index in range(len(t))]])


def test_what_postgresql_cannot_hold_is_replaced(writer: SpoolWriter) -> None:
    writer.refusal(refusal("bad_number", 3, 1, "a\0b", unit="\0kW\ud800"))
    writer.refusal(refusal("bad_number", 4, 1, "", unit="x" * 100_000))
    writer.definition("a\0.csv", "1;\0;2")
    first, second = writer.finish().refusals
    assert first.text == "a\N{REPLACEMENT CHARACTER}b"
    assert "\0" not in first.gaps["unit"]
    first.gaps["unit"].encode()
    assert len(second.gaps["unit"]) == REFUSED_TEXT_CHARS_MAX
    assert writer.summary.definitions == {"a\N{REPLACEMENT CHARACTER}.csv": "1;\N{REPLACEMENT CHARACTER};2"}


def test_rows_of_no_time_of_ours_are_counted_and_left_out(writer: SpoolWriter, tmp_path: Path) -> None:
    far = (-(2**62), 10**16, NOW - (HISTORY_DAYS + 5) * DAY_MS, NOW + 800 * DAY_MS, 2**63)
    writer.rows(rows(NOW - 1_000, *far, NOW), "SN-1")
    writer.rows(rows(*far), "SN-2")
    summary = writer.finish()
    assert (summary.rows, summary.late, summary.blocks, list(summary.devices)) == (12, 10, 1, ["SN-1"])
    assert (summary.first_at, summary.last_at) == (NOW - 1_000, NOW)
    (block,) = Spool(tmp_path, 1).blocks(0)
    assert len(block.t) == 16
    assert len(block.values) == 16


def test_an_archive_has_no_more_devices_than_a_file(writer: SpoolWriter) -> None:
    for number in range(FILE_SERIALS_MAX):
        writer.rows(rows(NOW), f"SN-{number}")
    writer.rows(rows(NOW), "SN-1")
    with pytest.raises(Unreadable) as refused:
        writer.rows(rows(NOW), "SN-more")
    assert refused.value.refusal.code == "too_many_serials"


def test_days_values_and_definitions_have_bounds(writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SPOOL_DAYS_MAX", 3)
    writer.rows(rows(NOW, NOW - DAY_MS, NOW), "SN-1")
    writer.rows(rows(NOW), "SN-2")
    with pytest.raises(Unreadable) as refused:
        writer.rows(rows(NOW - 9 * DAY_MS), "SN-2")
    assert refused.value.refusal.code == "too_many_days"

    monkeypatch.setattr(spool, "SPOOL_BYTES_MAX", 1_000)
    with pytest.raises(Unreadable) as refused:
        writer.rows(rows(*range(NOW - 1_000, NOW)), "SN-1")
    assert refused.value.refusal.code == "too_many_values"

    monkeypatch.setattr(spool, "DEFINITIONS_BYTES_MAX", 10)
    writer.definition("a", "123456789")
    with pytest.raises(Unreadable) as refused:
        writer.definition("b", "12")
    assert refused.value.refusal.code == "too_many_definitions"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Summary]:
    """A file's content, read as the importer's child does."""
    originals = Originals(tmp_path / "originals")
    (tmp_path / "spool").mkdir()

    def read(content: bytes, *formats: CompanyFormat, **kept: str) -> Summary:
        sent = tmp_path / "sent"
        sent.write_bytes(content)
        with sent.open("rb") as file:
            path = originals.path(originals.keep(file).sha256)
        context = Context("a.csv", "Europe/Paris", NOW, msgspec.convert(kept, ReadingSettings))
        return reading.read(ReadingJob(1, path, tmp_path / "spool", context, "logger-1", list(formats)), lambda *_: None)

    return read


def test_a_year_that_no_calendar_has_ends_no_reading(read: Callable[..., Summary]) -> None:
    summary = read(b"time,serial,pv_power_w\n9999999999999999,SN-1,5\n1,SN-1,5\n%d,SN-1,5\n" % (NOW - 60_000))
    assert summary.problem is None
    assert (summary.rows - summary.late, summary.first_at) == (1, NOW - 60_000)


def test_a_format_that_is_not_understood_keeps_none_of_the_others_from_reading(read: Callable[..., Summary]) -> None:
    newer = CompanyFormat("own-1", "of a newer version", 1, {"no": "such thing"})
    assert read(b"time,serial,pv_power_w\n%d,SN-1,5\n" % (NOW - 60_000), newer).rows == 1
    assert read(b"time,serial,pv_power_w\n%d,SN-1,5\n" % (NOW - 60_000), newer, format_id="own-1").problem is not None


def test_a_disk_that_is_nearly_full_is_nobodys_fault(read: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "IMPORT_DISK_FREE_MIN_BYTES", 2**62)
    with pytest.raises(OSError, match="No space left"):
        read(b"time,pv_power_w\n")


def test_a_web_page_is_told_from_a_file(read: Callable[..., Summary]) -> None:
    for page in (b"\xef\xbb\xbf\r\n<!DOCTYPE html><html>", b"  <HTML>", b"HTTP/1.1 200 OK\r\n"):
        summary = read(page)
        assert summary.problem is not None
        assert summary.problem.code == "html_file"


@pytest.mark.parametrize("serial", ["x" * 41, "a\0b", "<b>", "a b", "\u202e1", "\ud800"])
def test_a_setting_is_no_longer_than_what_it_names(serial: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"serial": serial}, ReadingSettings)


def test_what_has_just_come_again_is_not_let_go(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    sent = tmp_path / "sent"
    sent.write_bytes(b"some bytes")
    with sent.open("rb") as file:
        digest = originals.keep(file).sha256
    originals.forget(digest)
    assert originals.path(digest).exists()
    long_ago = time.time() - 90 * 86_400
    os.utime(originals.path(digest), (long_ago, long_ago))
    originals.forget(digest)
    originals.forget(digest)
    assert not originals.path(digest).exists()
