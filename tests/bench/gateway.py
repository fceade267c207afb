"""What the gateway adds to a call of the API (TLS, the token's signature, limits, a hop): with and without, turn by turn.

Of the image where it is there, as an installation runs it; else of this machine's own nginx.
"""

import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection

import httpx
import psutil

from actors.local.ports import LOOPBACK
from tests.bench.figures import Figure, figure, note, percentile
from tests.bench.images import image_here
from tests.gateway import Site, gateway_site
from tests.servers import pki_folder, postgres_server, server_folder
from tests.web_app import PEOPLE

_PATH = "/api/v1/me"
_PAIRS = 2_000
_PAIRS_PER_S = 60.0  # below the gateway's limit of one address, which would refuse the rest
_WARM_UP = 100


def run() -> Iterator[Figure]:
    image = image_here("gateway")
    note(f"gateway: {image or 'no image of it here: with the nginx of this machine'}")
    with (
        server_folder("gateway") as folder,
        postgres_server() as cluster,
        pki_folder() as pki,
        gateway_site(folder, cluster.create_database("sp_gateway"), pki.folder, image) as site,
    ):
        with site.gateway.client() as client:
            tokens = [site.sign_in(client, email) for email in PEOPLE]
        through, direct, processor_ms = _measure(site, tokens)
    for part in (0.5, 0.99):
        with_it, without = percentile(through, part), percentile(direct, part)
        name = f"GET {_PATH} through the gateway, p{part * 100:.0f}"
        yield figure("gateway", name, with_it, "ms", without)
        note(f"  p{part * 100:.0f}: {with_it:.3f} ms with the gateway, {without:.3f} ms without")
    yield figure("gateway", "what it adds to a call, p50", percentile(through, 0.5) - percentile(direct, 0.5), "ms")
    yield figure("gateway", "its processor time a call", processor_ms, "ms")


def _measure(site: Site, tokens: list[dict[str, str]]) -> tuple[list[float], list[float], float]:
    """Milliseconds of each call with and without it, and what its processes have used for one. Connections stay open."""
    secure = HTTPSConnection("localhost", site.gateway.port, context=site.gateway.tls(), timeout=30)
    plain = HTTPConnection(LOOPBACK, site.web.port, timeout=30)
    through: list[float] = []
    direct: list[float] = []
    for number in range(_WARM_UP):
        _call(secure, tokens[number % len(tokens)])
        _call(plain, tokens[number % len(tokens)])
    used, began = _used_s(site), time.perf_counter()
    for number in range(_PAIRS):
        time.sleep(max(0.0, began + number / _PAIRS_PER_S - time.perf_counter()))
        token = tokens[number % len(tokens)]
        both = [(secure, through), (plain, direct)]
        for connection, taken in both if number % 2 else reversed(both):
            taken.append(_call(connection, token))
    return through, direct, (_used_s(site) - used) * 1000 / _PAIRS


def _call(connection: HTTPConnection, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    connection.request("GET", _PATH, headers=headers)
    answer = connection.getresponse()
    answer.read()
    taken_ms = (time.perf_counter() - began) * 1000
    if answer.status != httpx.codes.OK:
        raise RuntimeError(f"{_PATH} answered {answer.status}")
    return taken_ms


def _used_s(site: Site) -> float:
    """By nginx's processes, which have its port; the shell beside them looks at its files whether or not somebody calls."""
    ours = (one for one in psutil.process_iter() if one.name() == "nginx" and _listens(one, site.gateway.port))
    times = [one.cpu_times() for one in ours]
    return float(sum(one.user + one.system for one in times))


def _listens(process: psutil.Process, port: int) -> bool:
    return any(each.laddr.port == port for each in process.net_connections("tcp"))
