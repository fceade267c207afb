"""The web in a process of its own, to be killed: python -m tests.crash.web_process SETTINGS_FILE SOCKET

As `python -m web`, with a shard behind a socket (tests.crash.twins_socket). It waits for a line on its standard input first.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from fleet.command_catalog import CATALOG
from fleet.runtime.logs import set_up_logs
from fleet.settings import WebSettings, load
from fleet.storage.database import open_pool
from tests.crash.twins_socket import SocketTwins
from web.__main__ import make_server
from web.live import LiveFeed
from web.services import Services
from web.tokens import load_tokens
from web.twins_door import TwinsDoor

_RUN_S: Final = 100.0  # with half a minute, a machine that stands still while all is started again makes a command time out


async def serve(settings: WebSettings, socket: Path) -> None:
    async def connect_twins() -> SocketTwins:
        return SocketTwins(socket)

    pool = await open_pool(settings.database, size_max=10)
    tokens = load_tokens(settings.jwt_key_file, settings.public_url)
    door = TwinsDoor(connect_twins, period_s=0.2)
    services = Services(settings=settings, pool=pool, tokens=tokens, door=door, live=LiveFeed(settings.broker, None))
    await make_server(services).serve()


if __name__ == "__main__":
    set_up_logs()
    CATALOG |= {name: msgspec.structs.replace(spec, run_s=max(spec.run_s, _RUN_S)) for name, spec in CATALOG.items()}
    sys.stdin.readline()
    asyncio.run(serve(load(Path(sys.argv[1]), WebSettings), Path(sys.argv[2])))
