"""The machine, or the container: clock, disk, memory. The same everywhere."""

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from actors.doctor.finding import Finding
from actors.local.texts import text
from fleet.limits import DISK_FREE_MIN_BYTES, FUTURE_SKEW_MAX_S


def clock() -> Finding:
    if time.time() < Path(__file__).stat().st_mtime - 86_400:  # earlier than our own installation
        return Finding(False, text("clock_absurd", now=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"))
    if shutil.which("timedatectl"):
        command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10.0).stdout.strip()
        if said in ("yes", "no"):
            return Finding(said == "yes", text("clock_ok" if said == "yes" else "clock_bad"))
    return Finding(True, text("clock_unknown", seconds=FUTURE_SKEW_MAX_S))


def disk(folder: Path, *, writes: bool = True) -> Finding:
    """writes: we ought to be able to."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if writes and not os.access(existing, os.W_OK):
        return Finding(False, text("no_permission", folder=existing, user=os.environ.get("USER", str(os.getuid()))))
    if free < DISK_FREE_MIN_BYTES:
        needed_mb = DISK_FREE_MIN_BYTES / 1e6
        return Finding(False, text("disk_full", folder=existing, free_mb=free / 1e6, needed_mb=needed_mb))
    return Finding(True, text("disk_free", free_gb=free / 1e9, folder=folder))
