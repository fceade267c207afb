"""python -m actors.cluster.node head|worker|alive --settings FILE: becomes a node of the Ray cluster until SIGTERM.

alive  is the health check beside it: exit code 0 while the node here listens.

A worker that is told to end says so to the cluster and waits until it holds no shard any more: the keeper moves them away.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from actors.cluster.node_command import head_address, head_command, listens, own_address, release, worker_command
from actors.cluster.ray_environment import environment
from actors.cluster.ray_room import require_room, room
from fleet.errors import FleetError, Unavailable
from fleet.runtime.logs import set_up_logs
from fleet.runtime.secret_file import read_secret
from fleet.settings import NodeSettings, load

_LOOPBACK: Final = "127.0.0.1"
_HEAD_WAIT_S: Final = 60.0
_LOOK_S: Final = 0.5
_LEAVE_S: Final = 20.0  # then it ends with what it still holds; engines kill after 30

log = structlog.get_logger("node")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.cluster.node", description="A node of the Ray cluster")
    parser.add_argument("role", choices=("head", "worker", "alive"))
    parser.add_argument("--settings", type=Path, required=True)
    told = parser.parse_args(arguments)
    set_up_logs()
    try:
        settings = load(told.settings, NodeSettings)
        if told.role == "alive":
            return 0 if is_alive(settings) else 1
        become(settings, is_head=told.role == "head")
    except FleetError as error:
        log.error("node_stopped", code=error.code, error=error.detail)
    return 1


def become(settings: NodeSettings, *, is_head: bool) -> None:
    """Does not return: Ray takes this process over, and ends with the first of its parts. Raises FleetError."""
    read_secret(settings.ray.token_file)
    require_room(settings.ray.object_store_bytes, 0 if is_head else settings.shards_max, room())
    if is_head:
        if settings.redis is not None:
            read_secret(settings.redis.password_file)  # what is wrong with it is said here
        command = head_command(settings)
        # A head that died left a note there, by which Ray believes that it still runs as long as any node of it does here.
        (settings.ray.temp_dir / "ray_current_cluster").unlink(missing_ok=True)
    else:
        _await_head(settings)
        command = worker_command(settings.ray, own_address(settings.ray), settings.shards_max)
    told = environment(settings.ray)
    if not is_head:
        told["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = str(_LEAVE_S)
    if is_head and settings.redis is not None:
        told["RAY_REDIS_ADDRESS"] = f"{settings.redis.host}:{settings.redis.port}"
    log.info("node_starts", head=is_head, release=release(), shards_max=0 if is_head else settings.shards_max)
    os.execve(command[0], command, os.environ | told)  # noqa: S606 - no shell is wanted


def is_alive(settings: NodeSettings) -> bool:
    """Whether this machine's node listens: it ends with the first of its parts. Whether the head does is another matter."""
    return listens(settings.ray.node_address or _LOOPBACK, settings.ray.first_port)


def _await_head(settings: NodeSettings) -> None:
    """A worker that comes first waits. Raises Unavailable (head_away), BadInput (bad_settings)."""
    host, port = head_address(settings.ray)
    end = time.monotonic() + _HEAD_WAIT_S
    while not listens(host, port):
        if time.monotonic() > end:
            raise Unavailable("head_away", f"the cluster's head does not listen on {host}:{port} after {_HEAD_WAIT_S:g} s")
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
