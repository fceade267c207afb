"""What a device makes of what it is told, without I/O: every device of ours obeys by these two functions."""

from collections.abc import Iterable
from typing import Final

from fleet.command_catalog import checked
from fleet.device_setting import Setting, check_values, defaults_of
from fleet.errors import BadInput
from fleet.order_messages import Command, ConfigValue, DesiredConfig, RejectedConfig, ReportedConfig
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs

INTERVAL: Final = "report_interval_s"
LIMIT: Final = "active_power_limit_pct"  # of rated power
EXPORT_LIMITED: Final = "export_limit_enabled"
EXPORT_MAX: Final = "export_limit_w"
FULL_PCT: Final = 100.0


def factory_config(settings: Iterable[Setting]) -> ReportedConfig:
    """What a device runs that was never told anything."""
    return ReportedConfig(0, defaults_of(settings))


def answer(running: ReportedConfig, desired: DesiredConfig, settings: tuple[Setting, ...]) -> ReportedConfig:
    """What the device runs after it was told this, and reports.

    What is not newer changes nothing; one bad value refuses all.
    """
    if desired.version <= running.version:
        return running
    errors = {
        problem.key: f"{problem.code}: {problem.allowed}" if problem.allowed else problem.code
        for problem in check_values(settings, desired.values, running.values)
    }
    if errors:
        return ReportedConfig(running.version, running.values, RejectedConfig(desired.version, errors))
    return ReportedConfig(desired.version, defaults_of(settings) | desired.values)


def understood(profile: DeviceProfile, command: Command, now: UnixMs) -> dict[str, ConfigValue]:
    """The command's arguments, with defaults for those not given. Raises BadInput (expired, unknown_command, bad_args)."""
    if command.expires_at < now:
        raise BadInput("expired", "expired")
    try:
        _, values = checked(profile, command.name, command.args)
    except BadInput as error:
        if error.code != "unknown_command":
            raise
        raise BadInput(error.code, f"unknown command; known are {', '.join(profile.commands) or 'none'}") from None
    return values
