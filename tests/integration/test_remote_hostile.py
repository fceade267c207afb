"""Garbage about orders, from devices and from people: each case is coded, can be seen, and the next command is done."""

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.routes import HTTPRoute

import fleet.device
from actors.shard import TwinShard
from fleet.order_messages import Command
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.integration.test_web_access import filled
from tests.orders_rig import (
    GATEWAY,
    SITE,
    answer,
    come,
    command,
    commands_told,
    now_ms,
    told,
    until_letter,
    until_state,
)
from tests.portal import Portal
from tests.servers import Broker, Database, Pki
from tests.web_app import ALPHA_METER, PASSWORD, Web, seed

json, pack = msgspec.json.encode, msgspec.msgpack.encode
DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.fixture
async def shard(database: Database, broker: Broker) -> AsyncIterator[TwinShard]:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as running:
        yield running


@pytest.fixture
async def device(shard: TwinShard, broker: Broker, pki: Pki) -> AsyncIterator[Device]:
    async with Device(broker, pki, SITE, GATEWAY) as connected:
        await come(shard, connected)
        yield connected


@pytest.mark.parametrize(
    ("channel", "payload", "code"),
    [
        ("up/result", b"", "malformed"),
        ("up/result", b"\x00", "malformed"),
        ("up/result", b"{" * 20_000, "malformed"),
        ("up/result", b'{"id":"c1","status":"succeeded","detail":' + DEEP + b"}", "malformed"),
        ("up/result", b'{"id":"c1","status":"succeeded","detail":NaN}', "malformed"),
        ("up/result", json({"id": "c1", "status": "succeeded", "detail": "x" * 66_000}), "too_large"),
        ("up/result", json({"id": 1, "status": "succeeded"}), "malformed"),
        ("up/result", json({"id": "c1", "status": "sent"}), "malformed"),
        ("up/result", json({"id": "c1\x00", "status": "succeeded"}), "malformed"),
        ("up/result", pack({"id": "\x00" * 300, "status": "accepted"}), "malformed"),
        ("up/result", json({"id": "x" * 60_000, "status": "succeeded"}), "unknown_command_id"),
        ("up/result", json({"id": "", "status": "failed"}), "unknown_command_id"),
        ("up/result", pack({"id": b"c1", "status": "succeeded"}), "malformed"),
        ("up/config", b"null", "malformed"),
        ("up/config", DEEP, "malformed"),
        ("up/config", b'{"version":0,"values":{"report_interval_s":NaN}}', "malformed"),
        ("up/config", pack({"version": 0, "values": {"report_interval_s": float("nan")}}), "bad_report"),
        ("up/config", pack({"version": 0, "values": {"report_interval_s": float("inf")}}), "bad_report"),
        ("up/config", json({"version": 0, "values": {"a\x00b": 1.0}}), "malformed"),
        ("up/config", json({"version": 0, "values": {"a": {"b": 1}}}), "malformed"),
        ("up/config", json({"version": 0, "values": {str(number): 1.0 for number in range(101)}}), "bad_report"),
        ("up/config", json({"version": -1, "values": {}}), "bad_version"),
        ("up/config", b'{"version":%d,"values":{}}' % 10**400, "bad_version"),
        ("up/config", b'{"version":%d,"values":{}}' % 10**22, "bad_version"),
        ("up/config", json({"version": 0, "values": {}, "rejected": {"version": 2**40, "errors": {}}}), "bad_version"),
    ],
)
async def test_garbage_is_a_letter_and_the_next_command_is_done(
    shard: TwinShard, device: Device, database: Database, channel: str, payload: bytes, code: str
) -> None:
    await shard.issue_commands([command("c1"), command("c2")])
    await told(device, "down/command", Command)
    await device.raw(channel, payload)
    letter = await until_letter(database, code)
    assert (letter["device_id"], letter["topic"].endswith(channel), letter["size_bytes"]) == (GATEWAY, True, len(payload))
    for command_id in ("c1", "c2"):

        async def is_told(wanted: str = command_id) -> bool:
            return commands_told(device)[-1:] == [wanted]

        await until(is_told)  # the one before may have been told twice: an answer that is late is asked for again
        await answer(device, command_id, "succeeded")
        await until_state(database, command_id, "succeeded")
    assert await fetch(database, "SELECT FROM remote.config") == []


