"""Which hosts we connect to because somebody said so: the Internet's, and private networks that the settings name.

Otherwise whoever may set up fetching could let the platform knock at its own database, or at a cloud's metadata service.
A name is resolved once, and the address that was checked is the one that is connected to.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from fleet.errors import BadInput, Unavailable

# RFC 4291, RFC 3056. What lies elsewhere stands for an IPv4 address (also one of ours), or for a place that nobody has.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_6TO4: Final = ipaddress.IPv6Network("2002::/16")

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def networks(texts: Iterable[str]) -> Networks:
    """'10.20.0.0/16' and the like. Raises BadInput (bad_settings)."""
    try:
        return [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise BadInput("bad_settings", f"not a network: {error}") from None


def allowed(address: Address, networks: Networks) -> bool:
    plain = getattr(address, "ipv4_mapped", None) or address
    if any(plain in network for network in networks if network.version == plain.version):
        return True
    if isinstance(plain, ipaddress.IPv6Address) and (plain not in _UNICAST or plain in _6TO4):
        return False
    return plain.is_global and not plain.is_multicast


async def resolved(host: str, port: int, networks: Networks) -> str:
    """An address of the host that may be connected to.

    Raises BadInput (host_not_allowed), Unavailable (server_away) for a name that nobody knows.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unavailable("server_away", f"nobody knows a host called {host}") from None
    addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    for address in addresses:
        if allowed(address, networks):
            return str(address)
    raise BadInput("host_not_allowed", f"{host} is in a network of the platform's own; its administrator can allow that")
