"""deploy/ci/deploy.sh, with an engine that does whatever it is told."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "ci" / "deploy.sh"
REGISTRY: Final = "registry.example.org/solarperform"


def program(file: Path, *lines: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


def state_with(folder: Path, *told: str) -> Path:
    state = folder / "state"
    state.mkdir()
    named = told if any(line.startswith("SP_HOST=") for line in told) else ("SP_HOST=localhost", *told)
    (state / ".env").write_text("".join(f"{line}\n" for line in named))
    return state


def deployed(
    folder: Path, *engine: str, release: str = "1.2.3", smoke: str = "exit 0", **told: str
) -> subprocess.CompletedProcess[str]:
    """engine: lines of a shell that sees what `docker` is called with; all of it stands in `called` afterwards."""
    docker = program(folder / "bin" / "docker", f'echo "$*" >>{folder}/called', *engine, "exit 0")
    environment = {
        "HOME": str(folder),
        "PATH": f"{docker.parent}:{os.environ['PATH']}",
        "SP_STATE": str(folder / "state"),
        "SMOKE": str(program(folder / "smoke", smoke)),
    } | told
    return subprocess.run([SCRIPT, release], env=environment, cwd=folder, capture_output=True, text=True, check=False)


def calls(folder: Path, *words: str) -> list[int]:
    lines = (folder / "called").read_text().splitlines() if (folder / "called").exists() else []
    return [at for at, line in enumerate(lines) if all(f" {word} " in f" {line} " for word in words)]


def test_what_an_owner_writes_for_compose_is_run_by_no_shell(tmp_path: Path) -> None:
    """An address with its name is fine in `.env`, and means something else to a shell."""
    odd = ("SP_SMTP_FROM=Solar <solar@example.org>", "SP_ODD=$(touch ran)")
    state = state_with(tmp_path, 'SP_HOST="sun.example.org"', *odd)
    done = deployed(tmp_path, smoke='echo "$SP_HOST:${SP_HTTPS_PORT:-none}" >"$SP_STATE/seen"')
    assert done.returncode == 0, done.stderr
    assert (state / "seen").read_text() == "sun.example.org:none\n"
    assert (state / "current").read_text() == "1.2.3\n"
    assert not (tmp_path / "ran").exists()


def test_whoever_has_brought_no_settings_starts_nothing(tmp_path: Path) -> None:
    """With another .env than the installation's, its containers would be made anew for localhost."""
    (state_with(tmp_path) / ".env").unlink()
    done = deployed(tmp_path)
    assert done.returncode == 2
    assert "SP_HOST" in done.stderr
    assert not calls(tmp_path, "up")


def test_images_of_others_are_fetched_anew_before_the_start(tmp_path: Path) -> None:
    """Their mended ones come under the same tags; our own are of one release, and are not asked for again."""
    state_with(tmp_path)
    done = deployed(tmp_path, f'case $* in *--images) echo "{REGISTRY}/web:1.2.3" ;; esac')
    assert done.returncode == 0, done.stderr
    (pulled,), (started,) = calls(tmp_path, "pull", "--ignore-buildable"), calls(tmp_path, "up")
    assert pulled < started
    assert calls(tmp_path, "pull") == [pulled]


def test_without_a_registry_in_reach_images_of_this_machine_do(tmp_path: Path) -> None:
    state_with(tmp_path)
    done = deployed(
        tmp_path, 'case $* in *pull*) echo "no such host" >&2; exit 18 ;; *--images) echo postgres:17-trixie ;; esac'
    )
    assert done.returncode == 0, done.stderr
    assert "images of this machine" in done.stderr


def test_an_image_of_ours_that_is_missing_comes_from_the_registry_that_is_named(tmp_path: Path) -> None:
    missing = f'case $* in *--images) echo "{REGISTRY}/web:1.2.3" ;; "image inspect"*) exit 1 ;; esac'
    state_with(tmp_path)
    assert deployed(tmp_path, missing, SP_IMAGES=REGISTRY).returncode == 0
    assert calls(tmp_path, "pull", "--quiet", f"{REGISTRY}/web:1.2.3")


def test_nobody_elses_image_runs_for_want_of_ours(tmp_path: Path) -> None:
    """Without a registry's name ours would be looked for in the public one, where anybody may have taken it."""
    state_with(tmp_path)
    done = deployed(tmp_path, 'case $* in *--images) echo solarperform/web:1.2.3 ;; "image inspect"*) exit 1 ;; esac')
    assert done.returncode == 2
    assert "SP_IMAGES" in done.stderr
    assert not calls(tmp_path, "pull", "solarperform/web:1.2.3")
    assert not calls(tmp_path, "up")


