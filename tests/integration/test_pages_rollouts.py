"""Rollouts' pages: closed to others, in both languages, nothing injected; the steps to a new one, and what can be done."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from fleet.rollouts.lifecycle import STATES, TARGET_STATES, StopCode
from tests.portal import Portal, Seen, log_in, read
from tests.servers import Database
from tests.web_app import ALPHA, BETA, NOW, Web, seed

HOSTILE = "</h1><script>alert(1)</script>\"' onload=x &amp; <b>"
GROUP = "abcd1234"
NEW = "/ops/rollouts/new"
GATEWAYS = 30
TARGET = {"profile": "gateway", "group": GROUP}
VALUES = TARGET | {"values_seen": "1", "use.report_interval_s": "yes", "set.report_interval_s": "30,5"}


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    """With rollouts in every state, whose devices are in every state, and hostile names."""
    await seed(database.owner)
    async with Portal(database, tmp_path) as web:
        await web.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name)"
            " SELECT 'gw-' || to_char(n, 'FM00'), CASE WHEN n % 2 = 0 THEN $1 ELSE $2 END, 'gateway', $3"
            " FROM generate_series(0, $4::int - 1) AS n",
            ALPHA, BETA, HOSTILE, GATEWAYS,
        )  # fmt: skip
        await web.execute(
            'INSERT INTO remote.device_group (id, name, query, "values") VALUES ($1, $2, $3, $4)',
            GROUP, HOSTILE, {"profiles": ["gateway"]}, {"report_interval_s": 20},
        )  # fmt: skip
        for state in STATES:
            await add_rollout(web, state, "rejected" if state != "completed" else "person")
        await log_in(web, "otto@example.org")
        yield web


async def add_rollout(web: Web, state: str, code: StopCode) -> None:
    """Called like its state, with a device in each state that there is, over its first two waves."""
    stopped = None if state == "running" else {"code": code, "at": NOW, "wave": 0, "count": 2, "of": 5, "person_id": "otto"}
    await web.execute(
        'INSERT INTO remote.rollout (id, name, profile_id, group_id, query, "values", plan, why, state, wave, stopped,'
        " counts, created_by) VALUES ($1, $2, 'gateway', $3, $4, $5, $6, $2, $1, 1, $7, $8, 'otto')",
        state, HOSTILE, GROUP if state == "running" else None, {"profiles": ["gateway"]}, {"report_interval_s": 30}, {},
        stopped, dict.fromkeys(TARGET_STATES, 1),
    )  # fmt: skip
    if state in ("aborted", "completed"):
        await web.execute("UPDATE remote.rollout SET ended_at = now() WHERE id = $1", state)
    await web.execute(
        "INSERT INTO remote.rollout_target (rollout_id, site_id, device_id, wave, state, version, problem)"
        " SELECT $1, d.site_id, d.id, (n - 1) % 2, state, 3, $2 FROM unnest($3::text[]) WITH ORDINALITY AS t (state, n)"
        " JOIN registry.device d ON d.id = 'gw-' || to_char(n - 1, 'FM00')",
        state, HOSTILE, list(TARGET_STATES),
    )  # fmt: skip


async def step(web: Web, go: str, fields: dict[str, str]) -> Response:
    return await web.client.post(NEW, data={**fields, "go": go})


def carried(answer: Response) -> dict[str, str]:
    """What the form sends along by itself."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text)
    return {name: unescape(value) for name, value in found}


def shown_step(answer: Response) -> str:
    found = re.search(r'data-step="(\w+)"', answer.text)
    assert found, answer.text
    return found[1]


