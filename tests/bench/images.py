"""The images: what each adds to its base, and packages in them with a vulnerability that a later version has closed."""

import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, figure, note

ROOT = Path(__file__).resolve().parents[2]
BASE = "python:3.13-slim-trixie"
BYTES_A_MB = 1_000_000
TARGETS = ("platform", "slim")  # goals: 650 and 200 MB


def run() -> Iterator[Figure]:
    """Nothing, and why, where there is no engine: these figures are of images or of nothing."""
    why = engine_missing()
    if why:
        note(f"images: no container engine: {why}")
        return
    names = {target: name_of(target) for target in TARGETS}
    missing = [target for target, name in names.items() if _bytes(name) is None]
    if missing:
        note(f"images: building {', '.join(missing)}")
        subprocess.run(
            [ROOT / "deploy" / "ci" / "build-images.sh", *missing], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
    base_bytes = _bytes(BASE)
    for target, name in names.items():
        own_bytes = _bytes(name)
        if own_bytes is None or base_bytes is None:
            note(f"images: {name} or its base {BASE} is not on this machine")
            continue
        yield figure("images", f"size of {target} above its base", (own_bytes - base_bytes) / BYTES_A_MB, "MB")
    yield from _fixable(names)


def _fixable(names: dict[str, str]) -> Iterator[Figure]:
    done = subprocess.run(
        [ROOT / "deploy" / "ci" / "image-scan.sh", *names.values()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {one["image"]: one for one in map(json.loads, done.stdout.splitlines())}
    for target, name in names.items():
        for kind, key in (("Debian", "debian_fixable"), ("Python", "python_fixable")):
            count = found.get(name, {}).get(key)
            if count is None:
                why = next((line for line in reversed(done.stderr.splitlines()) if name in line), "no word of it")
                note(f"images: {target}: nobody could be asked about {kind} packages: {why[-200:]}")
            else:
                yield figure("images", f"{kind} packages of {target} with a known fixable vulnerability", count, "packages")


def name_of(target: str) -> str:
    """Of the image of this release."""
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return f"solarperform/{target}:{release}"


def image_here(target: str) -> str | None:
    """Its name, where there is an engine that has it."""
    return name_of(target) if engine_missing() is None and _bytes(name_of(target)) is not None else None


def engine_missing() -> str | None:
    """Why there is no engine to ask; None when there is one."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    done = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else done.stderr.strip()


def _bytes(image: str) -> int | None:
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", image], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 else None
