"""A host beyond this machine, in a network namespace: whoever speaks to it has to be answered by way of this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import pytest

# RFC 5737, TEST-NET-2: nobody's.
_NEAR: Final = "198.51.100.1"
_FAR: Final = "198.51.100.2"
_PORT: Final = 443
_SERVER: Final = """
import socket
server = socket.create_server(("", 443))
print("listens", flush=True)
while True:
    server.accept()[0].close()
"""


class Outside(NamedTuple):
    """Listens on its one port."""

    address: str
    port: int


@contextmanager
def outside() -> Iterator[Outside]:
    """It has no way to the containers' own addresses, as nobody out there has. Skips where it cannot be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a host in a namespace of its own needs root and `ip` (package iproute2)")
    name, near, far = (f"{word}{os.getpid()}" for word in ("sp-out", "spn", "spf"))
    _ip("netns", "add", name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _ip("addr", "add", f"{_NEAR}/24", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", name, "addr", "add", f"{_FAR}/24", "dev", far)
        _ip("-n", name, "link", "set", far, "up")
        command = ["ip", "netns", "exec", name, sys.executable, "-c", _SERVER]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == "listens"
            try:
                yield Outside(_FAR, _PORT)
            finally:
                server.kill()
    finally:
        _ip("netns", "del", name)  # the pair goes with it


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