async def test_each_page_is_there_in_both_languages_and_runs_nothing(portal: Web) -> None:
    pages = ["/ops/rollouts", NEW, f"{NEW}?group={GROUP}&profile=gateway", f"{NEW}?group=<b>&profile=<b>"]
    pages += [f"/ops/rollouts/{state}" for state in STATES]
    pages += ["/ops/rollouts/running?show=faults&wave=1", "/ops/rollouts/running?show=done&wave=0"]
    followed: set[str] = set()
    for language in ("fr", "en"):
        await portal.execute("UPDATE accounts.person SET locale = $1", language)
        for path in pages:
            answer = await read(portal, path, language)
            assert answer.status_code == 200, (path, answer.text)
            assert f'<html lang="{language}"' in answer.text
            assert "<script>alert" not in answer.text, path
            assert "<b>" not in answer.text, path
            seen = Seen(answer.text)
            assert seen.inline == [], path
            for link in {each.partition("#")[0] for each in seen.links if not each.startswith("#")} - followed:
                followed.add(link)
                assert (await portal.client.get(link)).status_code < 400, (path, link)


async def test_the_pages_do_not_exist_for_others(portal: Web) -> None:
    for email in ("alice@example.org", "emma@example.org", "ines@example.org"):
        await log_in(portal, email)
        for path in ("/ops/rollouts", NEW, "/ops/rollouts/running"):
            assert (await read(portal, path)).status_code == 404, path
        for path in (NEW, "/ops/rollouts/running/pause", "/ops/rollouts/running/abort"):
            assert (await portal.client.post(path, data={})).status_code == 404, path


async def test_an_empty_board_says_what_next(portal: Web) -> None:
    await portal.execute("DELETE FROM remote.rollout")
    board = (await read(portal, "/ops/rollouts")).text
    assert 'data-testid="no-rollouts"' in board
    assert f'href="{NEW}"' in board


async def test_those_at_work_stand_first(portal: Web) -> None:
    board = (await read(portal, "/ops/rollouts")).text
    order = re.findall(r'data-rollout="\w+" data-state="(\w+)"', board)
    assert set(order[:3]) == {"running", "paused", "returning"}
    assert set(order[3:]) == {"aborted", "completed"}
    assert board.count('data-testid="slice-faults"') == len(STATES)
    assert "2 témoins sur 5 ont refusé" in board


async def test_a_rollout_shows_its_waves_and_its_devices(portal: Web) -> None:
    text = (await read(portal, "/ops/rollouts/aborted")).text
    assert len(re.findall(r'data-testid="wave"', text)) >= 2
    assert set(re.findall(r'data-device="gw-\d+" data-state="(\w+)"', text)) == set(TARGET_STATES)
    assert 'data-testid="pause"' not in text
    faults = (await read(portal, "/ops/rollouts/aborted?show=faults")).text
    told = set(re.findall(r'data-device="gw-\d+" data-state="(\w+)"', faults))
    assert told == {"rejected", "timed_out", "silent", "alerted", "return_rejected", "return_unanswered", "not_returned"}
    assert "/devices/gw-06/configuration" in text


async def test_a_long_list_goes_on(portal: Web) -> None:
    await portal.execute(
        "INSERT INTO remote.rollout_target (rollout_id, site_id, device_id, wave, state)"
        " SELECT 'running', site_id, id, 1, 'done' FROM registry.device WHERE profile_id = 'gateway' ON CONFLICT DO NOTHING"
    )
    devices: list[str] = []
    path: str | None = "/ops/rollouts/running"
    while path:
        text = (await read(portal, path)).text
        devices += re.findall(r'data-testid="target" data-device="(gw-\d+)"', text)
        more = re.search(r'href="([^"]+)" data-testid="more-targets"', text)
        path = unescape(more[1]).partition("#")[0] if more else None
    assert sorted(devices) == [f"gw-{number:02}" for number in range(GATEWAYS)]


async def test_buttons_do_what_they_say(portal: Web) -> None:
    async def state() -> str:
        (row,) = await portal.execute("SELECT state FROM remote.rollout WHERE id = 'running'")
        return str(row["state"])

    here = "/ops/rollouts/running"
    for action, after in (("pause", "paused"), ("resume", "running")):
        answer = await portal.client.post(f"{here}/{action}")
        assert (answer.status_code, answer.headers["location"]) == (303, here)
        assert await state() == after
    too_late = await portal.client.post(f"{here}/resume")
    assert (too_late.status_code, 'data-code="illegal_move"' in too_late.text) == (409, True)
    assert (await portal.client.post(f"{here}/abort", data={"return": "yes", "why": "So it is"})).status_code == 303
    assert await state() == "returning"
    assert "So it is" in (await read(portal, here)).text
    assert (await portal.client.post(f"{here}/abort")).status_code == 303
    assert await state() == "aborted"
    for path in (f"{here}/explode", "/ops/rollouts/nobody/pause"):
        assert (await portal.client.post(path)).status_code == 404


