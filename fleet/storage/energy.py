"""Day rows: which are dirty, what they hold, and the energy of any period made from them alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec
from asyncpg import Record

from fleet.calendar import QUARTER_MS, Span, Step, day_bounds, days_between, local_day, steps
from fleet.energy import Recomputed, SiteDay
from fleet.errors import BadInput
from fleet.ids import SiteId
from fleet.limits import ENERGY_STEPS_MAX
from fleet.measures import REGISTERS
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

_STEP_MS_MIN: Mapping[Step, int] = {
    "15m": QUARTER_MS,
    "1h": 3_600_000,
    "1d": 23 * 3_600_000,
    "1mo": 28 * 86_400_000,
    "1y": 365 * 86_400_000,
}
_COLUMNS = tuple(register.removesuffix("_energy_wh") for register in REGISTERS)  # pv, import, export, charge, discharge
_QUARTERS = ", ".join(f"{column}_q" for column in _COLUMNS)
_TOTALS = ", ".join(f"{column}_wh" for column in _COLUMNS)
_COUNTS = ", ".join(f"cardinality(array_positions(quality_q, {value}::smallint)) AS quality_{value}" for value in range(4))

_MARK = """
    INSERT INTO telemetry.dirty_day AS d (site_id, day, from_time)
    SELECT * FROM unnest($1::text[], $2::date[], $3::timestamptz[])
    ON CONFLICT (site_id, day) DO UPDATE
        SET from_time = least(d.from_time, excluded.from_time), generation = d.generation + 1
"""
_TAKE = """
    WITH oldest AS (
        SELECT d.site_id, d.day, d.marked_at
        FROM telemetry.dirty_day d JOIN registry.site s ON s.id = d.site_id
        WHERE s.slot = ANY($1::smallint[]) ORDER BY d.marked_at, d.site_id, d.day LIMIT $2
    )
    UPDATE telemetry.dirty_day d SET marked_at = clock_timestamp() FROM oldest o
    WHERE d.site_id = o.site_id AND d.day = o.day
    RETURNING d.site_id, d.day, d.from_time, d.generation, o.marked_at
"""
_DIRTY_OF = """
    SELECT site_id, day, from_time, generation FROM telemetry.dirty_day WHERE site_id = $1 ORDER BY day DESC LIMIT $2
