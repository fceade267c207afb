"""Prometheus figures of the web itself; the shards' are added at each scrape from their latest statistics."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.views import ShardStats

_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_COUNTERS = {
    "messages": "MQTT messages taken in",
    "samples": "samples stored",
    "duplicates": "messages that were stored already",
    "dead_letters": "messages that could not be taken in",
    "throttled": "messages refused because their device was over its rate",
    "batches": "transactions committed",
    "commit_failures": "transactions that failed and were tried again",
    "commit_s": "seconds spent on storing batches",
    "trace_failures": "batches of traces that no collector took",
    "acked_messages": "MQTT messages acknowledged",
    "platform_acks": "platform acknowledgements published",
}
_GAUGES = {
    "twins": "twins in memory",
    "devices": "devices of the shard's slots",
    "devices_online": "devices online",
    "queued_messages": "messages waiting in the shard",
    "lag_ms": "milliseconds from arrival to commit, latest batch",
    "busy_s": "seconds since the batch under way was begun; 0 between two",
    "slots": "slots that it serves, of 256",
    "connected": "whether it has its session at the broker",
    "started_at": "when it began, Unix milliseconds",
    "rss_bytes": "resident memory",
    "epoch": "epoch of the shard's lease",
}


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "solarperform_http_requests", "HTTP requests", ("method", "route", "status"), registry=self.registry
        )
        self.duration_s = Histogram(
            "solarperform_http_request_duration_seconds",
            "Time to the first byte of the answer",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.viewers = Gauge("solarperform_live_viewers", "Open event streams", registry=self.registry)

    def observe_shards(self, stats: Callable[[], Sequence[ShardStats]]) -> None:
        self.registry.register(_Shards(stats))

    def exposition(self) -> bytes:
        return generate_latest(self.registry)


class _Shards(Collector):
    def __init__(self, stats: Callable[[], Sequence[ShardStats]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        shards = self._stats()
        yield GaugeMetricFamily("solarperform_shards", "Shards that answer", value=len(shards))
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"solarperform_shard_{name}", text, labels=("shard",))
            for shard in shards:
                counter.add_metric((str(shard.shard),), getattr(shard, name))
            yield counter
        for name, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"solarperform_shard_{name}", text, labels=("shard",))
            for shard in shards:
                gauge.add_metric((str(shard.shard),), getattr(shard, name))
            yield gauge
        rounds = CounterMetricFamily(
            "solarperform_shard_failed_rounds", "upkeep that failed and is tried again", labels=("shard", "work")
        )
        for shard in shards:
            for work, count in shard.failed_rounds.items():
                rounds.add_metric((str(shard.shard), work), count)
        yield rounds
        reasons = CounterMetricFamily(
            "solarperform_shard_dead_letters_by_code", "dead letters by reason", labels=("shard", "code")
        )
        for shard in shards:
            for code, count in shard.dead_letters_by_code.items():
                reasons.add_metric((str(shard.shard), code), count)
        yield reasons
