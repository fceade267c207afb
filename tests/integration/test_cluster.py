"""Twins on Ray nodes: one joins, one is killed, and one of another release is left alone. Nothing acked is lost.

And a head keeps the password of its memory to itself.
"""

import subprocess

import pytest

from tests.alone import alone
from tests.redis_server import redis_program


@pytest.mark.timeout(400)
def test_slots_move_to_a_new_node_and_from_a_killed_one() -> None:
    done = subprocess.run(alone("tests.cluster_scene"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.timeout(200)
def test_no_command_line_of_a_head_shows_the_password_of_redis() -> None:
    if redis_program() is None:  # looked for out here: where the head is alone, there is no network
        pytest.skip("no Redis here, and none to be had: the memory of a head stays unproven")
    done = subprocess.run(alone("tests.head_scene"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
