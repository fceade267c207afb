"""One reading followed from MQTT to its row, in one trace; and what becomes of readings when nobody takes the traces."""

import socket
import subprocess
import sys
import time
from itertools import pairwise

import msgspec
import pytest

from actors.batch import Entry
from actors.following import ACK, Followed, Following
from actors.manual_ack import Received
from fleet.errors import BadInput
from fleet.ids import SiteId
from fleet.placement import slot_of
from fleet.runtime.follow import tracing_of
from fleet.runtime.tracing import Tracing
from fleet.settings import TracingSettings, TwinsSettings
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database, Pki
from tests.trace_collector import Collector, Told, collector

SITES = [("s-one", {"m-one": "meter"})]
WAY = ["receive", "decode", "twin", "transaction", "platform ack"]


def followed(database: Database, broker: Broker, tracing: TracingSettings) -> TwinsSettings:
    return msgspec.structs.replace(twins_settings(database.sp_twins, broker.sp_twins), tracing=tracing)


async def test_a_reading_is_one_trace_from_mqtt_to_its_row(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    t = time.time_ns() // 1_000_000
    with collector() as told:
        async with (
            running_shard(followed(database, broker, told.settings())),
            Device(broker, pki, "s-one", "m-one") as device,
        ):
            await device.say(7, (t, {"grid_power_w": -250.0}), oldest=7)
            await device.acked_up_to(7)
            reading = await until(lambda: seen(told, "reading", "solarperform.seq", 7))
            spans = {span.name: span for span in told.spans if span.trace == reading.trace}
        rows = await fetch(database, "SELECT device_id, readings[1] AS power, received_at FROM telemetry.sample")
    assert [(row["device_id"], row["power"]) for row in rows] == [("m-one", -250.0)]
    assert set(spans) == {"reading", *WAY, "live feed"}
    assert all(spans[name].parent == reading.id for name in (*WAY, "live feed"))
    for earlier, later in pairwise(WAY):
        assert spans[earlier].ended_ns <= spans[later].began_ns, (earlier, later)
    assert spans["twin"].ended_ns <= spans["live feed"].ended_ns <= reading.ended_ns
    attributes = {key.removeprefix("solarperform."): value for key, value in reading.attributes.items()}
    who = {"site": "s-one", "device": "m-one", "slot": slot_of(SiteId("s-one")), "seq": 7}
    assert attributes.items() >= {**who, "rows": 1, "outcome": "told"}.items()
    (batch,) = [span for span in told.spans if span.name == "batch" and reading.id in span.links]
    assert batch.trace != reading.trace
    assert spans["transaction"].links == [batch.id]


async def test_refused_readings_say_so(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    with collector() as told:
        async with (
            running_shard(followed(database, broker, told.settings())),
            Device(broker, pki, "s-one", "m-one") as device,
        ):
            await device.raw(
                "up/telemetry", b'{"seq":1,"oldest":1,"stream":"s1","samples":[{"t":1,"v":{"grid_power_w":1}}]}'
            )
            refused = await until(lambda: seen(told, "reading", "solarperform.refused", "too_old"))
    assert refused.attributes["solarperform.rows"] == 0


async def test_a_collector_that_is_away_costs_spans_only(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    with socket.socket() as nobody:  # bound and not listening: connections are refused, and nobody else gets the port
        nobody.bind(("127.0.0.1", 0))
        away = Collector(nobody.getsockname()[1]).settings()
        async with running_shard(followed(database, broker, away)) as shard, Device(broker, pki, "s-one", "m-one") as device:
            t = time.time_ns() // 1_000_000
            for seq in range(1, 101):
                await device.say(seq, (t + seq, {"grid_power_w": float(seq)}))
            await device.acked_up_to(100)

            async def counted() -> bool:
                return (await shard.stats()).trace_failures > 0

            await until(counted)
    assert len(await fetch(database, "SELECT 1 FROM telemetry.sample")) == 100


def test_who_was_given_up_while_others_were_told_does_not_hold_these_up() -> None:
    with collector() as told:
        tracing = Tracing(told.settings(), "shard", "0", chooses=True)
        following = Following(tracing)
        due = [begun(following, number) for number in range(64)]  # as many as there may be at once
        for each in due:
            each.waits.discard("transaction")
        due[0].began_s -= 61  # its ack takes a minute, and other messages come
        after = begun(following, 64)
        following.told(due, ACK, 1, 2)
        assert following.waiting(ACK) == [after]
        following.told([after], ACK, 1, 2)
        following.told([after], "transaction", 1, 2)
        assert tracing._provider.force_flush()
        tracing._provider.shutdown()
    outcomes = [span.attributes["solarperform.outcome"] for span in told.spans if span.name == "reading"]
    assert sorted(outcomes) == [f"no {ACK}"] + ["told"] * 64


def begun(following: Following, number: int) -> Followed:
    message = following.begin(Received("sp/v1/s-one/m-one/up/telemetry", b"", number), 1_790_000_000_000)
    assert message is not None
    following.taken(message, Entry("", None, None, [], []), shown=False)
    message.waits.add(ACK)
    return message


async def test_nothing_is_followed_that_was_not_chosen(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    with collector() as told:
        async with (
            running_shard(followed(database, broker, told.settings(sample_ratio=0.0))) as shard,
            Device(broker, pki, "s-one", "m-one") as device,
        ):
            await device.say(1, (time.time_ns() // 1_000_000, {"grid_power_w": 1.0}))
            await device.acked_up_to(1)
            tracing = shard._tracing
            assert tracing is not None
            with tracing.tracer.start_as_current_span("known to arrive"):
                pass
            await until(lambda: seen(told, "known to arrive"))
        assert {span.name for span in told.spans} == {"known to arrive"}


async def test_an_ask_is_followed_into_the_shard(database: Database, broker: Broker) -> None:
    """The way of the web: a request, its ask, and what is sent along with it."""
    await seed_fleet(database, SITES)
    with collector() as told:
        web = Tracing(told.settings(), "web", "0")
        async with running_shard(followed(database, broker, told.settings(sample_ratio=0.0))) as shard:
            with web.request("GET", "request-1"), web.asking("site_live") as traceparent:
                assert traceparent is not None
                live = await shard.answer("site_live", ["s-one"], traceparent)
            assert live.site == "s-one"
            await until(lambda: seen(told, "answer site_live"))
            await until(lambda: seen(told, "GET"))
    trace = told.trace_of("GET")
    assert [span.name for span in trace] == ["answer site_live", "ask site_live", "GET"]
    assert [span.service for span in trace] == ["solarperform-shard", "solarperform-web", "solarperform-web"]
    assert trace[0].parent == trace[1].id
    assert trace[1].parent == trace[2].id


async def seen(told: Collector, name: str, attribute: str | None = None, value: object = None) -> Told | None:
    fits = (span for span in told.spans if span.name == name)
    return next((span for span in fits if attribute is None or span.attributes.get(attribute) == value), None)


def test_without_settings_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, actors.shard, web.app; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_without_the_package_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fleet.runtime.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(BadInput, match="extra `otel`") as refused:
        tracing_of(TracingSettings("http://127.0.0.1:4318/v1/traces"), "shard")
    assert refused.value.code == "tracing_not_installed"
