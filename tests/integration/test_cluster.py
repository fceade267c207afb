"""Twins on several Ray nodes: one is killed, one joins, and one of another release is left alone. Nothing acked is lost."""

import subprocess

import pytest

from tests.alone import alone


@pytest.mark.timeout(400)
def test_slots_move_from_a_killed_node_and_to_a_new_one() -> None:
    done = subprocess.run(alone("tests.cluster_scene"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
