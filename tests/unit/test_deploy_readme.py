"""deploy/README.md names nothing that is not there: commands, options, services, volumes, variables, paths, links."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.keeping import __main__ as keeping
from actors.local import cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "README.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES, VOLUMES, NETWORKS = set(COMPOSE["services"]), set(COMPOSE["volumes"]), set(COMPOSE["networks"])
OF_MANY_SERVICES = {"logs", "ps", "up", "restart", "stop", "start", "build", "pull", "stats", "rm"}
OF_ONE_SERVICE = {"exec", "run"}
WITH_VALUE = {
    "--since",
    "--format",
    "--profile",
    "--scale",
    "--rmi",
    "--pull",
    "--tail",
    "--user",
    "--entrypoint",
    "-v",
    "-e",
}
# Of the machine that is installed, not of the repository.
OF_THE_OWNER = (
    "deploy/owner",
    "/opt/solarperform",
    "/etc/letsencrypt",
    "/etc/cron.d",
    "/etc/systemd",
    "/dev/",
    "/bin/sh",
    "/srv/solarperform",
)


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[list[str]]:
    """Words of each command line; what a here-document holds is no command."""
    for block in blocks():
        shown = re.sub(r"<<'EOF'\n.*?^EOF$", "", block, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
        for line in shown.splitlines():
            for command in re.split(r"\s(?:&&|\|\||\||;)\s", line):
                if words := shlex.split(command, comments=True):
                    yield [word for word in words if word != "sudo" and not re.match("SP_[A-Z_]+=", word)]


@cache
def everything_in_deploy() -> str:
    """What docker-compose.yml and the files beside it say, the guide itself left out."""
    kinds = {".json", ".conf", ".sh", ".yml", ".yaml", ".js", ""}
    files = (path for path in DEPLOY.rglob("*") if path.is_file() and (path.suffix in kinds or path.name == "Dockerfile"))
    return "\n".join(path.read_text(errors="replace") for path in [ROOT / "docker-compose.yml", *sorted(files)])


def arguments(words: list[str]) -> list[str]:
    """Without options and their values."""
    found, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in WITH_VALUE
        else:
            found.append(word)
    return found


def test_it_has_commands() -> None:
    assert len(list(commands())) > 40


def test_services_named_in_commands_exist() -> None:
    unknown = []
    for words in commands():
        if words[:2] != ["docker", "compose"]:
            continue
        action, *named = arguments(words[2:])
        if action in OF_MANY_SERVICES:
            unknown += [name for name in named if name not in SERVICES and not name.startswith(("<", ">"))]
        elif action in OF_ONE_SERVICE and named[0] not in SERVICES:
            unknown.append(named[0])
        unknown += [
            word.partition("=")[0]
            for word, before in zip(words[1:], words, strict=False)
            if before == "--scale" and word.partition("=")[0] not in SERVICES
        ]
    assert unknown == []


def test_profiles_exist() -> None:
    there = {profile for service in COMPOSE["services"].values() for profile in service.get("profiles", [])}
    named = set(re.findall(r"--profile (\w+)", TEXT)) | set(re.findall(r"profile `(\w+)`", TEXT))
    assert named
    assert named <= there


def test_the_table_of_services_is_whole() -> None:
    table = TEXT.partition("## What runs")[2].partition("##")[0]
    first_cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert {name for cell in first_cells for name in re.findall(r"`([\w-]+)`", cell)} == SERVICES


def test_volumes_and_networks_exist() -> None:
    named = set(re.findall(r"volumes? `([\w-]+)`", TEXT)) | set(re.findall(r"\(`(keys-[\w-]+)`", TEXT))
    mounted = {
        word.partition(":")[0].removeprefix("solarperform_")
        for words in commands()
        for word in words
        if re.match(r"solarperform_[\w-]+(?::|$)", word)
    }
    assert named
    assert named | mounted <= VOLUMES
    assert set(re.findall(r"network `([\w-]+)`", TEXT)) <= NETWORKS


def test_variables_exist() -> None:
    named = set(re.findall(r"\bSP_[A-Z_]+\b", TEXT))
    assert {name for name in named if not re.search(rf"\b{name}\b", everything_in_deploy())} == set()


def test_variables_that_an_owner_sets_are_told() -> None:
    asked = set(re.findall(r"\$\{(SP_[A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert asked - set(re.findall(r"\bSP_[A-Z_]+\b", TEXT)) == set()


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "./run"], ids=" ".join)
def test_our_own_commands_exist_with_their_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli._parser().parse_args([words[1], "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert {word.partition("=")[0] for word in words[2:] if word.startswith("--")} - set(
        re.findall(r"--[\w-]+", told)
    ) == set()


@pytest.mark.parametrize("service", ["backup", "restore"])
def test_words_for_backup_and_restore_are_understood(service: str) -> None:
    """Those after the service's name take the place of its command; "docker compose run" has no options behind that."""
    runs = [words[words.index(service) + 1 :] for words in commands() if "run" in words and service in words]
    told = [words for words in runs if words and words[0] in {"backup", "restore", "bundle", "audit"}]
    told += [shlex.split(" ".join(COMPOSE["services"]["backup"]["command"]))]
    assert told
    for words in told:
        keeping._parser().parse_args(words)


def test_modules_that_are_run_exist() -> None:
    named = [
        words[at + 1] for words in commands() for at, word in enumerate(words) if word == "-m" and words[at - 1] == "python"
    ]
    assert named
    assert [name for name in named if find_spec(name) is None] == []


def test_paths_exist() -> None:
    """Of the repository in it; those inside a container below a folder that is mounted there."""
    missing = set()
    for word in (word for words in commands() for word in words if not word.startswith(OF_THE_OWNER)):
        ours = re.match(r"(?:\./)?((?:deploy|certs|actors|tests)/[\w./-]+)$", word)
        inside = re.match(r"(?:[\w-]+:)?(/(?:run|var|etc|mosquitto)/[\w./-]+)$", word)
        if (ours and not (ROOT / ours[1]).exists()) or (inside and not _is_mounted(inside[1])):
            missing.add(word)
    assert missing == set()


def _is_mounted(path: str) -> bool:
    if path.startswith("/etc/solarperform/"):
        return (DEPLOY / "settings" / Path(path).name).exists()
    mounts = [mount.split(":")[1] for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    return any(path == mount or path.startswith(f"{mount}/") for mount in mounts)


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []
    assert [link for link in links if not link.startswith("#") and not (DEPLOY / link.partition("#")[0]).exists()] == []


def test_codes_in_the_table_of_troubles_are_told_by_the_code() -> None:
    table = TEXT.partition("## 19")[2]
    codes = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", table))
    rooms = ("actors", "certs", "fleet", "web")
    source = "\n".join(path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py"))
    source += (DEPLOY / "gateway" / "start.sh").read_text()
    assert codes
    assert {code for code in codes if not re.search(rf"[\"' ]{code}[\"' ]", source)} == set()
