"""Which TCP ports of some addresses are open, as one sees it in a container: python - ADDRESS … < scan.py

Prints JSON: {address: [port, …]}. Needs the standard library only.
"""

import json
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

AT_ONCE = 32
PATIENCE_S = 2.0


def open_ports(address: str, ports: Sequence[int]) -> list[int]:
    return [port for port in ports if is_open(address, port)]


def is_open(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(PATIENCE_S)
        return probe.connect_ex((address, port)) == 0


def scan(addresses: Sequence[str]) -> dict[str, list[int]]:
    shares = [range(first, 65_536, AT_ONCE) for first in range(1, AT_ONCE + 1)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {
            address: sorted(port for found in pool.map(partial(open_ports, address), shares) for port in found)
            for address in addresses
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scan(sys.argv[1:])))
