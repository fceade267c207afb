"""A Redis of its own with a password, on the loopback: the memory of a Ray cluster's head."""

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from actors.local.debian import obtain
from actors.local.ports import LOOPBACK, free_port
from fleet.settings import RedisSettings
from tests.fleet_rig import until
from tests.servers import server_folder

PROGRAM: Final = "usr/bin/redis-server"


@contextmanager
def redis_server() -> Iterator[RedisSettings]:
    program = obtain("redis-server", PROGRAM)
    assert program is not None, "a cluster that survives its head needs Redis: install redis-server"
    with server_folder("redis") as folder:
        password, port = secrets.token_hex(16), free_port()
        password_file, configuration = folder / "password", folder / "redis.conf"
        password_file.write_text(password)
        configuration.write_text(f"bind {LOOPBACK}\nport {port}\ndir {folder}\nrequirepass {password}\n")
        command = [str(program.path), str(configuration)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | program.env)
        try:
            asyncio.run(until(lambda: _listens(port)))
            yield RedisSettings(LOOPBACK, port, password_file)
        finally:
            process.terminate()
            process.wait(10)


async def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.close()
        return True
    return False
