"""A thousand orders through a thousand deaths: how many are lost, done twice, or told wrongly.

Each run is one command or one configuration of one device, on real parts: PostgreSQL, Mosquitto, a shard, a web and two
agents as processes that are killed with -9, and obedient devices whose power is cut. Runs go in groups through the same
deaths, each brought to a state of its own before. Fewer of them: python -m tests.bench.lost --runs 100 [--seed 2]
"""

import argparse
import asyncio
import time
from collections.abc import Iterator

from tests.agent_platform import platform
from tests.bench.figures import Figure, figure, note, print_figure
from tests.crash.crash_rig import PARTS
from tests.crash.crash_verdict import stormed
from tests.servers import postgres_server, server_folder

RUNS = 1_000
GROUP = 12
STATES = (
    "command asked", "command queued", "command sent", "command accepted", "command ended",
    "config asked", "config pending", "config applying", "config in_sync",
)  # fmt: skip


def run(runs: int = RUNS, seed: int = 1) -> Iterator[Figure]:
    with postgres_server() as cluster, server_folder("lost") as folder:
        database = cluster.create_database("sp_bench")
        with platform(folder, database) as parts:
            began = time.monotonic()
            storm, verdict = asyncio.run(
                stormed(folder, parts, runs=runs, size=GROUP, seed=seed, agents=["roof-one", "roof-two"])
            )
            seconds = time.monotonic() - began
    for problem in verdict.all:
        note(problem)
    for part in PARTS:
        killed_in = {state: storm.kills[part, state] for state in STATES}
        note(f"{part} killed {storm.deaths[part]} times, by the state of the runs: {killed_in}")
    note(f"ended: {verdict.ends}")
    fewest = min(storm.kills[part, state] for part in PARTS for state in STATES)
    yield figure("lost", "runs", len(storm.runs), "runs")
    yield figure("lost", "kills of a part", storm.deaths.total(), "kills")
    yield figure("lost", "runs in each state through each part's kill, the fewest", fewest, "runs")
    yield figure("lost", "lost", len(verdict.lost), "orders")
    yield figure("lost", "done twice", len(verdict.twice), "orders")
    yield figure("lost", "wrong states", len(verdict.wrong), "orders")
    yield figure("lost", "time for it all", seconds, "s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="orders through kills of everything")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for one in run(chosen.runs, chosen.seed):
        print_figure(one)
