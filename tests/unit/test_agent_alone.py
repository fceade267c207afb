"""The agent needs the packages of [project.dependencies], and nothing of the server's."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.agent_alone import PACKAGES

ROOT = Path(__file__).parents[2]
MODULES = {
    "aiomqtt": "aiomqtt",
    "paho-mqtt": "paho",
    "mqtt5": "mqtt5",
    "msgspec": "msgspec",
    "cryptography": "cryptography",
    "structlog": "structlog",
    "pymodbus": "pymodbus",
    "pysunspec2": "sunspec2",
}
BELOW_THEM = {"_cffi_backend", "serial", "typing_extensions"}
EVERY_MODULE = """
import importlib, pkgutil, sys
from tests.agent_alone import NothingElse
sys.meta_path.insert(0, NothingElse())
import edge.agent
for found in pkgutil.walk_packages(edge.agent.__path__, "edge.agent."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
for name in ("numpy", "ray", "litestar", "asyncpg", "uvloop", "pvlib", "astral", "fleet.storage"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} was imported")
"""


def test_the_packages_are_those_of_pyproject() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[=<>\[ ]", each)[0] for each in listed}
    assert names == set(MODULES)
    assert set(MODULES.values()) | BELOW_THEM == PACKAGES


def test_every_module_of_the_agent_imports_without_the_servers_packages() -> None:
    done = subprocess.run([sys.executable, "-c", EVERY_MODULE], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_it_explains_itself_there() -> None:
    command = [sys.executable, "-m", "tests.agent_alone", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "enrol" in done.stdout
