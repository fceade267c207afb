"""Commands through the API, with a real shard and a meter that answers over the real broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fleet.limits import COMMAND_EXPIRES_MAX_S, COMMAND_EXPIRES_MIN_S, COMMAND_WAIT_S_MAX, IDEMPOTENCY_KEY_CHARS_MAX
from fleet.order_messages import Command
from tests.command_rig import CommandRig, command_rig
from tests.fleet_rig import Device, until
from tests.orders_rig import answer, come, commands_told, told, until_letter
from tests.servers import Broker, Database, Pki
from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, listen
from web import command_waiting

SOON_S = COMMAND_WAIT_S_MAX - 5.0  # whoever is not woken comes later


@pytest.fixture
async def rig(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[CommandRig]:
    async with command_rig(database, broker, tmp_path) as running:
        yield running


@pytest.fixture
async def meter(rig: CommandRig, broker: Broker, pki: Pki) -> AsyncIterator[Device]:
    async with Device(broker, pki, ALPHA, ALPHA_METER) as device:
        await come(rig.shard, device)
        yield device


async def until_somebody_waits(rig: CommandRig, people: int = 1) -> None:
    async def is_so() -> bool:
        return len(rig.web.services.waits) == people

    await until(is_so)


async def until_told(device: Device, command_id: str) -> None:
    async def is_so() -> bool:
        return command_id in commands_told(device)

    await until(is_so)


def heard_by(device: Device) -> list[str]:
    """Each once: what is not answered in time is said again."""
    return list(dict.fromkeys(commands_told(device)))


async def test_a_command_goes_out_and_its_result_comes_back(rig: CommandRig, meter: Device) -> None:
    given = await rig.give("resend", args={"from_seq": 7}, expires_in_s=600)
    assert given.status_code == 202, given.text
    row = given.json()
    assert given.headers["location"] == f"/api/v1/commands/{row['id']}"
    assert (row["state"], row["args"], row["giver"], row["device"]) == ("sent", {"from_seq": 7}, "Otto", ALPHA_METER)
    assert row["expires_at"] - row["created_at"] <= 600_000
    heard = await told(meter, "down/command", Command)
    assert (heard.id, heard.name, heard.args, heard.expires_at) == (row["id"], "resend", {"from_seq": 7}, row["expires_at"])
    assert (await rig.command(row["id"]))["accepted_at"] is None, "nobody but the device says that it has it"
    await answer(meter, row["id"], "accepted")
    assert (await rig.until_state(row["id"], "accepted"))["accepted_at"] >= row["sent_at"]
    await answer(meter, row["id"], "succeeded", {"messages": 12})
    ended = await rig.until_state(row["id"], "succeeded")
    assert (ended["detail"], ended["late"]) == ({"messages": 12}, None)
    assert ended["ended_at"] >= ended["accepted_at"]
    (entry,) = await rig.audited("command.give")
    assert (entry["subject"], entry["person_id"], entry["detail"]["args"]) == (row["id"], "otto", {"from_seq": 7})


async def test_whoever_prefers_to_wait_is_answered_with_the_end(rig: CommandRig, meter: Device) -> None:
    """RFC 7240: one request, and the device's own word in its answer."""
    asked = asyncio.create_task(rig.give("resend", prefer="respond-async, wait=30"))
    heard = await told(meter, "down/command", Command)
    await until_somebody_waits(rig)
    await answer(meter, heard.id, "accepted")
    await rig.until_state(heard.id, "accepted")
    assert not asked.done()
    await answer(meter, heard.id, "succeeded", 5)
    ended = await asked
    assert (ended.status_code, ended.json()["state"], ended.json()["detail"]) == (200, "succeeded", 5)
    assert ended.headers["preference-applied"] == "wait=30"
    nonsense = await rig.give("resend", prefer="wait=soon")
    assert (nonsense.status_code, nonsense.json()["state"]) == (202, "sent")


