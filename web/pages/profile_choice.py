"""Device profiles as a choice for people: grouped by what they are, and guessed from what a device measures. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from fleet.profiles import DeviceKind, DeviceProfile
from fleet.storage.drop_accounts import LOGGER_PROFILE
from web.language import Language

_ORDER: Final[tuple[DeviceKind, ...]] = ("inverter", "meter", "gateway", "battery", "sensor")  # as often as they are added


_INVERTERS: Final = frozenset(("pv_power_w", "pv_energy_wh"))
_GRIDS: Final = frozenset(("grid_power_w", "import_energy_wh", "export_energy_wh"))


class Choice(msgspec.Struct, frozen=True):
    """generic: speaks our own protocol, through the site agent, whoever made it."""

    id: str
    label: str
    generic: bool


class ProfileGroup(msgspec.Struct, frozen=True):
    kind: DeviceKind
    choices: list[Choice]


def label_of(profile: DeviceProfile, language: Language) -> str:
    return profile.label_en if language == "en" else profile.label_fr


def grouped(profiles: Iterable[DeviceProfile], language: Language) -> list[ProfileGroup]:
    """Within a kind the plain one, called like its kind, comes first; then by name."""
    known = list(profiles)
    groups = []
    for kind in _ORDER:
        choices = [
            Choice(profile.id, label_of(profile, language), profile.id == kind) for profile in known if profile.kind == kind
        ]
        if choices:
            groups.append(ProfileGroup(kind, sorted(choices, key=lambda each: (not each.generic, each.label.casefold()))))
    return groups


def likely_profiles(
    profiles: Iterable[DeviceProfile], measures: Sequence[str], gateway: DeviceProfile | None, serial: str = ""
) -> list[DeviceProfile]:
    """Those that know every measure that was heard: of the gateway's own maker first, then of the one that the serial names,
    then the plain ones, then those with the least surplus.

    A plug or a clamp is heard as the grid's and as an inverter's at once: it can be either.
    gateway: the profile of whom it was heard through.
    """
    heard = set(measures)
    alternatives = [heard - _INVERTERS, heard - _GRIDS] if heard & _INVERTERS and heard & _GRIDS else [heard]
    fitting = [
        profile
        for profile in profiles
        if profile.kind != "gateway" and any(each <= set(profile.channels) for each in alternatives)
    ]
    maker, named = _maker(gateway) if gateway else "", serial.casefold()
    return sorted(
        fitting,
        key=lambda each: (
            _maker(each) != maker,
            each.id == each.kind or _maker(each) not in named,
            each.id != each.kind,
            len(each.channels) - len(heard),
            each.id,
        ),
    )


def _maker(profile: DeviceProfile) -> str:
    """'victron' of victron-gx and of victron-pv. What a logger of files tells of is 'imported'."""
    return "imported" if profile.id == LOGGER_PROFILE else profile.id.partition("-")[0]
