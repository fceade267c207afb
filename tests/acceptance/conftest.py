"""What the browser tests share: one demo and one browser per module, an ear for complaints, and patience.

These are the largest tests: a dozen processes and a browser, and other tests beside them. What they wait for is right or
wrong, not quick or slow: they may wait long for it.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
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
    """What no page may cause: errors on the console, requests to other hosts, answers that say no.

    meant: words of those that a test provokes; the browser may speak of them later than the page does.
    """

    lines: list[str] = field(default_factory=list)
    meant: list[str] = field(default_factory=list)

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
    assert [line for line in heard.lines if not any(words in line for words in heard.meant)] == []


def opened(browser: Browser, complaints: Complaints, viewport: dict[str, int], **more: Any) -> Page:
    """A page of a French person's browser. Whoever asked for it closes its context."""
    context = browser.new_context(viewport=viewport, locale="fr-FR", **more)  # type: ignore[arg-type]
    context.set_default_timeout(EXPECTED_MS)
    page = context.new_page()
    complaints.watch(page)
    return page


@contextmanager
def in_english(page: Page) -> Iterator[None]:
    """What is looked at in between is in English. The choice is kept with the account: the next test finds French again."""
    page.get_by_role("button", name="Switch to English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    yield
    page.get_by_role("button", name="Passer en français").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")


def log_out(page: Page, url: str) -> None:
    """Until the server has said so: going on to another page would cut the request off."""
    page.goto(f"{url}/account")
    page.get_by_test_id("logout").click()
    page.wait_for_url(re.compile("/login"))


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request: pytest.FixtureRequest, browser: Browser, complaints: Complaints) -> Iterator[Page]:
    page = opened(browser, complaints, request.param, timezone_id="America/New_York")
    yield page
    page.context.close()
