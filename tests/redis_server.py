"""A Redis of its own with a password, on the loopback: the memory of a Ray cluster's head."""

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from actors.local import debian
from actors.local.ports import LOOPBACK, free_port
from fleet.settings import RedisSettings
from tests.fleet_rig import until
from tests.servers import server_folder

_PROGRAM: Final = "usr/bin/redis-server"


def redis_program() -> debian.Unpacked | None:
    """The machine's, else Debian's, unpacked: installed, it would start a service. None: not to be had here."""
    if Path("/", _PROGRAM).exists():
        return debian.Unpacked(Path("/", _PROGRAM), {})
    return debian.unpack("redis-server", _PROGRAM)


@contextmanager
def redis_server() -> Iterator[RedisSettings]:
    found = redis_program()
    assert found is not None, "a cluster that survives its head needs Redis: install redis-server"
    with server_folder("redis") as folder:
        password, port = secrets.token_hex(16), free_port()
        password_file, configuration = folder / "password", folder / "redis.conf"
        password_file.write_text(password)
        configuration.write_text(f"bind {LOOPBACK}\nport {port}\ndir {folder}\nrequirepass {password}\n")
        command = [str(found.path), str(configuration)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | found.env)
        try:
            asyncio.run(until(lambda: _listens(port)))
            yield RedisSettings(LOOPBACK, port, password_file)
        finally:
            process.terminate()
            process.wait(60)


async def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.close()
        return True
    return False