async def test_the_same_key_is_the_same_command(rig: CommandRig, meter: Device) -> None:
    first, again = await asyncio.gather(*(rig.give("resend", args={"from_seq": 1}, key="once") for _ in range(2)))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"]
    assert len(await rig.audited("command.give")) == 1
    other = await rig.give("resend", args={"from_seq": 2}, key="once")
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")
    somebody_else = await rig.given("resend", args={"from_seq": 2}, key="once", who="ada")
    assert somebody_else["id"] != first.json()["id"], "a key is its person's own"
    for key in ("x" * (IDEMPOTENCY_KEY_CHARS_MAX + 1), "two words"):
        assert (await rig.give("blink", key=key)).status_code == 422
    await told(meter, "down/command", Command)
    await answer(meter, first.json()["id"], "succeeded")
    await rig.until_state(somebody_else["id"], "sent")
    await until_told(meter, somebody_else["id"])
    assert heard_by(meter) == [first.json()["id"], somebody_else["id"]]


@pytest.mark.parametrize(
    ("who", "name", "status", "code"),
    [
        ("bob", "blink", 404, "unknown_device"),
        ("alice", "blink", 403, "not_allowed"),
        ("emma", "blink", 403, "not_allowed"),
        ("ines", "restart", 403, "not_allowed"),
        ("ines", "blink", 202, None),
        ("otto", "restart", 202, None),
        ("ada", "restart", 202, None),
    ],
)
async def test_who_may_give_what(rig: CommandRig, who: str, name: str, status: int, code: str | None) -> None:
    answered = await rig.give(name, who=who)
    assert (answered.status_code, answered.json().get("code")) == (status, code)
    assert len(await rig.web.execute("SELECT FROM remote.command")) == (status == 202)
    assert len(await rig.audited("command.give")) == (status == 202)


async def test_whoever_sees_the_device_sees_its_commands(rig: CommandRig) -> None:
    row = await rig.given("restart")
    for who, giver in (("alice", None), ("ines", None), ("ada", "Otto")):
        listed = (await rig.call("GET", f"/devices/{ALPHA_METER}/commands", who=who)).json()["items"]
        assert [(each["id"], each["giver"]) for each in listed] == [(row["id"], giver)]
        assert (await rig.command(row["id"], who))["state"] == "queued"
    for path in (f"/devices/{ALPHA_METER}/commands", f"/commands/{row['id']}", f"/commands/{row['id']}/events"):
        assert (await rig.call("GET", path, who="bob")).status_code == 404
    assert (await rig.call("GET", "/commands", who="ines")).status_code == 404
    assert [each["id"] for each in (await rig.call("GET", "/commands")).json()["items"]] == [row["id"]]


async def test_what_a_device_can_be_asked_to_do(rig: CommandRig) -> None:
    catalog = (await rig.call("GET", f"/devices/{ALPHA_METER}/command-catalog", who="ines")).json()
    offered = {entry["command"]["name"]: entry for entry in catalog["commands"]}
    assert {name for name, entry in offered.items() if entry["may_give"]} == {"blink", "read_info"}
    assert offered["resend"]["command"]["args"][0]["key"] == "from_seq"
    assert (catalog["refused"], catalog["expires_max_s"]) == (None, COMMAND_EXPIRES_MAX_S)
    shown = (await rig.call("GET", f"/devices/{ALPHA_METER}/command-catalog", who="alice")).json()
    assert not any(entry["may_give"] for entry in shown["commands"])


async def test_what_is_wrong_with_a_command_is_said(rig: CommandRig) -> None:
    unknown = await rig.give("explode")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_command")
    bad: dict[str, Any] = {"from_seq": -1, "lines": 3}
    for language in ("fr", "en"):
        refused = await rig.call(
            "POST",
            f"/devices/{ALPHA_METER}/commands",
            headers={"Accept-Language": language},
            json={"name": "resend", "args": bad},
        )
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_args")
        assert {each["field"] for each in refused.json()["errors"]} == {"from_seq", "lines"}
    large = await rig.give("resend", args={"from_seq": 1, "text": "x" * 5_000})
    assert (large.status_code, large.json()["code"]) == (422, "bad_args")
    for seconds in (COMMAND_EXPIRES_MIN_S - 1, COMMAND_EXPIRES_MAX_S + 1, "soon"):
        refused = await rig.give("blink", expires_in_s=seconds)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert await rig.web.execute("SELECT FROM remote.command") == []


