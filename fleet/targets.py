"""Which devices are meant: a query over what is known of them, for commands, groups and rollouts."""

import re
from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from fleet.configuration import ConfigStatus
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId, is_device_id
from fleet.limits import TARGET_DEVICES_MAX, TARGET_SILENCE_S_MAX, TARGET_TEXT_CHARS_MAX, TARGET_VALUES_MAX
from fleet.profiles import DeviceKind
from fleet.telemetry import UnixMs
from fleet.versions import version_key
from fleet.views import HealthStatus

DEVICE_KINDS: Final[tuple[DeviceKind, ...]] = get_args(DeviceKind)
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class TargetQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that is said must hold; of several values of one field, one. What is not said restricts nothing.

    models, firmwares  as the devices themselves last said, to the letter
    firmware_below     older than this version (fleet.versions); a device that has said none is not
    installers         ids of organisations
    health             a device that was never judged is 'unknown', one that was never told anything has config 'unknown'
    silent_for_s       nothing came for so long, or never; seen_within_s: something did
    Raises BadInput (bad_query, bad_tag, bad_firmware, bad_id), also when it is decoded.
    """

    kinds: tuple[DeviceKind, ...] = ()
    profiles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    firmwares: tuple[str, ...] = ()
    firmware_below: str | None = None
    sites: tuple[SiteId, ...] = ()
    departments: tuple[str, ...] = ()
    installers: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    health: tuple[HealthStatus, ...] = ()
    config: tuple[ConfigStatus, ...] = ()
    seen_within_s: float | None = None
    silent_for_s: float | None = None
    devices: tuple[DeviceId, ...] = ()

    def __post_init__(self) -> None:
        for name in ("profiles", "models", "firmwares", "sites", "departments", "installers"):
            _check_texts(name, getattr(self, name))
        for name in ("tags_all", "tags_any"):
            for tag in getattr(self, name):
                check_tag(tag)
        for name in self.__struct_fields__:
            values = getattr(self, name)
            most = TARGET_DEVICES_MAX if name == "devices" else TARGET_VALUES_MAX
            if isinstance(values, tuple) and len(values) > most:
                raise BadInput("bad_query", f"{name}: at most {most} values, not {len(values)}")
        for device in self.devices:
            if not is_device_id(device):
                raise BadInput("bad_id", f"devices: no device can be called {device[:40]!r}")
        self._check_version()
        for name in ("seen_within_s", "silent_for_s"):
            seconds: float | None = getattr(self, name)
            if seconds is not None and not 1.0 <= seconds <= TARGET_SILENCE_S_MAX:
                raise BadInput("bad_query", f"{name}: 1 to {TARGET_SILENCE_S_MAX:.0f} seconds, not {seconds:g}")

    def _check_version(self) -> None:
        if self.firmware_below is None:
            return
        _check_texts("firmware_below", (self.firmware_below,))
        if version_key(self.firmware_below) is None:
            raise BadInput(
                "bad_firmware", f"firmware_below: a version has a number in it, {self.firmware_below[:40]!r} has none"
            )

    @property
    def is_everything(self) -> bool:
        return self == _EVERYTHING


class TargetDevice(msgspec.Struct, frozen=True):
    """A device that is meant. gateway: who speaks for it, so that it is told nothing itself.

    config: how its desired and reported configuration stand to each other.
    """

    site: SiteId
    device: DeviceId
    name: str
    site_name: str
    profile: str
    kind: DeviceKind
    gateway: DeviceId | None
    revoked: bool
    online: bool
    seen_at: UnixMs | None
    health: HealthStatus
    config: ConfigStatus
    model: str | None
    firmware: str | None


def check_tag(tag: str) -> str:
    """Raises BadInput (bad_tag)."""
    if not _TAG.fullmatch(tag):
        raise BadInput("bad_tag", f"a tag is 1 to 31 of a-z, 0-9 and hyphens, not at its beginning: {tag[:40]!r}")
    return tag


def _check_texts(name: str, values: Iterable[str]) -> None:
    for value in values:
        if not 0 < len(value) <= TARGET_TEXT_CHARS_MAX or "\x00" in value:
            raise BadInput("bad_query", f"{name}: texts of 1 to {TARGET_TEXT_CHARS_MAX} characters: {value[:40]!r}")


_EVERYTHING: Final = TargetQuery()
