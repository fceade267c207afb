"""One command for many devices through the API, with a real shard: counted, confirmed, followed, completed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from fleet.limits import COMMANDS_OPEN_PER_DEVICE_MAX, CONFIRM_TARGETS
from tests.command_rig import CommandRig, command_rig
from tests.command_rows import add_batch
from tests.fleet_rig import Device
from tests.orders_rig import answer, come
from tests.servers import Broker, Database, Pki
from tests.web_app import ALPHA, ALPHA_METER, BETA_METER, listen

METERS = {"profiles": ["meter"]}


@pytest.fixture
async def rig(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[CommandRig]:
    async with command_rig(database, broker, tmp_path) as running:
        yield running


async def give(
    rig: CommandRig, target: dict[str, Any], name: str = "blink", key: str | None = None, **more: Any
) -> Response:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return await rig.call("POST", "/commands", headers=headers, json={"target": target, "name": name} | more)


async def issued(rig: CommandRig) -> Counter[str]:
    """Device → its commands."""
    return Counter(row["device_id"] for row in await rig.web.execute("SELECT device_id FROM remote.command"))


async def test_each_of_a_selection_gets_its_own(rig: CommandRig, broker: Broker, pki: Pki) -> None:
    async with Device(broker, pki, ALPHA, ALPHA_METER) as meter:
        await come(rig.shard, meter)
        given = await give(rig, {"devices": [ALPHA_METER, BETA_METER]}, "resend", args={"from_seq": 3}, expires_in_s=600)
        assert given.status_code == 202, given.text
        batch = given.json()
        assert given.headers["location"] == f"/api/v1/command-batches/{batch['id']}"
        assert (batch["devices"], batch["skipped"], batch["giver"]) == (2, {}, "Otto")
        assert {state: count for state, count in batch["counts"].items() if count} == {"sent": 1, "queued": 1}
        listed = (await rig.call("GET", f"/command-batches/{batch['id']}/commands")).json()["items"]
        assert {each["device"] for each in listed} == {ALPHA_METER, BETA_METER}
        assert all(each["batch"] == batch["id"] and each["args"] == {"from_seq": 3} for each in listed)
        (mine,) = (each["id"] for each in listed if each["device"] == ALPHA_METER)
        await answer(meter, mine, "succeeded")
        await rig.until_state(mine, "succeeded")
    now = (await rig.call("GET", f"/command-batches/{batch['id']}")).json()
    assert (now["counts"]["succeeded"], now["counts"]["queued"]) == (1, 1)
    waiting = await rig.call("GET", f"/command-batches/{batch['id']}/commands", params={"state": "queued"})
    assert [each["device"] for each in waiting.json()["items"]] == [BETA_METER]
    (entry,) = await rig.audited("command.bulk")
    assert (entry["subject"], entry["detail"]["devices"]) == (batch["id"], 2)
    assert (await rig.call("GET", "/command-batches")).json()["items"][0]["id"] == batch["id"]


async def test_a_large_selection_asks_for_its_count(rig: CommandRig) -> None:
    await rig.add_devices("meter", *(f"met-{number:02}" for number in range(CONFIRM_TARGETS)))
    count = CONFIRM_TARGETS + 2
    for more in ({}, {"confirm_count": count - 1}):
        asked = await give(rig, METERS, **more)
        assert (asked.status_code, asked.json()["code"], asked.json()["count"]) == (409, "confirm_needed", count)
        assert str(count) in asked.json()["detail"]
    assert await issued(rig) == {}
    given = await give(rig, METERS, confirm_count=count)
    assert (given.status_code, given.json()["devices"]) == (202, count)
    assert set((await issued(rig)).values()) == {1}


async def test_everything_and_a_wrong_count_ask_too(rig: CommandRig) -> None:
    everything = await give(rig, {})
    assert (everything.status_code, everything.json()["count"]) == (409, 2)
    expected = await give(rig, {"devices": [ALPHA_METER]}, confirm_count=2)
    assert (expected.status_code, expected.json()["count"]) == (409, 1)
    assert (await give(rig, {}, confirm_count=2)).status_code == 202


async def test_who_cannot_be_told_is_counted_by_reason(rig: CommandRig) -> None:
    await rig.add_devices("meter", "met-behind", gateway="box-alpha")
    await rig.add_devices("meter", "met-revoked", revoked=True)
    devices = [ALPHA_METER, "met-behind", "met-revoked", "box-alpha", "no-such"]
    batch = (await give(rig, {"devices": devices})).json()
    assert batch["devices"] == 1
    assert batch["skipped"] == {"behind_gateway": 1, "device_revoked": 1, "unknown_command": 1, "unknown_device": 1}
    assert await issued(rig) == {ALPHA_METER: 1}


async def test_a_selection_without_anybody_is_refused(rig: CommandRig) -> None:
    for target in ({"tags_all": ["roof"]}, {"devices": ["box-alpha"]}, {"devices": ["no-such"]}):
        refused = await give(rig, target)
        assert (refused.status_code, refused.json()["code"]) == (422, "empty_selection")
    refused = await give(rig, METERS, "resend", args={"from_seq": -1})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_args")
    for target, code in (({"group": "abc", "kinds": ["meter"]}, "bad_query"), ({"health": ["odd"]}, "invalid_request")):
        assert (await give(rig, target)).json()["code"] == code
    assert (await give(rig, {"group": "abc"})).json()["code"] == "unknown_group"
    assert await rig.web.execute("SELECT FROM remote.command_batch") == []


async def test_a_group_is_a_selection(rig: CommandRig) -> None:
    made = await rig.call("POST", "/groups/", json={"name": "Meters", "query": METERS})
    group = made.json()["group"]["id"]
    batch = (await give(rig, {"group": group})).json()
    assert (batch["devices"], batch["selection"]) == (2, {"group": group})


async def test_the_same_key_is_the_same_command_for_all(rig: CommandRig) -> None:
    first, again = await asyncio.gather(*(give(rig, METERS, key="once") for _ in range(2)))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"]
    await rig.add_devices("meter", "met-late")
    assert (await give(rig, METERS, key="once")).headers["location"] == first.headers["location"]
    assert await issued(rig) == {ALPHA_METER: 1, BETA_METER: 1}
    assert len(await rig.audited("command.bulk")) == 1
    for target, name in ((METERS, "restart"), ({"devices": [ALPHA_METER]}, "blink")):
        refused = await give(rig, target, name, key="once")
        assert (refused.status_code, refused.json()["code"]) == (409, "key_reused")


async def test_what_was_cut_short_is_completed_and_nobody_gets_two(rig: CommandRig) -> None:
    """As after a crash when all had theirs already, but nobody had noted it."""
    batch = (await give(rig, METERS)).json()["id"]
    await rig.web.execute("UPDATE remote.command_batch SET issued_at = NULL WHERE id = $1", batch)
    done = await rig.call("POST", f"/command-batches/{batch}/complete")
    assert (done.status_code, done.json()["devices"], done.json()["issued_at"] is None) == (200, 2, False)
    assert await issued(rig) == {ALPHA_METER: 1, BETA_METER: 1}
    await add_batch(rig.web, "old", issued_at=None, expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    refused = await rig.call("POST", "/command-batches/old/complete")
    assert (refused.status_code, refused.json()["code"]) == (409, "batch_expired")


@pytest.mark.parametrize("by_key", [False, True])
async def test_what_was_cut_short_is_completed_for_those_it_was_confirmed_for(rig: CommandRig, by_key: bool) -> None:
    """As after a crash before any had theirs. Many have come to match since; one that was meant has been shut out."""
    await rig.add_devices("meter", "met-shut")
    meant = [ALPHA_METER, BETA_METER, "met-shut"]
    cut: dict[str, Any] = {"selection": METERS, "idempotency_key": "once", "issued_at": None, "devices": 3}
    await add_batch(rig.web, "cut", addressed=meant, skipped={"behind_gateway": 1}, **cut)
    await rig.add_devices("meter", *(f"met-{number:02}" for number in range(CONFIRM_TARGETS)))
    await rig.web.execute("UPDATE registry.device SET revoked_at = now() WHERE id = 'met-shut'")
    done = await (give(rig, METERS, key="once") if by_key else rig.call("POST", "/command-batches/cut/complete"))
    assert done.is_success, done.text
    assert (done.json()["id"], done.json()["devices"], done.json()["issued_at"] is None) == ("cut", 2, False)
    assert done.json()["skipped"] == {"behind_gateway": 1, "device_revoked": 1}
    assert await issued(rig) == {ALPHA_METER: 1, BETA_METER: 1}


async def test_of_one_begun_by_an_older_release_nobody_knows_whom_it_was_confirmed_for(rig: CommandRig) -> None:
    await add_batch(rig.web, "cut", selection=METERS, issued_at=None)
    refused = await rig.call("POST", "/command-batches/cut/complete")
    assert (refused.status_code, refused.json()["code"]) == (409, "batch_unlisted")
    assert await issued(rig) == {}


async def test_its_counts_are_followed(rig: CommandRig) -> None:
    batch = (await give(rig, METERS)).json()["id"]
    headers = await rig.web.token("otto@example.org")
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    stream = asyncio.create_task(listen(rig.web, f"/api/v1/command-batches/{batch}/events", headers, events))
    async with asyncio.timeout(60):
        assert (await events.get())["counts"]["queued"] == 2
        (first, *_) = (await rig.call("GET", f"/command-batches/{batch}/commands")).json()["items"]
        await rig.call("POST", f"/commands/{first['id']}/cancel")
        assert (await events.get())["counts"]["cancelled"] == 1
    stream.cancel()
    for who in ("alice", "ines"):
        assert (await rig.call("GET", f"/command-batches/{batch}", who=who)).status_code == 404
        refused = await rig.call("POST", "/commands", who=who, json={"target": {}, "name": "blink"})
        assert refused.status_code == 404


async def test_of_one_that_is_refused_by_its_shard_the_reason_is_counted(rig: CommandRig) -> None:
    for _ in range(COMMANDS_OPEN_PER_DEVICE_MAX):
        await rig.given("blink")
    batch = (await give(rig, METERS)).json()
    assert (batch["devices"], batch["skipped"]) == (1, {"too_many_open_commands": 1})
