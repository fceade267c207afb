"""Devices that answer garbage about their orders: each case is coded, can be seen, and the next command is done."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.shard import TwinShard
from fleet.remote import Command
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings
from tests.orders_rig import (
    GATEWAY,
    SITE,
    answer,
    come,
    command,
    told,
    until_letter,
    until_state,
)
from tests.servers import Broker, Database, Pki

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
    for number, command_id in enumerate(("c1", "c2"), 1):
        assert (await told(device, "down/command", Command, number)).id == command_id
        await answer(device, command_id, "succeeded")
        await until_state(database, command_id, "succeeded")
    assert await fetch(database, "SELECT FROM remote.config") == []