def test_the_folder_of_what_runs_can_be_worked_in_by_hand(tmp_path: Path) -> None:
    """What was said to this script alone would be missing there, such as where backups go."""
    state = state_with(tmp_path, "SP_OWNER_DIR=/srv/mine", "COMPOSE_PROJECT_NAME=second")
    done = deployed(tmp_path, f'echo "$SP_OWNER_DIR" >{tmp_path}/owner', SP_IMAGES=REGISTRY, SP_OWNER_DIR="")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "owner").read_text() == "/srv/mine\n", "said as nothing at all, it would be the release's own folder"
    told = (state / "release" / ".env").read_text().splitlines()
    assert told == [
        "SP_HOST=localhost",
        "SP_OWNER_DIR=/srv/mine",
        "COMPOSE_PROJECT_NAME=second",
        f"SP_BACKUP_DIR={state}/backups",
        f"SP_IMAGES={REGISTRY}",
    ]
    assert calls(tmp_path, "--project-name", "second", "up")
    assert (state / "release").resolve() == state / "releases" / "1.2.3"
    done = deployed(tmp_path, "case $* in *releases/1.2.4*up*) exit 1 ;; esac", release="1.2.4")
    assert done.returncode == 1, done.stderr
    assert (state / "release").resolve() == state / "releases" / "1.2.3"


def test_a_last_line_without_an_end_stays_one(tmp_path: Path) -> None:
    state = state_with(tmp_path)
    (state / ".env").write_text("SP_HOST=sun.example.org")
    assert deployed(tmp_path).returncode == 0
    assert (state / ".env").read_text().startswith("SP_HOST=sun.example.org\nSP_OWNER_DIR=")


@pytest.mark.parametrize("name", ["SP_OWNER_DIR", "SP_BACKUP_DIR"])
def test_what_lasts_may_not_lie_in_a_release(tmp_path: Path, name: str) -> None:
    """Its folder goes when the same release is deployed once more."""
    state_with(tmp_path, f"{name}=./kept")
    done = deployed(tmp_path)
    assert done.returncode == 2
    assert name in done.stderr
    assert not calls(tmp_path, "up")


def test_files_that_compose_is_told_of_in_the_owners_settings_count(tmp_path: Path) -> None:
    """Networks over several machines are such a file: without it their workers would lose head, database and broker."""
    state = state_with(tmp_path, "COMPOSE_FILE=docker-compose.yml:deploy/ray/overlay.yaml:/srv/mine.yml")
    assert deployed(tmp_path).returncode == 0
    kept = state / "releases" / "1.2.3"
    files = ["--file", f"{kept}/docker-compose.yml", "--file", f"{kept}/deploy/ray/overlay.yaml", "--file", "/srv/mine.yml"]
    assert calls(tmp_path, " ".join(files), "up")
    before = [word.replace(str(kept), f"{kept}.new") for word in files]  # while images are looked for
    asked = len(calls(tmp_path, " ".join(files))) + len(calls(tmp_path, " ".join(before)))
    assert asked == len(calls(tmp_path, "--project-directory")), "whatever Compose is asked"
    deployed(tmp_path, "case $* in *releases/1.2.4*up*) exit 1 ;; esac", release="1.2.4")
    assert len(calls(tmp_path, " ".join(files), "up")) == 2, "nor is it forgotten on the way back"


def test_the_release_that_runs_keeps_what_its_containers_have_mounted(tmp_path: Path) -> None:
    """A folder in the place of another is one that they do not see: they are made anew, but only if something changed."""
    settings = state_with(tmp_path) / "releases" / "1.2.3" / "deploy" / "settings"

    def made_anew(*engine: str, code: int = 0, release: str = "1.2.3") -> bool:
        before = len(calls(tmp_path, "up", "--force-recreate"))
        done = deployed(tmp_path, *engine, release=release)
        assert done.returncode == code, done.stderr
        return len(calls(tmp_path, "up", "--force-recreate")) > before

    assert not made_anew()
    mounted = settings.stat().st_ino
    assert not made_anew()
    assert settings.stat().st_ino == mounted

    (settings / "web.json").write_text("{}")  # as if this checkout's were another one
    mounted = settings.stat().st_ino
    assert not made_anew("case $* in *--images) echo solarperform/web:1.2.3 ;; 'image inspect'*) exit 1 ;; esac", code=2)
    assert settings.stat().st_ino == mounted, "an image is missing: nothing is touched"
    assert not made_anew("case $* in *releases/1.2.4*up*) exit 1 ;; esac", code=1, release="1.2.4")
    assert calls(tmp_path, f"--project-directory {settings.parents[1]}", "up"), "the way back leads to what runs"
    assert not calls(tmp_path, f"--project-directory {settings.parents[1]}.new", "up")
    assert made_anew("case $* in *' up '*) exit 1 ;; esac", code=2)
    assert made_anew(), "the folder is new since the attempt that did not end well"
    assert not made_anew()
