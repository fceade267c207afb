"""Whether this process is to follow messages and requests: only then anything of OpenTelemetry is imported."""

from typing import TYPE_CHECKING

from fleet.errors import BadInput
from fleet.settings import TracingSettings

if TYPE_CHECKING:
    from fleet.runtime.tracing import Tracing


def tracing_of(
    settings: TracingSettings | None, service: str, instance: str = "0", *, chooses: bool = False
) -> "Tracing | None":
    """Raises BadInput (tracing_not_installed)."""
    if settings is None:
        return None
    try:
        from fleet.runtime.tracing import Tracing  # noqa: PLC0415 - see above
    except ImportError as error:
        raise BadInput(
            "tracing_not_installed",
            f"the settings ask for traces, and {error.name} is not installed: install solarperform with its extra `otel`, "
            "or take `tracing` out of the settings",
        ) from None
    return Tracing(settings, service, instance, chooses=chooses)
