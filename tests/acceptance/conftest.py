"""The demo as a user starts it, and Chromium to look at it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from actors.local.ports import free_port
from tests.servers import server_folder

_START_DEADLINE_S = 180.0
_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass(frozen=True)
class Demo:
    """What ready.json says. est_ca: whom a device trusts when it enrols at est_url. mail: a folder of .eml files."""

    url: str
    logins: dict[str, dict[str, str]]
    est_url: str
    est_ca: Path
    mail: Path


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Six sites, on free ports, in a folder of its own."""
    with server_folder("acceptance") as folder:
        command = [sys.executable, "-m", "actors.local.cli", "demo", "--sites", "6", "--data-dir", str(folder / "data")]
        command += [word for name in ("--port", "--mqtt-port", "--est-port") for word in (name, str(free_port()))]
        with (folder / "demo.log").open("w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "LANG": "C.UTF-8"})
            try:
                yield _ready(folder / "data" / "ready.json", process, folder / "demo.log")
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=60) == 0


def _ready(file: Any, process: "subprocess.Popen[bytes]", log: Any) -> Demo:
    end = time.monotonic() + _START_DEADLINE_S
    while not file.exists():
        assert time.monotonic() < end, f"the demo did not become ready: {log.read_text()}"
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            pytest.fail(f"the demo ended: {log.read_text()}")
    found = json.loads(file.read_bytes())
    return Demo(found["url"], found["logins"], found["est"]["url"], Path(found["est"]["ca"]), Path(found["mail"]))


@pytest.fixture(scope="module")  # not longer: as long as it lives, its event loop runs and no other one can
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
        yield launched
        launched.close()


@dataclass
class Complaints:
    """What no page may cause: errors on the console, requests to other hosts, answers that say no."""

    lines: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.lines.append(f"page error: {error}"))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.lines.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in ("localhost", "127.0.0.1"):
            self.lines.append(f"request to another host: {request.url}")


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Fails the test that has any."""
    heard = Complaints()
    yield heard
    assert heard.lines == []


PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request: pytest.FixtureRequest, browser: Browser, complaints: Complaints) -> Iterator[Page]:
    context = browser.new_context(viewport=request.param, locale="fr-FR", timezone_id="America/New_York")
    opened = context.new_page()
    complaints.watch(opened)
    yield opened
    context.close()
