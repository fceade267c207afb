"""The drop box's parts without a network: names, packets, the order of pieces, counted tries, and a box on the disk."""

import base64
import contextlib
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.dropbox import box as boxes
from actors.dropbox import refused, scp, wire
from actors.dropbox.box import Box, Usage, forget, waiting
from actors.dropbox.names import FOLDERS, Folder, Name, file_name, place, resolved, stored_name
from actors.dropbox.refused import Refused
from actors.dropbox.upload import AheadBudget, Upload
from actors.dropbox.wire import Body, Kind
from fleet import ssh_keys
from fleet.addresses import sender_of
from fleet.attempts import LoginAttempts
from fleet.errors import BadInput
from fleet.file_limits import (
    DROP_CLOSED_REST_S,
    DROP_CUT_KEPT_S,
    DROP_FAILURES_PER_ACCOUNT,
    DROP_FAILURES_PER_ADDRESS,
    DROP_FAILURES_PER_PAIR,
    DROP_LISTED_S,
)
from fleet.ids import DeviceId
from fleet.limits import LOGIN_WINDOW_S

LOGGER = DeviceId("gw-1")
NOW_S = 1_780_000_000.0
NOW_NS = int(NOW_S * 1e9)


# names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        (b"x.csv", "x.csv"),
        (b"./x.csv", "x.csv"),
        (b"//x.csv", "x.csv"),
        (b"/DATA/x.csv.gz", "DATA\\x.csv.gz"),
        (b"upload/data/x", "UPLOAD\\DATA\\x"),
        ("e\N{COMBINING ACUTE ACCENT}té.csv".encode(), "été.csv"),
        ("été.csv".encode("latin-1"), "été.csv"),
        (b"day 1 12:00:00.csv", "day 1 12:00:00.csv"),
    ],
)
def test_a_name_is_what_is_left_of_its_path(path: bytes, stored: str) -> None:
    found = file_name(path)
    assert found.stored == stored
    assert stored_name(stored) == found


@given(
    st.binary(max_size=80)
    | st.lists(st.sampled_from(["..", ".", "", "DATA", "log", "x", "~", "é"])).map("/".join).map(str.encode)
)
@settings(max_examples=100, deadline=None)
def test_no_path_becomes_a_name_that_leads_anywhere(path: bytes) -> None:
    try:
        found = place(path)
    except Refused:
        return
    stored = found.stored if isinstance(found, Name) else found.prefix
    assert "/" not in stored
    assert "\0" not in stored
    assert stored not in (".", "..")
    assert len(stored.encode()) <= 200
    assert unicodedata.is_normalized("NFC", stored)
    if isinstance(found, Name):
        assert place(found.path.encode()) == found
        assert resolved(path) == found.path


def test_temporary_names_are_known_by_their_looks() -> None:
    for name in (".x.csv", "x.csv.tmp", "x.csv.PART", "x.csv.filepart", "x.csv~", ".in.x.csv."):
        assert Name(name).temporary, name
    for name in ("x.csv", "x.tmp.csv", "part", "x.csv.gz"):
        assert not Name(name).temporary, name
    assert Name("x.csv.filepart").is_successor_of(Name("x.csv"))
    assert not Name("x.csv.filepart", "DATA").is_successor_of(Name("x.csv"))
    assert not Name("y.csv.filepart").is_successor_of(Name("x.csv"))


def test_folders_of_loggers_exist_and_others_do_not() -> None:
    for folder in ("/DATA", "data", "/Upload/Data/", "/", ""):
        assert isinstance(place(folder.encode()), Folder)
    for path in (b"/etc/x", b"/DATA/LOG/DEF/x", b"x/y"):
        with pytest.raises(Refused, match="no_such_folder"):
            place(path)
    with pytest.raises(Refused, match="is_a_folder"):
        file_name(b"/DATA")
    assert {name.upper() for name in FOLDERS} == FOLDERS


def test_each_refusal_has_words_in_both_languages() -> None:
    for code in refused.codes():
        english, _, french = Refused(code).words.partition(" / ")
        assert english != french
        assert french


# packets ----------------------------------------------------------------------------------------------------------


