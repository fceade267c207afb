"""check, test, bench, recette: the developer's commands, from the checkout's root."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from actors.local import assets, debian, mosquitto
from actors.local.texts import text
from fleet.errors import FleetError

# Tests mostly wait for real servers; a file's tests stay together. tests/conftest.py says which files come first: by itself
# xdist would begin those of few tests last, and they are the longest.
_IN_PROCESSES = ("--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder")
ROOT = Path(__file__).resolve().parents[2]
_SFTP_CLIENTS = {"openssh-client": "sftp", "rsync": "rsync", "lftp": "lftp"}  # loggers' programs are made of such
# Debian's package, and what it has below /. Unpacked: installed, it would start a service. No test has the time to fetch it.
_SERVERS = {
    "redis-server": "usr/bin/redis-server",
    "nginx": "usr/sbin/nginx",
    "libnginx-mod-http-js": "usr/lib/nginx/modules/ngx_http_js_module.so",
    "busybox-static": "bin/busybox",
    "prometheus": "usr/bin/promtool",
    "prometheus-alertmanager": "usr/bin/amtool",
}
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def check() -> int:
    """Every tool runs, also after a failure: one round shows all there is to mend."""
    tools = Path(sys.executable).parent
    commands = (["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["lint-imports"])
    results = [_run([str(tools / command[0]), *command[1:]]) for command in commands]
    results.append(_front_end("check"))
    return 1 if any(results) else 0


def test(arguments: Sequence[str]) -> int:
    """--compose: the installation from images instead. Raises Unavailable (broker_missing): most integration tests need the
    real broker.
    """
    if "--compose" in arguments:
        return _test_images([each for each in arguments if each != "--compose"])
    _what_tests_need()
    if arguments:
        return _run([sys.executable, "-m", "pytest", *arguments])
    results = [_run([sys.executable, "-m", "pytest", *_IN_PROCESSES])]
    results.append(_front_end("test"))
    return 1 if any(results) else 0


def _test_images(arguments: Sequence[str]) -> int:
    engine = subprocess.run(["docker", "info"], capture_output=True, check=False) if shutil.which("docker") else None
    for asked in (engine, engine and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)):
        if asked is None or asked.returncode:
            why = asked.stderr.decode(errors="replace").strip()[-300:] if asked else "docker"
            print(text("tests_without_engine", why=why), file=sys.stderr)
            return 1
    return _run([sys.executable, "-m", "pytest", "-m", "compose", "tests/compose", *arguments])


def recette(arguments: Sequence[str]) -> int:
    """The acceptance record; its files are named from where one stands. Raises Unavailable (broker_missing)."""
    if not any(each.startswith(("--results", "--help", "-h")) for each in arguments):
        _what_tests_need()
    return subprocess.run([sys.executable, "-m", "tests.recette", *arguments], check=False).returncode


def _what_tests_need() -> None:
    mosquitto.find()
    if not any(shutil.which(name) for name in _CHROMIUM) and not debian.install("chromium"):
        print(text("tests_without_chromium"), file=sys.stderr)
    for package, program in _SFTP_CLIENTS.items():
        if not shutil.which(program) and not debian.install(package):
            print(text("tests_without", program=program), file=sys.stderr)
    for package, program in _SERVERS.items():
        if not Path("/", program).exists() and not debian.unpack(package, program):
            print(text("tests_without", program=Path(program).name), file=sys.stderr)


def bench(names: Sequence[str]) -> int:
    mosquitto.find()
    return _run([sys.executable, "-m", "tests.bench", *names])


# Of these every further argument goes on to the program behind.
WITH_ARGUMENTS: dict[str, Callable[[Sequence[str]], int]] = {"test": test, "bench": bench, "recette": recette}


def _front_end(script: str) -> int:
    try:
        asyncio.run(assets.run_script(script, Path(sys.prefix) / "assets.log"))
    except FleetError as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


def _run(command: list[str]) -> int:
    """Compiled code is kept, whatever the environment says: tests start hundreds of processes, which all import the same."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
