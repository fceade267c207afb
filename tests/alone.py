"""python -m tests.alone MODULE [WORD ...]: runs it where there is no network but a loopback of its own.

For what listens on every interface: nobody else can reach it, and its ports are nobody else's. Needs root, or a kernel that
lets people make namespaces.
"""

import fcntl
import os
import runpy
import socket
import struct
import sys
from typing import Final

_GET_FLAGS: Final = 0x8913
_SET_FLAGS: Final = 0x8914
_UP: Final = 1


def alone(module: str, *words: str) -> list[str]:
    """The command line that does so."""
    mapped = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
    return ["unshare", "--net", *mapped, sys.executable, "-m", "tests.alone", module, *words]


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        told = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack("16sh22x", b"lo", 0))
        (flags,) = struct.unpack_from("h", told, 16)
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _UP))


if __name__ == "__main__":
    _raise_loopback()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
