"""One shard in a process of its own, to be killed: python -m tests.shard_process SETTINGS_FILE"""

import asyncio
import sys
from pathlib import Path

from actors.shard import TwinShard
from fleet.logs import set_up_logs
from fleet.settings import TwinsSettings, load

if __name__ == "__main__":
    set_up_logs()
    asyncio.run(TwinShard(0, load(Path(sys.argv[1]), TwinsSettings)).run())