def read_on(read: Callable[[Body], object], body: Body) -> None:
    for _ in range(100):
        read(body)


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_request_or_a_bad_message(content: bytes) -> None:
    for read in (Body.u32, Body.u64, Body.string, Body.attributes):
        with pytest.raises(Refused, match="bad_message"):
            read_on(read, Body(content))


def test_packets_say_how_long_they_are() -> None:
    entry = boxes.Entry(Name("x.csv", "DATA"), 5, -3)
    for packet in (
        wire.version(), wire.ok(7), wire.refusal(7, Refused("disk_full")), wire.handle(7, b"abcd"), wire.path(7, "/"),
        wire.names(7, "gw-1", [entry]), wire.file_attributes(7, 2**40, 2**40), wire.folder_attributes(7), wire.limits(7),
    ):  # fmt: skip
        assert int.from_bytes(packet[:4], "big") == len(packet) - 4
        assert packet[4] in set(Kind)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("scp -t .", scp.Wanted(True, ".")),
        ("scp -p -t -- ''", scp.Wanted(True, "")),
        ("scp -v -r -p -d -t '/DATA/a b'", scp.Wanted(True, "/DATA/a b")),
        ("scp -f x.csv", scp.Wanted(False, "x.csv")),
        ("scp", None),
        ("scp -t -f x", None),
        ("scp -t 'x", None),
        ("scp -t a b", None),
    ],
)
def test_scp_commands_are_understood_or_not(command: str, wanted: scp.Wanted | None) -> None:
    assert scp.understand(command) == wanted


# pieces -----------------------------------------------------------------------------------------------------------


def upload(folder: Path, *, fresh: bool = True, append: bool = False, budget: AheadBudget | None = None) -> Upload:
    return Upload(folder / "x", Name("x"), lambda _: None, budget or AheadBudget(), fresh=fresh, append=append)


@given(st.randoms(use_true_random=False), st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_pieces_in_any_order_are_the_file(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, sizes: list[int]
) -> None:
    """And at any moment the disk has a beginning of it."""
    folder = tmp_path_factory.mktemp("pieces")
    content = chance.randbytes(sum(sizes))
    pieces = [(sum(sizes[:number]), size) for number, size in enumerate(sizes)]
    chance.shuffle(pieces)
    budget = AheadBudget()
    written = upload(folder, budget=budget)
    for offset, size in pieces:
        written.write(offset, content[offset : offset + size])
        lying = (folder / "x").read_bytes()
        assert content.startswith(lying)
        assert written.size == len(lying)
    written.finish()
    assert (folder / "x").read_bytes() == content
    assert budget.take(AheadBudget()._left)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fsync(written._descriptor)


def test_what_is_missing_at_the_end_is_a_hole(tmp_path: Path) -> None:
    budget = AheadBudget(10)
    written = upload(tmp_path, budget=budget)
    written.write(5, b"12345")
    with pytest.raises(Refused, match="hole"):
        written.finish()
    with pytest.raises(Refused, match="hole"):
        written.write(11, b"123456")
    written.close()
    written.close()
    assert budget.take(10)
    assert (tmp_path / "x").read_bytes() == b""


def test_appending_does_not_mind_where_the_client_thinks_the_end_is(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"before ")
    written = upload(tmp_path, fresh=False, append=True)
    written.write(0, b"after ")
    written.write(2**40, b"all")
    written.finish()
    assert (tmp_path / "x").read_bytes() == b"before after all"


def test_who_was_refused_once_is_refused_to_the_end(tmp_path: Path) -> None:
    written = upload(tmp_path)
    written.refused = Refused("quota_bytes")
    with pytest.raises(Refused, match="quota_bytes"):
        written.write(0, b"x")
    with pytest.raises(Refused, match="quota_bytes"):
        written.finish()
    written.close()


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "x").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        upload(tmp_path)


# a box on the disk ------------------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path, LOGGER)
    made.make()
    return made


def lay(box: Box, kind: str, name: str, content: bytes = b"x", *, at_s: float = NOW_S) -> Name:
    path = box.path(kind, Name(name))
    path.write_bytes(content)
    os.utime(path, (at_s, at_s))
    return Name(name)


