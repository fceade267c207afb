"""./run, before there is a virtual environment: what is missing is said in one sentence."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "basename", "cat", "cmp", "id", "grep", "rm", "tail", "sleep", "env")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / "deploy").mkdir(parents=True)
    for name in ("run", "pyproject.toml", "deploy/requirements.lock", "deploy/requirements-dev.lock"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH without any Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def run(clone: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [clone / "run", "doctor"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**kept, "LC_ALL": "C", **env},
        check=False,
    )


def test_without_python(clone: Path, programs: Path) -> None:
    done = run(clone, PATH=str(programs))
    assert done.returncode == 1
    assert "Python 3.11 or later is needed" in done.stderr


def test_with_an_old_python(clone: Path, programs: Path) -> None:
    old = programs / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what it answers when asked whether it is recent enough
    old.chmod(0o755)
    done = run(clone, PATH=str(programs), LC_ALL="fr_FR.UTF-8")
    assert done.returncode == 1
    assert "Il faut Python 3.11" in done.stderr


def test_without_a_registry(clone: Path) -> None:
    done = run(
        clone, PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0", PIP_NO_CACHE_DIR="1"
    )
    assert done.returncode == 1
    assert "No Python package registry can be reached" in done.stderr
    assert "Traceback" not in done.stderr
