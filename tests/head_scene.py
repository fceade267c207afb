"""python -m tests.alone tests.head_scene: a head whose memory is Redis, as `ps` sees it (integration/test_cluster.py)."""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from actors.cluster.node_command import listens
from fleet import settings as files
from fleet.runtime.secret_file import read_secret
from fleet.settings import NodeSettings, RaySettings, RedisSettings
from tests.fleet_rig import until
from tests.redis_server import redis_server
from tests.servers import server_folder

_ADDRESS = "127.0.0.11"
_DEADLINE_S = 120.0


async def scene(redis: RedisSettings, ray: RaySettings) -> None:
    password = read_secret(redis.password_file)
    await until(lambda: _is_up(ray), _DEADLINE_S)
    assert await _kept(redis, password) > 0, "the head wrote what it knows, and so has shown the password"
    command_lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    parts = {Path(words[0]).name for words in command_lines if words}
    assert {"gcs_server", "raylet"} <= parts
    showing = [words[0] for words in command_lines if any(password in word for word in words)]
    assert showing == [], f"{showing} show the password of Redis to every account of the machine"


async def _is_up(ray: RaySettings) -> bool:
    """The manager of the node is the last of its parts to listen."""
    return listens(_ADDRESS, ray.first_port)


async def _kept(redis: RedisSettings, password: str) -> int:
    """How many keys it has."""
    reader, writer = await asyncio.open_connection(redis.host, redis.port)
    writer.write(f"AUTH {password}\r\nDBSIZE\r\n".encode())
    told = [await reader.readline() for _ in range(2)]
    writer.close()
    assert told[0] == b"+OK\r\n"
    return int(told[1].removeprefix(b":"))


def main() -> None:
    ray_folder = Path("/tmp") / f"sph-{os.getpid()}"  # noqa: S108 - short: Ray's sockets lie 70 characters below it
    with server_folder("head") as folder, redis_server() as redis:
        token = folder / "ray.token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        ray = RaySettings(
            folder / "ray.address", token, ray_folder, cluster=f"{_ADDRESS}:6379", node_address=_ADDRESS, first_port=7100
        )
        files.save(folder / "node.json", NodeSettings(ray, 0, redis))
        command = [sys.executable, "-m", "actors.cluster.node", "head", "--settings", str(folder / "node.json")]
        with subprocess.Popen(command) as head:
            try:
                asyncio.run(scene(redis, ray))
            finally:
                for process in [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]:
                    process.kill()
                shutil.rmtree(ray_folder, ignore_errors=True)


if __name__ == "__main__":
    main()
