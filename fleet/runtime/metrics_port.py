"""GET /metrics of a process that serves no HTTP of its own: what its counters say, in Prometheus' text format."""

import errno
import socket

from prometheus_client import start_http_server

from fleet.errors import BadInput, Unavailable
from fleet.settings import MetricsSettings


def open_metrics(settings: MetricsSettings | None) -> None:
    """On a thread of its own, until the process ends. None: nothing listens.

    Raises BadInput (bad_metrics_host), Unavailable (port_busy).
    """
    if settings is None:
        return
    try:
        start_http_server(settings.port, settings.host)
    except OSError as error:
        why = error.strerror or error
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise BadInput(
                "bad_metrics_host",
                f"the figures cannot be told at {settings.host!r}, which is neither an address nor a name of this machine"
                f" ({why}); set metrics.host in the settings file, or SP_METRICS_HOST: 0.0.0.0 is all of its addresses",
            ) from None
        raise Unavailable("port_busy", f"metrics at {settings.host}:{settings.port}: {why}") from None
