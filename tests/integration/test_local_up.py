"""`up` as a whole: all of it starts, what is killed comes back, mail is written, and the end leaves nothing."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from actors.local import onboarding_checks
from actors.local.layout import Layout
from actors.local.ports import free_port
from fleet import settings
from fleet.settings import WebSettings
from fleet.storage.database import connect
from fleet.storage.mail import queue_mail
from tests.servers import server_folder

DEADLINE_S = 120.0
ROOMS = ("pki", "guard", "notifier")


@pytest.fixture
def up() -> Iterator[tuple[Layout, "subprocess.Popen[bytes]"]]:
    with server_folder("up") as folder:
        layout = Layout(folder / "data")
        names = ("--port", "--mqtt-port", "--est-port", "--sftp-port")
        ports = [word for name in names for word in (name, str(free_port()))]
        with (folder / "up.log").open("wb") as log:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "actors.local.cli", "up", "--data-dir", layout.folder, *ports],
                stdout=log,
                stderr=log,
                env={**os.environ, "LC_ALL": "C.UTF-8", "SOLARPERFORM_SKIP_ASSETS": "1"},
            )
        try:
            until(layout.ready_file.exists, launcher, folder / "up.log")
            yield layout, launcher
        finally:
            launcher.kill()
            launcher.wait()


def until(condition: Callable[[], Any], launcher: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, log.read_text()
        with suppress(subprocess.TimeoutExpired):
            launcher.wait(timeout=0.1)
            pytest.fail(f"the launcher has ended: {log.read_text()}")


def process_of(layout: Layout, room: str) -> psutil.Process | None:
    """The room's process, found by the settings file that it was told."""
    wanted = str(layout.settings / f"{room}.json")
    return next((each for each in psutil.process_iter(["cmdline"]) if wanted in (each.info["cmdline"] or ())), None)


def enrolment_answers(est: dict[str, str]) -> bool:
    trust = ssl.create_default_context(cafile=est["ca"])
    answer = httpx.get(f"{est['url']}/.well-known/est/cacerts", verify=trust, timeout=60.0)
    return answer.status_code == httpx.codes.OK


async def write(layout: Layout) -> None:
    connection = await connect(settings.load(layout.settings / "web.json", WebSettings).database)
    try:
        await queue_mail(connection, recipient="owner@example.org", subject="Bienvenue", body="Bonjour")
    finally:
        await connection.close()


@pytest.mark.timeout(400)  # all of it starts, on a machine that may be busy
def test_onboarding_is_there_comes_back_and_goes(up: tuple[Layout, "subprocess.Popen[bytes]"]) -> None:
    layout, launcher = up
    log = layout.folder.with_name("up.log")
    ready = json.loads(layout.ready_file.read_bytes())
    assert enrolment_answers(ready["est"])
    assert settings.load(layout.settings / "web.json", WebSettings).est_url == ready["est"]["url"]

    for room in ROOMS:
        process = process_of(layout, room)
        assert process is not None, room
        process.kill()
    for room in ROOMS:
        until(lambda room=room: f"{room} is back." in log.read_text(), launcher, log)  # type: ignore[misc]
    assert enrolment_answers(ready["est"])

    asyncio.run(write(layout))
    mail = Path(ready["mail"])
    until(lambda: list(mail.glob("*.eml")), launcher, log)
    for check in (onboarding_checks.authority, onboarding_checks.guard, onboarding_checks.post):
        # A guard that has just come back may have been in a hurry with its proof: its next one ends the alarm.
        until(lambda check=check: check(layout).well, launcher, log)  # type: ignore[misc]

    launcher.terminate()
    assert launcher.wait(timeout=DEADLINE_S) == 0
    assert [
        each for each in psutil.process_iter(["cmdline"]) if str(layout.folder) in " ".join(each.info["cmdline"] or ())
    ] == []
    assert not layout.ready_file.exists()
