"""Whose X-Forwarded-For is believed: what settings call trusted_proxies, as addresses and networks.

Besides these an entry may be `network-of:NAME`, NAME being this container's own in a network that it shares with its
gateway. The engine chooses that network's addresses, and gives the gateway another one whenever it makes it anew.
"""

import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network
from typing import Final

import psutil

from fleet.errors import BadInput, Unavailable
from fleet.settings import EVERY_PROXY

_NETWORK_OF: Final = "network-of:"
_SHARED_PREFIX_MAX: Final = 30  # in a longer one nobody else has room


def believed(entries: Iterable[str]) -> list[str]:
    """As uvicorn takes them: addresses, networks, or EVERY_PROXY alone. An entry may name several, with commas between.

    Raises BadInput (bad_settings), Unavailable (no_such_host).
    """
    found: list[str] = []
    for entry in (each.strip() for told in entries for each in told.split(",")):
        if entry == EVERY_PROXY:
            return [EVERY_PROXY]
        if entry.startswith(_NETWORK_OF):
            found += neighbours(_own(entry.removeprefix(_NETWORK_OF)))
            continue
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise BadInput("bad_settings", f"trusted_proxies: {error}; a name is given as {_NETWORK_OF}NAME") from None
        found.append(entry)
    return found


def neighbours(own: IPv4Interface) -> list[str]:
    """Networks that together are ours without its first address: that is the machine's, and any account there calls from it.

    Raises BadInput (bad_settings).
    """
    if own.network.prefixlen > _SHARED_PREFIX_MAX:
        raise BadInput("bad_settings", f"trusted_proxies: {own} is one address, not a network; name the gateway's network")
    machine = IPv4Network(own.network[1])
    return [str(each) for each in own.network.address_exclude(machine)]


def _own(name: str) -> IPv4Interface:
    """Raises BadInput (bad_settings), Unavailable (no_such_host)."""
    try:
        told = socket.getaddrinfo(name, None, socket.AF_INET)
    except OSError as error:
        raise Unavailable("no_such_host", f"trusted_proxies: {name} cannot be resolved: {error}; {_hint(name)}") from None
    addresses = {each[4][0] for each in told}
    for interface in psutil.net_if_addrs().values():
        for each in interface:
            if each.family == socket.AF_INET and each.address in addresses:
                return IPv4Interface(f"{each.address}/{each.netmask}")
    raise BadInput("bad_settings", f"trusted_proxies: no address of this machine is called {name}; {_hint(name)}")


def _hint(name: str) -> str:
    return f"give this service the alias {name} in its gateway's network, or name that one (SP_TRUSTED_PROXIES=192.0.2.0/24)"
