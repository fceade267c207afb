"""Codes of the domain in the words of people: health, reasons, alert rules, refusals, roles."""

from typing import NamedTuple

from fleet.views import HealthStatus, Severity
from web.i18n import N_, say
from web.language import Language


class Look(NamedTuple):
    """Text and shape say it; the colour only repeats it."""

    text: str
    icon: str


_HEALTH: dict[HealthStatus, Look] = {
    "ok": Look(N_("All is well"), "check"),
    "asleep": Look(N_("Asleep"), "moon"),
    "unknown": Look(N_("No data yet"), "question"),
    "warning": Look(N_("To watch"), "triangle"),
    "fault": Look(N_("Fault"), "cross"),
    "offline": Look(N_("Offline"), "unplugged"),
}

# The codes of fleet.health.
_REASONS = {
    "reporting": N_("Reports as expected"),
    "night": N_("Asleep: it is dark, that is normal"),
    "never_seen": N_("Has not reported yet"),
    "never_reported": N_("Has not reported yet"),
    "not_heard_yet": N_("The platform has just started and waits for its first message"),
    "silent": N_("Has stopped reporting"),
    "disconnected": N_("Has lost its connection"),
    "revoked": N_("Revoked: it may not speak any more"),
    "no_devices": N_("No device yet"),
}

# The rules of fleet.detectors, and what they advise.
_RULES = {
    "device_offline": (N_("Device offline"), N_("Check its power supply and its network.")),
    "total_outage": (N_("No production in daylight"), N_("Check the inverter and its circuit breaker.")),
    "impossible_consumption": (
        N_("Consumption comes out negative"),
        N_("Most often a CT clamp is the wrong way round: check its direction and phase."),
    ),
}

_SEVERITIES: dict[Severity, Look] = {
    "info": Look(N_("For information"), "info"),
    "warning": Look(N_("Warning"), "triangle"),
    "critical": Look(N_("Urgent"), "cross"),
}

_REFUSALS = {
    "malformed": N_("Cannot be read: neither JSON nor MessagePack as agreed"),
    "bad_topic": N_("The topic is not one of the contract"),
    "foreign_topic": N_("The topic belongs to another site or device"),
    "unknown_site": N_("Nobody knows this site"),
    "unknown_device": N_("Nobody knows this device at this site"),
    "unknown_measure": N_("A measure that the device's profile does not have"),
    "bad_value": N_("A value that cannot be: not a number, or out of all proportion"),
    "future_time": N_("Its time lies in the future: the device's clock is wrong"),
    "too_old": N_("Older than what is kept"),
    "too_large": N_("Larger than a message may be"),
    "too_many_samples": N_("More samples than a message may hold"),
    "too_many_measures": N_("More measures than a sample may hold"),
    "unknown_source": N_("A gateway speaks for a serial number that no device of the site has"),
    "other_device": N_("A device that is enrolled as one speaks of another one too"),
    "bad_payload": N_("A gateway passed on a message that its format does not allow"),
    "codec_failed": N_("A message that the platform failed to read: please report it"),
    "bad_source": N_("What a gateway calls a serial number is none"),
    "no_codec": N_("The device's profile does not say what format its messages are in"),
    "unknown_codec": N_("The profile names a message format that does not exist"),
    "too_many_raw": N_("More passed-on messages than one message may hold"),
    "too_many_sources": N_("A gateway speaks for more unknown serial numbers than are remembered"),
    "unexpected_channel": N_("Nothing listens to this channel of the device"),
    "moved_slot": N_("Left over from another number of shards; a device that counts its messages sends it again"),
    "store_refused": N_("The database refused it: please report this"),
    "oversize_packet": N_("Larger than the broker lets in; the device was disconnected"),
    "broker_dropped": N_("The broker had no room left and dropped messages"),
    "protocol_error": N_("The broker could not follow the device's MQTT and disconnected it"),
    "retain_refused": N_("Retained messages are not taken; the device was disconnected"),
    "refused_at_the_door": N_("Somebody without a valid certificate was turned away"),
}

_ROLES = {
    "customer": N_("Customer"),
    "energy_manager": N_("Energy manager"),
    "installer": N_("Installer"),
    "ops": N_("Operations"),
    "admin": N_("Administrator"),
}

_KINDS = {
    "inverter": ("inverter", N_("Inverter")),
    "meter": ("meter", N_("Meter")),
    "battery": ("battery", N_("Battery")),
    "sensor": ("sensor", N_("Sensor")),
    "gateway": ("gateway", N_("Gateway")),
}


def health(status: HealthStatus, language: Language) -> Look:
    text, icon = _HEALTH[status]
    return Look(say(language, text), icon)


def reason(code: str, status: HealthStatus, language: Language) -> str:
    """code: as in Health, without the device behind the colon. One without words of its own says what its status says."""
    return say(language, _REASONS[code]) if code in _REASONS else health(status, language).text


def rule(code: str, language: Language) -> str:
    return say(language, _RULES[code][0]) if code in _RULES else _spelled(code)


def advice(code: str, language: Language) -> str:
    """What to do about it; '' where there is nothing to say in general."""
    return say(language, _RULES[code][1]) if code in _RULES else ""


def severity(code: Severity, language: Language) -> Look:
    text, icon = _SEVERITIES[code]
    return Look(say(language, text), icon)


def refusal(code: str, language: Language) -> str:
    return say(language, _REFUSALS[code]) if code in _REFUSALS else _spelled(code)


def role(code: str, language: Language) -> str:
    return say(language, _ROLES[code])


def kind(code: str, language: Language) -> Look:
    icon, text = _KINDS.get(code, ("sensor", N_("Device")))
    return Look(say(language, text), icon)


def _spelled(code: str) -> str:
    return code.replace("_", " ").capitalize()
