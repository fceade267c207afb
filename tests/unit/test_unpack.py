"""Archives: what is in them, and what is refused. All of them are made here."""

import contextlib
import gzip
import io
import random
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files import refusals
from fleet.codecs.files.reading import Unreadable
from fleet.codecs.files.unpack import members
from fleet.codecs.files.zip_members import is_safe_name
from fleet.file_limits import ARCHIVE_MEMBERS_MAX, FILE_CHUNK_BYTES

TEXT = b"".join(b"2024-07-01T%02d:30:00+02:00;%d\n" % (hour, hour * hour * 7919 % 6000) for hour in range(24))


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def unpacked(raw: bytes, name: str = "file") -> dict[str, bytes]:
    return {each.name: b"".join(each.content.chunks()) for each in members(io.BytesIO(raw), name)}


def refused(raw: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        unpacked(raw)
    for french in (True, False):
        assert refusals.words(caught.value.refusal, french=french)
    return caught.value.refusal.code


def test_a_plain_file_is_its_only_member() -> None:
    assert unpacked(TEXT, "curve.csv") == {"curve.csv": TEXT}


def test_gzip_is_known_by_its_first_bytes() -> None:
    assert unpacked(gzip.compress(TEXT), "WPM0A1B2C_INV_240701_121000.csv.gz") == {"WPM0A1B2C_INV_240701_121000.csv": TEXT}
    assert unpacked(gzip.compress(TEXT), "curve.csv") == {"curve.csv": TEXT}
    assert unpacked(TEXT, "curve.csv.gz") == {"curve.csv.gz": TEXT}


def test_gzip_members_follow_one_another() -> None:
    assert unpacked(gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:])) == {"file": TEXT}
    assert unpacked(gzip.compress(TEXT) + bytes(5_000)) == {"file": TEXT}


def test_every_member_of_a_zip_is_read_on_its_own() -> None:
    assert unpacked(zipped({"b.xml": b"<R50/>", "in/a.csv": TEXT})) == {"b.xml": b"<R50/>", "in/a.csv": TEXT}
    assert unpacked(zipped({"a.csv": TEXT}, zipfile.ZIP_STORED)) == {"a.csv": TEXT}


def test_folders_and_what_desktops_add_are_no_members() -> None:
    entries = {"in/": b"", "in/a.csv": TEXT, "__MACOSX/in/._a.csv": b"\0\5\x16\7", "in/.DS_Store": b"\0\0\0\1Bud1"}
    assert unpacked(zipped(entries)) == {"in/a.csv": TEXT}


@pytest.mark.parametrize("raw", [TEXT, gzip.compress(TEXT), zipped({"a.csv": TEXT})])
def test_a_member_can_be_read_again_and_side_by_side(raw: bytes) -> None:
    (member,) = members(io.BytesIO(raw), "a.csv")
    first, second = member.content.chunks(), member.content.chunks()
    assert next(first) == next(second)
    assert b"".join(member.content.chunks()) == TEXT


def test_members_come_in_pieces() -> None:
    content = random.Random(4).randbytes(3 * 2**20)
    for raw in (content, gzip.compress(content), zipped({"a": content})):
        (member,) = members(io.BytesIO(raw), "a")
        sizes = [len(chunk) for chunk in member.content.chunks()]
        assert sum(sizes) == len(content)
        assert max(sizes) <= FILE_CHUNK_BYTES + 10


def test_a_gzip_file_cut_anywhere_is_refused() -> None:
    whole = gzip.compress(TEXT)
    assert {refused(whole[:size]) for size in range(2, len(whole))} == {"truncated_gzip"}
    twice = whole + whole
    assert {refused(twice[:size]) for size in range(len(whole) + 1, len(twice))} == {"truncated_gzip"}


def test_a_zip_file_cut_anywhere_is_refused() -> None:
    whole = zipped({"a.csv": TEXT, "b.csv": TEXT})
    assert {refused(whole[:size]) for size in range(4, len(whole))} == {"bad_archive"}


