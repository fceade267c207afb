"""Whether there is room for Ray: looked at before a start, because its own words for the lack of it help nobody."""

import os
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from fleet.errors import Unavailable

NODE_BYTES: Final = 300_000_000  # Ray's own processes on a node
SHARD_BYTES: Final = 150_000_000  # a shard that holds some thousand twins
_CGROUP: Final = Path("/sys/fs/cgroup")
_SHM: Final = Path("/dev/shm")  # noqa: S108 - not a file of ours: where Ray puts its object store


class Room(NamedTuple):
    """In bytes. memory: what the container, or the machine, has left. shared: free in /dev/shm; 0 where there is none."""

    memory: int
    shared: int


def room(cgroup: Path = _CGROUP, shm: Path = _SHM) -> Room:
    left = psutil.virtual_memory().available
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            used = int((cgroup / "memory.current").read_text())
            figures = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
            left = min(left, int(limit) - used + int(figures.get("inactive_file", 0)))  # the kernel gives such pages up
    except (OSError, ValueError):
        pass  # no control groups of this kind: the machine's own figure counts
    try:
        disk = os.statvfs(shm)
    except OSError:
        return Room(left, 0)
    return Room(left, disk.f_bavail * disk.f_frsize)


def require_room(object_store_bytes: int, shards: int, found: Room) -> None:
    """Raises Unavailable (no_shared_memory, no_memory)."""
    if found.shared <= object_store_bytes:
        raise Unavailable(
            "no_shared_memory",
            f"{_SHM} has {found.shared / 1e6:.0f} MB free and Ray's object store takes {object_store_bytes / 1e6:.0f} MB;"
            f" give the container `shm_size: {2 * object_store_bytes // 1_000_000}m`",
        )
    needed = NODE_BYTES + shards * SHARD_BYTES
    if found.memory < needed:
        raise Unavailable(
            "no_memory",
            f"{found.memory / 1e6:.0f} MB of memory are left and Ray with {shards} shards takes {needed / 1e6:.0f} MB;"
            " raise the container's limit, run fewer shards here, or end other programs",
        )
