"""What deploy/README.md tells an owner to type, run in a scratch folder with an engine that does nothing."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "README.md").read_text()
COMPOSE: Final = (ROOT / "docker-compose.yml").read_text()
BLOCKS: Final = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINK: Final = "/opt/solarperform"
DIGEST: Final = "sha256:" + "5f" * 32


def block(holding: str) -> str:
    (found,) = (each for each in BLOCKS if holding in each)
    return found


def files() -> Iterator[tuple[str, str]]:
    """(path, content) of what here-documents write outside the release's folder."""
    for each in BLOCKS:
        yield from re.findall(r"^sudo tee (\S+) > /dev/null <<'EOF'\n(.*?)^EOF$", each, re.MULTILINE | re.DOTALL)


def content(path: str) -> str:
    (found,) = (text for name, text in files() if name == path)
    return found


def run(script: str, folder: Path, **told: str) -> subprocess.CompletedProcess[str]:
    """By Ubuntu's sh. `docker` says where it was called, and with what; `sudo` is whoever asks."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, line in {
        "docker": f'echo "$PWD: $*" >>{folder}/called; {told.pop("docker", ":")}',
        "sudo": 'exec "$@"',
        "logger": f'echo "$*: $(cat)" >>{folder}/journal',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder), "USER": str(os.getuid())} | told
    return subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", BLOCKS, ids=lambda script: script.splitlines()[0][:40])
def test_a_shell_understands_every_snippet(script: str) -> None:
    done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_new_public_certificate_goes_where_the_platform_looks(tmp_path: Path) -> None:
    """Into the owner's own folder, which no upgrade moves; at the first certificate as well, which certbot treats apart."""
    hook = "/etc/letsencrypt/renewal-hooks/deploy/solarperform"
    owner = re.search(r"^SP_OWNER_DIR=(/\S+)$", TEXT, re.MULTILINE)
    assert owner is not None
    assert not owner[1].startswith(LINK)
    for name in ("live", "owner"):
        (tmp_path / name).mkdir()
    for name in ("privkey.pem", "fullchain.pem"):
        (tmp_path / "live" / name).write_text(name)
    done = run(content(hook).replace(owner[1], str(tmp_path / "owner")), tmp_path, RENEWED_LINEAGE=str(tmp_path / "live"))
    assert done.returncode == 0, done.stderr
    laid = {file.name: (file.read_text(), file.stat().st_mode & 0o777) for file in (tmp_path / "owner").iterdir()}
    assert laid == {"chain.pem": ("fullchain.pem", 0o600), "key.pem": ("privkey.pem", 0o600)}
    assert f"--deploy-hook {hook}" in block("certbot certonly")


def test_what_runs_every_night_follows_an_upgrade_and_starts_nothing(tmp_path: Path) -> None:
    lines = content("/etc/cron.d/solarperform").splitlines()
    assert len(lines) == 3
    for release in ("old", "new"):
        (tmp_path / release).mkdir()
        run(f"ln -sfn {tmp_path}/{release} {tmp_path}/link", tmp_path)
        for line in lines:
            when_who, command = re.fullmatch(r"((?:\S+ ){6})(.*)", line).groups()  # type: ignore[union-attr]
            assert re.fullmatch(r"\d+ (?:\d+|\*) \* \* \* root ", when_who)
            assert "%" not in command, "cron ends a command there"
            done = run(command.replace(LINK, str(tmp_path / "link")), tmp_path)
            assert done.returncode == 0, done.stderr
    called = (tmp_path / "called").read_text().splitlines()
    assert len(called) == 8
    assert {call.partition(":")[0] for call in called} == {str(tmp_path / "link")}
    assert [call for call in called if " run " in call and " --no-deps " not in call] == []


def test_what_the_doctor_finds_is_kept_and_told_when_nobody_looks(tmp_path: Path) -> None:
    """No alert sees the public certificate: the doctor does, every day; cron mails what a line says."""
    (line,) = (each for each in content("/etc/cron.d/solarperform").splitlines() if "doctor" in each)
    command = re.sub(r"^(?:\S+ ){6}", "", line).replace(LINK, str(tmp_path))
    done = run(command, tmp_path, docker="echo 'it ends soon'; exit 1")
    told = (tmp_path / "journal").read_text()
    assert told == "-s -t solarperform-doctor: it ends soon\n"
    assert done.returncode == 0, done.stderr


