"""One shard in a process of its own, to be killed: python -m tests.crash.shard_process SETTINGS_FILE [SOCKET]

With SOCKET it waits for a line on its standard input before it begins, so that a spare one is there at once; then it can be
asked through that socket (tests.crash.twins_socket).
"""

import asyncio
import sys
from pathlib import Path

from actors.shard import TwinShard
from fleet.runtime.logs import set_up_logs
from fleet.settings import TwinsSettings, load
from tests.crash import twins_socket


async def _asked(shard: TwinShard, socket: Path) -> None:
    working = asyncio.create_task(shard.run())
    ready = asyncio.create_task(shard.ready())
    await asyncio.wait((working, ready), return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        serving = asyncio.create_task(twins_socket.serve(shard, socket))
        await asyncio.wait((working, serving), return_when=asyncio.FIRST_COMPLETED)
    working.result()


if __name__ == "__main__":
    set_up_logs()
    if len(sys.argv) > 2:
        sys.stdin.readline()
    twin_shard = TwinShard(0, load(Path(sys.argv[1]), TwinsSettings))
    asyncio.run(_asked(twin_shard, Path(sys.argv[2])) if len(sys.argv) > 2 else twin_shard.run())
