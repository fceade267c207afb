"""Ten thousand inverters: how many configurations are changed a second, and how a rollout reaches all that are there.

A tenth is away and comes back at the end; one in a hundred refuses whatever it is told.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx

from actors.client import Twins
from fleet.configuration import Change, ConfigState, Desired
from fleet.device_orders import Step
from fleet.ids import DeviceId, SiteId
from fleet.orders import ConfigWish
from fleet.receipts import Receipt
from fleet.storage import orders
from fleet.storage.database import connect
from tests.bench.commands import sign_in
from tests.bench.figures import Figure, figure, note
from tests.bench.platform import Platform, platform, rollouts
from tests.fleet_rig import fetch, seed_fleet, until
from tests.obedient import Habits, ObedientFleet, obedient_fleet
from tests.servers import Database

_SITES, _PER_SITE = 2_500, 4
_HABITS = Habits(seed=7, offline_share=0.10, failing_share=0.01)
_AT_ONCE = 250  # wishes in an ask
_ASKS = 4  # under way at a time
_CHAIN = 99  # of receipts, for the limit: no shard has it
_PLAN = {
    "waves": [{"count": 10}, {"percent": 10}, {"percent": 100}],
    "per_minute": 12_000,
    "observe_s": 2,
    "timeout_s": 60,
    "abort_at": [{"kind": "rejected", "percent": 5, "at_least": 5}],
}
_DEADLINE_S = 600.0
DEVICES = [(f"r-{site}", f"r-{site}-{number}", "inverter") for site in range(_SITES) for number in range(_PER_SITE)]


async def seed(database: Database) -> None:
    sites: dict[str, dict[str, str]] = {}
    for site, device, profile in DEVICES:
        sites.setdefault(site, {})[device] = profile
    await seed_fleet(database, sites.items())


def run() -> Iterator[Figure]:
    with platform(sites=1, web=True, seed=seed) as running, rollouts(running):
        yield from asyncio.run(_run(running))


async def _run(running: Platform) -> list[Figure]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"{running.url}/api/v1", timeout=60.0))
        await sign_in(client)
        fleet = await stack.enter_async_context(obedient_fleet(running.broker.sp_twins, DEVICES, _HABITS))
        await _until_online(running.database, len(DEVICES) - len(fleet.offline))
        bare = await _bare(running.database)
        note(f"{bare:.0f} such changes/s when they are only stored")
        changed = await _changes(running, fleet)
        figures = [figure("rollouts", "configurations changed: stored, twin updated, sent", changed, "changes/s", bare)]
        return figures + await _rollout(running, client, fleet, len(DEVICES) / changed)


async def _until_online(database: Database, wanted: int) -> None:
    """Their twins have heard that they are there, and what they run."""
    while True:
        rows = await fetch(database, "SELECT count(*) AS online FROM telemetry.device_latest WHERE online")
        if rows[0]["online"] >= wanted:
            return
        await asyncio.sleep(0.5)


async def _bare(database: Database) -> float:
    """The same rows, receipts among them, in transactions of the same size, over one connection and without twins."""
    connection = await connect(database.sp_twins)
    now, number = time.time_ns() // 1_000_000, 4_000
    values = {"active_power_limit_pct": 90.0, "report_interval_s": 30.0}
    steps = []
    for position in range(number):
        site, device = SiteId(f"bare-{position // _PER_SITE}"), DeviceId(f"bare-{position}")
        desired = Desired(1, values, values, (), now, "set", "otto")
        config = ConfigState(desired, None, 1, now, "applying", now, 2)
        receipts = tuple(
            Receipt(now, site, device, f"config.{kind}", "1", {"values": values}) for kind in ("desired", "sent")
        )
        steps.append(Step(site, device, config, desired, (), receipts))
    began = time.perf_counter()
    for start in range(0, number, _AT_ONCE):
        async with connection.transaction():
            await orders.save_steps(connection, steps[start : start + _AT_ONCE])
            await orders.save_receipts(connection, _CHAIN, steps[start : start + _AT_ONCE])
    taken_s = time.perf_counter() - began
    await connection.close()
    return number / taken_s


async def _changes(running: Platform, fleet: ObedientFleet) -> float:
    """Of all devices that are there, once each, by the door that the web uses."""
    twins = await Twins.connect(running.twins.ray)
    there = [(SiteId(site), DeviceId(device)) for site, device, _ in DEVICES if device not in fleet.offline]
    change = Change("set", own={"report_interval_s": 30.0}, person_id="ops", why="bench")
    wishes = [ConfigWish(site, device, change) for site, device in there]
    free = asyncio.Semaphore(_ASKS)

    async def ask(piece: Sequence[ConfigWish]) -> int:
        async with free:
            answers = await twins.change_configs(piece)
        assert all(answer.problem is None for answer in answers), answers[0]
        return sum(answer.changed for answer in answers)

    began = time.perf_counter()
    changed = sum(await asyncio.gather(*(ask(wishes[at : at + _AT_ONCE]) for at in range(0, len(wishes), _AT_ONCE))))
    taken_s = time.perf_counter() - began
    assert changed == len(wishes)
    stored = await fetch(running.database, "SELECT count(*) FROM remote.config_change WHERE device_id LIKE 'r-%'")
    assert stored[0]["count"] == changed, stored

    async def all_heard() -> bool:
        return fleet.heard >= changed

    await until(all_heard)
    note(f"{changed} changes stored after {taken_s:.1f} s, and all heard after {time.perf_counter() - began:.1f} s")
    await twins.close()
    return changed / taken_s


async def _rollout(running: Platform, client: httpx.AsyncClient, fleet: ObedientFleet, alone_s: float) -> list[Figure]:
    form: dict[str, Any] = {
        "name": "bench",
        "profile": "inverter",
        "query": {"profiles": ["inverter"]},
        "values": {"active_power_limit_pct": 90.0},
        "plan": _PLAN,
        "confirm_count": (targets := await _count(running.database)),
    }
    began = time.perf_counter()
    made = await client.post("/rollouts", json=form)
    assert made.status_code == 201, made.text
    rollout = made.json()["id"]
    expected = _expected(fleet, targets)
    counts, reached_s = await _until(client, rollout, began, lambda found: found["done"] >= expected["done"])
    note(f"after {reached_s:.1f} s: {dict(counts)}")
    wrong = sum(abs(counts[state] - number) for state, number in expected.items())
    wanted = expected["done"] + len(fleet.offline)
    fleet.come_back(list(fleet.offline))
    later, back_s = await _until(client, rollout, time.perf_counter(), lambda found: found["done"] >= wanted)
    note(f"all came back: {dict(later)} after {back_s:.1f} s")
    wrong_later = abs(later["done"] - wanted) + abs(later["rejected"] - expected["rejected"])
    wrong_later += abs(sum(later.values()) - targets)
    ran = sum(fleet.running_config(device).values["active_power_limit_pct"] == 90.0 for _, device, _ in DEVICES)
    return [
        figure("rollouts", "10,000 devices, every live one reached", reached_s, "s", alone_s),
        figure("rollouts", "targets counted in a wrong state", wrong + wrong_later, "devices"),
        figure("rollouts", "counted as done and not running it", abs(ran - later["done"]), "devices"),
        figure("rollouts", "those that were away, reached after they came back", back_s, "s"),
    ]


def _expected(fleet: ObedientFleet, targets: int) -> dict[str, int]:
    """targets: those of the platform's own plan are among them, which nobody connects."""
    failing, never = len(fleet.failing), targets - len(DEVICES)
    away = len(fleet.offline) + never
    return {"done": targets - away - failing, "rejected": failing, "away": away}


async def _count(database: Database) -> int:
    return int((await fetch(database, "SELECT count(*) FROM registry.device WHERE profile_id = 'inverter'"))[0]["count"])


async def _until(client: httpx.AsyncClient, rollout: str, began: float, reached: Any) -> tuple[Counter[str], float]:
    """The counts, and seconds since `began`. Raises AssertionError after the deadline."""
    while True:
        found = (await client.get(f"/rollouts/{rollout}")).raise_for_status().json()
        counts: Counter[str] = Counter()
        for wave in found["waves"]:
            counts.update(wave["counts"])
        if reached(counts):
            return counts, time.perf_counter() - began
        assert time.perf_counter() - began < _DEADLINE_S, (found["state"], found["reason"], counts)
        await asyncio.sleep(0.5)
