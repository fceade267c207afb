"""The one file that makes Ray actors, with every option of theirs in sight.

A shard is detached and named, so that it outlives whoever started it and anybody finds it by its name. Ray restarts it
for ever after a crash; the constructor then claims the slots anew, which shuts out a predecessor that still breathes.

Import it only after actors.cluster.ray_environment.set_environment: Ray reads its environment when it is imported.
"""

import asyncio
import gc
import os
import re
import sys
import time
from typing import Any, Final, NamedTuple

import ray
import structlog
from ray._private.state import state  # the public ray.nodes() does not tell which of them are about to leave
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cluster.node_command import release
from actors.cluster.own_node import OwnNode
from actors.shard import TwinShard
from fleet.errors import StaleOwner
from fleet.runtime.logs import set_up_logs
from fleet.settings import RaySettings, TwinsSettings

NAMESPACE = "solarperform"
_STOP_TIMEOUT_S = 5.0
_GC_ALLOCATIONS = 20_000  # between two looks for cycles, of which the intake makes none
_THREAD_SWITCH_S = 0.001  # an ask passes through Ray's threads several times, and each may wait so long for the busy loop
_ASKS_AT_ONCE = 200  # per shard; more wait in Ray's queue

_NAME: Final = re.compile(r"twin-shard-(\d+)-of-(\d+)")  # tells everybody how many there are: it decides who has which slot
_RELEASE: Final = "release-"  # how the resources begin that a cluster's workers offer; see actors.cluster.node_command
_WHERE_TIMEOUT_S: Final = 3.0
_PROCESS_TIMEOUT_S: Final = 8.0  # for one that starts on a busy node; afterwards it is started while the slots wait
_FREE_TIMEOUT_S: Final = 20.0  # from a shard's end until its name is free again

log = structlog.get_logger()
_own_node: Final = OwnNode()


class Node(NamedTuple):
    """shards_max: how many it may hold of ours; 0 for another release's. leaves: it ends as soon as it holds none."""

    id: str
    address: str
    releases: tuple[str, ...]
    shards_max: int
    leaves: bool


def shard_name(shard: int, shards: int) -> str:
    return f"twin-shard-{shard}-of-{shards}"


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
    """Joins the cluster, unless it has, or the Ray whose address stands in the settings' file.

    Raises OSError while there is none, ConnectionError, Unavailable (no_such_host).
    """
    common: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "configure_logging": False}
    if settings.cluster is None:
        ray.init(address=settings.address_file.read_text().strip(), **common)
        return
    if ray.is_initialized():
        return
    address = _own_node.start(settings)
    try:
        ray.init(address=settings.cluster, _node_ip_address=address, **common)
    except BaseException:
        _own_node.end()
        raise


def leave_ray() -> None:
    ray.shutdown()
    end_own_node()


def end_own_node() -> None:
    _own_node.end()


def count_shards() -> int:
    """How many there are, as the names of those say that run. Raises ValueError when there are none."""
    totals = {int(found[2]) for found in map(_NAME.fullmatch, _names()) if found}
    if len(totals) != 1:
        raise ValueError("no shards are running there" if not totals else "the number of shards is being changed")
    return totals.pop()


def find_shard(shard: int, shards: int) -> Any:
    """Its handle. Raises ValueError when it does not run, as while it moves."""
    return ray.get_actor(shard_name(shard, shards), NAMESPACE)


def _names() -> list[str]:
    return [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE]


def stop(handles: list[Any]) -> None:
    """Lets the shards save their snapshots, then ends Ray and everything below it."""
    ray.wait([handle.ask.remote("stop") for handle in handles], num_returns=len(handles), timeout=_STOP_TIMEOUT_S)
    ray.shutdown()


def start_shards(settings: TwinsSettings) -> list[Any]:
    """Handles of all shards, started where they do not run yet."""
    return [_start(shard, settings, get_if_exists=True) for shard in range(settings.shards)]


