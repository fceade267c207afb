"""The shards as Ray runs them: asks through the one door, typed errors across processes, and a shard that is killed."""

import asyncio
import time

import pytest

from actors.client import Twins
from fleet.errors import NotFound, Unavailable
from fleet.ids import SiteId
from fleet.runtime.tracing import Tracing
from tests.bench.platform import Platform, platform
from tests.fleet_rig import Device, until
from tests.trace_collector import Collector, collector


@pytest.mark.timeout(240)
def test_a_killed_shard_comes_back_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for ask in (Twins._ask, Twins._ask_about):  # a machine that stands still is no shard that is away
        monkeypatch.setitem(ask.__kwdefaults__, "timeout_s", 40.0)
    with collector() as told, platform(sites=6, tracing=told.settings(sample_ratio=0.0)) as running:
        asyncio.run(_kill_and_go_on(running, told))


async def _kill_and_go_on(running: Platform, told: Collector) -> None:
    web = Tracing(told.settings(), "web", "0")
    twins = await Twins.connect(running.twins.ray, web.asking)
    try:
        with web.request("GET", "request-1"):
            await twins.site_summaries([running.plan.sites[0].id])

        async def followed() -> bool:
            return [span.name for span in told.trace_of("GET")] == ["answer site_summaries", "ask site_summaries", "GET"]

        await until(followed)
        sites = running.plan.sites
        assert {summary.site for summary in await twins.site_summaries([site.id for site in sites])} == {
            site.id for site in sites
        }
        with pytest.raises(NotFound) as refused:
            await twins.site_live(SiteId("s-nobody"))
        assert refused.value.code == "unknown_site"

        before = {stats.shard: stats.epoch for stats in await twins.shard_stats()}
        for process in running.shard_processes():
            process.kill()

        async def all_new() -> bool:
            try:
                return all(stats.epoch > before[stats.shard] and stats.connected for stats in await twins.shard_stats())
            except Unavailable:
                return False

        await until(all_new, deadline_s=90.0, period_s=0.2)
        site = sites[0]
        meter = next(device for device in site.devices if device.profile_id == "meter")
        async with Device(running.broker, running.pki, site.id, meter.id) as device:
            await device.say(1, (time.time_ns() // 1_000_000, {"grid_power_w": 321.0}))
            await device.acked_up_to(1)
        assert (await twins.site_live(site.id)).flow.grid_power_w == 321.0
    finally:
        await twins.close()
