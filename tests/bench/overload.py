"""Twice what the intake can sustain, for a minute: memory stays bounded, and nothing acked is lost."""

import time
from collections.abc import Iterator

import psutil

from tests.bench.figures import Figure, figure, note
from tests.bench.ingest import CONNECTIONS, SITES, check_stored, closed_loop, summary
from tests.bench.platform import platform

_SECONDS = 60.0
_DEVICE_WINDOW = 256  # unacked messages that a device may have on the wire: what the site agent and the simulator do


def run() -> Iterator[Figure]:
    with platform(sites=SITES) as running:
        sustained = closed_loop(running, 15.0)
        processes = [*running.shard_processes(), psutil.Process(running.broker.server.pid)]
        before = [process.memory_info().rss for process in processes]
        load = running.load(
            rate=2 * sustained,
            seconds=_SECONDS,
            connections=CONNECTIONS,
            more=("--window", str(_DEVICE_WINDOW), "--drain-s", "60"),
        )
        highest = before[:]
        while load.poll() is None:
            highest = [max(high, process.memory_info().rss) for high, process in zip(highest, processes, strict=True)]
            time.sleep(0.5)
        note(f"  {summary(running.report())}")
        grown_mb = [(high - low) / 1e6 for high, low in zip(highest, before, strict=True)]
        note(f"  grown, MB: shards {grown_mb[:-1]}, broker {grown_mb[-1]}")
        yield figure("overload", "RSS growth of the shards, 60 s at twice the sustainable rate", sum(grown_mb[:-1]), "MB")
        yield figure("overload", "RSS growth of the broker, 60 s at twice the sustainable rate", grown_mb[-1], "MB")
        yield from check_stored(running, "overload")
