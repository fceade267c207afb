"""Twins on Ray nodes: one joins, one is killed, and one of another release is left alone. Nothing acked is lost."""

import subprocess

import pytest

from tests.alone import alone


@pytest.mark.timeout(400)
def test_slots_move_to_a_new_node_and_from_a_killed_one() -> None:
    done = subprocess.run(alone("tests.cluster_scene"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
