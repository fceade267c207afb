"""What a person sees who starts the demo and opens it."""

import os
import re
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from actors.local.demo_files import huawei_day
from tests.acceptance.conftest import log_out
from tests.demo import DESKTOP, PHONE, Demo

LIVE_MS = 90_000  # a device reports every ten seconds, the feed shows it within a second
ALERT_MS = 360_000  # nobody is called offline in the first minute and a half after a start, nor after a connection made anew


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
    every = listed(page)
    log_out(page, demo.url)
    enter(page, demo, "customer")
    page.goto(f"{demo.url}/sites")
    own = listed(page)
    assert len(every) == 6
    assert own < every
    assert page.request.get(f"{demo.url}/sites/{min(every - own)}").status == 404


def listed(page: Page) -> set[str]:
    """In one look: the list is fetched anew by itself, and may be in another order then."""
    return set(page.get_by_test_id("site-line").evaluate_all("lines => lines.map(line => line.dataset.site)"))


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
    row = page.locator(f'[data-alert="{alert}"]')  # another may have come first meanwhile
    row.get_by_test_id("alert-ack").click()
    expect(row).to_have_attribute("data-acked", "yes", timeout=LIVE_MS)


@pytest.mark.skipif(shutil.which("sftp") is None, reason="OpenSSH's client is not installed and could not be")
@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)  # it can be imported once
def test_what_a_logger_puts_by_sftp_becomes_the_days_curve(page: Page, demo: Demo, tmp_path: Path) -> None:
    """OpenSSH's own client, as a logger's firmware calls it: nothing of ours on its side."""
    day = datetime.now(UTC).date() - timedelta(days=3)
    file = tmp_path / f"min{day:%y%m%d}.csv"
    file.write_text(huawei_day(day))
    enter(page, demo, "installer")
    before_kwh = produced_kwh(page, demo, day)
    put(demo, file, tmp_path)
    page.goto(f"{demo.url}/imports")
    row = page.locator('[data-testid="file-row"]', has_text=file.name)
    expect(row).to_have_attribute("data-state", "imported", timeout=LIVE_MS)
    row.get_by_role("link", name=file.name).click()
    expect(page.locator('[data-testid="file-device"][data-waiting="no"]')).to_have_count(1)
    page.get_by_test_id("to-curve").click()
    expect(page.get_by_test_id("curve").locator("canvas, svg").first).to_be_visible(timeout=LIVE_MS)
    expect(page).to_have_url(re.compile(str(day)))

    def grown() -> bool:
        return produced_kwh(page, demo, day) > before_kwh + 100.0  # 132 kWh of the inverter that is a device of the site

    for _ in range(180):  # the roll-up comes round twice a minute
        if grown():
            break
        page.wait_for_timeout(1_000)
    assert grown()


def produced_kwh(page: Page, demo: Demo, day: date) -> float:
    """As the API tells it, with the page's own session."""
    rows = page.request.get(f"{demo.url}/api/v1/imports?limit=1").json()["items"]
    query = f"from={day}T00:00:00Z&to={day + timedelta(days=1)}T00:00:00Z&step=1d"
    answer = page.request.get(f"{demo.url}/api/v1/sites/{rows[0]['site']}/energy?{query}").json()
    return sum(step["registers"].get("pv_energy_wh") or 0.0 for step in answer["steps"]) / 1000


def put(demo: Demo, file: Path, folder: Path) -> None:
    known = folder / "known_hosts"
    known.write_text(f"[{demo.sftp['host']}]:{demo.sftp['port']} {demo.sftp['host_key']}\n")
    teller = folder / "password"
    teller.write_text(f"#!/bin/sh\necho {demo.sftp['password']}\n")
    teller.chmod(0o700)
    options = [f"-oUserKnownHostsFile={known}", "-oStrictHostKeyChecking=yes", "-oPreferredAuthentications=password"]
    # -b turns questions off, the password's too, unless they were asked for before it
    command = ["sftp", "-oBatchMode=no", "-b", "-", *options, "-P", str(demo.sftp["port"])]
    env = {**os.environ, "SSH_ASKPASS": str(teller), "SSH_ASKPASS_REQUIRE": "force"}
    done = subprocess.run(
        [*command, f"{demo.sftp['user']}@{demo.sftp['host']}"],
        input=f"put {file}\nls -l\n", text=True, capture_output=True, env=env, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert file.name in done.stdout


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
