"""The wall clock in the platform's unit of time; the domain is told the time."""

import time

from fleet.telemetry import UnixMs


def now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000
