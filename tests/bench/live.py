"""From a device's publish to the browser's event, at a thousand messages a second, with twenty open site pages."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import msgspec

from actors.local.demo import logins
from fleet.limits import LIVE_PERIOD_S
from fleet.views import SiteLive
from tests.bench.figures import Figure, figure, note, percentile
from tests.bench.ingest import CONNECTIONS, SITES, summary
from tests.bench.platform import Platform, platform

_RATE = 1_000.0
_PAGES = 20
_SECONDS = 40.0
_SETTLE_S = 10.0
_INTERVAL_MS = 1000.0 * CONNECTIONS / _RATE


def run() -> Iterator[Figure]:
    with platform(sites=SITES, web=True) as running:
        load = running.load(rate=_RATE, seconds=_SECONDS + 2 * _SETTLE_S, connections=CONNECTIONS)
        time.sleep(_SETTLE_S)
        waits = asyncio.run(watch(running))
        load.wait()
        note(f"  {len(waits)} readings seen; {summary(running.report())}")
    limit_ms = LIVE_PERIOD_S * 1000  # the feed's own period
    yield figure("live", "device publish to browser event, p50, 1,000 messages/s", percentile(waits, 0.5), "ms", limit_ms)
    yield figure("live", "device publish to browser event, p99, 1,000 messages/s", percentile(waits, 0.99), "ms", limit_ms)


async def watch(running: Platform) -> list[float]:
    """Milliseconds from every reading's own time to the event that first shows it, or a newer one of its device."""
    waits: list[float] = []
    ops = logins()["ops"]
    async with httpx.AsyncClient(base_url=f"{running.url}/api/v1", timeout=30.0) as client:
        answer = await client.post("/auth/login", json={"email": ops.email, "password": ops.password})
        client.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        pages = [asyncio.create_task(_page(client, site.id, waits)) for site in running.plan.sites[:_PAGES]]
        await asyncio.sleep(_SECONDS)
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)
    return waits


async def _page(client: httpx.AsyncClient, site: str, waits: list[float]) -> None:
    shown: dict[str, int] = {}
    async with client.stream("GET", f"/sites/{site}/events") as events:
        async for line in events.aiter_lines():
            if not line.startswith("data:"):
                continue
            now_ms = time.time_ns() / 1e6
            for device in msgspec.json.decode(line[5:].strip(), type=SiteLive).devices:
                if device.sample_at is None:
                    continue
                before = shown.get(device.device)
                shown[device.device] = device.sample_at
                if before is not None and device.sample_at > before:
                    waits.extend(_between(before, device.sample_at, now_ms))


def _between(before: int, newest: int, now_ms: float) -> Iterator[float]:
    """The newest reading, and those between it and the last one shown: they came every interval and were passed over."""
    at = float(newest)
    while at > before + _INTERVAL_MS / 2:
        yield now_ms - at
        at -= _INTERVAL_MS
