"""`solarperform-agent config` and `set`: what this machine runs, and changes of it by somebody who stands beside it.

No socket listens: a change is a file, which the running agent finds within seconds and tells the platform of.
"""

import fcntl
import os
from collections.abc import Iterator

import msgspec

from edge.agent import files, presence
from edge.agent.configuration import Configuration, SiteChanges
from edge.agent.home import Home
from edge.agent.texts import text
from fleet.device_setting import Setting, SettingProblem, check_values, is_same
from fleet.errors import BadInput
from fleet.order_messages import ConfigValue

_YES, _NO = ("true", "yes", "on", "1", "oui", "vrai"), ("false", "no", "off", "0", "non", "faux")


def lines(home: Home, configuration: Configuration) -> Iterator[str]:
    """Every value that runs, or will when an agent runs; those changed on site with what the platform wants instead."""
    version = configuration.version
    yield text("config_version", version=version) if version else text("config_no_version")
    told, changed = configuration.told, configuration.changed_on_site
    for setting in configuration.settings:
        value = _spelt(setting, told[setting.key])
        if setting.key in changed:
            now = _spelt(setting, changed[setting.key])
            yield text("config_changed", setting=setting.key, value=now, told=value)
        else:
            yield text("config_value", setting=setting.key, value=value)
    if presence.read(home.folder) is None:
        yield text("status_not_running")


def change(home: Home, configuration: Configuration, key: str, typed: str) -> str:
    """On the disk when this returns; what to say of it. configuration: as it is read now.

    Raises BadInput (bad_value) that says what would be right, Unavailable when the folder cannot be written.
    """
    settings = {setting.key: setting for setting in configuration.settings}
    told = configuration.told
    changed = configuration.changed_on_site | {key: _read(settings[key], typed) if key in settings else typed}
    values = told | changed
    problems = check_values(settings.values(), values, told)
    if problems:
        raise BadInput("bad_value", "; ".join(_said(problem) for problem in problems))
    kept = {each: value for each, value in changed.items() if not is_same(value, told[each])}
    files.replace(configuration.site_file, msgspec.json.encode(SiteChanges(configuration.version, kept)))
    words = text("set_done" if key in kept else "set_back", setting=key, value=_spelt(settings[key], values[key]))
    return words if presence.read(home.folder) is not None else f"{words} {text('set_not_running')}"


class Turn:
    """One change at a time: each begins from what the one before has left."""

    def __init__(self, home: Home) -> None:
        self._file = home.folder / "config.lock"

    def __enter__(self) -> None:
        self._descriptor = files.open_own(self._file)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)


def _read(setting: Setting, typed: str) -> ConfigValue:
    """As its kind wants it; what cannot be read stays the text that it is, and is refused as that."""
    said = typed.strip()
    match setting.kind:
        case "boolean":
            return said.lower() in _YES if said.lower() in (*_YES, *_NO) else said
        case "number" | "integer":
            try:
                return float(said.removesuffix(setting.unit).strip().replace(",", "."))
            except ValueError:
                return said
        case _:
            return typed


def _spelt(setting: Setting, value: ConfigValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return f"{value:.12g} {setting.unit}".rstrip()


def _said(problem: SettingProblem) -> str:
    return text(f"set_{problem.code}", setting=problem.key, allowed=problem.allowed)
