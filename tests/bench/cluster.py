"""Twins on three Ray nodes under load: a node is killed, one is added, one leaves in order, the head is lost and comes back.

The nodes are real, in a network of their own on this host; Redis is the head's memory. Two cores do everybody's work: nodes,
shards, broker, database and devices.
"""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import msgspec
import psutil

from actors.client import Twins
from fleet.errors import FleetError
from fleet.ids import SiteId
from fleet.placement import shard_of, slot_of
from fleet.settings import RedisSettings
from fleet.views import ShardStats
from tests.alone import alone
from tests.bench.figures import Figure, figure, note, print_figure
from tests.bench.ingest import rows_since
from tests.cluster_rig import ASKER, FIRST_WORKER, HEAD, Cluster, cluster
from tests.fleet_rig import until
from tests.redis_server import redis_program, redis_server

SHARDS = 4
SITES = 100
_CONNECTIONS = 200
_RATE = 500.0  # messages/s, all the time
_BEFORE_S = 5.0
_HEAD_AWAY_S = 10.0
_DEADLINE_S = 120.0
_WATCH_S = 0.05


def run() -> Iterator[Figure]:
    assert redis_program() is not None, "the head's memory is Redis: install redis-server"
    with subprocess.Popen(alone("tests.bench.cluster"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b'{"bench"'):
                yield msgspec.json.decode(line, type=Figure)
            else:
                note(line.decode(errors="replace").rstrip())  # Ray speaks too
    assert process.returncode == 0, "the scenes ended before their time"


def scenes(redis: RedisSettings) -> None:
    """Prints each figure as soon as it is known."""
    began = time.monotonic()
    with cluster(sites=SITES, shards=SHARDS, workers=2, redis=redis) as running:
        note(f"head, two workers and keeper up, every shard answering, after {time.monotonic() - began:.0f} s")
        load = running.load(rate=_RATE, seconds=600.0, connections=_CONNECTIONS)
        try:
            asyncio.run(_scenes(running))
        finally:
            load.terminate()
            load.wait(120)
        report = running.report()
        note(" ".join(f"{key}={value}" for key, value in report.items() if key != "devices"))
        acked = sum(device["acked_seq"] for device in report["devices"])
        unacked = sum(device["offered_seq"] - device["acked_seq"] for device in report["devices"])
        stored = asyncio.run(rows_since(running.database, report["started_at"]))
        _tell("platform-acked messages without a row", max(0, acked - stored), "messages")
        _tell("messages that were sent and not acked at the end", unacked, "messages")


async def _scenes(running: Cluster) -> None:
    joining = time.monotonic()
    twins = await Twins.connect(running.ray(ASKER))
    _tell("a process joins, as a node without shards", time.monotonic() - joining, "s")
    _tell("memory of a process's own node (PSS)", _own_node_mb(), "MB")
    try:
        first, second, third = FIRST_WORKER, FIRST_WORKER + 1, FIRST_WORKER + 2
        await asyncio.sleep(_BEFORE_S)
        served_s = await _served_after(twins, lambda: running.kill(first))
        _tell("node killed, its slots served elsewhere", served_s, "s")
        async with _watched(running, twins) as gaps:
            added_at = time.monotonic()
            running.start_node(third)
            await until(lambda: _shards_on(running, third, SHARDS // 2), _DEADLINE_S)
            await _all_answer(twins)
            _tell("node added, half of the slots moved to it", time.monotonic() - added_at, "s")
        _tell("longest time that a slot did not answer while it moved", max(gaps, default=0), "s")
        served_s = await _served_after(twins, lambda: running.end(second))
        _tell("node ended in order, its slots served elsewhere", served_s, "s")
        await _without_head(running, twins)
    finally:
        await twins.close()


async def _without_head(running: Cluster, twins: Twins) -> None:
    before = await twins.shard_stats()
    running.kill(HEAD)
    lost_at = time.monotonic()
    async with _watched(running, twins) as gaps:
        await asyncio.sleep(_HEAD_AWAY_S)
        meanwhile = await twins.shard_stats()
        back_at = time.monotonic()
        running.start_node(HEAD)
        running.start_node(FIRST_WORKER)
        await until(lambda: _shards_on(running, FIRST_WORKER, SHARDS // 2), _DEADLINE_S)
        moved_s = time.monotonic() - back_at
        await _all_answer(twins)
    taken_in = sum(each.samples for each in meanwhile) - sum(each.samples for each in before)
    note(f"head away for {back_at - lost_at:.0f} s: {taken_in} samples were stored meanwhile")
    epochs = {each.shard: each.epoch for each in before}
    restarted = sum(each.epoch != epochs[each.shard] for each in meanwhile)
    _tell("samples stored while the head was away", taken_in / (back_at - lost_at), "samples/s")
    _tell("shards that ended with the head", restarted, "shards")
    _tell("head started again, a new node has its share of the slots", moved_s, "s")
    _tell("longest time that a slot did not answer, head lost to slots moved", max(gaps, default=0), "s")


def _tell(name: str, value: float, unit: str) -> None:
    print_figure(figure("cluster", name, value, unit))


async def _served_after(twins: Twins, fault: Callable[[], None]) -> float:
    """Seconds from the fault until shards that are new have taken the place of those that it ended, and all answer."""
    before = {each.shard: each.epoch for each in await twins.shard_stats()}
    began = time.monotonic()
    await asyncio.to_thread(fault)

    async def is_served() -> bool:
        stats = await _stats(twins)
        return sum(each.epoch > before[each.shard] for each in stats) == SHARDS // 2 and all(
            each.connected for each in stats
        )

    await until(is_served, _DEADLINE_S)
    return time.monotonic() - began


async def _all_answer(twins: Twins) -> None:
    async def do_answer() -> bool:
        stats = await _stats(twins)
        return bool(stats) and all(each.connected for each in stats)

    await until(do_answer, _DEADLINE_S)


async def _stats(twins: Twins) -> list[ShardStats]:
    """None while one of them does not answer."""
    try:
        return await twins.shard_stats()
    except FleetError:
        return []


async def _shards_on(running: Cluster, number: int, shards: int) -> bool:
    return running.shards_on(number) == shards


@asynccontextmanager
async def _watched(running: Cluster, twins: Twins) -> AsyncIterator[list[float]]:
    """Asks a site of every shard all the time; the list fills with the seconds that one went without an answer."""
    by_shard = {shard_of(slot_of(site.id), SHARDS): site.id for site in running.plan.sites}
    gaps: list[float] = []

    async def watch(site: SiteId) -> None:
        answered_at = time.monotonic()
        while True:
            with suppress(FleetError):
                await twins.site_live(site)
                gaps.append(time.monotonic() - answered_at)
                answered_at = time.monotonic()
            await asyncio.sleep(_WATCH_S)

    watching = [asyncio.create_task(watch(site)) for site in by_shard.values()]
    try:
        yield gaps
    finally:
        for task in watching:
            task.cancel()


def _own_node_mb() -> float:
    """Of those below this process: the one that it is itself, not those that it stands in for."""
    nodes = [child for child in psutil.Process().children() if f"--node-ip-address=127.0.0.{10 + ASKER}" in child.cmdline()]
    return sum(process.memory_full_info().pss / 1e6 for node in nodes for process in (node, *node.children(recursive=True)))


def main() -> None:
    with redis_server() as redis:
        scenes(redis)


if __name__ == "__main__":
    main()
