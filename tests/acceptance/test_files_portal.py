"""Files in the browser: an unknown export is sent from a phone, described without a line of code, and becomes a curve.

Against the web and the importer on a database of their own; the twins that the pages ask are in memory.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import Complaints, in_english, opened
from tests.acceptance.test_onboarding import nothing_is_wider_than_the_screen
from tests.demo import DESKTOP, PHONE
from tests.portal_http import PortalServer, portal_server
from tests.web_app import ALPHA, PASSWORD

READ_MS = 90_000
DAY = "2024-06-13"


def export(heading: str = "Date;Heure;Puissance AC (kW);Index prod.;Remarque") -> bytes:
    """Two days of a portal that nobody knows: a counter without a unit, and one line that is none."""
    lines, energy_kwh = ["Centrale de Crest;;;;", heading], 4_200.0
    for day in (13, 14):
        for quarter in range(96):
            power_kw = max(0.0, 7.0 * math.sin((quarter / 4 - 6) / 14 * math.pi)) if 24 <= quarter <= 80 else 0.0
            energy_kwh += power_kw / 4
            lines.append(f"{day}/06/2024;{quarter // 4:02d}:{quarter % 4 * 15:02d};{power_kw:.2f};{energy_kwh:.1f};ok")
    lines.insert(60, "13/06/2024;14:99;7,00;4210,0;horloge")
    return "\n".join(lines).replace(".", ",").encode()


@pytest.fixture(scope="module")
def portal() -> Iterator[PortalServer]:
    with portal_server(importing=True) as running:
        yield running


def signed_in(browser: Browser, portal: PortalServer, complaints: Complaints, viewport: dict[str, int]) -> Page:
    page = opened(browser, complaints, viewport, has_touch=viewport == PHONE)
    page.goto(f"{portal.url}/login")
    page.locator("input[name=email]").fill("ines@example.org")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url(re.compile(r"/sites"))
    return page


@pytest.fixture
def phone(browser: Browser, portal: PortalServer, complaints: Complaints) -> Iterator[Page]:
    page = signed_in(browser, portal, complaints, PHONE)
    yield page
    page.context.close()


@pytest.fixture
def desktop(browser: Browser, portal: PortalServer, complaints: Complaints) -> Iterator[Page]:
    page = signed_in(browser, portal, complaints, DESKTOP)
    yield page
    page.context.close()


def send(page: Page, name: str, content: bytes) -> None:
    page.get_by_test_id("file-input").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})


def test_an_unknown_export_is_described_and_becomes_a_curve(phone: Page, portal: PortalServer) -> None:
    page = phone
    page.goto(f"{portal.url}/sites/{ALPHA}")
    page.get_by_test_id("to-imports").tap()
    expect(page.get_by_test_id("upload")).to_be_visible()
    nothing_is_wider_than_the_screen(page)
    send(page, "portail.csv", export())
    expect(page.get_by_test_id("upload-row")).to_have_attribute("data-state", "done")
    row = page.get_by_test_id("file-row").filter(has_text="portail.csv")
    expect(row).to_have_attribute("data-state", "quarantined", timeout=READ_MS)
    row.get_by_role("link").tap()
    page.get_by_test_id("describe").tap()

    preview = page.get_by_test_id("preview")
    expect(page.get_by_test_id("preview-chart")).to_have_attribute("data-drawn", "yes")
    expect(preview).to_have_attribute("data-rows", "192")
    expect(preview).to_have_attribute("data-refused", "1")
    expect(preview).to_contain_text("14:99")
    nothing_is_wider_than_the_screen(page)
    page.get_by_test_id("measure-4").select_option("apparent_power_va")
    page.get_by_test_id("unit-4").select_option("kW")
    expect(page.get_by_test_id("fault")).to_have_attribute("data-code", "wrong_unit")
    page.get_by_test_id("measure-4").select_option("pv_energy_wh")
    page.get_by_test_id("unit-4").select_option("kWh")
    expect(page.get_by_test_id("fault")).to_have_count(0)
    expect(preview.locator("tbody tr").first).to_contain_text(re.compile(r"4.?200,0"))
    page.get_by_test_id("field-format-name").fill("Portail de Crest")
    page.get_by_test_id("save-format").tap()
    page.wait_for_url(re.compile(r"/imports/[0-9a-f]+$"))

    nobodys = page.locator("[data-testid=file-device][data-waiting=yes]")
    expect(nobodys).to_be_visible(timeout=READ_MS)
    nobodys.get_by_test_id("give-to-new").tap()
    expect(page.get_by_test_id("rows-new")).to_have_text("192", timeout=READ_MS)
    expect(page.get_by_test_id("file-format")).to_have_text("Portail de Crest")
    expect(page.get_by_test_id("refusal-row")).to_have_attribute("data-line", "61")
    nothing_is_wider_than_the_screen(page)

    portal.run(portal.settle())
    page.goto(f"{portal.url}/sites/{ALPHA}?period=day&date={DAY}")
    expect(page.get_by_test_id("day-sentence")).to_contain_text(re.compile(r"62,\d+.kWh"))
    expect(page.get_by_test_id("curve")).to_have_attribute("data-drawn", "yes")


def test_a_wrong_delimiter_is_chosen_and_taken_back(desktop: Page, portal: PortalServer) -> None:
    page = desktop
    page.goto(f"{portal.url}/sites/{ALPHA}/imports")
    send(page, "autre.csv", export("Jour;Heure;P (kW);E (kWh);Note"))
    page.get_by_test_id("upload-row").get_by_role("link").click()
    page.get_by_test_id("describe").click(timeout=READ_MS)
    page.locator("[data-testid=cells] > summary").click()
    page.get_by_test_id("format-delimiter").select_option(",")
    expect(page.get_by_test_id("measure-3")).to_have_count(0)
    page.get_by_test_id("format-delimiter").select_option(";")
    expect(page.get_by_test_id("measure-3")).to_have_value("pv_power_w")
    page.get_by_test_id("format-heading").select_option("0")
    expect(page.get_by_test_id("format-column").first).to_contain_text("Colonne 1")
    page.get_by_test_id("format-heading").select_option("2")
    expect(page.get_by_test_id("preview")).to_have_attribute("data-rows", "192")
    expect(page.get_by_test_id("preview-chart")).to_have_attribute("data-drawn", "yes")


def test_several_files_are_sent_and_each_says_what_became_of_it(
    desktop: Page, portal: PortalServer, complaints: Complaints, tmp_path: Path
) -> None:
    page = desktop
    page.goto(f"{portal.url}/sites/{ALPHA}/imports")
    files = [tmp_path / name for name in ("un.csv", "deux.csv", "vide.csv")]
    files[0].write_bytes(export("A;B;C;D;E"))
    files[1].write_bytes(b"<html><body>session</body></html>")
    files[2].write_bytes(b"")
    complaints.meant.append("status of 422")  # the console says so too
    page.get_by_test_id("file-input").set_input_files(files)
    expect(page.locator("[data-testid=upload-row][data-state=done]")).to_have_count(2)
    expect(page.locator("[data-testid=upload-row][data-state=ended]")).to_contain_text("vide")
    page.get_by_test_id("show-quarantined").click()
    row = page.get_by_test_id("file-row").filter(has_text="deux.csv")
    expect(row).to_contain_text("page web", timeout=READ_MS)


def test_a_loggers_password_is_noted_and_gone(phone: Page, portal: PortalServer) -> None:
    page = phone
    page.goto(f"{portal.url}/sites/{ALPHA}/imports")
    page.get_by_test_id("to-loggers").tap()
    expect(page.get_by_test_id("open-logger")).to_be_visible()
    nothing_is_wider_than_the_screen(page)
    page.locator("input[name=name]").fill("WebdynSun, toiture")
    page.get_by_test_id("open-logger").tap()
    password = page.get_by_test_id("sftp-password")
    expect(password).to_have_text(re.compile(r"[0-9a-z]{26}"))
    expect(page.get_by_test_id("sftp-host")).to_have_text("files.test")
    page.reload()
    expect(password).to_be_visible()  # the phone was locked meanwhile
    nothing_is_wider_than_the_screen(page)
    page.get_by_test_id("noted").tap()
    expect(password).to_have_count(0)


@pytest.mark.parametrize("path", ["/imports", "/formats", "/sites/{site}/imports", "/sites/{site}/loggers"])
def test_the_pages_speak_english_too(phone: Page, portal: PortalServer, path: str) -> None:
    page = phone
    page.goto(portal.url + path.format(site=ALPHA))
    with in_english(page):
        nothing_is_wider_than_the_screen(page)
