"""Rollouts for tests: a shard, devices that obey, and a conductor that is driven round by round, or killed in the middle."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from actors.clock import now_ms
from actors.rollouts.conductor import Conductor
from actors.shard import TwinShard
from fleet.configuration import Change, Values
from fleet.ids import DeviceId
from fleet.orders import ConfigAnswer, ConfigWish
from fleet.rollouts.lifecycle import Rollout, Stop
from fleet.rollouts.plan import RolloutPlan, Wave
from fleet.storage import rollout_steps, rollouts, targets
from fleet.storage.database import DirectConnection, connect
from fleet.storage.rollouts import NewRollout
from fleet.storage.target_states import STATE
from fleet.targets import TargetQuery
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.local_twins import LocalTwins
from tests.obedient import Habits, ObedientFleet, obedient_fleet
from tests.servers import Broker, Database

LIMIT: Values = {"active_power_limit_pct": 70.0}
QUICK = RolloutPlan(
    waves=(Wave(count=3), Wave(percent=50.0), Wave(percent=100.0)),
    per_minute=12_000,
    observe_s=0.0,
    timeout_s=600.0,  # whoever is to run out of it is made older
    silent_after_s=600.0,
)


class Killed(BaseException):
    """The process is no more: nothing that it would do afterwards may happen."""


@dataclass
class KilledTwins:
    """Asks real twins; the wish may be done, and its answer never heard."""

    twins: LocalTwins
    before: int | None = None  # asks that still work; the one after them is never asked
    after: int | None = None  # ... or is asked, and not heard
    asked: list[str] = field(default_factory=list)

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        if self.before is not None and len(self.asked) >= self.before:
            raise Killed
        self.asked.append(",".join(wish.device for wish in wishes))
        answers = await self.twins.change_configs(wishes)
        if self.after is not None and len(self.asked) > self.after:
            raise Killed
        return answers

    async def close(self) -> None:
        pass


class FragileConnection:
    """A connection that takes the process with it after so many statements."""

    def __init__(self, connection: DirectConnection, statements: int) -> None:
        self._connection, self._left = connection, statements

    def __getattr__(self, name: str) -> Any:
        wrapped = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchval", "fetchrow"):
            return wrapped

        async def counted(*arguments: Any) -> Any:
            if self._left <= 0:
                self._connection.terminate()
                raise Killed
            self._left -= 1
            return await wrapped(*arguments)

        return counted


async def begin_rollout(
    database: Database, plan: RolloutPlan, query: TargetQuery, group: str | None = None, values: Values | None = None
) -> str:
    """To inverters. Returns its id, by which lots are drawn: each run of a test draws the same."""
    owner = await connect(database.owner)
    try:
        async with owner.transaction():
            number = await owner.fetchval("SELECT count(*) + 1 FROM remote.rollout")
            rollout_id = f"{number:024x}"
            new = NewRollout(rollout_id, "Limit", "inverter", group, query, values or LIMIT, plan, "", "otto")
            devices = await targets.matching(owner, query, limit=20_000)
            await rollouts.add_rollout(owner, new, devices)
    finally:
        await owner.close()
    return rollout_id


async def look_at(database: Database, rollout_id: str) -> Rollout:
    owner = await connect(database.owner)
    try:
        return await rollouts.rollout(owner, rollout_id)
    finally:
        await owner.close()


@dataclass
class RolloutRig:
    database: Database
    twins: LocalTwins
    fleet: ObedientFleet

    async def begin(self, plan: RolloutPlan, *, group: str | None = None, values: Values | None = None) -> str:
        """To all inverters. Returns its id."""
        return await begin_rollout(self.database, plan, TargetQuery(profiles=("inverter",)), group, values)

    async def move(self, rollout_id: str, event: Any, stop: Stop | None = None) -> Rollout:
        owner = await connect(self.database.owner)
        try:
            async with owner.transaction():
                seen = await rollouts.rollout(owner, rollout_id, to_move=True)
                return await rollouts.move_rollout(owner, seen, event, stop)
        finally:
            await owner.close()

    async def look(self, rollout_id: str) -> Rollout:
        return await look_at(self.database, rollout_id)

    async def reach(self) -> LocalTwins:
        return self.twins

    def conductor(self, twins: Any = None) -> Conductor:
        async def reach() -> Any:
            return twins

        connect_twins = self.reach if twins is None else reach
        return Conductor(self.database.sp_rollouts, connect_twins, "https://portal.test", lambda: None)

    async def lead(self, rollout_id: str, *states: str, twins: Any = None, deadline_s: float = 90.0) -> Rollout:
        """By rounds without a pause between them, until it is in one of these states."""
        conductor, connection = self.conductor(twins), await connect(self.database.sp_rollouts)

        async def led() -> Rollout | None:
            await conductor.round(connection)
            found = await self.look(rollout_id)
            return found if found.state in states else None

        try:
            assert await rollout_steps.lead(connection), "another conductor leads"
            found: Rollout = await until(led, deadline_s)
            return found
        finally:
            await connection.close()  # not before PostgreSQL has let go of the lock, which the next one asks for once

    async def lead_fragile(self, twins: Any, statements: int) -> bool:
        """Rounds of a process that dies after so many statements, or at the twins. Whether it died of the latter."""
        connection = await connect(self.database.sp_rollouts)
        conductor, fragile = self.conductor(twins), FragileConnection(connection, statements)
        try:
            while True:
                await conductor.round(fragile)  # type: ignore[arg-type]
        except (Killed, asyncpg.InterfaceError):  # the latter by a transaction whose connection went with it
            return not connection.is_closed()
        finally:
            connection.terminate()

    async def seen_by_platform(self) -> None:
        """The twins' snapshots say who is there."""
        for shard in self.twins.shards:
            await shard._upkeep.save_snapshots()
        away = self.fleet.offline
        there = [device for device in self.fleet.devices if device not in away]

        async def known() -> bool:
            rows = await fetch(self.database, "SELECT device_id FROM telemetry.device_latest WHERE online")
            for shard in self.twins.shards:
                await shard._upkeep.save_snapshots()
            return {row[0] for row in rows} == set(there)

        await until(known)

    async def rounds_until(self, rollout_id: str, counts: dict[str, int], wave: int | None = None) -> None:
        """Leads it until its targets stand so; AssertionError with how they do after a while."""
        conductor, connection = self.conductor(), await connect(self.database.sp_rollouts)
        found: dict[Any, int] = {}

        async def reached() -> bool:
            nonlocal found
            await conductor.round(connection)
            rollout = await self.look(rollout_id)
            found = rollout.counts
            return found == counts and wave in (None, rollout.wave)

        async def reached_now() -> bool:
            conductor._followed_at.clear()  # one that is over would be looked at once a minute
            return await reached()

        try:
            await until(reached_now)
        except AssertionError:
            raise AssertionError(f"{found} instead of {counts}") from None
        finally:
            connection.terminate()

    async def rounds_for(self, rollout_id: str, rounds: int) -> None:
        """Some, of a new process, so that it is also looked at when it is over."""
        conductor, connection = self.conductor(), await connect(self.database.sp_rollouts)
        try:
            for _ in range(rounds):
                conductor._followed_at.clear()
                await conductor.round(connection)
        finally:
            connection.terminate()

    async def change(self, device: str, change: Change) -> ConfigAnswer:
        known = self.fleet.devices[DeviceId(device)]
        (answer,) = await self.twins.change_configs([ConfigWish(known.site, known.id, change)])
        return answer

    async def group(self, name: str = "All") -> str:
        """Of all inverters."""
        group_id = secrets.token_hex(8)
        await fetch(
            self.database,
            'INSERT INTO remote.device_group (id, name, query) VALUES ($1, $2, \'{"profiles": ["inverter"]}\')',
            group_id,
            name,
        )
        return group_id

    async def nobody_runs(self) -> bool:
        return not self.running()

    async def states(self, rollout_id: str) -> dict[str, str]:
        read = f"SELECT device_id, {STATE} AS state FROM remote.rollout_target t WHERE rollout_id = $1"  # noqa: S608 - put together from constants
        rows = await fetch(self.database, read, rollout_id)
        return {row["device_id"]: row["state"] for row in rows}

    async def holders(self) -> set[DeviceId]:
        """Devices whose desired configuration has the limit in it."""
        rows = await fetch(
            self.database,
            "SELECT c.device_id FROM remote.config c JOIN remote.config_change v USING (site_id, device_id, version)"
            " WHERE v.values ->> 'active_power_limit_pct' = '70.0'",
        )
        return {row["device_id"] for row in rows}

    def running(self) -> set[DeviceId]:
        """Devices that run the limit."""
        return {
            name for name, device in self.fleet.devices.items() if device.running.values["active_power_limit_pct"] == 70.0
        }