def test_a_bit_that_fell_over_is_found() -> None:
    whole = bytearray(gzip.compress(TEXT))
    whole[len(whole) // 2] ^= 4
    assert refused(bytes(whole)) == "bad_archive"
    packed = bytearray(zipped({"a.csv": TEXT}, zipfile.ZIP_STORED))
    packed[100] ^= 4
    assert refused(bytes(packed)) == "bad_archive"
    assert refused(gzip.compress(TEXT) + b"and more") == "bad_archive"


def bomb(size: int) -> bytes:
    """Zeros, gzipped without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(size >> 20)) + packer.flush()


def test_bombs_are_refused_within_little_memory() -> None:
    flat = bomb(256 * 2**20)
    zeros = zipped({"a.csv": bytes(64 * 2**20)})
    tenthousand = zipped({f"{number}.csv": flat for number in range(10)}, zipfile.ZIP_STORED)
    for raw, code in ((flat, "archive_bomb"), (zeros, "archive_bomb"), (tenthousand, "nested_archive")):
        tracemalloc.start()
        try:
            assert refused(raw) == code
            assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        finally:
            tracemalloc.stop()


def test_entries_that_share_their_bytes_are_a_bomb() -> None:
    one = zipped({"0.csv": bytes(2**20)})
    end = one.index(b"PK\1\2")
    entry = one[end : one.index(b"PK\5\6")]
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 500, 500, len(entry) * 500, end, 0)
    assert refused(one[:end] + entry * 500 + tail) == "archive_bomb"


def test_a_small_file_of_zeros_is_no_bomb() -> None:
    assert unpacked(gzip.compress(bytes(2**20))) == {"file": bytes(2**20)}
    assert unpacked(zipped({"a": bytes(2**20)})) == {"a": bytes(2**20)}


@pytest.mark.parametrize(
    "raw",
    [
        zipped({"a.zip": zipped({"b.csv": TEXT})}),
        zipped({"a.csv": gzip.compress(TEXT)}),
        zipped({"a.csv": TEXT, "b.csv": zipped({})}),
        gzip.compress(gzip.compress(TEXT)),
        gzip.compress(zipped({"a.csv": TEXT})),
        zipped({"a.7z": b"7z\xbc\xaf\x27\x1c\0\4"}),
    ],
)
def test_archives_within_archives_are_refused(raw: bytes) -> None:
    assert refused(raw) == "nested_archive"


@pytest.mark.parametrize(
    "name",
    [
        "../a.csv", "in/../../a.csv", "/etc/a.csv", "C:a.csv", "c:/a.csv", "in\\a.csv", "..\\a.csv", "\\\\host\\a.csv",
        "in//a.csv", "./a.csv", " /a.csv", "CON", "nul.csv", "in/Com1.txt", "LPT9", "aux .csv", "a\x07.csv", "a\n.csv",
        "a\x7f.csv", "a\u202evsc.exe", "\u200ba.csv", "a" * 300,
    ],
)  # fmt: skip
def test_names_with_tricks_are_refused(name: str) -> None:
    assert not is_safe_name(name)
    assert refused(zipped({"good.csv": TEXT, name: TEXT})) == "unsafe_name"


def test_a_name_with_a_nul_is_refused() -> None:
    assert refused(zipped({"a.csv#.exe": TEXT}).replace(b"a.csv#", b"a.csv\0")) == "unsafe_name"


@pytest.mark.parametrize(
    "name", ["a.csv", "in/a b.csv", "données été.csv", "ENEDIS_R63_P_CdC_M0_1.json", "console.csv", ".a", "a..b"]
)
def test_ordinary_names_are_not(name: str) -> None:
    assert is_safe_name(name)
    assert unpacked(zipped({name: TEXT})) == {name: TEXT}


def test_links_and_devices_are_refused() -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            entry = zipfile.ZipInfo("a.csv")
            entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
        assert refused(packed.getvalue()) == "unsafe_name"


def test_passwords_are_refused() -> None:
    whole = bytearray(zipped({"a.csv": TEXT}))
    whole[whole.index(b"PK\1\2") + 8] |= 1
    assert refused(bytes(whole)) == "archive_encrypted"


def test_more_members_than_anybody_sends_are_refused() -> None:
    assert refused(zipped({f"{number}.csv": b"" for number in range(ARCHIVE_MEMBERS_MAX + 1)})) == "too_many_members"
    assert len(unpacked(zipped({f"{number}.csv": b"" for number in range(ARCHIVE_MEMBERS_MAX)}))) == ARCHIVE_MEMBERS_MAX


def test_a_directory_without_end_is_not_read_into_memory() -> None:
    size = 40 * 2**20
    raw = b"PK\3\4" + bytes(size) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, size, 4, 0)
    tracemalloc.start()
    try:
        assert refused(raw) == "too_many_members"
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20 + len(raw)  # the file itself is in memory here
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_file"),
        (zipped({}), "empty_file"),
        (zipped({"in/": b""}), "empty_file"),
        (b"\x28\xb5\x2f\xfd\0", "packed_otherwise"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "packed_otherwise"),
        (b"BZh91AY&SY", "packed_otherwise"),
        (zipped({"a.csv": TEXT}, zipfile.ZIP_LZMA), "packed_otherwise"),
        (zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}), "spreadsheet"),
    ],
)
def test_other_things_are_refused_by_name(raw: bytes, code: str) -> None:
    assert refused(raw) == code


def archives() -> Iterator[bytes]:
    yield gzip.compress(TEXT)
    yield zipped({"a.csv": TEXT, "in/b.csv": TEXT[:50]})
    yield zipped({"a.csv": TEXT}, zipfile.ZIP_STORED)


@given(st.sampled_from(list(archives())), st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_archives_are_refused_or_whole(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Unreadable):
        unpacked(bytes(damaged))


@given(st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\3\4", b"PK\5\6"]), st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_bytes_at_random_are_refused_or_plain(magic: bytes, rest: bytes) -> None:
    with contextlib.suppress(Unreadable):
        unpacked(magic + rest)
