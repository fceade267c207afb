"""What Ray reads from the environment, and when it is imported: so this module must not import it."""

import os
from typing import Final

from fleet.settings import RaySettings

_SWITCH: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # despite its name, what keeps a single Ray on 127.0.0.1 when it is "0"

# A node that is gone is noticed after three attempts, within six seconds at most; shards work on while their cluster's head
# is away; a machine that is busy while it starts is given time; and a node that is told to end does so; workers differ in
# that, see actors.cluster.node.
_CLUSTER: Final = {
    _SWITCH: "1",  # said aloud: what a node inherits must not keep it on 127.0.0.1
    "RAY_worker_register_timeout_seconds": "180",
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_BACKEND_LOG_LEVEL": "warning",
    "RAY_LOGGER_LEVEL": "warning",
}


def environment(settings: RaySettings) -> dict[str, str]:
    """The same in every process of an installation: Ray's parts compare some of it."""
    common = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_COLOR_PREFIX": "0",
    }
    if settings.cluster is not None:
        return common | _CLUSTER
    return common | {_SWITCH: "0"}


def set_environment(settings: RaySettings) -> None:
    os.environ.update(environment(settings))
