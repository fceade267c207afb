"""Event streams over a real server and a real broker, and the process as the launcher starts it."""

import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.local.ports import free_port
from certs.tls import client_context
from fleet import settings as files
from fleet import topics
from fleet.settings import BrokerSettings, WebSettings
from fleet.storage.database import connect, open_pool
from fleet.views import SiteLive
from tests.servers import Broker, Database
from tests.web_app import ALPHA, ALPHA_METER, PASSWORD, TwinsInMemory, make_services, seed, site_live, web_settings
from web.__main__ import make_server
from web.live import LiveFeed
from web.services import Services


class Event(NamedTuple):
    """A comment has no name and no data."""

    name: str | None
    data: str | None
    id: str | None


@pytest.fixture
async def services(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Services]:
    await seed(database.owner)
    pool = await open_pool(database.sp_web, size_max=4)
    settings = msgspec.structs.replace(web_settings(database, tmp_path, broker.sp_web), port=free_port())
    settings = msgspec.structs.replace(settings, public_url=f"http://127.0.0.1:{settings.port}")
    made = make_services(pool, TwinsInMemory({ALPHA: site_live(ALPHA, ALPHA_METER)}), settings)
    made.live = LiveFeed(broker.sp_web, lambda: tls_of(broker.sp_web))
    made.heartbeat_s = 0.2
    made.recheck_s = 0.2
    yield made
    pool.terminate()


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    server = make_server(services)
    task = asyncio.create_task(server.serve())
    try:
        async with httpx.AsyncClient(base_url=services.settings.public_url, timeout=60.0) as client:
            await until_listening(client)
            await until(lambda: services.live.connected and services.door.connected)
            yield client
    finally:
        server.should_exit = True
        services.closing.set()
        await task


