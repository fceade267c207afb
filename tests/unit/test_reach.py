"""Whom the platform knocks at because somebody said so: never at its own doors, however they are spelled."""

import ipaddress

import pytest

from fleet.errors import BadInput, Unavailable
from fleet.runtime import reach

OURS = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "255.255.255.255",
    "224.0.0.1", "198.18.0.1", "192.0.0.1", "::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::",
    "2001:0:53aa:64c::1", "::ffff:0:127.0.0.1", "2001:db8::1", "5f00::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", OURS)
def test_our_own_doors(address: str) -> None:
    assert not reach.allowed(ipaddress.ip_address(address), [])


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2a00:1450:4007::1", "::ffff:1.1.1.1"])
def test_the_internet(address: str) -> None:
    assert reach.allowed(ipaddress.ip_address(address), [])


def test_networks_that_the_settings_name() -> None:
    named = reach.networks(["10.20.0.0/16", "64:ff9b::/96"])
    for address, allowed in (("10.20.1.1", True), ("::ffff:10.20.1.1", True), ("10.21.1.1", False), ("64:ff9b::1", True)):
        assert reach.allowed(ipaddress.ip_address(address), named) is allowed


@pytest.mark.parametrize("host", ["localhost", "127.1", "0", "2130706433", "0x7f.1", "017700000001", "::1"])
async def test_names_and_odd_spellings(host: str) -> None:
    with pytest.raises((BadInput, Unavailable)):
        await reach.resolved(host, 22, [])