def test_what_is_finished_waits_in_the_order_of_its_arrival(box: Box, tmp_path: Path) -> None:
    for content in (b"1", b"12", b"123"):
        box.finish("open", lay(box, "open", "day.csv", content), Name("day.csv"), NOW_NS)  # a clock that stands still
    box.finish("closed", lay(box, "closed", "x.tmp"), Name("x.csv", "DATA"), NOW_NS - 5)
    found = list(waiting(tmp_path))
    assert [(each.prefix, each.name, each.path.read_bytes()) for each in found] == [
        ("DATA", "x.csv", b"x"), ("", "day.csv", b"1"), ("", "day.csv", b"12"), ("", "day.csv", b"123"),
    ]  # fmt: skip
    assert all(each.complete and each.via == "sftp" for each in found)
    assert [(entry.name.name, entry.size) for entry in box.entries("")] == [("day.csv", 3)]
    assert [entry.name.path for entry in box.entries("DATA")] == ["/DATA/x.csv"]
    assert box.usage() == Usage(1 + 1 + 2 + 3, 4)
    for each in found:
        forget(each)
        forget(each)
    assert list(waiting(tmp_path)) == []
    assert box.usage() == Usage(1 + 3, 2)


def test_a_kill_between_the_two_steps_of_finishing_is_made_good(box: Box, tmp_path: Path) -> None:
    lay(box, "open", "day.csv", b"whole")
    boxes.link_stamped(box.path("open", Name("day.csv")), box.folder / "whole", Name("day.csv"), NOW_NS)
    box.recover()
    assert [each.name for each in waiting(tmp_path)] == ["day.csv"]
    assert (box.folder / "listed" / "day.csv").read_bytes() == b"whole"
    assert list((box.folder / "open").iterdir()) == []


def test_what_nobody_comes_back_for_is_taken_in(box: Box, tmp_path: Path) -> None:
    lay(box, "open", "cut.csv", at_s=NOW_S - DROP_CUT_KEPT_S - 1)
    lay(box, "open", "empty.csv", b"", at_s=NOW_S - DROP_CUT_KEPT_S - 1)
    lay(box, "open", "busy.csv", at_s=NOW_S - DROP_CUT_KEPT_S - 1)
    lay(box, "open", "fresh.csv", at_s=NOW_S - DROP_CUT_KEPT_S + 60)
    lay(box, "closed", "x.csv.tmp", at_s=NOW_S - DROP_CLOSED_REST_S - 1)
    lay(box, "closed", "y.csv.tmp", at_s=NOW_S - 60)
    assert box.tidy(NOW_S, frozenset(["busy.csv"])) == 2
    assert {(each.name, each.complete) for each in waiting(tmp_path)} == {("cut.csv", False), ("x.csv.tmp", True)}
    assert {path.name for path in (box.folder / "open").iterdir()} == {"busy.csv", "fresh.csv"}


def test_what_was_taken_is_listed_for_two_days(box: Box, tmp_path: Path) -> None:
    for name, age_s in (("old.csv", DROP_LISTED_S + 1), ("new.csv", 60.0), ("waiting.csv", DROP_LISTED_S + 1)):
        box.finish("open", lay(box, "open", name, at_s=NOW_S - age_s), Name(name), NOW_NS)
    for each in waiting(tmp_path):
        if each.name != "waiting.csv":
            forget(each)
    box.prune(NOW_S)
    assert [entry.name.name for entry in box.entries("")] == ["new.csv", "waiting.csv"]


def test_strange_things_in_a_folder_are_not_files(box: Box, tmp_path: Path) -> None:
    (box.folder / "whole" / "notes.txt").write_bytes(b"x")
    (box.folder / "whole" / f"{NOW_NS:020d}-link").symlink_to("/etc/passwd")
    (box.folder / "whole" / f"{NOW_NS:020d}-folder").mkdir()
    (tmp_path / "Not-A-Device").mkdir()
    (tmp_path / "gw-2").write_bytes(b"x")
    assert list(waiting(tmp_path)) == []
    assert boxes.devices(tmp_path) == [LOGGER]


