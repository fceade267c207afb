"""Nodes of an installation's Ray that come and go, in order or not: asks are answered, and nothing is lost.

It goes on with the installation of test_installation.py; those that are killed are there.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.compose import faults
from tests.compose.conftest import World
from tests.compose.record import Record, until
from tests.compose.stack import Stack, docker, image

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_200)]

SHARDS = 4
_SPREAD_S = 300.0


def test_a_worker_that_is_told_to_end_hands_its_shards_over(world: World, stack: Stack, record: Record) -> None:
    ops = world.person("ops")
    world.agent()
    held = _spread(stack)
    leaving = max(held, key=lambda worker: held[worker])
    with record.timed("a worker ends in order", shards=held[leaving]):
        docker("stop", "--time", "30", leaving)
    (ended,) = stack.inspected(leaving)
    assert ended["State"]["ExitCode"] != 137, "it did not have to be killed"
    assert "node_leaves" in stack.logs("twins"), "the keeper knew before it was gone"
    until(lambda: sum(faults.shards_of(stack).values()) == SHARDS, lambda: faults.shards_of(stack), _SPREAD_S)
    faults.answers_again(ops, world.site, time.monotonic())
    with record.timed("it comes back and has its share"):
        docker("start", leaving)
        _even(stack)


def test_the_head_comes_back_at_another_address(world: World, stack: Stack, record: Record) -> None:
    ops = world.person("ops")
    world.agent()
    _even(stack)  # or the last one of those that move would be taken for one that was started anew
    before = stack.sql("SELECT max(epoch) FROM telemetry.shard_lease")
    address = _head_address(stack)
    stack.compose("rm", "--stop", "--force", "ray-head")
    with record.timed("without a head: a new reading is seen"):
        faults.answers_again(ops, world.site, time.monotonic())
    with _taken(stack, address), record.timed("the head at another address, healthy"):
        stack.up("--no-deps", "ray-head")
        assert _head_address(stack) != address
    assert stack.sql("SELECT max(epoch) FROM telemetry.shard_lease") == before, "no shard was started anew"
    with record.timed("it places shards again: a worker anew"):
        docker("restart", "--time", "30", next(iter(faults.shards_of(stack))))
        until(lambda: min(_spread(stack).values()) > 0, lambda: faults.shards_of(stack), _SPREAD_S)
    assert stack.sql("SELECT max(epoch) FROM telemetry.shard_lease") != before
    faults.answers_again(ops, world.site, time.monotonic())


def _spread(stack: Stack) -> dict[str, int]:
    """Worker → its shards, once all shards run."""
    return until(lambda: _all_run(faults.shards_of(stack)), lambda: faults.shards_of(stack), _SPREAD_S)


def _even(stack: Stack) -> None:
    """Once nothing has to move any more: the keeper moves one shard at a time."""

    def even() -> bool:
        held = _spread(stack).values()
        return max(held) - min(held) <= 1

    until(even, lambda: faults.shards_of(stack), _SPREAD_S)


def _all_run(held: dict[str, int]) -> dict[str, int]:
    return held if sum(held.values()) == SHARDS else {}


def _head_address(stack: Stack) -> str:
    (head,) = stack.inspected(stack.containers("ray-head")[0].id)
    return str(head["NetworkSettings"]["Networks"][f"{stack.project}_ray"]["IPAddress"])


@contextmanager
def _taken(stack: Stack, address: str) -> Iterator[None]:
    """Another container has the address meanwhile: the engine gives the lowest that is free."""
    holder = docker("run", "--detach", "--network", f"{stack.project}_ray", image("slim"), "sleep", "900").strip()
    try:
        assert address in stack.addresses("ray")
        yield
    finally:
        docker("rm", "--force", holder)
