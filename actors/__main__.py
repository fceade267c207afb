"""python -m actors --settings FILE: the twins, until SIGTERM.

On one machine it starts Ray and the shards, writes where they are, and ends them. In a cluster it is the shards' keeper, and
ends without them.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from actors.cluster.ray_environment import set_environment
from actors.cluster.ray_room import require_room, room
from certs.tls import broker_context
from fleet.errors import FleetError, Unavailable
from fleet.runtime.folders import require_writable
from fleet.runtime.logs import set_up_logs
from fleet.runtime.metrics_port import open_metrics
from fleet.runtime.process import keep_fresh, run_to_end, unless_stopped
from fleet.runtime.secret_file import read_secret
from fleet.settings import TwinsSettings, load
from fleet.storage.readiness import until_ready

_LOOK_S: Final = 1.0
_FAILURES_MAX: Final = 5

if TYPE_CHECKING:  # it imports ray, which reads the environment that main() sets
    from actors.keeper import Keeper

log = structlog.get_logger()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors", description="The twins: Ray and its shards")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    set_up_logs()
    return run_to_end("twins", lambda: _run(load(arguments.settings, TwinsSettings)))


def _run(settings: TwinsSettings) -> None:
    _look(settings)
    set_environment(settings.ray)
    open_metrics(settings.metrics)
    asyncio.run(_begin(settings))


def _look(settings: TwinsSettings) -> None:
    """For what a shard would die of, again and again. Raises BadInput (bad_secret_file, bad_tls_files, certificate_expired,
    certificate_early), Unavailable (no_memory, no_shared_memory, read_only, no_permission, disk_full).
    """
    read_secret(settings.ray.token_file)
    broker_context(settings.broker)
    require_writable(settings.ray.address_file.parent)
    if settings.ray.cluster is None:
        require_room(settings.ray.object_store_bytes, settings.shards, room())


async def _begin(settings: TwinsSettings) -> None:
    if await unless_stopped(until_ready(settings.database, log)):
        await (_serve(settings) if settings.ray.cluster is None else _keep(settings))


async def _serve(settings: TwinsSettings) -> None:
    from actors import remote  # noqa: PLC0415 - imports ray, which reads the environment set above

    stop = _stop_sign()
    address_file, ready_file = settings.ray.address_file, _ready_file(settings)
    try:
        address = await asyncio.to_thread(remote.start_ray, settings.ray, settings.shards)
    except Exception as error:  # noqa: BLE001 - Ray raises plain ones; in place of its traceback: where its own words are
        logs = settings.ray.temp_dir / "session_latest" / "logs"
        raise Unavailable("ray_failed", f"Ray did not start: {error}; its logs are in {logs}") from None
    handles = remote.start_shards(settings)
    _write(address_file, address)
    epochs = await asyncio.gather(*(handle.ask.remote("ready") for handle in handles))
    _write(ready_file, " ".join(map(str, epochs)))
    log.info("twins_ready", address=address, epochs=epochs)
    fresh = asyncio.create_task(keep_fresh(ready_file), name="ready file")
    await stop.wait()
    fresh.cancel()
    await asyncio.to_thread(remote.stop, handles)
    address_file.unlink(missing_ok=True)
    ready_file.unlink(missing_ok=True)


async def _keep(settings: TwinsSettings) -> None:
    """The ready file is there from when every shard is where it ought to be for the first time."""
    from actors import remote  # noqa: PLC0415 - as above
    from actors.keeper import Keeper  # noqa: PLC0415 - as above

    stop = _stop_sign()
    ready_file = _ready_file(settings)
    working = asyncio.create_task(_keep_on(Keeper(settings), settings, ready_file))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    ready_file.unlink(missing_ok=True)
    remote.end_own_node()
    if working.done():
        working.result()
    os._exit(0)  # at once: a thread may still wait for a head that has gone, and the shards do without us


async def _keep_on(keeper: "Keeper", settings: TwinsSettings, ready_file: Path) -> None:
    """A look that is cut short by whatever happens in the cluster is made again."""
    from actors import remote  # noqa: PLC0415 - as above

    failures = 0
    is_settled = False  # was, once
    while True:
        try:
            await asyncio.to_thread(remote.join_ray, settings.ray)
            is_settled = await asyncio.to_thread(keeper.look) or is_settled
            failures = 0
        except (FleetError, OSError, RuntimeError, ValueError) as error:
            if failures == 0:
                log.warning("cluster_away", error=str(error))
            failures += 1
            if failures % _FAILURES_MAX == 0:
                await asyncio.to_thread(remote.leave_ray)  # perhaps another node beside us is better received
        if is_settled:
            await asyncio.to_thread(ready_file.touch)  # it says that we are alive
        await asyncio.sleep(_LOOK_S)


def _stop_sign() -> asyncio.Event:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    return stop


def _ready_file(settings: TwinsSettings) -> Path:
    file = settings.ray.address_file.with_name("twins.ready")
    file.unlink(missing_ok=True)
    return file


def _write(path: Path, text: str) -> None:
    """Whole or not at all: others wait for these files."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text)
    os.replace(aside, path)


if __name__ == "__main__":
    sys.exit(main())
