"""Pages of commands: in both languages, for whom they are, nothing injected, and every form does what it says."""

import re
import time
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from fleet.commands import STATES
from fleet.order_messages import Command
from tests.command_rig import CommandRig, command_rig
from tests.command_rows import add_batch, add_command
from tests.fleet_rig import Device
from tests.orders_rig import answer, come, told
from tests.portal import Seen, log_in, read
from tests.servers import Broker, Database, Pki
from tests.web_app import ALPHA, ALPHA_METER, BETA_METER

HOSTILE = "</pre><script>alert(1)</script><b>"
FORM = {"active_power_limit_pct": "40", "duration_s": "600"}
LOG, NEW = f"/devices/{ALPHA_METER}/commands", f"/devices/{ALPHA_METER}/commands/new"
PAGES = [
    f"/devices/{ALPHA_METER}", LOG, f"{LOG}?show=5", f"{LOG}?before=zz", f"{NEW}?name=restart", f"{NEW}?name=resend",
    "/ops/commands", "/ops/commands?show=open", "/ops/commands?show=expired", "/ops/commands?before=c-sent",
    "/ops/commands/new?name=blink", "/ops/commands/new?name=set_power_limit", "/ops/commands/many",
    "/ops/commands/many?show=failed", "/ops/commands/cut",
    *(f"/commands/c-{state.replace('_', '-')}" for state in STATES),
]  # fmt: skip


