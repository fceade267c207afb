"""Five thousand devices over mTLS; the broker is killed and starts again: when is everyone back, and is anything lost?

The devices know no bound on handshakes at once: in the field each is a machine of its own.
"""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.bench.figures import Figure, figure, note, percentile
from tests.bench.handshakes import per_second
from tests.bench.ingest import rows_since
from tests.bench.platform import Platform, platform

DEVICES = 5_000
SITES = 1_755  # have as many devices
_PROCESSES = 2  # of the load generator: one per core
_PERIOD_S = 10.0  # between two messages of a device
_BEFORE_S = 20.0  # of ordinary life
_AFTER_S = 15.0  # once all are back
_BACK_DEADLINE_S = 300.0
_CONNECT_DEADLINE_S = 180.0
_LIMIT_S = 5.0


def run() -> Iterator[Figure]:
    with platform(sites=SITES, onboarding=True) as running:
        rate = per_second(running.pki, running.plan.sites[0].devices[0].id, os.cpu_count() or 1, _LIMIT_S)
        note(f"{rate:.0f} TLS handshakes/s, both sides, on this machine: {DEVICES} take {DEVICES / rate:.1f} s")
        began = time.time()
        reports = [running.folder / f"storm-{number}.json" for number in range(_PROCESSES)]
        loads = [_load(running, number, report) for number, report in enumerate(reports)]
        try:
            _wait(lambda: connected(running) >= DEVICES, loads, _CONNECT_DEADLINE_S, "connected")
            time.sleep(_BEFORE_S)
            note(f"the broker holds {psutil.Process(running.broker.server.pid).num_fds()} files")
            killed_at = time.time()
            running.broker.server.kill()
            running.broker.server.start()
            note(f"broker killed and listening again after {time.time() - killed_at:.1f} s")
            _wait(lambda: connected(running) >= DEVICES, loads, _BACK_DEADLINE_S, "back")
            time.sleep(_AFTER_S)
            used = psutil.Process(running.broker.server.pid).cpu_times()
            note(f"the new broker has used {used.user + used.system:.1f} s of a core")
        finally:
            for load in loads:
                load.send_signal(signal.SIGTERM)
            for load in loads:
                load.wait(timeout=60)
        found = [json.loads(report.read_bytes()) for report in reports]
        note(f"all were connected at first after {max(report['started_at'] for report in found) / 1000 - began:.1f} s")
        yield from judged(running, found, killed_at, rate)


def judged(running: Platform, reports: Sequence[dict[str, Any]], killed_at: float, rate: float) -> Iterator[Figure]:
    devices = [device for report in reports for device in report["devices"]]
    back_s = [device["connected_at"] / 1000 - killed_at for device in devices]
    for report in reports:
        note("  " + " ".join(f"{key}={value}" for key, value in report.items() if key != "devices"))
    limit_s = DEVICES / rate
    yield figure(
        "storm", f"half of {DEVICES:,} devices back after the broker was killed", percentile(back_s, 0.5), "s", limit_s
    )
    yield figure("storm", f"all {DEVICES:,} devices back after the broker was killed", max(back_s), "s", limit_s)
    never = sum(seconds < 0 for seconds in back_s)
    yield figure("storm", "devices that did not come back", never, "devices")
    acked = sum(device["acked_seq"] for device in devices)
    stored = asyncio.run(rows_since(running.database, min(report["started_at"] for report in reports)))
    yield figure("storm", "platform-acked messages without a row", max(0, acked - stored), "messages")
    unacked = sum(device["offered_seq"] - device["acked_seq"] for device in devices)
    yield figure("storm", "messages that were sent and not acked at the end", unacked, "messages")


def connected(running: Platform) -> int:
    """Connections at the devices' listener, by the kernel."""
    port = running.broker.device_port
    established = psutil.Process(running.broker.server.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port for each in established)


def _load(running: Platform, number: int, report: Path) -> "subprocess.Popen[bytes]":
    share = DEVICES // _PROCESSES
    return running.load(
        rate=share / _PERIOD_S,
        seconds=_CONNECT_DEADLINE_S + _BEFORE_S + _BACK_DEADLINE_S + _AFTER_S,
        connections=share,
        more=("--first", str(number * share), "--handshakes", str(DEVICES), "--drain-s", "60"),
        report=report,
    )


def _wait(condition: Callable[[], bool], loads: "Sequence[subprocess.Popen[bytes]]", seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert all(load.poll() is None for load in loads), "a load generator has ended"
        assert time.monotonic() < end, f"not all {what} after {seconds:.0f} s"
        time.sleep(0.5)
