"""Names of devices: out of an address, and new ones."""

import secrets
from typing import Final

from fleet.errors import BadInput, Conflict, NotFound
from fleet.ids import DeviceId, device_id
from fleet.profiles import DeviceKind
from fleet.storage import onboarding
from fleet.storage.database import Connection

_PREFIXES: Final[dict[DeviceKind, str]] = {
    "inverter": "inv",
    "meter": "met",
    "battery": "bat",
    "sensor": "sen",
    "gateway": "gw",
}
_SYMBOLS: Final = "23456789abcdefghjkmnpqrstvwxyz"  # can be read aloud
_TRIES: Final = 5  # at random: the second one is free, or something else is wrong


def parse_device(text: str) -> DeviceId:
    """Raises NotFound: what cannot be an id names no device."""
    try:
        return device_id(text)
    except BadInput:
        raise NotFound("unknown_device", "no such device") from None


async def free_id(connection: Connection, kind: DeviceKind) -> DeviceId:
    """'inv-7k3m9q': no device and no claim has it. Raises Conflict (refused)."""
    for _ in range(_TRIES):
        wanted = device_id(f"{_PREFIXES[kind]}-" + "".join(secrets.choice(_SYMBOLS) for _ in range(6)))
        if not await onboarding.device_id_is_taken(connection, wanted):
            return wanted
    raise Conflict("refused", "no free name was found for the device; try again")