@asynccontextmanager
async def rollout_rig(
    database: Database, broker: Broker, devices: int, habits: Habits | None = None
) -> AsyncIterator[RolloutRig]:
    """devices: inverters, ten to a site."""
    names = [f"inverter-{number:05d}" for number in range(devices)]
    sites = [(f"site-{number:04d}", names[number * 10 : number * 10 + 10]) for number in range(-(-devices // 10))]
    await seed_fleet(database, [(site, dict.fromkeys(theirs, "inverter")) for site, theirs in sites])
    await fetch(
        database,
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash, locale)"
        " VALUES ('otto', 'org-installer', 'otto@example.org', 'Otto', 'ops', '', 'en')",
    )
    listed = [(site, name, "inverter") for site, theirs in sites for name in theirs]
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        obedient_fleet(broker.sp_twins, listed, habits) as fleet,
    ):
        _always_a_working_day(shard)
        rig = RolloutRig(database, LocalTwins([shard]), fleet)
        await rig.seen_by_platform()
        yield rig


def _always_a_working_day(shard: TwinShard) -> None:
    """They send no telemetry: by night a sweep would call those that are away asleep, and after a minute and a half all of
    them offline.
    """
    shard._supervision._sun_elevation_deg = lambda _site, _now: 40.0  # type: ignore[method-assign]
    shard._supervision._grace_until = now_ms() + 86_400_000


async def mails(database: Database) -> list[Any]:
    return await fetch(database, "SELECT recipient, subject, body FROM accounts.mail ORDER BY id")
