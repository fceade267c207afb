"""What a person sees who starts the demo and opens it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.demo import PHONE, Demo

LIVE_MS = 40_000  # a device reports every ten seconds, the feed shows it within a second
ALERT_MS = 180_000  # nobody is called offline in the first minute and a half after a start


def enter(page: Page, demo: Demo, role: str) -> None:
    page.goto(f"{demo.url}/login")
    page.get_by_test_id(f"demo-login-{role}").click()
    page.wait_for_url(lambda url: "/login" not in url)


def a_healthy_site(page: Page, demo: Demo) -> None:
    """The list begins with the worst."""
    page.goto(f"{demo.url}/sites")
    page.get_by_test_id("site-line").last.get_by_role("link").first.click()
    page.wait_for_url(re.compile(r"/sites/s-\d+"))


def test_the_live_flow_moves_without_a_reload(page: Page, demo: Demo) -> None:
    enter(page, demo, "ops")
    a_healthy_site(page, demo)
    page.evaluate("window.notReloaded = true")
    load = page.get_by_test_id("live-load")
    before = load.get_attribute("data-watts")
    expect(load).not_to_have_attribute("data-watts", before or "", timeout=LIVE_MS)
    assert page.evaluate("window.notReloaded")


def test_the_day_is_told_in_a_sentence_and_drawn(page: Page, demo: Demo) -> None:
    enter(page, demo, "customer")
    a_healthy_site(page, demo)
    expect(page.get_by_test_id("day-sentence")).to_contain_text("Aujourd’hui")
    expect(page.get_by_test_id("curve").locator("canvas, svg").first).to_be_visible(timeout=LIVE_MS)
    expect(page.get_by_test_id("table-twin")).to_have_count(1)


def test_a_customer_sees_own_sites_only(page: Page, demo: Demo) -> None:
    enter(page, demo, "ops")
    page.goto(f"{demo.url}/sites")
    every = {line.get_attribute("data-site") for line in page.get_by_test_id("site-line").all()}
    page.goto(f"{demo.url}/account")
    page.get_by_test_id("logout").click()
    enter(page, demo, "customer")
    page.goto(f"{demo.url}/sites")
    own = {line.get_attribute("data-site") for line in page.get_by_test_id("site-line").all()}
    assert len(every) == 6
    assert own < every
    status = page.request.get(f"{demo.url}/sites/{min(site for site in every - own if site)}").status
    assert status == 404


def test_operations_counts_live(page: Page, demo: Demo) -> None:
    enter(page, demo, "ops")
    page.goto(f"{demo.url}/ops")
    expect(page.get_by_test_id("ops-online")).not_to_have_text("0", timeout=LIVE_MS)
    expect(page.get_by_test_id("ops-messages")).not_to_have_text("0", timeout=LIVE_MS)
    expect(page.get_by_test_id("ops-shard").first).to_be_visible()


@pytest.mark.parametrize("page", [PHONE], ids=["phone"], indirect=True)  # it can be acknowledged once
def test_the_fault_in_progress_becomes_an_alert_that_can_be_acknowledged(page: Page, demo: Demo) -> None:
    enter(page, demo, "ops")
    page.goto(f"{demo.url}/ops")
    rows = page.get_by_test_id("alert-row")
    expect(rows.first).to_be_visible(timeout=ALERT_MS)
    waiting = page.locator('[data-testid="alert-row"][data-acked="no"]')
    alert = waiting.first.get_attribute("data-alert")
    waiting.first.get_by_test_id("alert-ack").click()
    expect(page.locator(f'[data-alert="{alert}"]')).to_have_attribute("data-acked", "yes", timeout=LIVE_MS)


def test_english_at_a_switch(page: Page, demo: Demo) -> None:
    enter(page, demo, "customer")
    a_healthy_site(page, demo)
    page.get_by_role("button", name="Switch to English").click()
    expect(page.get_by_test_id("day-sentence")).to_contain_text("Today")
    page.get_by_role("button", name="Passer en français").click()  # the choice is kept with the account
    expect(page.get_by_test_id("day-sentence")).to_contain_text("Aujourd’hui")


@pytest.mark.parametrize(("path", "words"), [("/api/docs", "SolarPerform"), ("/api/docs/swagger", "/api/v1/sites/{site")])
def test_the_api_documents_itself_without_leaving_the_host(page: Page, demo: Demo, path: str, words: str) -> None:
    page.goto(f"{demo.url}{path}")
    expect(page.get_by_text(words).first).to_be_visible(timeout=LIVE_MS)
    shown = "[...document.links].filter(link => link.host !== location.host && link.checkVisibility()).map(String)"
    assert page.evaluate(shown) == []


def test_nothing_is_wider_than_the_screen(page: Page, demo: Demo) -> None:
    enter(page, demo, "ops")
    for path in ("/sites", "/ops", "/account"):
        page.goto(f"{demo.url}{path}")
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
