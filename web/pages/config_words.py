"""Configurations in the words of people: how one stands, where values come from, what changed it, what the journal says."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fleet.configuration import ChangeKind, ConfigStatus
from web.config_views import OriginView
from web.i18n import N_, say
from web.language import Language
from web.pages.words import Look
from web.setting_texts import device_refusal

# With the tone in which it is shown: the statuses of health.
_STATUSES: Final[Mapping[ConfigStatus, tuple[str, str, str]]] = {
    "in_sync": (N_("Applied"), "check", "ok"),
    "pending": (N_("Waiting to be sent"), "clock", "asleep"),
    "applying": (N_("Sent, no answer yet"), "upload", "asleep"),
    "rejected": (N_("Refused by the device"), "cross", "fault"),
    "drifted": (N_("Changed on site"), "swap", "warning"),
    "unknown": (N_("Not known"), "question", "unknown"),
}
_KINDS: Final[Mapping[ChangeKind, str]] = {
    "set": N_("Settings changed"),
    "return": N_("Back to an earlier version"),
    "accept_drift": N_("What was changed on site accepted"),
    "overwrite": N_("Sent once more over what was changed on site"),
    "rollout": N_("Settings changed"),
    "rollout_return": N_("Earlier values brought back"),
}
# The kinds of fleet.device_orders.
_RECEIPTS: Final[Mapping[str, str]] = {
    "config.desired": N_("Configuration wished"),
    "config.sent": N_("Configuration sent"),
    "config.reported": N_("The device says what it runs"),
    "command.queued": N_("Command given"),
    "command.sent": N_("Command sent"),
    "command.accepted": N_("Command accepted by the device"),
    "command.succeeded": N_("Command carried out"),
    "command.failed": N_("Command failed"),
    "command.timed_out": N_("Command given up: no answer"),
    "command.expired": N_("Command expired before it could be sent"),
    "command.cancelled": N_("Command cancelled"),
    "command.late": N_("Answer after the deadline"),
}


def status(code: ConfigStatus, language: Language) -> Look:
    text, icon, _ = _STATUSES[code]
    return Look(say(language, text), icon)


def tone(code: ConfigStatus) -> str:
    return _STATUSES[code][2]


def change(kind: ChangeKind, language: Language) -> str:
    return say(language, _KINDS[kind])


def receipt(kind: str, language: Language) -> str:
    return say(language, _RECEIPTS[kind]) if kind in _RECEIPTS else kind


def origin(of: OriginView | None, language: Language) -> str:
    if of is None or of.kind == "profile":
        return say(language, "Device profile")
    if of.kind == "former_profile":
        return say(language, "Device profile, before it was edited")
    if of.kind == "device":
        return say(language, "This device")
    if not of.name:
        return say(language, "Rollout")
    return say(language, N_("Group “%(name)s”") if of.saved_group else N_("Rollout “%(name)s”"), name=of.name)


def bound(language: Language) -> dict[str, Callable[..., Any]]:
    """For templates."""
    return {
        "config_status": lambda code: status(code, language),
        "config_tone": tone,
        "config_change": lambda kind: change(kind, language),
        "receipt": lambda kind: receipt(kind, language),
        "origin": lambda of: origin(of, language),
        "device_refusal": lambda said: device_refusal(said, language),
    }
