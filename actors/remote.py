"""The one file that makes Ray actors, with every option of theirs in sight.

A shard is detached and named, so that it outlives whoever started it and anybody finds it by its name. Ray restarts it
for ever after a crash; the constructor then claims the slots anew, which shuts out a predecessor that still breathes.

Import it only after actors.ray_environment.set_environment: Ray reads its environment when it is imported.
"""

import asyncio
import gc
import os
import sys
from typing import Any

import ray
import structlog

from actors.shard import TwinShard
from fleet.errors import StaleOwner
from fleet.logs import set_up_logs
from fleet.settings import RaySettings, TwinsSettings

NAMESPACE = "solarperform"
_STOP_TIMEOUT_S = 5.0
_GC_ALLOCATIONS = 20_000  # between two looks for cycles, of which the intake makes none
_THREAD_SWITCH_S = 0.001  # an ask passes through Ray's threads several times, and each may wait so long for the busy loop
_ASKS_AT_ONCE = 200  # per shard; more wait in Ray's queue

log = structlog.get_logger()


def shard_name(shard: int) -> str:
    return f"twin-shard-{shard}"


def start_ray(settings: RaySettings, shards: int) -> str:
    """A local Ray that listens on 127.0.0.1 only. Returns its address."""
    context = ray.init(
        num_cpus=shards,
        include_dashboard=False,
        object_store_memory=settings.object_store_bytes,
        namespace=NAMESPACE,
        log_to_driver=True,  # the shards' log lines come out with ours
        configure_logging=False,
        _temp_dir=str(settings.temp_dir),
        _node_ip_address="127.0.0.1",
    )
    return str(context.address_info["gcs_address"])


def join_ray(settings: RaySettings) -> None:
    """Joins the Ray whose address stands in the settings' file. Raises OSError while there is none, ConnectionError."""
    address = settings.address_file.read_text().strip()
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)


def leave_ray() -> None:
    ray.shutdown()


def find_shards() -> list[Any]:
    """Handles of the running shards, by number. Raises ValueError when there are none."""
    named = {entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE}
    shards = [shard for shard in range(len(named)) if shard_name(shard) in named]
    if not shards or len(shards) != len(named):
        raise ValueError("no shards are running there")
    return [ray.get_actor(shard_name(shard), NAMESPACE) for shard in shards]


def stop(handles: list[Any]) -> None:
    """Lets the shards save their snapshots, then ends Ray and everything below it."""
    ray.wait([handle.ask.remote("stop") for handle in handles], num_returns=len(handles), timeout=_STOP_TIMEOUT_S)
    ray.shutdown()


def start_shards(settings: TwinsSettings) -> list[Any]:
    """Handles of all shards, started where they do not run yet."""
    return [
        ShardActor.options(  # type: ignore[attr-defined]
            name=shard_name(shard),
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            max_task_retries=0,  # asks are repeated by whoever asked, who also knows for how long
            max_concurrency=_ASKS_AT_ONCE,
            num_cpus=1,
        ).remote(shard, settings)
        for shard in range(settings.shards)
    ]


@ray.remote
class ShardActor:
    """TwinShard as a Ray actor: it works from its construction on, and its process ends when the shard ends."""

    def __init__(self, shard: int, settings: TwinsSettings) -> None:
        set_up_logs()
        sys.setswitchinterval(_THREAD_SWITCH_S)
        self._shard = TwinShard(shard, settings)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ask(self, question: str, *arguments: Any) -> Any:
        """One of TwinShard's asks, answered once the twins are loaded."""
        await self._shard.ready()
        return await getattr(self._shard, question)(*arguments)

    async def _run(self) -> None:
        freezing = asyncio.create_task(self._freeze())
        try:
            await self._shard.run()
        except StaleOwner:
            ray.actor.exit_actor()  # a successor has the slots: do not come back
        except BaseException:
            log.exception("shard_died")
            os._exit(1)  # Ray starts a new one, which rebuilds everything from PostgreSQL
        finally:
            freezing.cancel()

    async def _freeze(self) -> None:
        """Takes the loaded twins out of the garbage collector's sight: looking at all of them would stop the shard."""
        await self._shard.ready()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_ALLOCATIONS)
