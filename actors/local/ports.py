"""TCP ports on this machine."""

import socket
from contextlib import closing

from fleet.errors import Conflict

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise Conflict("port_not_allowed", f"port {port} may only be opened by root; choose one above 1023") from None
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """Free now; whoever uses it must be ready to find it taken after all."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def next_free(port: int, host: str = LOOPBACK) -> int:
    """The nearest free port above `port`, else any."""
    return next(
        (candidate for candidate in range(port + 1, min(port + 50, 65_536)) if is_free(candidate, host)), 0
    ) or free_port(host)


def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
