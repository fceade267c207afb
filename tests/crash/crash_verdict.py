"""What became of crash runs: what was promised and is lost, what was done twice, what the platform says wrongly."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import asyncpg
import httpx
import msgspec
import structlog

from actors.local.audit import examined
from fleet.commands import OPEN_STATES
from tests.agent_platform import Platform
from tests.crash.crash_rig import PARTS, CrashRig, crash_rig, signed_in
from tests.crash.crash_runs import Run, Storm, applied_by, executed_by, planned, said_by
from tests.fleet_rig import fetch

log = structlog.get_logger()


class Verdict(msgspec.Struct):
    """Each line names a run and what is wrong with it. ends: how the commands ended."""

    lost: list[str] = []
    twice: list[str] = []
    wrong: list[str] = []
    ends: dict[str, int] = {}

    @property
    def all(self) -> list[str]:
        return [*self.lost, *self.twice, *self.wrong]


async def stormed(
    folder: Path, parts: Platform, *, runs: int, size: int, seed: int, agents: Sequence[str]
) -> tuple[Storm, Verdict]:
    """The whole of it: `runs` runs in groups of `size`, the first of each group on the real agents."""
    luck = Random(seed)
    devices = [f"crash-{number:04}" for number in range(runs)]
    sites = {f"storm-{first}": dict.fromkeys(devices[first : first + 50], "gateway") for first in range(0, runs, 50)}
    async with (
        crash_rig(folder, parts, sites, list(agents), luck) as rig,
        httpx.AsyncClient(base_url=rig.web, timeout=60.0) as client,
    ):
        storm = Storm(rig, client, await signed_in(client), luck)
        for number, group in enumerate(planned(runs, devices, agents, size, luck)):
            await storm.group(group, PARTS[number % len(PARTS)])
            if number % 10 == 9:
                log.info("stormed", groups=number + 1, kills=sum(storm.deaths.values()))
        await storm.calm()
        return storm, await verdict(rig, storm.runs)


async def verdict(rig: CrashRig, runs: Sequence[Run]) -> Verdict:
    """After everything has become calm."""
    found = Verdict()
    by_key: dict[str, list[asyncpg.Record]] = {}
    for row in await fetch(rig.database, "SELECT * FROM remote.command"):
        by_key.setdefault(row["idempotency_key"], []).append(row)
    executed = executed_by(rig)
    for run in runs:
        if run.problem:
            found.wrong.append(f"{run}: the web broke down: {run.problem[:300]}")
        if run.kind == "command":
            _judge_command(rig, run, by_key.get(run.key, []), executed, found)
    found.ends = dict(Counter(row["state"] for rows in by_key.values() for row in rows))
    await _judge_configs(rig, [run for run in runs if run.kind == "config"], found)
    await _judge_order(rig, found)
    journal = await examined(rig.database.sp_twins)
    if not journal.is_whole:
        found.wrong.append(f"the journal does not hold: {journal.chains}, {journal.named}")
    return found


def _judge_command(rig: CrashRig, run: Run, rows: Sequence[asyncpg.Record], executed: Counter[str], found: Verdict) -> None:
    if run.answered not in [row["id"] for row in rows]:
        found.lost.append(f"{run}: no such command is stored")
        return
    if len(rows) > 1:
        found.twice.append(f"{run}: one key gave {len(rows)} commands")
    row = rows[0]
    state, said, times = row["state"], said_by(rig, run.device).get(row["id"]), executed[row["id"]]
    where = f"{run}: {state}, the device says {said} and did it {times} times"
    if state in OPEN_STATES:
        found.lost.append(f"{where}; it never ended")
    if times > 1:
        found.twice.append(where)
    late = (row["late"] or {}).get("status")
    was_short = run.aim == "expiring"  # of time; the others had enough to come back in
    is_right = {
        "succeeded": said == "succeeded" and times == 1,
        "failed": said == "failed",
        "timed_out": said == late and was_short,
        "expired": said is None and times == 0 and was_short,
    }.get(state, state in OPEN_STATES)
    if not is_right:
        found.wrong.append(f"{where}; late: {late}")


async def _judge_configs(rig: CrashRig, runs: Sequence[Run], found: Verdict) -> None:
    changes: dict[str, list[asyncpg.Record]] = {}
    for row in await fetch(rig.database, "SELECT * FROM remote.config_change"):
        changes.setdefault(row["device_id"], []).append(row)
    states = {row["device_id"]: row for row in await fetch(rig.database, "SELECT * FROM remote.config WHERE version > 0")}
    for run in runs:
        mine, state = changes.get(run.device, []), states.get(run.device)
        if state is None or run.answered not in [str(row["version"]) for row in mine]:
            found.lost.append(f"{run}: no such version is stored")
            continue
        running = rig.fleet.running_config(run.device)
        where = f"{run}: {state['status']} at {state['version']}, the device runs {running.version}: {running.values}"
        if len(mine) > 1:
            found.twice.append(f"{where}; {len(mine)} versions were made")
        if applied_by(rig, run.device, state["version"]) > 1:
            found.twice.append(where)
        wanted = next(row["values"] for row in mine if row["version"] == state["version"])
        if state["status"] in ("pending", "applying"):
            found.lost.append(where)
        elif (state["status"], running.version, running.values) != ("in_sync", state["version"], wanted):
            found.wrong.append(where)


async def _judge_order(rig: CrashRig, found: Verdict) -> None:
    """A device gets its commands one by one: the next one is not sent before the last has ended."""
    rows = await fetch(
        rig.database,
        "SELECT id, device_id FROM (SELECT id, device_id, sent_at, max(ended_at) OVER (PARTITION BY device_id"
        " ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM remote.command) AS one"
        " WHERE sent_at < before",
    )
    found.wrong += [f"command {row['id']} of {row['device_id']} was sent before its turn" for row in rows]
