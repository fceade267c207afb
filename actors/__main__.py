"""python -m actors --settings FILE: starts Ray and the shards, writes where they are, ends them on SIGTERM."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

import structlog

from actors.ray_environment import set_environment
from fleet.logs import set_up_logs
from fleet.settings import TwinsSettings, load

log = structlog.get_logger()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m actors", description="The twins: Ray and its shards")
    parser.add_argument("--settings", type=Path, required=True)
    settings = load(parser.parse_args().settings, TwinsSettings)
    set_up_logs()
    set_environment(settings.ray)
    asyncio.run(_serve(settings))


async def _serve(settings: TwinsSettings) -> None:
    from actors import remote  # noqa: PLC0415 - imports ray, which reads the environment set above

    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    address_file, ready_file = settings.ray.address_file, settings.ray.address_file.with_name("twins.ready")
    ready_file.unlink(missing_ok=True)
    address = await asyncio.to_thread(remote.start_ray, settings.ray, settings.shards)
    handles = remote.start_shards(settings)
    _write(address_file, address)
    epochs = await asyncio.gather(*(handle.ask.remote("ready") for handle in handles))
    _write(ready_file, " ".join(map(str, epochs)))
    log.info("twins_ready", address=address, epochs=epochs)
    await stop.wait()
    await asyncio.to_thread(remote.stop, handles)
    address_file.unlink(missing_ok=True)
    ready_file.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: others wait for these files."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text)
    os.replace(aside, path)


if __name__ == "__main__":
    main()
