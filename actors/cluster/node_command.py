"""How a node of the Ray cluster is started: one command line for heads, workers and those that only ask.

Ports, so that a firewall can name them; `first` is the settings' first_port:

    the head's           the GCS: nodes and those who ask find each other there
    first + 0            the node's manager
    first + 1            its object store
    first + 2 .. 5       its agents: runtime environments, dashboard (HTTP, gRPC), metrics
    first + 10 .. 99     the shards on it, and the processes that ask
"""

import json
import socket
import sys
from importlib.metadata import version
from typing import Final

from fleet.errors import BadInput, Unavailable
from fleet.settings import NodeSettings, RaySettings

WORKER_PORTS: Final = range(10, 100)
_RAY: Final = ("ray.scripts.scripts",)
_CONNECT_S: Final = 2.0
_STORE_FOLDER: Final = "/dev/shm"  # noqa: S108 - shared memory; its size is the container's shm_size


def release() -> str:
    """The resource that every worker of this release offers, and every shard of this release needs."""
    return f"release-{version('solarperform')}"


def head_command(settings: NodeSettings) -> list[str]:
    """Raises BadInput (bad_settings), Unavailable (no_such_host)."""
    ray = settings.ray
    host, port = head_address(ray)
    return [
        sys.executable,
        "-m",
        *(_RAY if settings.redis is None else ("actors.cluster.head", str(settings.redis.password_file))),
        *_start(ray, ray.node_address or _resolved(host), shards_max=0),
        "--head",
        f"--port={port}",
        "--include-dashboard=false",
        "--no-monitor",  # there is no autoscaler
    ]


def worker_command(ray: RaySettings, address: str, shards_max: int) -> list[str]:
    """address: its own. shards_max 0: a node of a process that only asks. Raises BadInput (bad_settings)."""
    host, port = head_address(ray)
    return [sys.executable, "-m", *_RAY, *_start(ray, address, shards_max), f"--address={host}:{port}"]


def own_address(ray: RaySettings) -> str:
    """This machine's in the network in which the head is: a container is in several.

    Raises BadInput (bad_settings), Unavailable (no_such_host).
    """
    if ray.node_address is not None:
        return ray.node_address
    host, port = head_address(ray)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_resolved(host), port))  # nothing is sent
        except OSError as error:
            raise Unavailable("no_such_host", f"there is no way to the head {host}: {error.strerror}") from None
        return str(probe.getsockname()[0])


def listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            return True
    except OSError:
        return False


def head_address(ray: RaySettings) -> tuple[str, int]:
    """Raises BadInput (bad_settings)."""
    host, _, port = (ray.cluster or "").rpartition(":")
    if not host or not port.isdigit():
        raise BadInput("bad_settings", f'ray.cluster is "host:port" of the head, not {ray.cluster!r}')
    return host, int(port)


def _start(ray: RaySettings, address: str, shards_max: int) -> list[str]:
    first = ray.first_port
    offered = {release(): shards_max} if shards_max else {}
    return [
        "start", "--block",
        f"--node-ip-address={address}",
        f"--node-manager-port={first}",
        f"--object-manager-port={first + 1}",
        f"--runtime-env-agent-port={first + 2}",
        f"--dashboard-agent-listen-port={first + 3}",
        f"--dashboard-agent-grpc-port={first + 4}",
        f"--metrics-export-port={first + 5}",
        f"--min-worker-port={first + WORKER_PORTS.start}",
        f"--max-worker-port={first + WORKER_PORTS.stop - 1}",
        f"--num-cpus={shards_max}",
        "--num-gpus=0",
        f"--resources={json.dumps(offered)}",
        f"--object-store-memory={ray.object_store_bytes}",
        f"--plasma-directory={_STORE_FOLDER}",
        f"--temp-dir={ray.temp_dir}",
        "--include-log-monitor=false",  # what a shard logs comes out where its node's log does
        "--no-redirect-output",
        "--disable-usage-stats",
        "--log-style=record",
        "--log-color=false",
    ]  # fmt: skip


def _resolved(host: str) -> str:
    """Raises Unavailable (no_such_host)."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise Unavailable("no_such_host", f"the head's name {host} cannot be resolved: {error}") from None
