"""What is wrong at a site: small pure rules over its present state. This is where detectors grow.

A new one is a function SiteFacts → Iterable[Finding], a line in DETECTORS, a line in RULES. It says what it sees now; how
long that must last before it counts, and how long it must stay away before its alert resolves, stand in RULES.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.limits import ALERT_CLEAR_S, NEGATIVE_LOAD_AFTER_S, NEGATIVE_LOAD_CLEAR_S, TOTAL_OUTAGE_AFTER_S
from fleet.profiles import DeviceKind, DeviceProfile
from fleet.sun import clear_sky_ghi_w_m2
from fleet.telemetry import UnixMs
from fleet.views import Health, PowerFlow, Severity

Key = tuple[str, str]  # rule, device ('' for the site itself)


class DeviceFacts(Protocol):
    """What a detector may ask of a device; a DeviceTwin is one."""

    @property
    def id(self) -> DeviceId: ...
    @property
    def profile(self) -> DeviceProfile: ...
    @property
    def health(self) -> Health: ...


class SiteFacts(NamedTuple):
    """All that a detector may look at.

    flow  powers that are fresh, None where nobody says
    open  what is alerted already: a rule that cannot be judged now says so for these, and the alert stays
    """

    site: SiteId
    now: UnixMs
    peak_power_w: float
    sun_elevation_deg: float
    devices: Collection[DeviceFacts]
    flow: PowerFlow
    open: Collection[Key]


class Finding(msgspec.Struct, frozen=True):
    """raises: False = cannot be judged now; keeps an open alert open and raises none."""

    rule: str
    device: str  # '' for the site itself
    severity: Severity
    evidence: dict[str, float | str | None]
    raises: bool = True

    @property
    def key(self) -> Key:
        return self.rule, self.device


class Rule(NamedTuple):
    after_s: float
    clear_s: float


RULES: Final[Mapping[str, Rule]] = {
    "device_offline": Rule(0.0, ALERT_CLEAR_S),  # presence has waited already
    "total_outage": Rule(TOTAL_OUTAGE_AFTER_S, ALERT_CLEAR_S),
    "impossible_consumption": Rule(NEGATIVE_LOAD_AFTER_S, NEGATIVE_LOAD_CLEAR_S),
}

_OFFLINE_SEVERITY: Final[Mapping[DeviceKind, Severity]] = {
    "inverter": "warning",  # it may well produce; total_outage tells when production is in doubt
    "gateway": "critical",  # takes along all that stands behind it
    "meter": "warning",
    "battery": "warning",
    "sensor": "info",
}
# Kasten & Czeplak, "Solar and terrestrial radiation dependent on the amount and type of cloud", Solar Energy 24 (1980):
# a fully overcast sky leaves 1 − 0.75 of the clear-sky irradiance.
_OVERCAST_SHARE: Final = 0.25
_EXPECTED_SHARE_MIN: Final = 0.05  # of peak power; below it an inverter at rest proves nothing
_OUTAGE_SHARE: Final = 0.01
_NEGATIVE_LOAD_SHARE: Final = -0.05


def device_offline(facts: SiteFacts) -> Iterator[Finding]:
    for device in facts.devices:
        health = device.health
        if health.status == "offline":
            kind = device.profile.kind
            evidence: dict[str, float | str | None] = {"kind": kind, "reason": health.reason, "since": health.since}
            yield Finding("device_offline", device.id, _OFFLINE_SEVERITY[kind], evidence)


def total_outage(facts: SiteFacts) -> Iterator[Finding]:
    """No production in daylight that gives some under any sky.

    cause: no_power = an inverter reports and there is none; inverter_silent = no inverter reports while others at the site
    do; site_silent = nobody does, so that it may be the connection alone (a warning).
    """
    inverters = [device.health.status for device in facts.devices if device.profile.kind == "inverter"]
    if not inverters or facts.peak_power_w <= 0.0:
        return
    expected_w = facts.peak_power_w * _OVERCAST_SHARE * clear_sky_ghi_w_m2(facts.sun_elevation_deg) / 1000.0
    pv_w = facts.flow.pv_power_w
    cause: str | None = None
    if expected_w >= _EXPECTED_SHARE_MIN * facts.peak_power_w:
        if all(status == "offline" for status in inverters):
            cause = "inverter_silent" if any(device.health.status == "ok" for device in facts.devices) else "site_silent"
        elif "ok" in inverters and pv_w is not None:
            if pv_w >= _OUTAGE_SHARE * facts.peak_power_w:
                return
            cause = "no_power"
    if cause is None:
        yield from _unjudged(facts, "total_outage")
        return
    evidence = {
        "cause": cause,
        "pv_power_w": pv_w,
        "expected_power_w": expected_w,
        "sun_elevation_deg": facts.sun_elevation_deg,
    }
    yield Finding("total_outage", "", "warning" if cause == "site_silent" else "critical", evidence)


def impossible_consumption(facts: SiteFacts) -> Iterator[Finding]:
    """Production + import − charge is negative: most often a current clamp put on the wrong way round."""
    if facts.peak_power_w <= 0.0:
        return
    flow = facts.flow
    pv_w, battery_w = flow.pv_power_w, flow.battery_power_w
    if pv_w is None and all(
        device.health.status == "asleep" for device in facts.devices if device.profile.kind == "inverter"
    ):
        pv_w = 0.0
    if battery_w is None and all(device.profile.kind != "battery" for device in facts.devices):
        battery_w = 0.0
    if pv_w is None or flow.grid_power_w is None or battery_w is None:
        yield from _unjudged(facts, "impossible_consumption")
        return
    load_w = pv_w + flow.grid_power_w - battery_w
    if load_w < _NEGATIVE_LOAD_SHARE * facts.peak_power_w:
        evidence: dict[str, float | str | None] = {
            "load_power_w": load_w,
            "pv_power_w": pv_w,
            "grid_power_w": flow.grid_power_w,
            "battery_power_w": battery_w,
        }
        yield Finding("impossible_consumption", "", "warning", evidence)


def _unjudged(facts: SiteFacts, rule: str) -> Iterator[Finding]:
    if (rule, "") in facts.open:
        yield Finding(rule, "", "info", {}, raises=False)


DETECTORS: Final[tuple[Callable[[SiteFacts], Iterable[Finding]], ...]] = (
    device_offline,
    total_outage,
    impossible_consumption,
)

# Since when each condition holds that has not lasted long enough yet: a value that the caller hands from round to round.
# A restart may lose it; what waited then waits again.
Holding = Mapping[Key, UnixMs]
NOTHING_HOLDS: Final[Holding] = MappingProxyType({})


def detect(facts: SiteFacts, holding: Holding) -> tuple[list[Finding], Holding]:
    """What all detectors find and what has lasted long enough; an open alert need not prove itself again."""
    counted: list[Finding] = []
    holds: dict[Key, UnixMs] = {}
    for detector in DETECTORS:
        for finding in detector(facts):
            after_s = RULES[finding.rule].after_s
            if finding.raises and after_s > 0.0 and finding.key not in facts.open:
                since = holds[finding.key] = holding.get(finding.key, facts.now)
                if facts.now - since < after_s * 1000:
                    continue
            counted.append(finding)
    return counted, holds or NOTHING_HOLDS
