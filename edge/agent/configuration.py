"""What the platform wants the agent to be: checked as a whole, kept on disk, then run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from edge.agent import files
from edge.limits import (
    AGENT_CONFIG_KEYS_MAX,
    AGENT_CONFIG_TEXT_CHARS_MAX,
    AGENT_REPORT_INTERVAL_MAX_S,
    AGENT_REPORT_INTERVAL_MIN_S,
)
from fleet import profiles
from fleet.remote import ConfigValue, DesiredConfig, RejectedConfig, ReportedConfig

log = structlog.get_logger()

INTERVAL = "report_interval_s"
_INPUT = "input."  # input.<name>: whether that input runs
_KINDS = {bool: "true or false", float: "a number", str: "a text"}


class Configuration:
    """known: key → its default, whose type is the key's. Nothing that is not known is ever run."""

    def __init__(self, file: Path, known: Mapping[str, ConfigValue]) -> None:
        self._file = file
        self._known = dict(known)
        self.running = self._load()

    @property
    def report_interval_s(self) -> float | None:
        """How often inputs read; None: as each one's own settings say."""
        value = self.running.values.get(INTERVAL)
        return float(value) if isinstance(value, int | float) and self.running.version else None

    def runs(self, input_name: str) -> bool:
        return self.running.values.get(_INPUT + input_name) is not False

    def take(self, desired: DesiredConfig) -> ReportedConfig:
        """Returns what to report. A version that was applied, or is older, changes nothing."""
        if desired.version <= self.running.version:
            return self.running
        errors = self._errors(desired.values)
        if errors:
            log.warning("agent.config_rejected", version=desired.version, errors=errors)
            return msgspec.structs.replace(self.running, rejected=RejectedConfig(desired.version, errors))
        reported = ReportedConfig(desired.version, desired.values)
        files.replace(self._file, msgspec.json.encode(reported))
        self.running = reported
        log.info("agent.config_applied", version=desired.version, values=desired.values)
        return reported

    def _errors(self, values: Mapping[str, ConfigValue]) -> dict[str, str]:
        if len(values) > AGENT_CONFIG_KEYS_MAX:
            return {"": f"more than {AGENT_CONFIG_KEYS_MAX} keys"}
        return {key: error for key, value in values.items() if (error := self._error(key, value))}

    def _error(self, key: str, value: ConfigValue) -> str:
        if key not in self._known:
            return "unknown key"
        if _kind(value) is not _kind(self._known[key]):
            return f"must be {_KINDS[_kind(self._known[key])]}"
        if isinstance(value, str) and len(value) > AGENT_CONFIG_TEXT_CHARS_MAX:
            return f"at most {AGENT_CONFIG_TEXT_CHARS_MAX} characters"
        if key == INTERVAL and not AGENT_REPORT_INTERVAL_MIN_S <= float(value) <= AGENT_REPORT_INTERVAL_MAX_S:
            return f"must be {AGENT_REPORT_INTERVAL_MIN_S:g} to {AGENT_REPORT_INTERVAL_MAX_S:g}"
        return ""

    def _load(self) -> ReportedConfig:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=ReportedConfig)
        except FileNotFoundError:
            return ReportedConfig(0, self._known)
        except msgspec.DecodeError as error:
            log.warning("agent.config_unreadable", file=str(self._file), reason=str(error))
            return ReportedConfig(0, self._known)


def known_keys(profile: str, input_names: Iterable[str], interval_s: float) -> dict[str, ConfigValue]:
    """What an agent of this profile can be told, with the defaults."""
    shipped = {each.id: each.default_config for each in profiles.shipped()}
    inputs = {_INPUT + name: True for name in input_names}
    return {INTERVAL: interval_s, **shipped.get(profile, {}), **inputs}


def _kind(value: ConfigValue) -> type[bool] | type[float] | type[str]:
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float