async def test_a_device_that_hears_nothing_is_told_nothing(rig: CommandRig) -> None:
    await rig.add_devices("meter", "met-behind", gateway="box-alpha")
    await rig.add_devices("meter", "met-revoked", revoked=True)
    for device, status, code in (("met-behind", 422, "behind_gateway"), ("met-revoked", 409, "device_revoked")):
        refused = await rig.give("blink", device=device)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert (await rig.call("GET", f"/devices/{device}/command-catalog")).json()["refused"] == code
    assert "box-alpha" in (await rig.give("blink", device="met-behind")).text
    await rig.web.execute("UPDATE registry.device SET retired_at = now() WHERE id = 'met-revoked'")
    for path in ("commands", "command-catalog"):
        gone = await rig.call(
            "POST" if path == "commands" else "GET", f"/devices/met-revoked/{path}", json={"name": "blink"}
        )
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_device")


async def test_only_what_waits_is_cancelled(rig: CommandRig, broker: Broker, pki: Pki) -> None:
    blink, restart = await rig.given("blink"), await rig.given("restart")
    for who, row in (("alice", blink), ("ines", restart)):
        refused = await rig.call("POST", f"/commands/{row['id']}/cancel", who=who)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    done = await rig.call("POST", f"/commands/{blink['id']}/cancel", who="ines")
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")
    again = await rig.call("POST", f"/commands/{blink['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_move")
    async with Device(broker, pki, ALPHA, ALPHA_METER) as meter:
        await come(rig.shard, meter)
        await rig.until_state(restart["id"], "sent")
        late = await rig.call("POST", f"/commands/{restart['id']}/cancel")
        assert (late.status_code, late.json()["code"]) == (409, "illegal_move")
        await told(meter, "down/command", Command)
        assert heard_by(meter) == [restart["id"]]
    assert [entry["subject"] for entry in await rig.audited("command.cancel")] == [blink["id"]]


async def test_cancelled_or_sent_but_never_both(rig: CommandRig, broker: Broker, pki: Pki) -> None:
    rows = [await rig.given("blink") for _ in range(5)]
    async with Device(broker, pki, ALPHA, ALPHA_METER) as meter:
        _, *answers = await asyncio.gather(
            come(rig.shard, meter), *(rig.call("POST", f"/commands/{row['id']}/cancel") for row in rows)
        )
        gone = {row["id"] for row, answered in zip(rows, answers, strict=True) if answered.status_code == 200}
        left = [row["id"] for row in rows if row["id"] not in gone]
        for command_id in left:
            await rig.until_state(command_id, "sent")
            await until_told(meter, command_id)  # the broker hands it on when it likes
            await answer(meter, command_id, "succeeded")
            await rig.until_state(command_id, "succeeded")
        assert set(commands_told(meter)) == set(left)
    for command_id in gone:
        assert (await rig.command(command_id))["state"] == "cancelled"


async def test_answers_that_are_not_the_devices_or_come_again(
    rig: CommandRig, meter: Device, database: Database, broker: Broker, pki: Pki
) -> None:
    row = await rig.given("blink")
    async with Device(broker, pki, BETA, BETA_METER) as other:
        await answer(other, row["id"], "succeeded", "mine now")
        await until_letter(database, "unknown_command_id")
    assert (await rig.command(row["id"]))["state"] == "sent"
    for _ in range(2):
        await answer(meter, row["id"], "succeeded", {"n": 1})
    await answer(meter, row["id"], "failed", {"n": 2})
    following = await rig.given("blink")
    await answer(meter, following["id"], "succeeded")
    await rig.until_state(following["id"], "succeeded")
    ended = await rig.command(row["id"])
    assert (ended["state"], ended["detail"], ended["late"]) == ("succeeded", {"n": 1}, None)


async def test_an_answer_to_what_was_given_up_is_kept_as_late(rig: CommandRig, broker: Broker, pki: Pki) -> None:
    row = await rig.given("blink", expires_in_s=COMMAND_EXPIRES_MIN_S)
    expired = await rig.until_state(row["id"], "expired")
    assert expired["sent_at"] is None
    async with Device(broker, pki, ALPHA, ALPHA_METER) as meter:
        await come(rig.shard, meter)
        await answer(meter, row["id"], "succeeded", "blinked")

        async def has_answered() -> dict[str, Any] | None:
            found = await rig.command(row["id"])
            return found if found["late"] is not None else None

        late = await until(has_answered)
        assert (late["state"], late["late"]["status"], late["late"]["detail"]) == ("expired", "succeeded", "blinked")
        assert commands_told(meter) == []