# log-ins ----------------------------------------------------------------------------------------------------------


def test_wrong_passwords_count_and_right_ones_do_not() -> None:
    attempts = LoginAttempts(DROP_FAILURES_PER_PAIR, DROP_FAILURES_PER_ACCOUNT, DROP_FAILURES_PER_ADDRESS)
    for _ in range(5 * DROP_FAILURES_PER_ADDRESS):
        assert attempts.begin("gw-1", "1.2.3.4", 0.0)
        attempts.succeeded("gw-1", "1.2.3.4")
    assert [attempts.begin("gw-1", "1.2.3.4", 0.0) for _ in range(DROP_FAILURES_PER_PAIR + 1)].count(False) == 1
    assert attempts.begin("gw-1", "5.6.7.8", 0.0)
    assert attempts.begin("gw-2", "1.2.3.4", 0.0)
    assert not attempts.begin("gw-1", "1.2.3.4", LOGIN_WINDOW_S - 1)
    assert attempts.begin("gw-1", "1.2.3.4", LOGIN_WINDOW_S)


def test_an_address_that_tries_many_names_is_counted_out() -> None:
    attempts = LoginAttempts(DROP_FAILURES_PER_PAIR, DROP_FAILURES_PER_ACCOUNT, DROP_FAILURES_PER_ADDRESS)
    tries = [attempts.begin(f"gw-{number}", "1.2.3.4", 0.0) for number in range(DROP_FAILURES_PER_ADDRESS + 10)]
    assert tries.count(False) == 10
    assert attempts.begin("gw-1", "5.6.7.8", 0.0)


def test_a_house_with_many_addresses_is_one_sender() -> None:
    attempts = LoginAttempts(DROP_FAILURES_PER_PAIR, DROP_FAILURES_PER_ACCOUNT, DROP_FAILURES_PER_ADDRESS)
    tries = [attempts.begin("gw-1", f"2001:db8:1:2::{number:x}", 0.0) for number in range(DROP_FAILURES_PER_PAIR + 10)]
    assert tries.count(False) == 10
    assert attempts.begin("gw-1", "2001:db8:1:3::1", 0.0)


@pytest.mark.parametrize(
    ("address", "sender"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_who_sends(address: str, sender: str) -> None:
    assert sender_of(address) == sender


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", "bad_ssh_key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAA==", "bad_ssh_key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "bad_ssh_key"),
        ("ssh-ed25519 %%%%", "bad_ssh_key"),
        ("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAxjmCXIr0kU49W/M5kQPrahaYssB0UiSlESMViP4ZGm", "bad_ssh_key"),
        ('from="*" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxjmCXIr0kU49W/M5kQPrahaYssB0UiSlESMViP4ZGm', "bad_ssh_key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "private_ssh_key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "private_ssh_key"),
        ("ssh-ed25519 AAAA\nssh-ed25519 AAAA", "bad_ssh_key"),
    ],
)
def test_what_is_no_public_key_is_named(line: str, code: str) -> None:
    with pytest.raises(BadInput, match=code):
        ssh_keys.parse(line)


def test_a_public_key_is_read_whole() -> None:
    key = ssh_keys.parse(" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxjmCXIr0kU49W/M5kQPrahaYssB0UiSlESMViP4ZGm  my roof\n")
    assert (key.kind, key.bits, key.comment) == ("ssh-ed25519", 256, "my roof")
    assert key.fingerprint.startswith("SHA256:")
    assert ssh_keys.parse(key.line) == ssh_keys.SshKey(key.kind, 256, key.blob, key.fingerprint, "")


@given(st.binary(max_size=120))
@settings(max_examples=60, deadline=None)
def test_any_blob_is_a_key_or_refused(blob: bytes) -> None:
    for kind in ssh_keys.KINDS:
        head = len(kind).to_bytes(4, "big") + kind.encode()
        with contextlib.suppress(BadInput):
            key = ssh_keys.parse(f"{kind} {base64.b64encode(head + blob).decode()}")
            assert base64.b64decode(key.blob) == head + blob
