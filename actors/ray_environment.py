"""What Ray reads from the environment, and when it is imported: so this module must not import it."""

import os

from fleet.settings import RaySettings


def set_environment(settings: RaySettings) -> None:
    os.environ.update(
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(settings.token_file),
        RAY_USAGE_STATS_ENABLED="0",
        RAY_DEDUP_LOGS="0",
        RAY_COLOR_PREFIX="0",
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # despite its name, the switch that keeps a single Ray on 127.0.0.1
    )
