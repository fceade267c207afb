"""Figures about what PostgreSQL holds, for Prometheus: looked up at a scrape, and seldom, however often that comes."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.storage import operations
from fleet.storage.database import AWAY, Pool
from fleet.storage.operations import Figure

_FRESH_S: Final = 10.0  # scrapes within it are answered with the same figures
_PATIENCE_S: Final = 4.0  # a scrape is given up after ten
# Name in the database → name for Prometheus, what it is, and what its label says.
_GAUGES: Final[dict[str, tuple[str, str, str]]] = {
    "rollup_days": ("rollup_dirty_days", "Days of sites that wait for their energy to be computed", ""),
    "rollup_oldest_s": ("rollup_oldest_seconds", "How long the oldest of them waits", ""),
    "leased_slots": ("leased_slots", "Slots that a shard has claimed, of 256", ""),
    "files": ("files_waiting", "Files that wait or are at work", "state"),
    "files_oldest_s": ("files_oldest_seconds", "How long ago the oldest of them came", ""),
    "quarantined_files": ("files_quarantined_day", "Files that could not be read, of the last 24 hours", ""),
    "failing_pulls": ("pull_sources_failing", "Customers' servers that failed three times in a row", ""),
    "mails": ("mails", "E-mails that are not sent", "state"),
    "mail_oldest_s": ("mail_oldest_seconds", "How long the oldest e-mail waits", ""),
    "alerts": ("alerts_open", "Open alerts of devices and sites", "severity"),
    "revocations": ("revocations_pending", "Revocations that are not proven at the broker yet", ""),
    "revocation_oldest_s": ("revocation_oldest_seconds", "How long the oldest of them waits", ""),
    "revocation_alarms": ("revocation_alarms", "What the guard finds wrong with revocation itself", "code"),
    "crl_signed_time": ("crl_signed_time_seconds", "When the newest revocation list was signed, Unix time", ""),
    "crl_end_time": ("crl_end_time_seconds", "When it ends, Unix time", ""),
    "crl_proven_time": ("crl_proven_time_seconds", "When a list was last proven in force for the first time, Unix time", ""),
    "device_certificates": ("device_certificates", "Devices' certificates; ending: within 14 days", "state"),
    "commands": ("commands_open", "Commands that have no outcome yet", "state"),
    "rollouts": ("rollouts", "Rollouts that are not over", "state"),
    "held_rollouts": ("rollouts_held", "Rollouts that paused by themselves", ""),
    "database_bytes": ("database_bytes", "Size of the database", ""),
    "database_backends": ("database_backends", "Connections that PostgreSQL serves", ""),
    "database_backends_max": ("database_backends_max", "Connections that it would serve", ""),
}


class Operations(Collector):
    """look() before each exposition. Of a database that does not answer, `solarperform_database_up 0` is all there is."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._figures: Sequence[Figure] | None = None
        self._looked_at_s = -_FRESH_S

    async def look(self) -> None:
        if time.monotonic() - self._looked_at_s < _FRESH_S:
            return
        self._looked_at_s = time.monotonic()
        try:
            async with self._pool.acquire(timeout=_PATIENCE_S) as connection, connection.transaction(readonly=True):
                await connection.execute(f"SET LOCAL statement_timeout = {_PATIENCE_S * 1000:.0f}")
                self._figures = await operations.figures(connection)
        except AWAY:
            self._figures = None

    def collect(self) -> Iterator[Metric]:
        up = self._figures is not None
        yield GaugeMetricFamily("solarperform_database_up", "Whether PostgreSQL answered the last look", value=up)
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        yield GaugeMetricFamily(
            "solarperform_web_connections_busy", "The web's database connections at work", value=size - idle
        )
        yield GaugeMetricFamily("solarperform_web_connections_max", "As many it may have", value=self._pool.get_max_size())
        for name, (exposed, text, label) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"solarperform_{exposed}", text, labels=(label,) if label else ())
            for figure in self._figures or ():
                if figure.name == name:
                    gauge.add_metric((figure.label,) if label else (), figure.value)
            yield gauge
