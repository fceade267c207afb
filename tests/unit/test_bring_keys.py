"""deploy/ray brings renewed keys to other machines; here machines are folders, and so are the engine's volumes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

RAY = Path(__file__).parents[2] / "deploy" / "ray"
SECRETS = {"ray_token": "t", "sp_twins": "p", "servers.pem": "s", "sp-twins/chain.pem": "c", "sp-twins/key.pem": "k"}
# docker run OPTIONS IMAGE COMMAND: what is mounted is a folder of its machine's, named by its source.
ENGINE = """
import os, sys
options, command = sys.argv[1 : sys.argv.index("image")], sys.argv[sys.argv.index("image") + 1 :]
assert options[0] == "run" and "--pull never --network none" in " ".join(options)
for name, value in zip(options, options[1:]):
    if name == "--volume":
        source, target, *_ = value.split(":")
        place = os.environ["MACHINE"] + "/" + source.strip("/").replace("/", "_")
        command = [word.replace(target, place) if target in word else word for word in command]
os.execvp(command[0], command)
"""
REMOTE = """
import os, sys
machine, command = sys.argv[-2:]
assert "BatchMode=yes" in sys.argv
if not os.path.isdir(os.environ["WORLD"] + "/" + machine):
    sys.exit("ssh: connect to host " + machine + ": No route to host")
os.environ["MACHINE"] = os.environ["WORLD"] + "/" + machine
os.execvp("sh", ["sh", "-c", command])
"""
CLUSTER = """
import os, sys
from pathlib import Path
if "create" in sys.argv:
    for word in sys.argv:
        if word.startswith("--from-file="):
            file = Path(word.partition("=")[2])
            print(f"{file.name}: {file.read_text()}")
else:
    Path(os.environ["WORLD"], "applied").write_text(Path(sys.argv[-1]).read_text())
"""


class World:
    """first: the installation's volumes; a, b: machines that hold shards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, program in {"docker": ENGINE, "ssh": REMOTE, "kubectl": CLUSTER}.items():
            self.put(f"bin/{name}", f"#!{sys.executable}\n{program}").chmod(0o755)
        for name, text in SECRETS.items():
            self.put(f"first/solarperform_keys-ray/{name}", text).chmod(0o600)
        self.put("first/solarperform_keys-ray-head/redis", "r")
        for machine in ("a", "b"):
            (folder / machine / "etc_solarperform_keys").mkdir(parents=True)

    def put(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, script: str, *machines: str) -> subprocess.CompletedProcess[str]:
        told = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "WORLD": str(self.folder),
            "MACHINE": str(self.folder / "first"),
            "SP_PLATFORM_IMAGE": "image",
        }
        return subprocess.run([RAY / script, *machines], env=told, capture_output=True, text=True, check=False)

    def held_by(self, machine: str) -> dict[str, str]:
        folder = self.folder / machine / "etc_solarperform_keys"
        return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_was_renewed_comes_to_every_machine_whole(world: World) -> None:
    done = world.run("bring-keys.sh", "a", "b")
    assert (done.returncode, done.stderr) == (0, "")
    assert world.held_by("a") == world.held_by("b") == SECRETS
    folder = world.folder / "a" / "etc_solarperform_keys"
    assert {file.stat().st_mode & 0o077 for file in folder.rglob("*")} == {0}
    with (folder / "sp-twins" / "chain.pem").open() as before:  # a shard that reads it at this moment
        world.put("first/solarperform_keys-ray/sp-twins/chain.pem", "renewed")
        assert world.run("bring-keys.sh", "a").returncode == 0
        assert before.read() == "c"
    assert world.held_by("a") == {**SECRETS, "sp-twins/chain.pem": "renewed"}


def test_a_machine_that_is_away_keeps_none_of_the_others_from_theirs(world: World) -> None:
    done = world.run("bring-keys.sh", "gone", "b")
    assert done.returncode == 1
    assert "gone keeps the keys that it has" in done.stderr
    assert world.held_by("b") == SECRETS


@pytest.mark.parametrize("cut", ["head -c 60", "true"], ids=["half", "nothing"])
def test_what_does_not_come_whole_replaces_nothing(world: World, cut: str) -> None:
    assert world.run("bring-keys.sh", "a").returncode == 0
    world.put("first/solarperform_keys-ray/sp_twins", "another")
    world.put("bin/tar", f'#!/bin/sh\ncase $1 in -cz*) /usr/bin/env -i PATH=/usr/bin:/bin tar "$@" | {cut} ;; '
              '*) exec env PATH=/usr/bin:/bin tar "$@" ;; esac\n').chmod(0o755)  # fmt: skip
    assert world.run("bring-keys.sh", "a").returncode == 1
    assert world.held_by("a") == SECRETS


def test_nobody_is_brought_nothing(world: World) -> None:
    done = world.run("bring-keys.sh")
    assert done.returncode == 2
    assert "USER@MACHINE" in done.stderr


def test_the_secret_of_a_cluster_has_what_its_pods_read(world: World) -> None:
    done = world.run("kuberay/bring-keys.sh")
    assert done.returncode == 0, done.stderr
    applied = yaml.safe_load((world.folder / "applied").read_text())
    assert applied == {Path(name).name: text for name, text in SECRETS.items()} | {"redis": "r"}
    manifests = [yaml.safe_load_all((RAY / "kuberay" / name).read_text()) for name in ("raycluster.yaml", "twins.yaml")]
    read = [volume["secret"] for each in manifests for pod in each for volume in volumes(pod) if "secret" in volume]
    assert len(read) == 3
    assert all({item["key"] for item in secret["items"]} <= applied.keys() for secret in read)


def test_what_a_pod_mounts_follows_its_secret() -> None:
    """A file mounted alone (subPath) would stay as it was when the pod began."""
    assert "subPath" not in "".join(file.read_text() for file in (RAY / "kuberay").glob("*.yaml"))


def volumes(told: object) -> list[dict[str, object]]:
    """Of every pod in a manifest."""
    if isinstance(told, list):
        return [found for each in told for found in volumes(each)]
    if isinstance(told, dict):
        return [*told.get("volumes", ()), *(found for each in told.values() for found in volumes(each))]
    return []