async def test_a_rollout_is_made_step_by_step(portal: Web) -> None:
    await portal.execute("UPDATE remote.rollout SET state = 'aborted'")
    opened = await read(portal, f"{NEW}?group={GROUP}&profile=gateway")
    fields = carried(opened) | TARGET
    answer = await step(portal, "values", fields)
    assert (answer.status_code, shown_step(answer)) == (200, "values")
    assert re.search(r'name="use.report_interval_s" value="yes" checked', answer.text), "what the template holds is ticked"
    assert not re.search(r'name="use.active_power_limit_pct" value="yes" checked', answer.text)
    answer = await step(portal, "plan", carried(answer) | VALUES)
    assert (answer.status_code, shown_step(answer)) == (200, "plan")
    answer = await step(portal, "prudent", carried(answer) | VALUES)
    assert 'aria-pressed="true" data-testid="preset-prudent"' in answer.text
    plan = dict(re.findall(r'<input id="(\w+)" name="\w+" value="([^"]*)"', answer.text))
    plan |= {"waves": "2, 50 %, 100 %", "return_on_abort": "yes"}
    answer = await step(portal, "check", carried(answer) | plan)
    assert (answer.status_code, shown_step(answer)) == (200, "check")
    assert re.search(r'data-key="report_interval_s"', answer.text)
    assert f'name="confirm_count" value="{GATEWAYS}" required' in answer.text
    last = carried(answer)
    unconfirmed = await step(portal, "make", last | {"name": "Slower"})
    assert (unconfirmed.status_code, 'data-code="confirm_needed"' in unconfirmed.text) == (409, True)
    confirmed = last | {"name": "Slower", "why": "Radio", "confirm_count": str(GATEWAYS)}
    for _ in range(2):  # pressed twice it is still one
        made = await step(portal, "make", confirmed)
        assert made.status_code == 303, made.text
    rows = await portal.execute('SELECT id, "values", plan, why, created_by FROM remote.rollout WHERE name = $1', "Slower")
    (row,) = rows
    assert made.headers["location"] == f"/ops/rollouts/{row['id']}"
    assert (row["values"], row["why"], row["created_by"]) == ({"report_interval_s": 30.5}, "Radio", "otto")
    assert row["plan"]["waves"] == [{"count": 2}, {"percent": 50}, {"percent": 100}]
    assert (await read(portal, made.headers["location"])).status_code == 200


async def test_what_was_changed_on_site_is_shown_before_it_begins(portal: Web) -> None:
    await portal.execute("UPDATE remote.rollout SET state = 'aborted'")
    drifted = (
        "INSERT INTO remote.config (site_id, device_id, status, status_at, revision)"
        " SELECT site_id, id, 'drifted', now(), 1 FROM registry.device WHERE profile_id = 'gateway' AND id < $1"
        " ON CONFLICT DO NOTHING"
    )
    await portal.execute(drifted, "gw-02")
    plan = {"waves": "100 %", "per_minute": "60", "observe_min": "1", "timeout_min": "5", "silent_min": "5"}
    plan |= {"energy_min": "0,5", "energy_wait_h": "48"}
    answer = await step(portal, "check", VALUES | plan)
    assert shown_step(answer) == "check", answer.text
    assert f'name="confirm_count" value="{GATEWAYS - 2}"' in answer.text
    assert re.search(r'data-testid="drifted".*?/devices/gw-01/configuration', answer.text, re.DOTALL)
    assert 'data-testid="skipped"' not in answer.text, "it is said once"
    answer = await step(portal, "check", VALUES | plan | {"overwrite_drift": "yes"})
    assert f'name="confirm_count" value="{GATEWAYS}"' in answer.text
    assert 'data-testid="drifted"' in answer.text
    await portal.execute(drifted, "gw-99")
    answer = await step(portal, "check", VALUES | plan)
    assert (answer.status_code, shown_step(answer), 'data-code="drifted"' in answer.text) == (409, "plan", True)


