"""An installer's phone in Chromium: from "Add a device" to the first reading on the screen, with a real agent enrolling.

What the device's owner does meanwhile is typing, done at once here: the code goes from the screen to the agent's command.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page

from tests.agent_rig import AgentProcess
from tests.bench.figures import Figure, figure, note
from tests.demo import PHONE, Demo, chromium, running_demo
from tests.servers import server_folder

_RUNS = 5
_PATIENCE_MS = 60_000
_PERIOD_S = 1  # of the simulated device; a real one says its first reading as soon as it has it
_COUNT_TAPS = "addEventListener('click', () => localStorage.taps = Number(localStorage.taps || 0) + 1, true)"


def run() -> Iterator[Figure]:
    with running_demo() as demo, server_folder("onboard") as folder, chromium() as browser:
        context = browser.new_context(viewport=PHONE, locale="fr-FR", has_touch=True)
        context.add_init_script(_COUNT_TAPS)
        page = context.new_page()
        page.goto(f"{demo.url}/login")
        page.get_by_test_id("demo-login-installer").tap()
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{demo.url}/sites")
        site = page.get_by_test_id("site-line").last.get_attribute("data-site")
        runs = [add_a_device(page, demo, f"{demo.url}/sites/{site}", folder / str(number)) for number in range(_RUNS)]
        note(f"  seconds: {', '.join(f'{seconds:.1f}' for _, seconds in runs)}")
        yield figure("onboard", "taps from “add device” to the first reading seen", max(taps for taps, _ in runs), "taps")
        seconds = sorted(seconds for _, seconds in runs)
        yield figure("onboard", "time from “add device” to the first reading seen, median", seconds[_RUNS // 2], "s")


def add_a_device(page: Page, demo: Demo, site_url: str, folder: Path) -> tuple[int, float]:
    """Taps and seconds."""
    agent = AgentProcess(folder)
    agent.state.mkdir()
    (agent.state / "agent.toml").write_text(f'[[inputs]]\ntype = "simulated"\nperiod_s = {_PERIOD_S}\n')
    page.goto(site_url)
    page.evaluate("localStorage.taps = 0")
    began = time.monotonic()
    page.get_by_test_id("add-device").tap()
    page.get_by_test_id("profile-meter").tap()
    code = "".join(page.get_by_test_id("claim-code").inner_text().split())
    done = agent.call("enrol", "--server", demo.est_url, "--claim", code, "--ca", str(demo.est_ca))
    assert done.returncode == 0, done.stderr
    agent.start("run")
    try:
        page.get_by_test_id("first-reading").wait_for(timeout=_PATIENCE_MS)
        return int(page.evaluate("Number(localStorage.taps)")), time.monotonic() - began
    finally:
        agent.stop()
