"""What the browser tests share: one demo and one browser per module, an ear for complaints, and patience.

These are the largest tests: a dozen processes and a browser, and other tests beside them. What they wait for is right or
wrong, not quick or slow: they may wait long for it.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from actors.local import assets
from tests.demo import DESKTOP, PHONE, Demo, chromium, running_demo

EXPECTED_MS = 60_000  # unless a test says otherwise
TEST_S = 480.0  # a module's first test waits for the demo's start too

expect.set_options(timeout=EXPECTED_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TEST_S))


@pytest.fixture(scope="session", autouse=True)
def _front_end() -> None:
    """Pages without it are another matter; whoever comes first builds it, as a first start does."""
    asyncio.run(assets.build(Path(sys.prefix) / "assets.log", nullcontext))


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as running:
        yield running


@pytest.fixture(scope="module")  # not longer: see chromium
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


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


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request: pytest.FixtureRequest, browser: Browser, complaints: Complaints) -> Iterator[Page]:
    context = browser.new_context(viewport=request.param, locale="fr-FR", timezone_id="America/New_York")
    opened = context.new_page()
    complaints.watch(opened)
    yield opened
    context.close()
