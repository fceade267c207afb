"""Keeps the shards of a Ray cluster running, and spread over its nodes.

    look      which nodes of our release there are, and on which of them each shard runs
    place     where each ought to be (fleet.placement.place)
    act       missing ones are started; those on nodes that leave move at once; of others in the wrong place one at a time
              moves, once the nodes have settled

A node that dies takes nobody's word: Ray starts its shards on the others by itself, and here only their spread is mended. A
keeper that dies is not missed before a node joins: the shards are detached from it.
"""

import time
from collections import Counter
from collections.abc import Collection
from typing import Final

import structlog
from prometheus_client import Gauge

from actors import remote
from actors.cluster.node_command import release
from fleet.placement import place
from fleet.settings import TwinsSettings

_SETTLED_S: Final = 4.0  # nodes that start together are one change
_SILENT_LOOKS_MAX: Final = 8  # then a shard waits for nodes that do not come, such as a former release's

log = structlog.get_logger()
_NODES = Gauge("solarperform_cluster_nodes", "Nodes that offer to hold shards, by what they run", ("release", "ours"))
_SHARDS = Gauge("solarperform_cluster_shards", "Shards of the installation, by how they are", ("state",))


class Keeper:
    """look() is called again and again; between two calls anything may have changed."""

    def __init__(self, settings: TwinsSettings) -> None:
        self._settings = settings
        self._nodes: dict[str, remote.Node] = {}
        self._is_first = True
        self._changed_at = 0.0
        self._missing: frozenset[int] = frozenset()
        self._silent_looks: Counter[int] = Counter()

    def look(self) -> bool:
        """One round. Whether every shard is where it ought to be. Blocks while the cluster's head is away."""
        if self._is_first:
            remote.end_former_shards(self._settings.shards)
            self._is_first = False
        self._notice({node.id: node for node in remote.nodes()})
        ours = {node.id: node.shards_max for node in self._nodes.values() if node.shards_max and not node.leaves}
        running = remote.shard_places(self._settings.shards)
        silent = [shard for shard, node in running.items() if node is None]
        places = {shard: running.get(shard) for shard in range(self._settings.shards) if shard not in silent}
        planned = place(ours, places | dict.fromkeys(silent))  # these have a share too, wherever they are about to be
        self._count(ours, running, silent)
        self._give_up(silent, sum(ours.values()) - len(running) + len(silent))
        missing = [shard for shard in places if shard not in running and shard in planned]
        for shard in missing:
            self._start(shard, planned[shard])
        leaving = {node.id for node in self._nodes.values() if node.leaves}
        hurried = [shard for shard, node in places.items() if node in leaving]
        for shard in hurried:
            self._move(shard, planned.get(shard))
        if missing or silent or hurried or time.monotonic() - self._changed_at < _SETTLED_S:
            return False
        wrong = [shard for shard, node in places.items() if planned.get(shard, node) != node]
        for shard in wrong[:1]:
            self._move(shard, planned[shard])
        return not wrong and len(running) == self._settings.shards

    def _start(self, shard: int, node: str) -> None:
        try:
            remote.start_shard(shard, self._settings, node)
        except ValueError:
            return  # the former one has not quite gone
        log.info("shard_placed", shard=shard, node=self._nodes[node].address)

    def _give_up(self, silent: Collection[int], room: int) -> None:
        self._silent_looks = Counter({shard: self._silent_looks[shard] + 1 for shard in silent})
        for shard, looks in self._silent_looks.items():
            if looks > _SILENT_LOOKS_MAX and room > 0:
                log.warning("shard_given_up", shard=shard, error="it does not say where it runs; it is started anew")
                remote.end_shard(shard, self._settings.shards)

    def _move(self, shard: int, node: str | None) -> None:
        """None: there is no room for it but where it cannot stay, so that it just ends, in order."""
        began = time.monotonic()
        try:
            if node is None:
                remote.end_shard(shard, self._settings.shards)
            else:
                remote.move_shard(shard, self._settings, node)
        except ValueError as error:
            log.warning("shard_not_moved", shard=shard, error=str(error))
            return
        address = self._nodes[node].address if node else None
        log.info("shard_moved", shard=shard, node=address, ended_s=round(time.monotonic() - began, 2))

    def _notice(self, nodes: dict[str, remote.Node]) -> None:
        for node in nodes.values():
            if node.id in self._nodes:
                continue
            if node.shards_max:
                log.info("node_joined", node=node.address, shards_max=node.shards_max)
            else:
                log.warning(
                    "node_not_used",
                    code="node_of_other_release",
                    node=node.address,
                    error=f"it runs {' '.join(node.releases)}, the installation {release()}: no shard is placed there;"
                    " start it from the same images as the others",
                )
        for id_, node in self._nodes.items():
            if id_ not in nodes:
                log.warning("node_gone", node=node.address)
            elif nodes[id_].leaves and not node.leaves:
                log.info("node_leaves", node=node.address)
        if nodes.keys() != self._nodes.keys():
            self._changed_at = time.monotonic()
        self._nodes = nodes
        _NODES.clear()
        for node in nodes.values():
            for name in node.releases:
                _NODES.labels(release=name, ours="yes" if node.shards_max else "no").inc()

    def _count(self, ours: dict[str, int], running: dict[int, str | None], silent: list[int]) -> None:
        missing = frozenset(range(self._settings.shards)) - running.keys()
        for state, number in (
            ("running", len(running) - len(silent)),
            ("silent", len(silent)),
            ("missing", len(missing)),
        ):
            _SHARDS.labels(state=state).set(number)
        if missing != self._missing and sum(ours.values()) < self._settings.shards:
            log.warning(
                "shards_without_room",
                code="no_room_for_shards",
                shards=sorted(missing),
                error=f"the nodes of {release()} hold {sum(ours.values())} of {self._settings.shards} shards; add a node,"
                " or raise its shards_max",
            )
        self._missing = missing