"""
_FINISH = "DELETE FROM telemetry.dirty_day WHERE site_id = $1 AND day = $2 AND generation = $3 RETURNING 1"
_SAVE = f"""
    INSERT INTO telemetry.site_day (site_id, day, timezone, computed_at, quality_q, {_TOTALS}, {_QUARTERS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (site_id, day) DO UPDATE SET timezone = excluded.timezone, computed_at = excluded.computed_at,
        quality_q = excluded.quality_q,
        {", ".join(f"{name} = excluded.{name}" for name in f"{_TOTALS}, {_QUARTERS}".split(", "))}
"""  # noqa: S608 - column names of our own
_FORGET_EVENTS = "DELETE FROM telemetry.counter_event WHERE site_id = $1 AND time >= $2 AND time < $3"
_ADD_EVENTS = """
    INSERT INTO telemetry.counter_event (site_id, device_id, register, time, kind, raw_before_wh, raw_after_wh, energy_wh)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::float8[], $7::float8[], $8::float8[])
"""
_DAYS = f"""
    SELECT site_id, day, timezone, quality_q, {_QUARTERS} FROM telemetry.site_day
    WHERE site_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day
"""  # noqa: S608 - column names of our own
_DAY_TOTALS = f"""
    SELECT day, {_TOTALS}, {", ".join(f"cardinality({c}_q) > 0 AS has_{c}" for c in _COLUMNS)}, {_COUNTS}
    FROM telemetry.site_day WHERE site_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day
"""  # noqa: S608 - column names of our own


class DirtyDay(NamedTuple):
    """A local day to recompute; samples from `from_time` on may be new."""

    site: SiteId
    day: date
    from_time: UnixMs
    generation: int


class EnergyStep(msgspec.Struct, frozen=True):
    """registers: Wh; None where nothing is known; only those that the site has.

    quality: how many of the step's quarter-hours are missing, measured, estimated, corrected.
    """

    start: UnixMs
    end: UnixMs
    registers: dict[str, float | None]
    quality: tuple[int, int, int, int]


async def mark_dirty(connection: Connection, marks: Iterable[tuple[SiteId, date, UnixMs]]) -> None:
    """marks: site, local day, earliest new instant; within the transaction that stores the samples."""
    earliest: dict[tuple[SiteId, date], UnixMs] = {}
    for site, day, from_time in marks:
        earliest[site, day] = min(from_time, earliest.get((site, day), from_time))
    rows = sorted(earliest.items())  # one order of locks for everybody
    sites, days = [site for (site, _), _ in rows], [day for (_, day), _ in rows]
    await connection.execute(_MARK, sites, days, [_instant(from_time) for _, from_time in rows])


async def take_dirty(connection: Connection, slots: Sequence[int], limit: int) -> list[DirtyDay]:
    """Those of these slots that wait longest. They stay marked until finish_dirty, but go to the end of the queue."""
    rows = await connection.fetch(_TAKE, list(slots), limit)
    rows.sort(key=lambda row: (row["marked_at"], row["site_id"], row["day"]))
    return [DirtyDay(row["site_id"], row["day"], _ms(row["from_time"]), row["generation"]) for row in rows]


async def dirty_days_of(connection: Connection, site: SiteId, limit: int) -> list[DirtyDay]:
    """The newest ones, latest first; they stay marked until finish_dirty."""
    rows = await connection.fetch(_DIRTY_OF, site, limit)
    return [DirtyDay(row["site_id"], row["day"], _ms(row["from_time"]), row["generation"]) for row in rows]


async def finish_dirty(connection: Connection, taken: DirtyDay) -> bool:
    """False when more was marked since it was taken: the day stays dirty."""
    return bool(await connection.fetchval(_FINISH, taken.site, taken.day, taken.generation))


async def save_day(connection: Connection, recomputed: Recomputed, now: UnixMs) -> None:
    day = recomputed.day
    totals = day.totals_wh
    await connection.execute(
        _SAVE,
        day.site,
        day.day,
        day.timezone,
        _instant(now),
        day.quality,
        *(totals.get(register) for register in REGISTERS),
        *(day.registers.get(register, ()) for register in REGISTERS),
    )
    await connection.execute(_FORGET_EVENTS, day.site, *map(_instant, recomputed.window))
    if recomputed.events:
        devices, registers, corrections = zip(*recomputed.events, strict=True)
        at, kinds, before, after, energy_wh = zip(*corrections, strict=True)
        await connection.execute(
            _ADD_EVENTS, day.site, devices, registers, [*map(_instant, at)], kinds, before, after, energy_wh
        )


async def site_days(connection: Connection, site: SiteId, first: date, last: date) -> list[SiteDay]:
    """The rows that there are, in order."""
    return [_site_day(row) for row in await connection.fetch(_DAYS, site, first, last)]


async def energy(
    connection: Connection, site: SiteId, timezone: str, start: UnixMs, end: UnixMs, step: Step
) -> list[EnergyStep]:
    """The site's energy by calendar step over [start, end), cut to whole quarter-hours (see calendar.steps).

    Reads one row per day: whole days by their totals, others by their quarters. Raises BadInput (too_many_steps).
    """
    if (end - start) // _STEP_MS_MIN[step] > ENERGY_STEPS_MAX:
        raise BadInput(
            "too_many_steps", f"at most {ENERGY_STEPS_MAX} steps at once; ask for a shorter period or a longer step"
        )
    tiles = steps(start, end, step, timezone)
    if not tiles:
        return []
    first, last = local_day(tiles[0][0], timezone), local_day(tiles[-1][1] - 1, timezone)
    if step in ("15m", "1h"):
        rows = await site_days(connection, site, first, last)
    else:  # the others count whole
        rows = [row for day in {first, last} for row in await site_days(connection, site, day, day)]
    quarters = {row.day: row for row in rows}
    totals = {row["day"]: row for row in await connection.fetch(_DAY_TOTALS, site, first, last)}
    known = [r for r, c in zip(REGISTERS, _COLUMNS, strict=True) if any(row[f"has_{c}"] for row in totals.values())]
    return [_step(tile, known, timezone, quarters, totals) for tile in tiles]


def _step(
    tile: Span,
    registers: list[str],
    timezone: str,
    quarters: Mapping[date, SiteDay],
    totals: Mapping[date, Record],
) -> EnergyStep:
    sums_mwh: dict[str, int] = {}
    counts = [0, 0, 0, 0]
    for day in days_between(*tile, timezone):
        bounds = day_bounds(day, timezone)
        span = max(tile[0], bounds[0]), min(tile[1], bounds[1])
        if day not in totals:
            counts[0] += (span[1] - span[0]) // QUARTER_MS
        elif span == bounds:
            _add_totals(totals[day], sums_mwh, counts)
        else:
            part = slice((span[0] - bounds[0]) // QUARTER_MS, (span[1] - bounds[0]) // QUARTER_MS)
            _add_quarters(quarters[day], part, sums_mwh, counts)
    known = {register: sums_mwh[register] / 1000 if register in sums_mwh else None for register in registers}
    return EnergyStep(tile[0], tile[1], known, (counts[0], counts[1], counts[2], counts[3]))


def _add_totals(row: Record, sums_mwh: dict[str, int], counts: list[int]) -> None:
    for register, column in zip(REGISTERS, _COLUMNS, strict=True):
        if row[f"{column}_wh"] is not None:
            sums_mwh[register] = sums_mwh.get(register, 0) + round(row[f"{column}_wh"] * 1000)
    for value in range(4):
        counts[value] += row[f"quality_{value}"]


def _add_quarters(day: SiteDay, part: slice, sums_mwh: dict[str, int], counts: list[int]) -> None:
    for register, values in day.registers.items():
        known = [round(value * 1000) for value in values[part] if value is not None]
        if known:
            sums_mwh[register] = sums_mwh.get(register, 0) + sum(known)
    for value in day.quality[part]:
        counts[value] += 1


def _site_day(row: Record) -> SiteDay:
    arrays = {register: tuple(row[f"{column}_q"]) for register, column in zip(REGISTERS, _COLUMNS, strict=True)}
    known = {
        register: values for register, values in arrays.items() if values
    }  # an empty array: the site has no such counter
    return SiteDay(row["site_id"], row["day"], row["timezone"], known, tuple(row["quality_q"]))


def _instant(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(instant: datetime) -> UnixMs:
    return round(instant.timestamp() * 1000)
