from pathlib import Path

import pytest

from certs.__main__ import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_thousand_devices_in_one_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = tmp_path / "ids"
    ids.write_text("\n".join(f"inv-{number}" for number in range(1_000)))
    assert run("init", tmp_path / "pki") == 0
    assert run("issue-device", tmp_path / "pki", "extra", "--ids-file", ids) == 0
    assert "1001 issued, 0 kept" in capsys.readouterr().out
    assert run("issue-device", tmp_path / "pki", "extra", "--ids-file", ids) == 0
    assert "0 issued, 1001 kept" in capsys.readouterr().out


def test_every_kind_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("init", tmp_path)
    assert run("issue-server", tmp_path, "--name", "localhost", "--ip", "127.0.0.1") == 0
    assert run("issue-platform", tmp_path, "sp-twins", "sp-web") == 0
    assert run("issue-device", tmp_path, "inv-1") == 0
    capsys.readouterr()
    assert run("list", tmp_path) == 0
    listed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert listed == [["devices", "inv-1"], ["platform", "sp-twins"], ["platform", "sp-web"], ["servers", "localhost"]]


def test_a_refusal_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", tmp_path / "nowhere") == 1
    assert "init" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    run("init", tmp_path)
    assert run("issue-device", tmp_path, "Not An Id") == 1
    assert run("issue-device", tmp_path, "--ids-file", tmp_path / "none") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
