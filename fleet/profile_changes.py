"""What operations may make of a device profile: a sound one, whose stored history stays readable."""

from typing import Final

import msgspec

from fleet.errors import BadInput, Conflict
from fleet.ids import device_id
from fleet.limits import MEASURES_PER_SAMPLE_MAX, PROFILE_BYTES_MAX
from fleet.profiles import DeviceProfile

_LABEL_CHARS_MAX: Final = 80
_INTERVAL_S: Final = (1.0, 86_400.0)
_NAMES_MAX: Final = 50  # commands, and fields of the configuration


def check_profile(profile: DeviceProfile) -> None:
    """Beyond what DeviceProfile holds by itself. Raises BadInput (bad_profile) that says what is wrong with it."""
    device_id(profile.id)  # the same form: it stands in addresses
    size = len(msgspec.json.encode(profile))
    problems = {
        f"it has {size} bytes, {PROFILE_BYTES_MAX} are allowed": size > PROFILE_BYTES_MAX,
        "it needs a label in French and in English": not all(
            1 <= len(label.strip()) <= _LABEL_CHARS_MAX for label in (profile.label_fr, profile.label_en)
        ),
        "a channel stands in it twice": len(set(profile.channels)) < len(profile.channels),
        f"it has more than {MEASURES_PER_SAMPLE_MAX} channels": len(profile.channels) > MEASURES_PER_SAMPLE_MAX,
        "interval_s must be from a second to a day": not _INTERVAL_S[0] <= profile.interval_s <= _INTERVAL_S[1],
        "counter_step_wh must be above 0, and at most 1,000,000": not 0 < profile.counter_step_wh <= 1e6,
        f"it has more than {_NAMES_MAX} commands or fields of configuration": (
            max(len(profile.commands), len(profile.default_config)) > _NAMES_MAX
        ),
    }
    wrong = [said for said, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise BadInput("bad_profile", f"profile {profile.id}: {wrong[0]}")


def check_successor(old: DeviceProfile, new: DeviceProfile) -> None:
    """Raises Conflict (profile_channels, profile_identity): samples are stored in the order of the channels, for ever."""
    if (new.id, new.kind) != (old.id, old.kind):
        raise Conflict(
            "profile_identity", f"profile {old.id} stays {old.id}, and of kind {old.kind}; make a new one instead"
        )
    if new.channels[: len(old.channels)] != old.channels:
        raise Conflict("profile_channels", f"channels can only be added at the end of {', '.join(old.channels) or 'none'}")
