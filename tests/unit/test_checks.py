"""./run test --compose where there is no engine, or one that may not be used."""

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
