"""./run test: what the tests need is there before they begin; --compose where there is no engine, or one not to be used."""

import ast
from pathlib import Path

import pytest

from actors.local import checks


def test_without_an_engine_it_fails_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    assert checks.test(["--compose"]) == 1
    assert "apt-get install docker.io docker-compose-v2" in capsys.readouterr().err


def test_an_engine_that_does_not_answer_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\necho 'permission denied: docker.sock' >&2\nexit 1\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks.test(["--compose", "-x"]) == 1
    assert "permission denied: docker.sock" in capsys.readouterr().err


def test_no_test_has_to_fetch_a_package_in_its_own_time() -> None:
    fetched = {
        package.value
        for file in (checks.ROOT / "tests").rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {"debian.unpack", "folder_of"}
        for package in call.args[:1]
        if isinstance(package, ast.Constant)
    }
    assert fetched == set(checks._SERVERS)
