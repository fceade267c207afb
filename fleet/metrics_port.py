"""GET /metrics of a process that serves no HTTP of its own: what its counters say, in Prometheus' text format."""

from prometheus_client import start_http_server

from fleet.errors import Unavailable
from fleet.settings import MetricsSettings


def open_metrics(settings: MetricsSettings | None) -> None:
    """On a thread of its own, until the process ends. None: nothing listens. Raises Unavailable (port_busy)."""
    if settings is None:
        return
    try:
        start_http_server(settings.port, settings.host)
    except OSError as error:
        raise Unavailable("port_busy", f"metrics at {settings.host}:{settings.port}: {error.strerror or error}") from None
