"""Whose X-Forwarded-For the web believes."""

import socket
from ipaddress import IPv4Interface
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fleet.errors import BadInput, Unavailable
from web.proxies import believed, neighbours

VISITOR = "198.51.100.7"


async def seen(entries: list[str], peer: str) -> str:
    """The address that the web takes for a visitor's when this peer says that it forwards one."""
    told: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["client"][0])

    scope: Any = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", VISITOR.encode())]}
    nothing: Any = None
    await ProxyHeadersMiddleware(application, entries)(scope, nothing, nothing)
    (address,) = told
    return str(address)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("172.20.0.2", VISITOR),  # the gateway, wherever the engine put it
        ("172.20.255.254", VISITOR),
        ("172.20.0.1", "172.20.0.1"),  # the machine's own end: whoever has an account there
        ("172.21.0.2", "172.21.0.2"),  # a container on another of the web's networks
        ("203.0.113.9", "203.0.113.9"),
    ],
)
async def test_only_a_neighbour_is_believed(peer: str, address: str) -> None:
    assert await seen(neighbours(IPv4Interface("172.20.0.3/16")), peer) == address


async def test_a_network_is_named_by_our_own_name_in_it() -> None:
    entries = believed(["network-of:localhost", "192.0.2.0/24", "203.0.113.9"])
    assert [await seen(entries, peer) for peer in ("127.0.0.2", "192.0.2.8", "203.0.113.9")] == [VISITOR] * 3
    for peer in ("127.0.0.1", "198.51.100.1"):
        assert await seen(entries, peer) == peer


async def test_one_setting_names_several_networks() -> None:
    entries = believed(["10.244.0.0/16, fd00::/64"])
    assert [await seen(entries, peer) for peer in ("10.244.3.4", "fd00::7")] == [VISITOR] * 2


async def test_everybody_is_believed_when_that_is_asked_for() -> None:
    assert await seen(believed(["192.0.2.0/24", "*"]), "203.0.113.9") == VISITOR


@pytest.mark.parametrize("entry", ["gateway", "192.0.2.0/33", "192.0.2.1/24", ""])
def test_what_never_matches_is_refused(entry: str) -> None:
    with pytest.raises(BadInput) as refused:
        believed([entry])
    assert refused.value.code == "bad_settings"


def test_a_network_that_is_not_ours_or_has_no_neighbours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="one address"):
        neighbours(IPv4Interface("10.1.2.3/32"))

    def nobody(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)  # what a resolver says of an alias that no network has
    with pytest.raises(Unavailable) as away:
        believed(["network-of:web-front"])
    assert away.value.code == "no_such_host"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(socket.AF_INET, 1, 6, "", ("192.0.2.77", 0))])
    with pytest.raises(BadInput, match="web-front") as strange:
        believed(["network-of:web-front"])
    assert strange.value.code == "bad_settings"
