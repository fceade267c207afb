"""Operations change what real agents run: a setting arrives, somebody changes one on site, and a rollout stops by itself.

Each test goes on where the one before ended; they share one demo and its agents.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import Complaints, opened
from tests.acceptance.test_demo import enter
from tests.agent_rig import AgentProcess
from tests.demo import DESKTOP, Demo
from tests.servers import server_folder

ARRIVES_MS = 90_000
STOPS_MS = 180_000
TAG = "essai"
SUNNY = """
[[inputs]]
type = "simulated"
period_s = 10
sun = "noon"
"""
CANNOT = """
[[inputs]]
type = "mqtt"
name = "house"
host = "127.0.0.1"
port = 1
topics = ["N/#"]
"""  # of what comes from somebody else's broker nothing can be limited: this agent will say so


class Field:
    """Agents that run, by name, and the devices that they are."""

    def __init__(self, folder: Path, demo: Demo) -> None:
        self.folder = folder
        self.demo = demo
        self.agents: dict[str, AgentProcess] = {}
        self.devices: dict[str, str] = {}
        self.api = httpx.Client(base_url=f"{demo.url}/api/v1", timeout=60.0)
        ops = demo.logins["ops"]
        answer = self.api.post("/auth/login", json={"email": ops["email"], "password": ops["password"]})
        self.api.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"

    def get(self, path: str) -> Any:
        return self.api.get(path).raise_for_status().json()

    def add(self, name: str, settings: str, site: str) -> None:
        claim = self.api.post(f"/sites/{site}/claims", json={"profile": "inverter", "name": name}).raise_for_status().json()
        agent = self.agents[name] = AgentProcess(self.folder / name)
        agent.state.mkdir()
        (agent.state / "agent.toml").write_text(settings)
        done = agent.call("enrol", "--server", self.demo.est_url, "--claim", claim["code"], "--ca", str(self.demo.est_ca))
        assert done.returncode == 0, done.stderr
        agent.start("run")
        device = self.devices[name] = self.get(f"/claims/{claim['claim_id']}")["device"]
        self.api.put(f"/devices/{device}/tags/{TAG}").raise_for_status()

    def until_status(self, name: str, status: str) -> dict[str, Any]:
        end = time.monotonic() + ARRIVES_MS / 1000
        while True:
            found: dict[str, Any] = self.get(f"/devices/{self.devices[name]}/config")
            if found["status"] == status:
                return found
            assert time.monotonic() < end, found
            Event().wait(0.2)


@pytest.fixture(scope="module")
def field(demo: Demo) -> Iterator[Field]:
    with server_folder("field") as folder:
        found = Field(folder, demo)
        site = found.get("/sites")["items"][0]["id"]
        for name, settings in (("sunny-1", SUNNY), ("cannot-1", CANNOT), ("sunny-2", SUNNY), ("cannot-2", CANNOT)):
            found.add(name, settings, site)
        for name in found.agents:
            found.until_status(name, "in_sync")  # each has said what it runs
        yield found
        for agent in found.agents.values():
            if agent.running:
                agent.stop()
        found.api.close()


@pytest.fixture
def ops(browser: Browser, demo: Demo, complaints: Complaints) -> Iterator[Page]:
    page = opened(browser, complaints, DESKTOP)
    enter(page, demo, "ops")
    yield page
    page.context.close()


def test_a_setting_is_changed_and_arrives(ops: Page, demo: Demo, field: Field) -> None:
    device = field.devices["sunny-1"]
    ops.goto(f"{demo.url}/devices/{device}/configuration")
    expect(ops.get_by_test_id("config-state")).to_have_attribute("data-state", "in_sync")
    ops.get_by_test_id("setting-report_interval_s").fill("4")
    ops.get_by_test_id("config-review").click()
    expect(ops.get_by_test_id("diff-row")).to_have_count(1)
    ops.get_by_test_id("field-why").fill("essai")
    ops.get_by_test_id("config-send").click()
    state = ops.get_by_test_id("config-state")
    expect(state).to_have_attribute("data-version", "1", timeout=ARRIVES_MS)
    expect(state).to_have_attribute("data-state", "in_sync", timeout=ARRIVES_MS)
    assert "4" in field.agents["sunny-1"].call("config").stdout
    row = ops.locator('[data-testid=setting-row][data-key="report_interval_s"]')
    expect(row).to_have_attribute("data-origin", "device")


def test_a_change_on_site_is_seen_and_overwritten(ops: Page, demo: Demo, field: Field) -> None:
    agent, device = field.agents["sunny-1"], field.devices["sunny-1"]
    ops.goto(f"{demo.url}/devices/{device}/configuration")
    done = agent.call("set", "report_interval_s", "9")
    assert done.returncode == 0, done.stderr
    state = ops.get_by_test_id("config-state")
    expect(state).to_have_attribute("data-state", "drifted", timeout=ARRIVES_MS)
    expect(ops.get_by_test_id("drift")).to_contain_text("9")
    ops.get_by_test_id("overwrite-drift").click()
    expect(state).to_have_attribute("data-version", "2", timeout=ARRIVES_MS)
    expect(state).to_have_attribute("data-state", "in_sync", timeout=ARRIVES_MS)
    assert field.until_status("sunny-1", "in_sync")["reported"]["values"]["report_interval_s"] == 4.0


def test_a_command_is_given_and_its_answer_comes(ops: Page, demo: Demo, field: Field) -> None:
    given = field.api.post(f"/devices/{field.devices['sunny-2']}/commands", json={"name": "read_info", "args": {}})
    command = given.raise_for_status().json()
    ops.goto(f"{demo.url}/commands/{command['id']}")
    expect(ops.get_by_test_id("command")).to_have_attribute("data-state", re.compile("^succeeded"), timeout=ARRIVES_MS)


def test_a_rollout_aborts_itself_on_its_canaries_and_takes_back_what_it_brought(ops: Page, demo: Demo, field: Field) -> None:
    """Of three canaries one at least takes the limit, and one at least cannot: the rollout stops, and gives back."""
    ops.goto(f"{demo.url}/ops/rollouts")
    ops.get_by_test_id("new-rollout").first.click()
    ops.get_by_test_id("rollout-profile").select_option("inverter")
    ops.get_by_test_id("narrow-open").click()
    ops.get_by_test_id("field-tags").fill(TAG)
    ops.get_by_test_id("next").click()
    ops.locator("label:has([data-testid=use-active_power_limit_pct])").click()
    ops.get_by_test_id("setting-active_power_limit_pct").locator("input").fill("60")
    ops.get_by_test_id("next").click()
    ops.get_by_test_id("preset-normal").click()
    ops.get_by_test_id("plan-open").click()
    ops.get_by_test_id("field-waves").fill("3, 100 %")
    ops.locator("input[name=rejected_pct]").fill("1")
    ops.locator("input[name=rejected_least]").fill("1")
    ops.get_by_test_id("next").click()
    expect(ops.get_by_test_id("aimed")).to_contain_text("4")
    ops.get_by_test_id("field-name").fill("Limiter à 60 %")
    ops.get_by_test_id("make").click()
    ops.wait_for_url(re.compile(r"/ops/rollouts/[0-9a-f]+"))
    rollout = ops.url.rsplit("/", 1)[-1].partition("?")[0]
    expect(ops.get_by_test_id("rollout-state")).to_have_attribute("data-state", "aborted", timeout=STOPS_MS)
    expect(ops.get_by_test_id("reason")).to_be_visible()
    states = sorted(each["state"] for each in field.get(f"/rollouts/{rollout}/targets")["items"])
    assert len(states) == 4
    assert {"returned", "restored"} & set(states)
    assert states.count("waiting") == 1
    for name, device in field.devices.items():
        found = field.until_status(name, "in_sync")
        assert found["reported"]["values"]["active_power_limit_pct"] == 100.0, device
    restored = ops.locator("[data-testid=target][data-state=restored]")
    expect(restored.first).to_be_visible(timeout=ARRIVES_MS)  # "as before" is said once a device has said so