async def test_whoever_waits_hears_at_once(rig: CommandRig, meter: Device) -> None:
    row = await rig.given("blink")
    waiting = asyncio.create_task(rig.call("GET", f"/commands/{row['id']}", params={"wait_s": COMMAND_WAIT_S_MAX}))
    await until_somebody_waits(rig)
    async with asyncio.timeout(SOON_S):
        await answer(meter, row["id"], "accepted")
        assert (await waiting).json()["state"] == "accepted"
    assert rig.web.services.waits.total() == 0
    await answer(meter, row["id"], "failed", "no light")
    await rig.until_state(row["id"], "failed")
    async with asyncio.timeout(SOON_S):
        ended = await rig.call("GET", f"/commands/{row['id']}", params={"wait_s": COMMAND_WAIT_S_MAX})
    assert ended.json()["detail"] == "no light"
    for seconds in (-1, COMMAND_WAIT_S_MAX + 1):
        assert (await rig.call("GET", f"/commands/{row['id']}", params={"wait_s": seconds})).status_code == 422


async def test_nobody_takes_all_places_to_wait(rig: CommandRig, meter: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_waiting, "COMMAND_WAITS_PER_PERSON_MAX", 1)
    path, patiently = f"/commands/{(await rig.given('blink'))['id']}", {"wait_s": COMMAND_WAIT_S_MAX}
    waiting = [asyncio.create_task(rig.call("GET", path, params=patiently))]
    await until_somebody_waits(rig)
    async with asyncio.timeout(SOON_S):
        assert (await rig.call("GET", path, params=patiently)).json()["state"] == "sent"
    waiting.append(asyncio.create_task(rig.call("GET", path, who="alice", params=patiently)))
    await until_somebody_waits(rig, 2)
    rig.web.services.closing.set()
    async with asyncio.timeout(SOON_S):
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_server_that_stops_lets_nobody_wait(rig: CommandRig, meter: Device) -> None:
    row = await rig.given("blink")
    waiting = asyncio.create_task(rig.call("GET", f"/commands/{row['id']}", params={"wait_s": COMMAND_WAIT_S_MAX}))
    await until_somebody_waits(rig)
    async with asyncio.timeout(SOON_S):
        rig.web.services.closing.set()
        assert (await waiting).json()["state"] == "sent"


async def test_a_stream_tells_each_step_and_ends_with_the_command(rig: CommandRig, meter: Device) -> None:
    row = await rig.given("blink")
    headers = await rig.web.token("alice@example.org")
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    stream = asyncio.create_task(listen(rig.web, f"/api/v1/commands/{row['id']}/events", headers, events))
    async with asyncio.timeout(60):
        assert (await events.get())["state"] == "sent"
        await answer(meter, row["id"], "accepted")
        assert (await events.get())["state"] == "accepted"
        await answer(meter, row["id"], "succeeded", {"n": 3})
        assert (await events.get())["detail"] == {"n": 3}
        await stream
        await listen(rig.web, f"/api/v1/commands/{row['id']}/events", headers, events)  # of one that has ended: just that
    assert events.get_nowait()["state"] == "succeeded"
    assert events.empty()


async def test_lists_are_narrowed_and_paged(rig: CommandRig) -> None:
    ids = [(await rig.given("blink"))["id"] for _ in range(5)]
    await rig.call("POST", f"/commands/{ids[2]}/cancel")
    for path in ("/commands", f"/devices/{ALPHA_METER}/commands"):
        seen, cursor = [], None
        while True:
            page = (await rig.call("GET", path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
            seen += [each["id"] for each in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ids[::-1]
        only = (await rig.call("GET", path, params={"state": "cancelled"})).json()["items"]
        assert [each["id"] for each in only] == [ids[2]]
        assert (await rig.call("GET", path, params={"cursor": "nonsense!"})).status_code == 422
        assert (await rig.call("GET", path, params={"state": "lost"})).status_code == 422
