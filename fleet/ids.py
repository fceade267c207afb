"""Names of sites and devices: short, lower case, safe in a topic, a path and a certificate."""

import re
from typing import NewType

from fleet.errors import BadInput

SiteId = NewType("SiteId", str)
DeviceId = NewType("DeviceId", str)

# The platform's own certificates carry such names, and the broker's rights hang on the name alone.
RESERVED_PREFIX = "sp-"

_FORM = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


def site_id(text: str) -> SiteId:
    """The site id that `text` spells. Raises BadInput (bad_id)."""
    return SiteId(_checked(text, "site"))


def device_id(text: str) -> DeviceId:
    """The device id that `text` spells. Raises BadInput (bad_id)."""
    if text.startswith(RESERVED_PREFIX):
        raise BadInput("bad_id", f"device ids beginning with {RESERVED_PREFIX} belong to the platform: {text[:40]!r}")
    return DeviceId(_checked(text, "device"))


def is_device_id(text: str) -> bool:
    try:
        return bool(device_id(text))
    except BadInput:
        return False


def _checked(text: str, kind: str) -> str:
    if not _FORM.fullmatch(text):
        raise BadInput("bad_id", f"{kind} id must be 1 to 32 of a-z, 0-9 and inner hyphens: {text[:40]!r}")
    return text