@pytest.fixture
async def rig(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[CommandRig]:
    async with command_rig(database, broker, tmp_path) as running:
        yield running


@pytest.fixture
async def told_of(rig: CommandRig) -> CommandRig:
    """With a command in every state, and answers that mean harm."""
    for state in STATES:
        answered: dict[str, Any] = {"detail": HOSTILE} if state in ("succeeded", "failed") else {}
        if state == "timed_out":
            answered = {"late": {"at": round(time.time() * 1000), "status": "succeeded", "detail": {HOSTILE: [HOSTILE]}}}
        name = "no-longer-there" if state == "expired" else "resend"
        await add_command(
            rig.web, f"c-{state.replace('_', '-')}", state, name=name, args={"from_seq": 3}, batch_id="many", **answered
        )
    await add_batch(rig.web, "many", devices=8, skipped={"behind_gateway": 2, "odd": 1})
    await add_batch(rig.web, "cut", selection={"group": "gone"}, issued_at=None)
    return rig


async def test_each_page_is_there_in_both_languages_and_runs_nothing_of_an_answer(told_of: CommandRig) -> None:
    web = told_of.web
    await log_in(web, "otto@example.org")
    followed: set[str] = set()
    for language in ("fr", "en"):
        await web.execute("UPDATE accounts.person SET locale = $1", language)
        for path in PAGES:
            page = await read(web, path, language)
            assert page.status_code == 200, (path, page.text)
            assert f'<html lang="{language}"' in page.text
            assert "<script>alert" not in page.text, path
            assert "<b>" not in page.text, path
            seen = Seen(page.text)
            assert seen.inline == [], path
            for address in seen.links + seen.loads + seen.actions:
                assert re.match(r"[/#]", address), (path, address)
            for link in {link for link in seen.links if not link.startswith("#")} - followed:
                followed.add(link)
                assert (await web.client.get(link)).status_code < 400, (path, link)


async def test_what_is_said_of_each_state(told_of: CommandRig) -> None:
    await log_in(told_of.web, "otto@example.org")
    for state in STATES:
        page = (await read(told_of.web, f"/commands/c-{state.replace('_', '-')}")).text
        steps = dict(re.findall(r'data-testid="step-(\w+)" data-at="\d*" data-state="(\w+)"', page))
        has_answered = state in ("accepted", "succeeded", "failed")
        assert (steps.get("accepted") == "done") == has_answered, "only the device says that it has it"
        assert (steps.get("sent") == "done") == (state not in ("queued", "expired", "cancelled"))
        assert (steps["ended"] == "done") == (state not in ("queued", "sent", "accepted"))
        assert ('data-testid="cancel-command"' in page) == (state == "queued")
        assert ("late" in steps) == (state == "timed_out")
        assert ("/events" in page) == (state in ("queued", "sent", "accepted")), "what has ended is not watched any more"


async def test_pages_are_for_those_who_may(told_of: CommandRig) -> None:
    web = told_of.web
    await log_in(web, "alice@example.org")
    for path in (f"/devices/{ALPHA_METER}", LOG, "/commands/c-queued"):
        page = await read(web, path)
        assert page.status_code == 200
        assert "command-catalog" not in page.text
        assert "cancel-command" not in page.text
    assert (await read(web, f"{NEW}?name=blink")).status_code == 403
    assert (await web.client.post(LOG, data={"name": "blink"})).status_code == 403
    assert (await web.client.post("/commands/c-queued/cancel")).status_code == 403
    for path in ("/ops/commands", "/ops/commands/new?name=blink", "/ops/commands/many"):
        assert (await read(web, path)).status_code == 404
    await log_in(web, "ines@example.org")
    offered = re.findall(r'data-testid="command-(\w+)"', (await read(web, f"/devices/{ALPHA_METER}")).text)
    assert set(offered) - {"catalog", "row"} == {"blink", "read_info"}
    assert (await read(web, f"{NEW}?name=restart")).status_code == 403
    assert (await read(web, f"/devices/{BETA_METER}/commands")).status_code == 404


async def test_a_press_gives_a_command_once_and_its_page_follows_it(rig: CommandRig, broker: Broker, pki: Pki) -> None:
    await log_in(rig.web, "ines@example.org")
    page = (await read(rig.web, f"/devices/{ALPHA_METER}")).text
    button = re.search(r'name="name" value="read_info"><input type="hidden" name="request_id" value="(\w+)"', page)
    assert button is not None
    form = {"name": "read_info", "request_id": button[1]}
    first = await rig.web.client.post(LOG, data=form)
    again = await rig.web.client.post(LOG, data=form)
    assert (first.status_code, first.headers["location"]) == (303, again.headers["location"])
    assert len(await rig.audited("command.give")) == 1
    where = first.headers["location"]
    assert 'data-testid="cancel-command"' in (await read(rig.web, where)).text
    async with Device(broker, pki, ALPHA, ALPHA_METER) as meter:
        await come(rig.shard, meter)
        heard = await told(meter, "down/command", Command)
        late = await rig.web.client.post(f"{where}/cancel")
        assert (late.status_code, 'data-code="illegal_move"' in late.text) == (409, True)
        await answer(meter, heard.id, "succeeded", {"firmware": "1.4.2"})
        await rig.until_state(heard.id, "succeeded")
    done = (await read(rig.web, where)).text
    assert "1.4.2" in done
    assert "Exécutée" in done


async def test_what_interrupts_is_asked_about_with_its_values(rig: CommandRig) -> None:
    await rig.add_devices("inverter", "inv-one")
    await log_in(rig.web, "otto@example.org")
    path = "/devices/inv-one/commands"
    form = {"name": "set_power_limit", "request_id": "form-0001", "expires_in_s": "3600"}
    form |= {f"set.{key}": value for key, value in FORM.items()}
    asked = await rig.web.client.post(path, data=form)
    assert asked.status_code == 200
    assert 'data-testid="confirm"' in asked.text
    assert "40\u00a0%" in unescape(asked.text)
    assert await rig.web.execute("SELECT FROM remote.command") == []
    refused = await rig.web.client.post(path, data=form | {"set.active_power_limit_pct": "140"})
    assert refused.status_code == 422
    assert 'id="set-active_power_limit_pct-wrong"' in refused.text
    changing = await rig.web.client.post(path, data=form | {"confirmed": "yes", "do": "change"})
    assert (changing.status_code, 'value="600"' in changing.text) == (200, True)
    asked_at = time.time()
    sent = await rig.web.client.post(path, data=form | {"confirmed": "yes"})
    assert sent.status_code == 303, sent.text
    (row,) = await rig.web.execute("SELECT * FROM remote.command")
    assert row["args"] == {"active_power_limit_pct": 40, "duration_s": 600}
    assert asked_at - 1 <= row["expires_at"].timestamp() - 3_600 <= time.time() + 1
    cancelled = await rig.web.client.post(f"/commands/{row['id']}/cancel")
    assert cancelled.status_code == 303
    assert (await rig.command(row["id"]))["state"] == "cancelled"


async def test_a_command_for_many_is_counted_before_it_is_given(rig: CommandRig) -> None:
    await rig.add_devices("meter", "met-behind", gateway="box-alpha")
    await log_in(rig.web, "otto@example.org")
    form = {"name": "restart", "request_id": "form-0002", "profile": "meter"}
    counted = await rig.web.client.post("/ops/commands/new", data=form)
    assert (counted.status_code, 'data-count="2"' in counted.text) == (200, True)
    assert 'data-reason="behind_gateway"' in counted.text
    changing = await rig.web.client.post("/ops/commands/new", data=form | {"confirm_count": "2", "do": "change"})
    assert 'data-testid="bulk-look"' in changing.text
    assert await rig.web.execute("SELECT FROM remote.command") == []
    await rig.add_devices("meter", "met-new")
    stale = await rig.web.client.post("/ops/commands/new", data=form | {"confirm_count": "2"})
    assert (stale.status_code, 'data-count="3"' in stale.text) == (409, True)
    given = await rig.web.client.post("/ops/commands/new", data=form | {"confirm_count": "3"})
    assert given.status_code == 303, given.text
    batch = await read(rig.web, given.headers["location"])
    assert batch.text.count('data-testid="command-row"') == 3
    again = await rig.web.client.post("/ops/commands/new", data=form | {"confirm_count": "3"})
    assert again.headers["location"] == given.headers["location"]
    empty = await rig.web.client.post("/ops/commands/new", data=form | {"profile": "no-such"})
    assert (empty.status_code, 'data-code="empty_selection"' in empty.text) == (422, True)
    everything = await rig.web.client.post("/ops/commands/new", data=form | {"profile": ""})
    assert 'data-testid="everything"' in everything.text
    assert 'data-reason="unknown_device"' not in everything.text, "nobody named any"
    assert (await read(rig.web, "/ops/commands/new?name=no-such")).status_code == 404


async def test_what_was_cut_short_is_completed_from_its_page(rig: CommandRig) -> None:
    await add_batch(rig.web, "cut", selection={"profiles": ["meter"]}, issued_at=None, addressed=[ALPHA_METER, BETA_METER])
    await log_in(rig.web, "otto@example.org")
    assert 'data-testid="complete-batch"' in (await read(rig.web, "/ops/commands/cut")).text
    assert (await rig.web.client.post("/ops/commands/cut/complete")).status_code == 303
    page = (await read(rig.web, "/ops/commands/cut")).text
    assert "cut-short" not in page
    assert page.count('data-testid="command-row"') == 2


async def test_a_device_that_is_retired_is_still_looked_at(told_of: CommandRig) -> None:
    await told_of.web.execute("UPDATE registry.device SET retired_at = now() WHERE id = $1", ALPHA_METER)
    await log_in(told_of.web, "otto@example.org")
    for path in (f"/devices/{ALPHA_METER}", LOG):
        page = await read(told_of.web, path)
        assert (page.status_code, "command-catalog" in page.text) == (200, False)
        assert 'data-testid="command-row"' in page.text


async def test_nothing_yet_says_what_next(rig: CommandRig) -> None:
    await log_in(rig.web, "otto@example.org")
    for path in (LOG, "/ops/commands"):
        assert 'data-testid="no-commands"' in (await read(rig.web, path)).text
    assert 'data-testid="no-commands"' in (await read(rig.web, "/ops/commands?show=failed")).text
