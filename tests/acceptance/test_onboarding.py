"""An installer on a roof: from a new site to a signed report, on a phone, with real devices at the other end.

Each test goes on where the one before ended, as the installer's day does; they share one demo, one site and its agents.
"""

import email
import email.policy
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import Complaints, in_english, log_out, opened
from tests.acceptance.test_demo import enter
from tests.agent_rig import AgentProcess
from tests.demo import PHONE, Demo
from tests.servers import server_folder

ENROLLED_MS = 120_000
READING_MS = 120_000
JUDGED_MS = 120_000  # checks look at minutes of readings, and the page asks for them every few seconds
RECOMPUTED_MS = 120_000
MAIL_S = 120.0
REFUSED_MS = 120_000

OWNER = "nadia.roux@example.org"
METER = """
[[inputs]]
type = "simulated"
period_s = 2
clock_offset_s = -7200
"""
GATEWAY = """
[[inputs]]
type = "simulated"
period_s = 2
sun = "noon"
peak_power_w = 300
load_power_w = 2000
reversed = true
devices = [{ serial = "ROOF-INV-1", profile = "inverter" }, { serial = "CELLAR-MTR-1", profile = "meter" }]
"""


class Roof:
    """What the installer's day has come to so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = ""
        self.agents: dict[str, AgentProcess] = {}
        self.devices: dict[str, str] = {}

    def agent(self, name: str, settings: str) -> AgentProcess:
        """A machine on the roof; settings: its agent.toml."""
        agent = self.agents[name] = AgentProcess(self.folder / name)
        agent.state.mkdir()
        (agent.state / "agent.toml").write_text(settings)
        return agent


@pytest.fixture(scope="module")
def roof() -> Iterator[Roof]:
    with server_folder("roof") as folder:
        found = Roof(folder)
        yield found
        for agent in found.agents.values():
            if agent.running:
                agent.stop()


@pytest.fixture
def phone(browser: Browser, complaints: Complaints) -> Iterator[Page]:
    """360 px, in French, with a finger that counts its taps."""
    page = opened(browser, complaints, PHONE, has_touch=True)
    yield page
    page.context.close()


@pytest.fixture
def installer(phone: Page, demo: Demo) -> Page:
    enter(phone, demo, "installer")
    return phone


def shown_code(page: Page) -> str:
    return re.sub(r"\s", "", page.get_by_test_id("claim-code").inner_text())


def enrolled(agent: AgentProcess, code: str, demo: Demo) -> "subprocess.CompletedProcess[str]":
    return agent.call("enrol", "--server", demo.est_url, "--claim", code, "--ca", str(demo.est_ca))


def nothing_is_wider_than_the_screen(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url


def test_a_site_is_made_although_the_network_goes_away(
    installer: Page, demo: Demo, roof: Roof, complaints: Complaints
) -> None:
    page = installer
    page.goto(f"{demo.url}/sites")
    page.get_by_test_id("add-site").tap()
    page.get_by_test_id("field-name").fill("Roux, Crest")
    page.get_by_test_id("field-street").fill("12 rue des Alpes")
    page.get_by_test_id("field-postcode").fill("26400")
    page.get_by_test_id("field-town").fill("Crest")
    page.get_by_test_id("field-owner_name").fill("Nadia Roux")
    page.get_by_test_id("field-owner_email").fill(OWNER)
    page.get_by_test_id("open-map").tap()
    expect(page.get_by_test_id("map")).to_have_attribute("data-drawn", "yes")  # nobody taps before there is something to see
    page.get_by_test_id("map").tap()
    expect(page.get_by_test_id("field-latitude")).not_to_have_value("")
    page.get_by_test_id("field-latitude").fill("44.73")
    page.get_by_test_id("field-longitude").fill("5.02")
    page.get_by_test_id("field-array-0-peak_kw").fill("6")
    page.get_by_test_id("field-pdl").fill("12 345 678 901 234")
    nothing_is_wider_than_the_screen(page)

    complaints.meant.append("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.get_by_test_id("site-submit").tap()
    expect(page.get_by_test_id("kept-offline")).to_be_visible()
    page.context.set_offline(False)
    page.wait_for_url(re.compile(r"/sites/[a-z0-9-]+/add"))
    roof.site = page.url.split("/")[-2]
    page.goto(f"{demo.url}/sites?q=Roux")
    expect(page.get_by_test_id("site-line")).to_have_count(1)


def test_a_new_device_is_enrolled_and_its_first_reading_seen(installer: Page, demo: Demo, roof: Roof) -> None:
    page, agent = installer, roof.agent("meter", METER)
    page.goto(f"{demo.url}/sites/{roof.site}")
    page.get_by_test_id("add-device").tap()
    page.get_by_test_id("profile-meter").tap()
    expect(page.get_by_test_id("claim-qr")).to_be_visible()
    code = shown_code(page)
    nothing_is_wider_than_the_screen(page)

    wrong = code[:-1] + ("2" if code[-1] != "2" else "3")
    refused = enrolled(agent, wrong, demo)
    assert refused.returncode != 0
    assert "claim code" in refused.stderr
    page.reload()  # the phone was locked meanwhile
    assert shown_code(page) == code

    done = enrolled(agent, code, demo)
    assert done.returncode == 0, done.stderr
    agent.start("run")
    expect(page.get_by_test_id("claim-enrolled")).to_be_visible(timeout=ENROLLED_MS)
    expect(page.get_by_test_id("first-reading")).to_be_visible(timeout=READING_MS)
    roof.devices["meter"] = page.get_by_test_id("checks").get_attribute("data-device") or ""


def test_a_wrong_clock_is_found_corrected_and_the_correction_taken_back(installer: Page, demo: Demo, roof: Roof) -> None:
    page = installer
    page.goto(f"{demo.url}/devices/{roof.devices['meter']}")
    clock = page.get_by_test_id("check-clock")
    expect(clock).to_have_attribute("data-state", "failed", timeout=JUDGED_MS)
    page.get_by_test_id("fix-clock").tap()
    expect(clock).to_have_attribute("data-state", "ok", timeout=RECOMPUTED_MS)
    page.get_by_test_id("undo-correction").tap()
    expect(clock).to_have_attribute("data-state", "failed", timeout=RECOMPUTED_MS)
    page.get_by_test_id("fix-clock").tap()
    expect(clock).to_have_attribute("data-state", "ok", timeout=RECOMPUTED_MS)


def test_devices_behind_a_gateway_are_added_with_a_tap(installer: Page, demo: Demo, roof: Roof) -> None:
    page, agent = installer, roof.agent("gateway", GATEWAY)
    page.goto(f"{demo.url}/sites/{roof.site}/add")
    page.get_by_test_id("profile-gateway").tap()
    done = enrolled(agent, shown_code(page), demo)
    assert done.returncode == 0, done.stderr
    agent.start("run")
    expect(page.get_by_test_id("claim-enrolled")).to_be_visible(timeout=ENROLLED_MS)
    for name, serial, profile in (("inverter", "ROOF-INV-1", "inverter"), ("house", "CELLAR-MTR-1", "meter")):
        page.goto(f"{demo.url}/sites/{roof.site}/add")
        attach = page.get_by_test_id(f"attach-{serial}")
        while not attach.is_visible():
            page.wait_for_timeout(500)
            page.reload()
        choice = page.locator(f'[data-serial="{serial}"] select')
        if choice.count():
            choice.select_option(profile)
        attach.tap()
        page.wait_for_url(re.compile(r"/devices/"))
        roof.devices[name] = re.split(r"[/?]", page.url.partition("/devices/")[2])[0]
        expect(page.get_by_test_id("reading-pv_power_w" if name == "inverter" else "reading-grid_power_w")).to_be_visible(
            timeout=READING_MS
        )


def test_a_reversed_clamp_is_found_and_corrected(installer: Page, demo: Demo, roof: Roof) -> None:
    page = installer
    page.goto(f"{demo.url}/devices/{roof.devices['house']}")
    consumption = page.get_by_test_id("check-consumption")
    expect(consumption).to_have_attribute("data-state", "failed", timeout=JUDGED_MS)
    page.get_by_test_id("fix-consumption").tap()
    expect(consumption).to_have_attribute("data-state", "ok", timeout=RECOMPUTED_MS)


def test_a_scanned_code_of_something_else_says_what_it_is(
    installer: Page, demo: Demo, roof: Roof, complaints: Complaints
) -> None:
    page = installer
    page.goto(f"{demo.url}/sites/{roof.site}/add")
    complaints.meant.append("status of 422")  # the console says so too
    page.locator("input[name=scanned]").fill("WIFI:T:WPA;S:Livebox;P:secret;;")
    page.get_by_test_id("serial-submit").tap()
    expect(page.get_by_test_id("refusal")).to_have_attribute("data-code", "scanned_wifi")
    expect(page.get_by_test_id("refusal")).to_contain_text("Wi-Fi")


def test_the_report_is_signed_and_the_owner_comes_in(installer: Page, demo: Demo, roof: Roof) -> None:
    page = installer
    page.goto(f"{demo.url}/sites/{roof.site}/report")
    nothing_is_wider_than_the_screen(page)
    page.get_by_test_id("field-signed_name").fill("Inès Martin")
    page.get_by_test_id("report-sign").tap()
    expect(page.get_by_test_id("report-signed")).to_be_visible()
    pdf = page.request.get(demo.url + (page.get_by_test_id("report-pdf").get_attribute("href") or ""))
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.body().startswith(b"%PDF")

    link = re.search(r"https?://\S+/invitation\?token=\S+", mail_to(demo, OWNER))
    assert link is not None
    log_out(page, demo.url)
    page.goto(link[0])
    password = f"soleil-{uuid4()}"
    for field in ("password", "again"):
        page.locator(f"input[name={field}]").fill(password)
    page.get_by_test_id("invitation-accept").tap()
    page.wait_for_url(re.compile(rf"/sites/{roof.site}"))
    assert page.request.get(link[0]).status == 410  # it worked once


def mail_to(demo: Demo, recipient: str) -> str:
    end = time.monotonic() + MAIL_S
    while time.monotonic() < end:
        for file in demo.mail.glob("*.eml"):
            message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            if recipient in str(message["To"]):
                return str(message.get_content())
        Event().wait(0.1)
    raise AssertionError(f"no mail to {recipient}")


def test_what_is_revoked_is_refused_and_the_page_says_when(phone: Page, demo: Demo, roof: Roof) -> None:
    page = phone
    enter(page, demo, "ops")
    page.goto(f"{demo.url}/devices/{roof.devices['meter']}")
    page.get_by_test_id("revoke-open").tap()
    page.locator("label:has([data-testid=revoke-reason-stolen])").tap()
    page.get_by_test_id("revoke-submit").tap()
    expect(page.get_by_test_id("revocation-step-refused")).to_have_attribute(
        "data-at", re.compile(r"\d+"), timeout=REFUSED_MS
    )
    expect(page.get_by_test_id("revocation-step-refused")).to_contain_text(re.compile(r"Refus.* \d\d:\d\d:\d\d"))
    end = time.monotonic() + REFUSED_MS / 1000
    while "revoked" not in roof.agents["meter"].log.lower():
        assert time.monotonic() < end, roof.agents["meter"].log[-1000:]
        Event().wait(0.1)


def test_a_broken_device_is_replaced_in_its_place(installer: Page, demo: Demo, roof: Roof) -> None:
    page, device = installer, roof.devices["meter"]
    page.goto(f"{demo.url}/devices/{device}")
    page.get_by_test_id("replace-open").tap()
    page.get_by_test_id("field-new-serial").fill("MTR-NEW-77")
    page.get_by_test_id("replace-submit").tap()
    agent = roof.agent("meter-2", METER.replace("clock_offset_s = -7200", ""))
    done = enrolled(agent, shown_code(page), demo)
    assert done.returncode == 0, done.stderr
    agent.start("run")
    expect(page.get_by_test_id("first-reading")).to_be_visible(timeout=READING_MS)
    page.goto(f"{demo.url}/devices/{device}")
    expect(page.get_by_test_id("replacements")).to_contain_text("MTR-NEW-77")


@pytest.mark.parametrize("path", ["/sites/new", "/sites/{site}/add", "/sites/{site}/report", "/devices/{house}"])
def test_the_flow_speaks_english_too(installer: Page, demo: Demo, roof: Roof, path: str) -> None:
    page = installer
    page.goto(demo.url + path.format(site=roof.site, house=roof.devices["house"]))
    with in_english(page):
        nothing_is_wider_than_the_screen(page)
