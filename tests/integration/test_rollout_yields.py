"""Whose yield is compared with whose, and over which hours."""

from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.plan import EnergyOutcome, RolloutPlan, Wave
from fleet.storage import rollout_yields, rollouts, targets
from fleet.storage.database import connect
from fleet.storage.rollouts import NewRollout
from fleet.targets import TargetQuery
from tests.fleet_rig import seed_fleet
from tests.servers import Database

NOW = round(datetime(2026, 6, 21, 13, 0, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
PLAN = RolloutPlan(waves=(Wave(count=1), Wave(percent=100.0)), energy=EnergyOutcome(5.0, min_wh_per_w=0.3))
FLEET = [
    ("site-canary", {"one": "gateway", "one-roof": "inverter", "one-shed": "inverter"}),
    ("site-near", {"near": "gateway", "near-roof": "inverter"}),
    ("site-far", {"far": "gateway", "far-roof": "inverter"}),
]


@pytest.mark.parametrize(
    ("profile", "canary", "now_w", "change_pct"),
    [
        ("inverter", "one-roof", {"one-roof": 1_200.0}, -20.0),
        ("inverter", "one-shed", {"one-roof": 0.0}, 0.0),  # another device of its site is neither canary nor neighbour
        ("gateway", "one", {"one-roof": 1_350.0, "one-shed": 1_350.0}, -10.0),
        ("gateway", "one", {"near-roof": 1_500.0, "one-roof": 750.0, "one-shed": 750.0}, 0.0),  # a cloud
        ("gateway", "one", {"far-roof": 0.0}, 0.0),
    ],
)
async def test_who_is_compared(
    database: Database, profile: str, canary: str, now_w: dict[str, float], change_pct: float
) -> None:
    before_w = {"one-roof": 1_500.0, "one-shed": 1_500.0, "near-roof": 3_000.0, "far-roof": 3_000.0}
    finding = await _find(database, profile, canary, before_w, before_w | now_w)
    assert finding.change_pct == pytest.approx(change_pct)
    assert finding.verdict == ("dropped" if change_pct < -5 else "fine")
    assert finding.canaries == (1 if profile == "inverter" else 2)
    assert finding.neighbours == 1
    assert finding.neighbour_before_wh_per_w == pytest.approx(1.0)  # 3 kW of 6 for two hours


async def test_before_is_the_day_before(database: Database) -> None:
    """And as many days back as it takes not to meet what was told."""
    same_w = dict.fromkeys(("one-roof", "near-roof"), 3_000.0)
    finding = await _find(database, "inverter", "one-roof", same_w, same_w, told_ms=NOW - 26 * HOUR_MS)
    assert finding.verdict == "unknown", "two days ago nobody told anything"


@pytest.mark.parametrize(
    ("days_back", "verdict", "lacks"), [(2, "dropped", None), (14, "dropped", None), (15, "unknown", "sun_before")]
)
async def test_before_is_the_last_day_that_had_sun(
    database: Database, days_back: int, verdict: str, lacks: str | None
) -> None:
    """Of the fortnight before anybody was told: however long one waits for sun, what was before stays as it was."""
    sunny_w = dict.fromkeys(("one-roof", "near-roof"), 3_000.0)
    cloudy_w = dict.fromkeys(sunny_w, 300.0)
    after_w = sunny_w | {"one-roof": 2_400.0}
    finding = await _find(database, "inverter", "one-roof", cloudy_w, after_w, earlier=(days_back, sunny_w))
    assert (finding.verdict, finding.lacks) == (verdict, lacks)
    assert finding.change_pct == (pytest.approx(-20.0) if verdict == "dropped" else None)


async def _find(
    database: Database,
    profile: str,
    canary: str,
    before_w: dict[str, float],
    after_w: dict[str, float],
    told_ms: int = NOW - 2 * HOUR_MS,
    earlier: tuple[int, dict[str, float]] | None = None,
) -> EnergyFinding:
    """What is said of a rollout whose canary was told two hours before NOW; an hour later it was paused, and let go on.

    earlier: what was produced so many days before NOW.
    """
    told = [(before_w, NOW - 24 * HOUR_MS), (after_w, NOW)]
    if earlier is not None:
        told.append((earlier[1], NOW - earlier[0] * 24 * HOUR_MS))
    await seed_fleet(database, FLEET)
    owner = await connect(database.owner)
    try:
        await owner.execute("UPDATE registry.site SET latitude = 50.6 WHERE id = 'site-far'")
        await owner.execute(
            "SELECT telemetry.create_sample_partition(day) FROM generate_series(0, 15) back,"
            " LATERAL (SELECT date '2026-06-21' - back AS day) days"
        )
        for powers_w, end in told:
            for device, power_w in powers_w.items():
                await _tell(owner, device, power_w, end)
        query = TargetQuery(profiles=(profile,))
        new = NewRollout("r1", "r1", profile, None, query, {"a": 1.0}, PLAN, "", None)
        async with owner.transaction():
            await rollouts.add_rollout(owner, new, await targets.matching(owner, query, limit=100))
        await owner.execute("UPDATE remote.rollout_target SET wave = (device_id <> $1)::int", canary)
        await owner.execute(
            "UPDATE remote.rollout_target SET state = 'done', told_at = $1 WHERE wave = 0",
            datetime.fromtimestamp(told_ms / 1000, UTC),
        )
        rollout = msgspec.structs.replace(
            await rollouts.rollout(owner, "r1"), wave_at=NOW - HOUR_MS, settled_at=NOW - 2 * HOUR_MS
        )
    finally:
        await owner.close()
    connection = await connect(database.sp_rollouts)
    try:
        finding = await rollout_yields.look(connection, rollout, NOW)
    finally:
        await connection.close()
    assert finding is not None
    return finding


async def _tell(owner: "asyncpg.Connection[asyncpg.Record]", device: str, power_w: float, end: int) -> None:
    await owner.execute(
        "INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings)"
        " SELECT d.site_id, d.id, t.time, t.time, ARRAY[$2::float8, NULL, NULL, NULL, NULL, NULL, NULL]"
        " FROM registry.device d, generate_series($3::timestamptz - interval '2 hours',"
        " $3::timestamptz - interval '1 minute', interval '1 minute') AS t (time) WHERE d.id = $1",
        device,
        power_w,
        datetime.fromtimestamp(end / 1000, UTC),
    )
