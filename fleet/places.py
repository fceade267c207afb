"""Where a site can be: its time zone, and the department of its address."""

import re
from typing import Final

from fleet.errors import BadInput

# Every zone of France, and those around it. What a site's form offers, in this order.
ZONES: Final = (
    "Europe/Paris",
    "America/Guadeloupe",
    "America/Martinique",
    "America/Cayenne",
    "Indian/Reunion",
    "Indian/Mayotte",
    "Pacific/Noumea",
    "Pacific/Tahiti",
    "Pacific/Marquesas",
    "Pacific/Gambier",
    "Pacific/Wallis",
    "America/Miquelon",
    "America/St_Barthelemy",
    "America/Marigot",
    "Europe/Brussels",
    "Europe/Luxembourg",
    "Europe/Zurich",
    "Europe/Monaco",
    "Europe/Andorra",
    "Europe/Madrid",
    "Europe/Rome",
    "Europe/Berlin",
    "Europe/Amsterdam",
    "Europe/Lisbon",
    "Europe/London",
    "Europe/Dublin",
)
_POSTCODE: Final = re.compile(r"(?<![\d])(\d{5})(?!\d)")


def checked_zone(name: str) -> str:
    """Raises BadInput (unknown_timezone)."""
    if name not in ZONES:
        raise BadInput("unknown_timezone", f"no such time zone to choose: {name[:40]!r}")
    return name


def department_of(address: str) -> str | None:
    """'26' for '1 rue Haute, 26400 Crest'; overseas three digits, Corsica '2A' and '2B'; None without a postcode.

    Of several numbers with five digits the last one is the postcode: it stands before the town.
    """
    codes = _POSTCODE.findall(address)
    if not codes:
        return None
    code = str(codes[-1])
    if code.startswith("20"):
        return "2A" if code < "20200" else "2B"
    if code.startswith(("97", "98")):
        return code[:3]
    return code[:2] if code >= "01000" else None
