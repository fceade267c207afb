"""Which TCP ports of some addresses are open, as one sees it in a container: python - PORTS ADDRESS … < scan.py

PORTS: "all", or such as 22,80,6400-6500. Prints JSON: {address: [port, …]}. Needs the standard library only.
"""

import json
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

AT_ONCE_ALL = 32  # of a neighbour, which refuses at once
AT_ONCE_SOME = 100  # of those out of reach, who say nothing; a container may not have many threads
PATIENCE_S = 1.0


def is_open(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(PATIENCE_S)
        return probe.connect_ex((address, port)) == 0


def open_ports(address: str, ports: Sequence[int]) -> list[int]:
    return [port for port in ports if is_open(address, port)]


def scan(addresses: Sequence[str], ports: Sequence[int], at_once: int) -> dict[str, list[int]]:
    shares = [ports[first::at_once] for first in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        looked = {address: pool.map(partial(open_ports, address), shares) for address in addresses}
        return {address: sorted(port for found in shared for port in found) for address, shared in looked.items()}


def listed(words: str) -> list[int]:
    bounds = (word.partition("-") for word in words.split(","))
    return [port for first, _, last in bounds for port in range(int(first), int(last or first) + 1)]


if __name__ == "__main__":
    everything = sys.argv[1] == "all"
    ports = range(1, 65_536) if everything else listed(sys.argv[1])
    found = scan(sys.argv[2:], ports, AT_ONCE_ALL if everything else AT_ONCE_SOME)
    sys.stdout.write(json.dumps(found))