async def test_a_site_is_told_at_once_and_on_every_change(services: Services, broker: Broker) -> None:
    async with serving(services) as client:
        headers = await signed_in(client)
        async with client.stream("GET", f"/api/v1/sites/{ALPHA}/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            events = read_events(answer)
            first = await next_named(events, "live")
            assert msgspec.json.decode(first.data or "", type=SiteLive).flow.pv_power_w == 1_500.0
            assert first.id
            async with publishing(broker, site_live(ALPHA, ALPHA_METER, 2_750.0)):
                second = await next_named(events, "live")
            assert msgspec.json.decode(second.data or "", type=SiteLive).flow.pv_power_w == 2_750.0


async def test_an_idle_stream_shows_that_it_lives_and_ends_with_its_session(services: Services, database: Database) -> None:
    async with serving(services) as client:
        headers = await signed_in(client)
        async with client.stream("GET", f"/api/v1/sites/{ALPHA}/events", headers=headers) as answer:
            events = read_events(answer)
            await next_named(events, "live")
            assert (await anext(events)).name is None
            owner = await connect(database.owner)
            await owner.execute("UPDATE accounts.session SET revoked_at = now()")
            await owner.close()
            assert [event.name for event in [event async for event in events] if event.name] == []
        again = await client.get(f"/api/v1/sites/{ALPHA}/events", headers=headers)
        assert again.status_code == 401


async def test_a_stream_works_without_twins(services: Services, broker: Broker) -> None:
    async with serving(services) as client:
        headers = await signed_in(client)
        twins = services.door.twins()
        assert isinstance(twins, TwinsInMemory)
        twins.away = True
        async with client.stream("GET", f"/api/v1/sites/{ALPHA}/events", headers=headers) as answer:
            async with publishing(broker, site_live(ALPHA, ALPHA_METER, 900.0)):
                told = await next_named(read_events(answer), "live")
            assert msgspec.json.decode(told.data or "", type=SiteLive).flow.pv_power_w == 900.0


async def test_operators_watch_the_fleet(services: Services) -> None:
    async with serving(services) as client:
        headers = await signed_in(client, "otto@example.org")
        async with client.stream("GET", "/api/v1/fleet/events", headers=headers) as answer:
            events = read_events(answer)
            for _ in range(2):
                stats = msgspec.json.decode((await next_named(events, "fleet")).data or "")
                assert (stats["devices_online"], stats["twins_connected"]) == (2, True)
                assert stats["shards"][0]["lag_ms"] == 12.5


async def test_a_broker_that_comes_back_finds_the_feed_again(services: Services, broker: Broker) -> None:
    async with serving(services) as client:
        headers = await signed_in(client)
        async with client.stream("GET", f"/api/v1/sites/{ALPHA}/events", headers=headers) as answer:
            events = read_events(answer)
            await next_named(events, "live")
            broker.server.kill()
            await until(lambda: not services.live.connected)
            broker.server.start()
            async with publishing(broker, site_live(ALPHA, ALPHA_METER, 42.0)):
                told = await next_named(events, "live")
            assert msgspec.json.decode(told.data or "", type=SiteLive).flow.pv_power_w == 42.0


@pytest.mark.parametrize("asked", ["__aenter__", "subscribe"])
@pytest.mark.parametrize("then", ["answered", "lost"])
async def test_a_feed_that_is_stopped_just_when_its_broker_answers_or_goes_away_ends(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, asked: str, then: str
) -> None:
    plain = getattr(aiomqtt.Client, asked)
    feed = LiveFeed(broker.sp_web, lambda: tls_of(broker.sp_web))
    stopping: list[asyncio.Task[None]] = []

    async def both_in_one_turn(*given: Any, **more: Any) -> Any:
        """What becomes of a cancellation then, as of Python 3.11."""
        answer = await plain(*given, **more)
        stopping.append(asyncio.create_task(feed.stop()))
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if then == "lost":
            raise aiomqtt.MqttError("the connection was lost")
        return answer

    monkeypatch.setattr(aiomqtt.Client, asked, both_in_one_turn)
    with feed.watch(ALPHA):
        feed.start()
        running = feed._task
        assert running is not None
        assert (await asyncio.wait((running,), timeout=60.0))[0] == {running}
    await stopping[0]


async def test_the_process_listens_before_the_twins_are_there_and_stops_quickly(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    await seed(database.owner)
    settings = web_settings(database, tmp_path, broker.sp_web)
    port = free_port()
    (tmp_path / "ray_token").write_text("of a Ray that is not there")
    settings = msgspec.structs.replace(
        settings,
        port=port,
        public_url=f"http://127.0.0.1:{port}",
        jwt_key_file=written_key(tmp_path / "jwt.pem"),
        ray=msgspec.structs.replace(settings.ray, token_file=tmp_path / "ray_token"),
    )
    files.save(tmp_path / "web.json", settings)
    process = subprocess.Popen([sys.executable, "-m", "web", "--settings", str(tmp_path / "web.json")])  # noqa: ASYNC220 - at once
    try:
        async with httpx.AsyncClient(base_url=settings.public_url, timeout=60.0) as client:
            await until_listening(client)
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.headers["retry-after"]) == (503, "2")
            assert "twins" in ready.json()["missing"]
            headers = await signed_in(client)
            live = await client.get(f"/api/v1/sites/{ALPHA}/live", headers=headers)
            assert (live.status_code, live.json()["code"]) == (503, "twins_away")
            async with client.stream("GET", f"/api/v1/sites/{ALPHA}/events", headers=headers) as answer:
                events = read_events(answer)
                await anext(events)
                process.terminate()
                assert [event async for event in events if event.name] == []
            assert await asyncio.to_thread(process.wait, 60.0) == 0
    finally:
        process.kill()
        process.wait()


def written_key(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_settings_that_are_wrong_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text('{"host": "127.0.0.1"}')
    done = subprocess.run(
        [sys.executable, "-m", "web", "--settings", str(tmp_path / "web.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "bad_settings" in done.stderr
    assert "Traceback" not in done.stderr
    assert WebSettings.__struct_fields__[1] in done.stderr  # the field that is missing


async def signed_in(client: httpx.AsyncClient, email: str = "alice@example.org") -> dict[str, str]:
    answer = await client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def until_listening(client: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            await client.get("/health/live")
            return
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "the server does not listen"
            await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@asynccontextmanager
async def publishing(broker: Broker, live: SiteLive) -> AsyncIterator[None]:
    """A shard's feed says it again and again: nobody has to guess when the subscription stands."""
    over = asyncio.Event()

    async def publish() -> None:
        platform = broker.sp_twins
        client = aiomqtt.Client(
            platform.host, platform.port, identifier="sp-twins", tls_context=tls_of(platform), timeout=60.0
        )
        async with client:
            while not over.is_set():
                await client.publish(topics.live(live.site), msgspec.json.encode(live))
                await asyncio.sleep(0.1)

    publisher = asyncio.create_task(publish())
    try:
        yield
    finally:
        over.set()  # not cancelled: aiomqtt may lose that
        await publisher


async def next_named(events: AsyncIterator[Event], name: str, *, deadline_s: float = 60) -> Event:
    async with asyncio.timeout(deadline_s):
        async for event in events:
            if event.name == name:
                return event
    raise AssertionError(f"the stream ended before a {name} event came")


async def read_events(answer: httpx.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield Event(fields.get("event"), fields.get("data"), fields.get("id"))
            fields = {}


def tls_of(broker: BrokerSettings) -> ssl.SSLContext:
    return client_context(ca_file=broker.ca_file, cert_file=broker.cert_file, key_file=broker.key_file)
