"""What the agent runs: told by the platform, checked as a whole, kept on disk; and what somebody changed on site since."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from edge.agent import files
from edge.agent.home import Home
from edge.agent.inputs import InputSettings, MqttSettings, SimulatedSettings, SunspecSettings
from edge.agent.inputs.simulated import OBEYED
from edge.agent.settings import AgentSettings
from edge.limits import AGENT_REPORT_INTERVAL_MAX_S, AGENT_REPORT_INTERVAL_MIN_S
from edge.obeying import INTERVAL, LIMIT, answer
from fleet import profiles
from fleet.configuration import Values, settings_of
from fleet.device_setting import Setting, check_values, defaults_of, is_same
from fleet.order_messages import ConfigValue, DesiredConfig, RejectedConfig, ReportedConfig
from fleet.profiles import DeviceProfile

log = structlog.get_logger()

CONFIG_FILE: Final = "config.json"
_INPUT: Final = "input."  # input.<name>: whether that input runs
Impossible = Callable[[Mapping[str, ConfigValue]], dict[str, str]]  # values → key → why
T = TypeVar("T")


def nothing_is(_values: Mapping[str, ConfigValue]) -> dict[str, str]:
    return {}


class SiteChanges(msgspec.Struct, frozen=True):
    """Values that were set on site while the platform's version was `version`; a newer one makes them void."""

    version: int
    values: Values


class Configuration:
    """settings: all that there is to be told. at_first: what it runs where that is not a setting's default, until somebody
    says otherwise.

    Two files, each replaced as a whole and each with one writer: `file` holds what the platform told, written by the running
    agent; the other what was changed on site, written by the command line, and good only for the version that it names.
    Whatever is cut short when, the two say what runs.
    """

    def __init__(self, file: Path, settings: tuple[Setting, ...], at_first: Mapping[str, ConfigValue] | None = None) -> None:
        self.settings = settings
        self.site_file = site_file(file)
        self._file = file
        self._at_first = dict(at_first or {})
        self._told = _read(file, ReportedConfig) or ReportedConfig(0, {})
        self._rejected: RejectedConfig | None = None
        self._seen = _state_of(self.site_file)
        self._site = self._site_values()

    @property
    def version(self) -> int:
        """The platform's; 0: it has told nothing."""
        return self._told.version

    @property
    def told(self) -> Values:
        """What would run if nobody had changed anything on site."""
        known = defaults_of(self.settings)
        said = self._told.values if self.version else self._at_first
        return known | {key: value for key, value in said.items() if key in known}

    @property
    def changed_on_site(self) -> Values:
        return dict(self._site)

    @property
    def running(self) -> ReportedConfig:
        """As it is reported: every value, and the newer version that was refused, if one was."""
        return ReportedConfig(self.version, self.told | self._site, self._rejected)

    @property
    def report_interval_s(self) -> float | None:
        """How often inputs read; None: as each one's own settings say."""
        return self.number(INTERVAL)

    def number(self, key: str) -> float | None:
        """None until the platform, or somebody on site, has said it."""
        value = self.running.values.get(key) if self.version or key in self._site else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def runs(self, input_name: str) -> bool:
        return self.running.values.get(_INPUT + input_name) is not False

    def take(self, desired: DesiredConfig, impossible: Impossible = nothing_is) -> ReportedConfig:
        """Returns what to report. A version that was applied, or is older, changes nothing; a newer one goes before what was
        changed on site. impossible: what the settings allow and this machine cannot do.
        """
        said = answer(self._told, desired, self.settings)
        if said is not self._told and said.rejected is None and (errors := impossible(said.values)):
            said = ReportedConfig(self.version, {}, RejectedConfig(desired.version, errors))
        if said.rejected is not None:
            self._rejected = said.rejected
            log.warning("agent.config_rejected", version=desired.version, errors=said.rejected.errors)
        elif said is not self._told:
            files.replace(self._file, msgspec.json.encode(said))
            self._told, self._site, self._rejected = said, {}, None
            log.info("agent.config_applied", version=desired.version, values=desired.values)
        return self.running

    def heed_site(self, impossible: Impossible = nothing_is) -> bool:
        """Looks for changes on site; whether what runs is another since."""
        seen = _state_of(self.site_file)
        if seen == self._seen:
            return False
        self._seen, before = seen, self._site
        self._site = self._site_values()
        errors = impossible(self.running.values) if self._site else {}
        if errors:
            log.warning("agent.site_changes_refused", file=str(self.site_file), errors=errors)
            self._site = before
        if self._site == before:
            return False
        log.warning("agent.config_changed_on_site", version=self.version, values=self._site)
        return True

    def _site_values(self) -> Values:
        found = _read(self.site_file, SiteChanges)
        if found is None or found.version != self.version:
            return {}
        told = self.told
        problems = check_values(self.settings, told | found.values, told)
        if problems:
            log.warning("agent.site_changes_refused", file=str(self.site_file), problems=[each.key for each in problems])
            return {}
        return {key: value for key, value in found.values.items() if not is_same(value, told[key])}