def _start(shard: int, settings: TwinsSettings, **more: Any) -> Any:
    return ShardActor.options(  # type: ignore[attr-defined]
        name=shard_name(shard, settings.shards),
        lifetime="detached",
        max_restarts=-1,
        max_task_retries=0,  # asks are repeated by whoever asked, who also knows for how long
        max_concurrency=_ASKS_AT_ONCE,
        num_cpus=1,
        **more,
    ).remote(shard, settings)


# in a cluster -----------------------------------------------------------------------------------------------------


def nodes() -> list[Node]:
    """Those that are there now, but for the head and for those of processes that only ask."""
    found = []
    leaving = state.get_draining_nodes()
    for node in ray.nodes():
        offered = node["Resources"]
        releases = tuple(sorted(name for name in offered if name.startswith(_RELEASE)))
        if node["Alive"] and releases:
            id_, shards_max = node["NodeID"], int(offered.get(release(), 0))
            found.append(Node(id_, node["NodeManagerAddress"], releases, shards_max, id_ in leaving))
    return found


def shard_places(shards: int) -> dict[int, str | None]:
    """Shard → the node that it runs on. None: it does not say, as while it starts. Left out: there is no such shard."""
    asked: dict[int, Any] = {}
    for shard in range(shards):
        try:
            asked[shard] = find_shard(shard, shards).node.remote()
        except ValueError:
            continue
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_WHERE_TIMEOUT_S)
    places: dict[int, str | None] = {}
    for shard, answer in asked.items():
        try:
            places[shard] = ray.get(answer, timeout=0)
        except ray.exceptions.ActorDiedError:
            continue
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
            places[shard] = None
    return places


def start_shard(shard: int, settings: TwinsSettings, node: str) -> None:
    """Begins to start it there; on another of our release, should that one go meanwhile, and ever again after a crash.

    Raises ValueError while another one has its name.
    """
    there = NodeAffinitySchedulingStrategy(node, soft=True)
    _start(shard, settings, scheduling_strategy=there, resources={release(): 1})


def move_shard(shard: int, settings: TwinsSettings, node: str) -> None:
    """Lets it save its snapshots, ends it, and starts it on the other node. Its broker session keeps what comes meanwhile.

    Ray keeps the process of a task that is done for whoever is next: so the shard's is there before the slots are let go.

    Raises ValueError when it does not end.
    """
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    ray.wait([_import_this.options(scheduling_strategy=there).remote()], timeout=_PROCESS_TIMEOUT_S)
    end_shard(shard, settings.shards)
    end = time.monotonic() + _FREE_TIMEOUT_S
    while True:
        try:
            start_shard(shard, settings, node)
            return
        except ValueError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def end_shard(shard: int, shards: int) -> None:
    """Raises ValueError when there is no such shard."""
    handle = find_shard(shard, shards)
    ray.wait([handle.ask.remote("stop")], timeout=_STOP_TIMEOUT_S)
    ray.kill(handle, no_restart=True)


def end_former_shards(shards: int) -> None:
    """Those of a time when there were more or fewer of them: their slots are not those of today's."""
    for found in filter(None, map(_NAME.fullmatch, _names())):
        if int(found[2]) != shards:
            end_shard(int(found[1]), int(found[2]))


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _import_this() -> None:
    """Whoever is asked for it has imported all that a shard needs."""


@ray.remote
class ShardActor:
    """TwinShard as a Ray actor: it works from its construction on, and its process ends when the shard ends."""

    def __init__(self, shard: int, settings: TwinsSettings) -> None:
        set_up_logs()
        sys.setswitchinterval(_THREAD_SWITCH_S)
        self._shard = TwinShard(shard, settings)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ask(self, question: str, *arguments: Any, traceparent: str | None = None) -> Any:
        """One of TwinShard's asks, answered once the twins are loaded."""
        await self._shard.ready()
        return await self._shard.answer(question, arguments, traceparent)

    async def node(self) -> str:
        """The one it runs on."""
        return str(ray.get_runtime_context().get_node_id())

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
