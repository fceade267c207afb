"""What the guard counts for Prometheus; told where its settings say so (fleet.runtime.metrics_port)."""

from prometheus_client import Counter, Gauge

# verdict: refused (as it should be), open, expired, away, unclear
looks = Counter("solarperform_guard_looks", "Tries to get past the broker with a revoked certificate", ("verdict",))
proven_at = Gauge("solarperform_guard_proven_time_seconds", "When the broker was last seen to refuse it, Unix time")
closed = Gauge("solarperform_guard_closed", "1 while every device is shut out, because revoked ones were let in")
certificate_end = Gauge(
    "solarperform_guard_broker_certificate_end_time_seconds",
    "When the certificate ends that the broker was last seen to show, on both listeners, Unix time; 0: not seen yet",
)