def configuration_of(home: Home, settings: AgentSettings) -> Configuration:
    """The running agent's, and the command line's view of it. Raises NotFound (not_enrolled), BadInput (bad_state)."""
    me = home.enrolled().connection()
    known = known_keys(me.profile, (each.name for each in settings.inputs), me.interval_s)
    return Configuration(home.folder / CONFIG_FILE, obeyed(known, settings.inputs), _own_pace(settings.inputs))


def known_keys(profile: str, input_names: Iterable[str], interval_s: float) -> tuple[Setting, ...]:
    """What an agent of this profile can be told, with the defaults. interval_s: of a profile that says nothing of it."""
    shipped = {each.id: each for each in profiles.shipped()}.get(profile) or DeviceProfile(
        profile, "gateway", profile, profile, (), (), interval_s
    )
    known = settings_of(shipped, {_INPUT + name: True for name in input_names})
    return known if any(each.key == INTERVAL for each in known) else (_interval(interval_s), *known)


def obeyed(known: tuple[Setting, ...], inputs: tuple[InputSettings, ...]) -> tuple[Setting, ...]:
    """What nothing here can bring about may be told as it is, and no other way: the platform shall not believe it to run."""
    possible = {INTERVAL}
    if any(isinstance(each, SunspecSettings | SimulatedSettings) for each in inputs):
        possible.add(LIMIT)
    if any(isinstance(each, SimulatedSettings) for each in inputs):
        possible |= OBEYED
    return tuple(
        setting
        if setting.key in possible or setting.key.startswith(_INPUT)
        else msgspec.structs.replace(setting, read_only=True)
        for setting in known
    )


def site_file(file: Path) -> Path:
    return file.with_name(f"{file.stem}.site{file.suffix}")


def site_changes(file: Path, version: int) -> Values:
    """Those that were made on top of this version, unchecked."""
    found = _read(site_file(file), SiteChanges)
    return found.values if found is not None and found.version == version else {}


def _interval(default_s: float) -> Setting:
    return Setting(
        INTERVAL,
        "number",
        "Intervalle entre deux mesures",
        "Time between two measurements",
        min(max(default_s, AGENT_REPORT_INTERVAL_MIN_S), AGENT_REPORT_INTERVAL_MAX_S),
        unit="s",
        minimum=AGENT_REPORT_INTERVAL_MIN_S,
        maximum=AGENT_REPORT_INTERVAL_MAX_S,
    )


def _own_pace(inputs: tuple[InputSettings, ...]) -> Values:
    """Until somebody says otherwise each input keeps its own; the quickest is told of."""
    periods_s = [each.period_s for each in inputs if not isinstance(each, MqttSettings)]
    return {INTERVAL: min(periods_s)} if periods_s else {}


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("agent.config_unreadable", file=str(file), reason=str(error))
        return None


def _state_of(file: Path) -> tuple[int, int, int] | None:
    """Another one after each change, because the file is replaced."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
