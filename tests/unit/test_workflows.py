"""The workflows and the scripts that they call: mistakes and holes that can be seen without running them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted({*(ROOT / "deploy").rglob("*.sh"), ROOT / "run"})
PINNED = re.compile(r"uses: (?:\$/\S+|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$")
OURS = re.compile(r"(?:\./run|deploy/ci/[\w-]+\.sh)\b")


def tool(name: str) -> str:
    """Of this environment, else of the machine: Debian has a shellcheck."""
    folder = Path(sys.executable).parent
    found = shutil.which(name, path=f"{folder}{os.pathsep}{os.environ['PATH']}")
    assert found, (
        f"{name} is missing: ./run test installs it; where it has no wheel (shellcheck on arm64): apt install {name}"
    )
    return found


def said_by(name: str, *arguments: object) -> str:
    """What a checker finds; nothing when all is well."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [tool(name), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode in range(20), f"{name} could not run: {done.stderr}"
    return "" if done.returncode == 0 else done.stdout + done.stderr


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in WORKFLOWS:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            yield f"{file.name} {name}", job


def test_actionlint_finds_nothing() -> None:
    assert said_by("actionlint", *WORKFLOWS) == ""


def test_actionlint_finds_something_where_there_is_something(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ nobody.knows }}\n"
    )
    assert "nobody" in said_by("actionlint", broken)


def test_zizmor_finds_nothing() -> None:
    assert said_by("zizmor", "--offline", "--no-progress", "--quiet", "--persona", "pedantic", ".github") == ""


def test_zizmor_finds_something_where_there_is_something(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "open.yml").write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )
    assert "template-injection" in said_by("zizmor", "--offline", "--no-progress", "--quiet", folder)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    assert said_by("shellcheck", "--severity", "warning", script) == ""


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit_and_say_their_version(file: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in file.read_text().splitlines() if "uses:" in line]
    assert [line for line in uses if not PINNED.match(line)] == []


def test_every_job_ends_and_has_the_rights_it_needs() -> None:
    for name, job in jobs():
        assert "permissions" in job, name
        assert "timeout-minutes" in job or "uses" in job, name
    for file in WORKFLOWS:
        assert yaml.safe_load(file.read_text())["permissions"] == {}, file.name


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_step_fails_with_the_first_command_of_a_pipe(file: Path) -> None:
    """Where no shell is named a failure is lost to what it is piped into; where bash is, `pipefail` is set."""
    assert yaml.safe_load(file.read_text())["defaults"] == {"run": {"shell": "bash"}}


def test_steps_run_what_a_developer_runs() -> None:
    """The exception: a release's page, which only the place that holds it can make."""
    commands = [(name, step["run"]) for name, job in jobs() for step in job.get("steps", ()) if "run" in step]
    assert commands
    assert [(name, run) for name, run in commands if not OURS.search(run) and not run.startswith("gh release create")] == []


def test_what_the_workflows_call_is_there_and_can_be_run() -> None:
    called = {name for file in WORKFLOWS for name in re.findall(r"deploy/ci/[\w-]+\.sh", file.read_text())}
    assert called
    assert [name for name in called if not os.access(ROOT / name, os.X_OK)] == []


def test_nothing_is_well_where_nothing_listens() -> None:
    """Every check fails, each with its reason: none passes because an answer is missing."""
    ports = dict.fromkeys(("SP_HTTPS_PORT", "SP_MQTT_PORT", "SP_SFTP_PORT"), "1")
    command = [ROOT / "deploy" / "ci" / "smoke.sh", "127.0.0.1"]
    done = subprocess.run(command, env={**os.environ, **ports}, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert len(lines) == 7
    assert [line for line in lines if not line.startswith("smoke: FAILED")] == []


def release_notes(folder: Path, tag: str, changelog: str) -> subprocess.CompletedProcess[str]:
    """What release-notes.sh says in a checkout of version 1.2.3 with this changelog."""
    script = folder / "deploy" / "ci" / "release-notes.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "ci" / "release-notes.sh", script)
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (folder / "CHANGELOG.md").write_text(changelog)
    return subprocess.run([script, tag], capture_output=True, text=True, check=False)


def test_a_release_says_what_the_changelog_says_of_it(tmp_path: Path) -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n- Later.\n\n## 1.2.3 (2026-11-28)\n\n- One.\n- Two.\n\n## 1.2.2\n\n- Old.\n"
    done = release_notes(tmp_path, "v1.2.3", changelog)
    assert (done.returncode, done.stdout) == (0, "- One.\n- Two.\n")


@pytest.mark.parametrize(
    ("tag", "changelog", "why"),
    [
        ("v1.2.3", "# Changelog\n\n## Unreleased\n\n- One.\n", "nothing under"),
        ("v1.2.3", "## 1.2.3\n\n## 1.2.2\n\n- Old.\n", "nothing under"),
        ("v1.2.3", "## 1.2.30\n\n- Another.\n", "nothing under"),
        ("v1.2.4", "## 1.2.4\n\n- One.\n", "version 1.2.3"),
        ("1.2.3", "## 1.2.3\n\n- One.\n", "no tag of a release"),
    ],
    ids=["unreleased", "empty", "longer-number", "other-version", "no-tag"],
)
def test_a_release_without_notes_or_of_another_version_is_none(tmp_path: Path, tag: str, changelog: str, why: str) -> None:
    done = release_notes(tmp_path, tag, changelog)
    assert done.returncode == 1
    assert done.stdout == ""
    assert why in done.stderr


def test_newer_images_are_proposed_wherever_one_is_named_by_its_tag() -> None:
    """A `FROM ${NAME}` is not followed; such an ARG has a tag that is mended in place, and CI pulls it for each build."""
    told = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    watched = {(each["package-ecosystem"], each["directory"]): each for each in told}
    named = re.findall(r"^ +image: \$\{SP_[A-Z]+_IMAGE:-([^:}]+):[^}]+\}$", (ROOT / "docker-compose.yml").read_text(), re.M)
    assert "postgres" in named
    kept = watched["docker-compose", "/"]["ignore"]
    assert kept == [{"dependency-name": "postgres", "update-types": ["version-update:semver-major"]}]
    assert [
        from_ for from_ in re.findall(r"^FROM (\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.M) if ":" in from_
    ] == []
    pulled = [
        step["env"]["BUILD_OPTIONS"]
        for _, job in jobs()
        for step in job.get("steps", ())
        if "BUILD_OPTIONS" in step.get("env", {})
    ]
    assert len(pulled) == 2
    assert all("--pull" in options.split() for options in pulled)
