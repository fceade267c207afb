"""TCP ports on this machine."""

import errno
import ipaddress
import os
import random
import socket
from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil

from actors.local.texts import text
from fleet.errors import BadInput, Conflict

LOOPBACK = "127.0.0.1"
SHARE: Final = "SOLARPERFORM_PORTS_SHARE"  # "1/3": of every three ports the second; processes beside each other set it
_LOWEST: Final = 20_000
_TRIES: Final = 50
_REMEMBERED_MAX: Final = 1_000  # a quarter of a third of them
_EVERYWHERE = ("", "0.0.0.0", "::", "*")  # noqa: S104 - refused: no certificate can name it, and nobody connects to it

# A server listens some time after its port was drawn, and not while it is started again: meanwhile it is nobody else's.
_handed_out: Final[deque[int]] = deque(maxlen=_REMEMBERED_MAX)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_free(port: int, option: str, host: str = LOOPBACK) -> None:
    """From now on free_port gives it to nobody. Raises Conflict (port_busy, port_not_allowed) that names who has it and
    offers another one.
    """
    if port < 1024 and os.geteuid() != 0 and not is_free(port, host) and not accepts(port, host):
        raise Conflict("port_not_allowed", text("port_not_allowed", port=port, option=option))
    if not is_free(port, host):
        free = next_free(port, host)
        raise Conflict("port_busy", text("port_busy", port=port, holder=_holder(port), option=option, free=free))
    _handed_out.append(port)


def require_own(host: str, option: str) -> None:
    """Raises BadInput (bad_host) unless it is one IPv4 address of this machine, or the name of one."""
    own = host not in _EVERYWHERE
    if own:
        try:
            free_port(host)
        except OSError:
            own = False
    if not own:
        raise BadInput("bad_host", text("bad_host", option=option, host=host))


def is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """Free now, and no port that the kernel gives to outgoing connections: one of them would have it before its server
    listens. None that this process was given before, as far as it remembers. Raises OSError when `host` is not of this
    machine.
    """
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        lasting = _share(range(_LOWEST, _first_outgoing()))
        for port in random.sample(lasting, min(_TRIES, len(lasting))):
            if port in _handed_out:
                continue
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                _handed_out.append(port)
                return port
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _share(ports: range) -> range:
    place, shares = os.environ.get(SHARE, "0/1").split("/")
    return ports[int(place) :: int(shares)]


def _first_outgoing() -> int:
    """Linux: ip(7), ip_local_port_range. Elsewhere 0: no range is known to be left alone."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 0


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


def _holder(port: int) -> str:
    """The program that listens there, as far as we may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} ({connection.pid})"
    except psutil.Error:
        pass
    return text("another_program")
