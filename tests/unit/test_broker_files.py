"""The broker's files: what they say, and that nobody ever reads half of one."""

import os
from pathlib import Path

import psutil
import pytest

from actors.broker_files import CLOSED, DENIED, Denied, acl, crl_readable, replace, replace_if_other


def test_a_denied_device_has_its_own_line_and_the_others_keep_their_patterns() -> None:
    text = acl(Denied.of(["d-one"], closed=False))
    assert "user d-one\ntopic deny sp/v1/#\n" in text
    assert "pattern write sp/v1/+/+/%u/up/#\n" in text


def test_closed_leaves_the_platform_and_nobody_else() -> None:
    text = acl(Denied.of([], closed=True))
    assert "pattern" not in text
    assert "user sp-twins\ntopic readwrite sp/v1/#\n" in text


def test_only_the_guard_may_write_below_its_mark() -> None:
    text = acl(mark="m1")
    assert text.count("sp/guard/") == 1
    assert "user sp-guard\ntopic write sp/guard/m1\n" in text


@pytest.mark.parametrize("name", ["sp-twins", "d\nuser sp-web", "", "#", "D-ONE"])
def test_what_is_no_devices_name_gets_no_line(name: str) -> None:
    assert acl(Denied.of([name], closed=False)) == acl()


def test_denied_is_read_as_it_was_written(tmp_path: Path) -> None:
    for denied in (Denied(), Denied.of(["b", "a", "b"], closed=False), Denied.of(["a"], closed=True)):
        replace(tmp_path / DENIED, denied.text().encode())
        assert Denied.read(tmp_path) == denied
    (tmp_path / DENIED).unlink()
    assert Denied.read(tmp_path) == Denied()


def test_half_a_file_of_names_denies_what_it_names(tmp_path: Path) -> None:
    (tmp_path / DENIED).write_bytes(f"{CLOSED}\nd-one\n\xff\xfe..".encode("latin-1"))
    assert Denied.read(tmp_path) == Denied(("d-one",), closed=True)


def test_a_replaced_file_stays_as_readable_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "acl"
    replace(file, b"one")
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    assert replace_if_other(file, b"two")
    assert not replace_if_other(file, b"two")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"two", 0o640)


def test_what_a_killed_writer_left_is_cleared_up(tmp_path: Path) -> None:
    nobody = next(pid for pid in range(2**22, 2, -1) if not psutil.pid_exists(pid))
    for pid in (nobody, os.getppid()):
        (tmp_path / f".acl.{pid}").touch()
    replace(tmp_path / "acl", b"")
    assert {file.name for file in tmp_path.iterdir()} == {"acl", f".acl.{os.getppid()}"}


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"-----BEGIN X509 CRL-----\nMII"])
def test_what_the_broker_cannot_read_is_no_list(content: bytes | None) -> None:
    assert not crl_readable(content)