async def test_what_was_kept_as_the_device_runs_it_is_said(portal: Web) -> None:
    made = [
        ("rollout", {"report_interval_s": 12}), ("rollout_return", {"report_interval_s": 12, "grid_code": HOSTILE}),
        ("set", {}),
    ]  # fmt: skip
    for version, (kind, own) in enumerate(made, 4):
        await portal.execute(
            'INSERT INTO remote.config_change (site_id, device_id, version, "values", own, layers, at, kind, rollout_id)'
            " VALUES ($1, 'gw-00', $2, '{}', $3, '[]', now(), $4, $5)",
            ALPHA, version, own, kind, "aborted" if kind != "set" else None,
        )  # fmt: skip
    targets = (await portal.client.get("/api/v1/rollouts/aborted/targets")).json()["items"]
    assert {each["device"]: each["kept"] for each in targets if each["kept"]} == {
        "gw-00": ["grid_code", "report_interval_s"]
    }
    said = re.findall(r'data-testid="kept">(.*?)</p>', (await read(portal, "/ops/rollouts/aborted")).text, re.DOTALL)
    assert len(said) == 1
    assert "grid_code" in said[0]
    assert 'data-testid="kept"' not in (await read(portal, "/ops/rollouts/completed")).text


@pytest.mark.parametrize(
    ("go", "changes", "back_at", "marked"),
    [
        ("values", {"profile": ""}, "target", 'data-code="no_profile"'),
        ("values", {"profile": "gateway", "group": "nobody"}, "target", 'data-code="unknown_group"'),
        ("values", {"profile": "linky", "group": GROUP}, "target", 'data-code="empty_selection"'),
        ("values", {"group": "", "tags": "Not A Tag!"}, "target", 'data-code="bad_'),
        ("plan", {"use.report_interval_s": ""}, "values", 'data-code="no_values"'),
        ("plan", {"set.report_interval_s": "often"}, "values", 'id="set-report_interval_s-wrong"'),
        ("check", {"set.report_interval_s": "0"}, "values", 'id="set-report_interval_s-wrong"'),
        ("check", {"waves": "5"}, "plan", 'data-code="bad_plan"'),
        ("check", {"per_minute": "x"}, "plan", 'aria-invalid="true"'),
        ("make", {"per_minute": "0"}, "plan", 'data-code="bad_plan"'),
        ("make", {"name": "x" * 121}, "check", 'data-code="invalid_request"'),
        ("make", {"confirm_count": "7"}, "check", 'data-code="confirm_needed"'),
        ("nonsense", {}, "check", 'data-testid="make"'),
    ],
)
async def test_what_is_wrong_is_said_at_its_step(
    portal: Web, go: str, changes: dict[str, str], back_at: str, marked: str
) -> None:
    await portal.execute("UPDATE remote.rollout SET state = 'aborted'")
    plan: dict[str, Any] = carried(await step(portal, "normal", VALUES))
    page = (await step(portal, "normal", VALUES)).text
    plan |= dict(re.findall(r'<input (?:id="\w+" )?name="(\w+)" value="([^"]*)"', page))
    fields = VALUES | {key: str(value) for key, value in plan.items()} | {"confirm_count": str(GATEWAYS), "name": "N"}
    answer = await step(portal, go, fields | changes)
    assert shown_step(answer) == back_at, answer.text
    assert marked in answer.text
    assert answer.status_code == (200 if go == "nonsense" else answer.status_code)
    assert (await portal.execute("SELECT count(*) AS n FROM remote.rollout"))[0]["n"] == len(STATES)


async def test_without_a_group_it_is_narrowed_by_hand(portal: Web) -> None:
    await portal.execute("INSERT INTO registry.device_tag VALUES ($1, 'gw-00', 'roof')", ALPHA)
    answer = await step(portal, "values", {"profile": "gateway", "tags": "roof, other"})
    assert shown_step(answer) == "values"
    assert "1 appareil" in answer.text
