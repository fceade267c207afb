"""Every reader and every codec against what nobody would send: figures of each, and what was found.

SP_FUZZ_SECONDS each (default 20), SP_FUZZ_ONLY a comma-separated choice. Inputs that broke something are kept and named.
With atheris (`pip install atheris`, or the extra `fuzz`) coverage guides the search; without it, it is made at random.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.bench.figures import Figure, figure, note
from tests.fuzz.one import Report
from tests.fuzz.targets import TARGETS


def run() -> Iterator[Figure]:
    seconds = float(os.environ.get("SP_FUZZ_SECONDS", "20"))
    chosen = [name for name in os.environ.get("SP_FUZZ_ONLY", "").split(",") if name] or list(TARGETS)
    kept = Path(tempfile.mkdtemp(prefix="sp-fuzz-"))
    for name in chosen:
        folder = kept / name
        folder.mkdir()
        report = _one(name, seconds, folder)
        for each in report.findings:
            note(f"{name}: {each.kind} at {each.where}, {each.times} times, {folder / each.input}\n{each.text}")
        guided = "guided by coverage" if report.guided else "at random"
        yield figure("fuzz", f"{name}: inputs tried, {guided}", report.executions, "inputs")
        yield figure("fuzz", f"{name}: findings", len(report.findings), "findings")
        yield figure("fuzz", f"{name}: slowest input ({report.slowest_bytes} bytes)", report.slowest_s, "s")


def _one(name: str, seconds: float, folder: Path) -> Report:
    """Raises AssertionError when its process ended before its time: the input lies in the folder."""
    with (folder / "log").open("wb") as log:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), str(folder)],
            stdout=log, stderr=log, check=False, preexec_fn=lambda: os.nice(10),
        )  # fmt: skip
    told = folder / "report.json"
    assert told.exists(), f"{name} ended with {ended.returncode}: {folder}"
    return msgspec.json.decode(told.read_bytes(), type=Report)
