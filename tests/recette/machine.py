"""What was tested, and on what: release, commit, machine, servers."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version

import msgspec
import psutil

from actors.local import mosquitto, postgres
from fleet.errors import FleetError
from tests.recette.book import ROOT


class Subject(msgspec.Struct, frozen=True):
    """commit: "" outside a clone. altered: files differ from it."""

    release: str
    commit: str
    altered: bool


def subject() -> Subject:
    commit = _git("rev-parse", "HEAD")
    return Subject(version("solarperform"), commit, bool(commit and _git("status", "--porcelain", "--untracked-files=no")))


def facts() -> list[tuple[str, str]]:
    """In French: label and value."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return [
        ("Système", f"{system}, noyau {platform.release()}, {platform.machine()}"),
        ("Processeur", f"{os.cpu_count()} cœurs"),
        ("Mémoire", f"{psutil.virtual_memory().total / 2**30:.0f} Gio"),
        ("Python", platform.python_version()),
        ("PostgreSQL", _number_of(postgres.version)),
        ("Mosquitto", _number_of(mosquitto.version)),
        ("Ray", version("ray")),
        ("Litestar", version("litestar")),
    ]


def _number_of(ask: Callable[[], str]) -> str:
    try:
        return ask().rpartition(" ")[2]  # "mosquitto version 2.0.18"
    except (FleetError, OSError, subprocess.SubprocessError) as error:
        return f"inconnu ({error})"


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    answer = subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""
