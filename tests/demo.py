"""The demonstration as a user starts it, and Chromium to look at it: for browser tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from actors.local.ports import free_port
from tests.servers import server_folder

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}

_START_DEADLINE_S = 180.0
_STOP_DEADLINE_S = 120.0  # a dozen processes, one after the other
_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass(frozen=True)
class Demo:
    """What ready.json says. est_ca: whom a device trusts when it enrols at est_url. mail: a folder of .eml files.

    sftp: host, port, host_key, and a logger's user and password.
    """

    url: str
    logins: dict[str, dict[str, str]]
    est_url: str
    est_ca: Path
    mail: Path
    sftp: dict[str, str]


@contextmanager
def running_demo(sites: int = 6) -> Iterator[Demo]:
    """On free ports, in a folder of its own. AssertionError when it does not become ready, or does not end well."""
    with server_folder("acceptance") as folder:
        command = [
            sys.executable,
            "-m",
            "actors.local.cli",
            "demo",
            "--sites",
            str(sites),
            "--data-dir",
            str(folder / "data"),
        ]
        ports = ("--port", "--mqtt-port", "--est-port", "--sftp-port")
        command += [word for name in ports for word in (name, str(free_port()))]
        with (folder / "demo.log").open("w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "LANG": "C.UTF-8"})
            try:
                yield _ready(folder / "data" / "ready.json", process, folder / "demo.log")
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    assert process.wait(timeout=_STOP_DEADLINE_S) == 0
                finally:
                    process.kill()  # one that does not stop: nobody else shall meet it


@contextmanager
def chromium() -> Iterator[Browser]:
    """As long as it lives, its event loop runs and no other one can."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
        yield launched
        launched.close()


def _ready(file: Path, process: "subprocess.Popen[bytes]", log: Path) -> Demo:
    end = time.monotonic() + _START_DEADLINE_S
    while not file.exists():
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < end, f"the demo did not become ready: {log.read_text()}"
        else:
            raise AssertionError(f"the demo ended: {log.read_text()}")
    found = json.loads(file.read_bytes())
    return Demo(
        found["url"], found["logins"], found["est"]["url"], Path(found["est"]["ca"]), Path(found["mail"]), found["sftp"]
    )
