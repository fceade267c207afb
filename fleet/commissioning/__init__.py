"""Whether what a new device says can be true: pure checks, each with what would put it right."""

from fleet.commissioning.clock import clock_check
from fleet.commissioning.facts import (
    Check,
    CheckCode,
    CheckState,
    CommissioningFacts,
    DeviceFacts,
    Evidence,
    Fix,
    PvArray,
    Recent,
    Refusal,
)
from fleet.commissioning.signs import consumption_check, sign_check
from fleet.commissioning.sun import sun_check
from fleet.commissioning.units import unit_check

__all__ = [
    "Check",
    "CheckCode",
    "CheckState",
    "CommissioningFacts",
    "DeviceFacts",
    "Evidence",
    "Fix",
    "PvArray",
    "Recent",
    "Refusal",
    "checks",
]


def checks(facts: CommissioningFacts) -> list[Check]:
    """Of one device, always in this order: sign, unit, clock, sun, consumption."""
    return [check(facts) for check in (sign_check, unit_check, clock_check, sun_check, consumption_check)]