def test_an_upgrade_takes_new_images_and_both_ways_change_the_link(tmp_path: Path) -> None:
    """With the number of the old release, or a digest of its images, the new one's files would meet old images."""
    old, new = tmp_path / "solarperform-0.1.0", tmp_path / "solarperform-0.2.0"
    for folder in (old, new):
        folder.mkdir()
        shutil.copy(ROOT / "docker-compose.yml", folder)
    (old / ".env").write_text(f"SP_HOST=sun.example.org\nSP_RELEASE=0.1.0\nSP_REDIS_IMAGE=redis@{DIGEST}\nSP_SHARDS=8\n")
    (tmp_path / "solarperform").symlink_to(old)
    upgrade = re.sub(r"^git clone .*$", ":", block("ln -sfn /opt/solarperform-0.2.0"), flags=re.MULTILINE)
    begins = f"cd {tmp_path}/solarperform\n"
    done = run(begins + upgrade.replace("/opt/", f"{tmp_path}/"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "solarperform").resolve() == new
    assert (new / ".env").read_text() == "SP_HOST=sun.example.org\nSP_SHARDS=8\n"
    calls = (tmp_path / "called").read_text().splitlines()
    assert f"{new}: compose build --pull" in calls
    assert f"{new}: compose pull --ignore-buildable" in calls
    (up,) = (call for call in calls if " up " in call)
    assert up.startswith(f"{tmp_path}/solarperform: ")
    assert "--force-recreate" in up, "services whose image is the same would keep the old release's files"
    back = block("ln -sfn /opt/solarperform-0.1.0 /opt/solarperform\ncd /opt/solarperform\ndocker compose up")
    done = run(back.replace("/opt/", f"{tmp_path}/"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "solarperform").resolve() == old
    assert "--force-recreate" in back


def test_digests_of_what_was_pulled_are_written_for_compose(tmp_path: Path) -> None:
    """The old ones go, images that are not on the machine are left out, what an owner has set stays."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text(f"SP_HOST=sun.example.org\nSP_REDIS_IMAGE=redis@{DIGEST}\n")
    engine = f'case $* in *grafana*) echo; exit 1 ;; *) echo "somewhere@{DIGEST}" ;; esac'
    done = run(block("RepoDigests"), tmp_path, docker=engine)
    assert done.returncode == 0, done.stderr
    first, *pinned = (tmp_path / ".env").read_text().splitlines()
    assert first == "SP_HOST=sun.example.org"
    asked = set(re.findall(r"image: \$\{(SP_[A-Z]+_IMAGE):-", COMPOSE))
    assert len(asked) == 6
    assert sorted(pinned) == [f"{name}=somewhere@{DIGEST}" for name in sorted(asked - {"SP_GRAFANA_IMAGE"})]


def test_nobody_is_told_to_set_what_the_release_says_itself() -> None:
    assert [each for each in BLOCKS if re.search(r"^SP_RELEASE=", each, re.MULTILINE)] == []


def test_defaults_in_the_table_are_those_of_the_compose_file() -> None:
    table = TEXT.partition("## 5 Settings")[2].partition("```")[0]
    rows = re.findall(r"^\| (`SP_.*?) \| (.*?) \|", table, re.MULTILINE)
    told: dict[str, str] = {}
    for names, defaults in rows:
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=False):
            told[name] = default.strip("`")
    assert len(told) > 15
    asked: dict[str, Any] = dict(re.findall(r"\$\{(SP_\w+):-([^${}]*)\}", COMPOSE))
    unlike = {name: (default, asked.get(name)) for name, default in told.items() if not _means(default, asked.get(name))}
    assert unlike == {}


def _means(told: str, default: str | None) -> bool:
    """A default that is put together of other variables, or said in words, is not compared."""
    in_words = " " in told or told.startswith(("SP_", "https"))
    return default is None or told == (default or "none") or in_words


def test_a_folder_that_outlives_releases_is_none_of_theirs() -> None:
    """Both guides, the French one as well: made before the first start, else it is Docker's, and root's."""
    example = re.findall(r"^cat > \.env <<'EOF'\n(.*?)^EOF$", "\n".join(BLOCKS), re.MULTILINE | re.DOTALL)
    assert len(example) == 2
    made = "\n".join(line for line in "\n".join(BLOCKS).splitlines() if line.startswith("sudo install -d"))
    for each in example:
        told = dict(line.split("=", 1) for line in each.splitlines())
        for name in ("SP_OWNER_DIR", "SP_BACKUP_DIR"):
            assert told[name].startswith("/srv/"), name
            assert made.count(told[name]) >= 2


def test_removing_everything_removes_what_this_guide_has_made() -> None:
    removed = block("down --volumes")
    assert "--profile '*'" in removed
    assert "--rmi all" in removed
    assert [path for path, _ in files() if path not in removed] == []


def test_services_of_the_compose_file_need_no_variable_of_a_shell() -> None:
    """An exported variable is lost behind sudo; what a command needs stands before it, in the same line."""
    assert [each for each in BLOCKS if re.search(r"^export SP_(?!BACKUP_KEY=/dev/null)", each, re.MULTILINE)] == []
    assert yaml.safe_load(COMPOSE)["services"]["restore"]["volumes"].count("${SP_BACKUP_KEY:-/dev/null}:/key:ro") == 1
