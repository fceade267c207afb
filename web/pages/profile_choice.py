"""Device profiles as a choice for people: grouped by what they are, and guessed from what a device measures. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from fleet.measures import INTERVAL_OF, REGISTERS
from fleet.profiles import DeviceKind, DeviceProfile
from fleet.storage.drop_accounts import LOGGER_PROFILE
from web.language import Language

_ORDER: Final[tuple[DeviceKind, ...]] = ("inverter", "meter", "gateway", "battery", "sensor")  # as often as they are added


# What a profile must know to be of use; voltages and the like may be left out.
_ESSENTIAL: Final = frozenset(
    (
        *REGISTERS, *INTERVAL_OF.values(), "pv_power_w", "grid_power_w", "battery_power_w", "battery_soc_pct",
        "irradiance_w_m2", "module_temp_c", "ambient_temp_c",
    )
)  # fmt: skip
_INVERTERS: Final = frozenset(("pv_power_w", "pv_energy_wh"))
_GRIDS: Final = frozenset(("grid_power_w", "import_energy_wh", "export_energy_wh"))
_KINDS: Final[tuple[tuple[DeviceKind, frozenset[str]], ...]] = (
    ("inverter", _INVERTERS),
    ("meter", _GRIDS | {"apparent_power_va"}),
    ("battery", frozenset(("battery_power_w", "battery_soc_pct", "charge_energy_wh", "discharge_energy_wh"))),
    ("sensor", frozenset(("irradiance_w_m2", "module_temp_c", "ambient_temp_c"))),
)
_OF_EITHER: Final = frozenset((None, "shelly", "tasmota"))  # formats of plugs and clamps
_ANY_FORMAT: Final = "mqtt"  # profiles for whatever comes by a gateway; nobody knows how often
# Formats that have no profile of their own name.
_PROFILE_FOR: Final[Mapping[str, str]] = {"teleinfo2mqtt": "linky-tic", "tic": "linky-tic"}


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
    profiles: Iterable[DeviceProfile],
    measures: Sequence[str],
    gateway: DeviceProfile | None,
    serial: str = "",
    codec: str | None = None,
) -> list[DeviceProfile]:
    """Those that know all powers and counters that were heard: of the gateway's own maker first, then of the kind that it
    measures, then for its format, then of the maker that the serial names, then the plain ones, then those that know most of
    the rest, then those with the least surplus.

    A plug or a clamp is heard as the grid's and as an inverter's at once: it can be either.
    gateway: the profile of whom it was heard through. codec: the format that it was heard in, where that is known.
    """
    heard = set(measures)
    by_file = gateway is not None and gateway.id == LOGGER_PROFILE
    several = codec in _OF_EITHER and not by_file and heard & _INVERTERS and heard & _GRIDS
    alternatives = [heard - _INVERTERS, heard - _GRIDS] if several else [heard]
    needed = [_needed(each) for each in alternatives]
    maker, named = _maker(gateway) if gateway else "", serial.casefold()
    kind = None if several else _kind_of(heard)

    def order(each: DeviceProfile) -> tuple[bool, bool, int, bool, bool, int, int, str]:
        channels = set(each.channels)
        far = None if codec is None else _far_from(each, codec)
        return (
            _maker(each) != maker,
            kind is not None and each.kind != kind,
            far or 0,
            far != 0 and (each.id == each.kind or _maker(each) not in named),  # a name says less than the format
            each.id != each.kind,
            min(len(alternative - channels) for alternative in alternatives),
            len(channels - heard),
            each.id,
        )

    fitting = [
        profile
        for profile in profiles
        if profile.kind != "gateway" and any(each <= set(profile.channels) for each in needed)
    ]
    return sorted(fitting, key=order)


def _kind_of(heard: set[str]) -> DeviceKind | None:
    """Of what measures this: a hybrid inverter measures its battery and the grid too."""
    return next((kind for kind, its in _KINDS if heard & its), None)


def _needed(heard: set[str]) -> set[str]:
    """Apparent power is all that many a meter tells of now."""
    essential = heard & _ESSENTIAL if "grid_power_w" in heard else heard & (_ESSENTIAL | {"apparent_power_va"})
    return essential or heard


def _far_from(profile: DeviceProfile, codec: str) -> int:
    """Of a profile from a format: its own, one for whatever format, one that is for none, another's own."""
    if codec in (profile.codec, _maker(profile)) or _PROFILE_FOR.get(codec) == profile.id:
        return 0
    if _maker(profile) == _ANY_FORMAT:
        return 1
    return 2 if profile.codec is None else 3


def _maker(profile: DeviceProfile) -> str:
    """'victron' of victron-gx and of victron-pv. What a logger of files tells of is 'imported'."""
    return "imported" if profile.id == LOGGER_PROFILE else profile.id.partition("-")[0]
