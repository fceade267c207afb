"""./run test: what the tests need is there before they begin; what fails is run once more.

--compose where there is no engine, or one not to be used.
"""

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


_BESIDE_OTHERS = checks._IN_PROCESSES
_TESTS = """
import os
import pytest
def test_that_passes(): pass
def test_that_passes_the_second_time():
    if os.path.exists("been_here"): return
    open("been_here", "w").close()
    pytest.fail("by accident")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its tests are in a file of their own, and run where it is."""
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "_IN_PROCESSES", ())
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "test_it.py").write_text(_TESTS)
    return tmp_path


def test_what_fails_by_accident_is_heard_once_more_alone_and_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "_IN_PROCESSES", _BESIDE_OTHERS)
    monkeypatch.setenv("PYTEST_ADDOPTS", f"--junitxml={project / 'report.xml'}")
    assert checks._all_tests() == 0
    told = capfd.readouterr().out
    assert "1 failed, 1 passed" in told
    assert "Passed alone, and counted as passed:\n  test_it.py::test_that_passes_the_second_time\n" in told
    assert 'tests="2"' in (project / "report.xml").read_text()  # not that of the second time


def test_what_fails_twice_has_failed(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (project / "test_it.py").open("a") as file:
        file.write("def test_that_fails(): pytest.fail('always')\n")
    assert checks._all_tests() == 1
    told = capfd.readouterr().out
    assert "2 failed, 1 passed" in told
    assert "1 failed, 1 passed" in told
    assert "counted as passed" not in told


def test_many_that_fail_are_no_accident(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "test_it.py").write_text(_TESTS + f"for n in range({checks._AGAIN_MAX}): exec(f'def test_{{n}}(): 1 / 0')\n")
    assert checks._all_tests() == 1
    assert "Once more" not in capfd.readouterr().out


def test_what_cannot_even_be_read_fails(project: Path) -> None:
    (project / "test_other.py").write_text("import nothing_of_that_name\n")
    assert checks._all_tests() != 0
