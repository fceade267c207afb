"""From `solarperform demo` to ready.json: the first start, and one on its own data."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from actors.local.ports import free_port
from tests.bench.figures import Figure, figure
from tests.servers import server_folder

_DEADLINE_S = 180.0


def run() -> Iterator[Figure]:
    with server_folder("demo") as folder:
        yield figure("demo", "first start to ready.json", start_once(folder), "s")
        yield figure("demo", "second start to ready.json", start_once(folder), "s")


def start_once(folder: Path) -> float:
    ready = folder / "ready.json"
    ports = [word for name in ("--port", "--mqtt-port", "--est-port", "--sftp-port") for word in (name, str(free_port()))]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "actors.local.cli", "demo", "--data-dir", str(folder), *ports],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready.exists():
            assert process.poll() is None, f"the demo ended with {process.returncode}"
            assert time.monotonic() - began < _DEADLINE_S, "the demo did not become ready"
            time.sleep(0.05)
        return time.monotonic() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
