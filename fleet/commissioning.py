"""Whether what a new device says can be true: pure checks, each with what would put it right."""

from fleet.commissioning_facts import (
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
]