async def test_a_backlog_keeps_no_answer_out(
    shard: TwinShard, device: Device, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has acked it, and a device does not send again what was acked."""
    await shard.issue_commands([command("c1")])
    await told(device, "down/command", Command)
    await answer(device, "c1", "accepted")
    await until_state(database, "c1", "accepted")
    monkeypatch.setattr(fleet.device, "DEVICE_MESSAGES_PER_S", 0.0)
    while shard._catalog.sites[SITE].devices[GATEWAY].admit(now_ms()):
        pass
    await answer(device, "c1", "succeeded")
    await until_state(database, "c1", "succeeded")


TO_METER = f"/devices/{ALPHA_METER}/commands"


def cursor(text: str) -> dict[str, str]:
    return {"cursor": base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("POST", TO_METER, {"content": b'{"name":"blink","args":' + DEEP + b"}"}, 400, "malformed_request"),
        ("POST", TO_METER, {"content": b'{"name":"blink","args":{"n":NaN}}'}, 400, "malformed_request"),
        ("POST", TO_METER, {"json": {"name": "a\x00b"}}, 422, "unknown_command"),
        ("POST", TO_METER, {"json": {"name": "blink", "expires_in_s": 1e300}}, 422, "invalid_request"),
        ("POST", "/commands", {"json": {"name": "blink", "target": {"devices": ["a\x00b"]}}}, 422, "bad_id"),
        ("POST", "/commands", {"json": {"name": "blink", "target": {"models": ["a\x00b"]}}}, 422, "bad_query"),
        ("POST", "/commands", {"json": {"name": "blink", "target": {"silent_for_s": 1e308}}}, 422, "bad_query"),
        ("GET", "/configs", {"params": cursor('[999999999999999,"x"]')}, 422, "bad_cursor"),
        ("GET", "/configs", {"params": cursor('[1,"\\u0000"]')}, 422, "bad_cursor"),
        ("GET", "/commands", {"params": cursor('"\\u0000"')}, 422, "bad_cursor"),
        ("GET", f"/devices/{ALPHA_METER}/config/history", {"params": cursor("[9007199254740992]")}, 422, "bad_cursor"),
        ("GET", f"/devices/{ALPHA_METER}/receipts", {"params": cursor("[1,99999,1]")}, 422, "bad_cursor"),
        ("GET", "/commands/%00", {}, 404, "unknown_command_id"),
        ("GET", "/command-batches/%00", {}, 404, "unknown_batch"),
        ("GET", "/rollouts/%00", {}, 404, "unknown_rollout"),
        ("GET", "/groups/%00", {}, 404, "unknown_group"),
    ],
)  # fmt: skip
async def test_what_a_person_sends_is_refused_with_a_code(
    web: Web, method: str, path: str, sent: dict[str, Any], status: int, code: str
) -> None:
    headers = await web.token("otto@example.org") | {"Content-Type": "application/json"}
    answer = await web.client.request(method, f"/api/v1{path}", headers=headers, **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


_PAGES = re.compile(r"/(ops|devices/{device(:str)?}|commands|rollouts|groups)(/|$)")


async def test_no_form_of_these_pages_is_sent_by_another_site(database: Database, tmp_path: Path) -> None:
    """With the browser's cookies, whoever is signed in there."""
    await seed(database.owner)
    async with Portal(database, tmp_path) as portal:
        await forms_are_refused(portal)


async def forms_are_refused(portal: Web) -> None:
    login = {"email": "otto@example.org", "password": PASSWORD, "cookies": True}
    assert (await portal.client.post("/api/v1/auth/login", json=login)).status_code == 200
    forms = {
        route.path_format
        for route in portal.app.routes
        if isinstance(route, HTTPRoute) and "POST" in route.methods and _PAGES.match(route.path_format)
    }
    assert {"/devices/{device}/commands", "/ops/commands/new"} <= forms
    for path in sorted(forms):
        answer = await portal.client.post(filled(path), data={"a": "b"}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403, path
