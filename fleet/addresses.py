"""Whom an address stands for, where tries and connections are counted. Pure."""

import ipaddress
from typing import Final

_HOST_BITS: Final = 64  # RFC 7421: what one host, or one house, has of IPv6 to choose its addresses from


def sender_of(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the network; anything else as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _HOST_BITS), strict=False))
