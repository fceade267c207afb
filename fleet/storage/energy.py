"""Day rows: which are dirty, what they hold, and the energy of any period made from them alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec
from asyncpg import Record

from fleet.calendar import QUARTER_MS, Span, Step, day_bounds, days_between, local_day, steps
from fleet.energy.day import Recomputed, SiteDay
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
    INSERT INTO telemetry.dirty_day AS d (site_id, day, from_time, gone)
    SELECT *, $4 FROM unnest($1::text[], $2::date[], $3::timestamptz[])
    ON CONFLICT (site_id, day) DO UPDATE
        SET from_time = least(d.from_time, excluded.from_time), generation = d.generation + 1, gone = d.gone OR excluded.gone
"""
_WAITING = """
    SELECT d.site_id, d.day, d.from_time, d.generation, d.gone
    FROM telemetry.dirty_day d JOIN registry.site s ON s.id = d.site_id WHERE s.slot = ANY($1::smallint[])
"""
_RECENT = f"{_WAITING} AND d.day >= $3 ORDER BY d.marked_at, d.site_id, d.day LIMIT $2"
_OLD = f"{_WAITING} AND d.day < $3 ORDER BY d.site_id <= $4, d.site_id, d.day DESC LIMIT $2"
_TO_THE_END = """
    UPDATE telemetry.dirty_day d SET marked_at = statement_timestamp() FROM unnest($1::text[], $2::date[]) AS t(site_id, day)
    WHERE d.site_id = t.site_id AND d.day = t.day
"""
_OLD_SHARE = 5  # of what is taken, a fifth is the past's if it waits: it may be late, but it comes
_DIRTY_OF = """
    SELECT site_id, day, from_time, generation, gone FROM telemetry.dirty_day
    WHERE site_id = $1 ORDER BY day DESC LIMIT $2
"""
_FINISH = """
    DELETE FROM telemetry.dirty_day d USING unnest($1::text[], $2::date[], $3::bigint[]) AS t(site_id, day, generation)
    WHERE d.site_id = t.site_id AND d.day = t.day AND d.generation = t.generation
"""
_SAVE = f"""
    INSERT INTO telemetry.site_day (site_id, day, timezone, computed_at, quality_q, {_TOTALS}, {_QUARTERS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (site_id, day) DO UPDATE SET timezone = excluded.timezone, computed_at = excluded.computed_at,
        quality_q = excluded.quality_q,
        {", ".join(f"{name} = excluded.{name}" for name in f"{_TOTALS}, {_QUARTERS}".split(", "))}
    WHERE NOT site_day.sealed
"""  # noqa: S608 - column names of our own
_FORGET_EVENTS = """
    DELETE FROM telemetry.counter_event e USING unnest($2::timestamptz[], $3::timestamptz[]) AS w(since, until)
    WHERE e.site_id = $1 AND e.time >= w.since AND e.time < w.until
"""
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
    """A local day to recompute; samples from `from_time` on may be new. gone: some may be there no more."""

    site: SiteId
    day: date
    from_time: UnixMs
    generation: int
    gone: bool = False


class EnergyStep(msgspec.Struct, frozen=True):
    """registers: Wh; None where nothing is known; only those that the site has.

    quality: how many of the step's quarter-hours are missing, measured, estimated, corrected.
    """

    start: UnixMs
    end: UnixMs
    registers: dict[str, float | None]
    quality: tuple[int, int, int, int]


async def mark_dirty(connection: Connection, marks: Iterable[tuple[SiteId, date, UnixMs]], *, gone: bool = False) -> None:
    """marks: site, local day, earliest new instant; within the transaction that stores the samples.

    gone: samples of these days are taken away, or moved, or say less than they did.
    """
    earliest: dict[tuple[SiteId, date], UnixMs] = {}
    for site, day, from_time in marks:
        earliest[site, day] = min(from_time, earliest.get((site, day), from_time))
    rows = sorted(earliest.items())  # one order of locks for everybody
    sites, days = [site for (site, _), _ in rows], [day for (_, day), _ in rows]
    await connection.execute(_MARK, sites, days, [_instant(from_time) for _, from_time in rows], gone)


async def take_dirty(
    connection: Connection, slots: Sequence[int], limit: int, *, recent: date = date.min, after: SiteId | None = None
) -> list[DirtyDay]:
    """Days of these slots; they stay marked until finish_dirty.

    First those from `recent` on that wait longest; they go to the end of their queue. What is older are years that a file
    brought: the latest of them first, site by site, beginning with the one after `after`, so that each has its turn.
    """
    new = _dirty(await connection.fetch(_RECENT, list(slots), limit, recent))
    old = _dirty(await connection.fetch(_OLD, list(slots), limit, recent, after or ""))
    new = new[: limit - min(len(old), limit // _OLD_SHARE)]
    await connection.execute(_TO_THE_END, [taken.site for taken in new], [taken.day for taken in new])
    return new + old[: limit - len(new)]


async def dirty_days_of(connection: Connection, site: SiteId, limit: int) -> list[DirtyDay]:
    """The newest ones, latest first; they stay marked until finish_dirty."""
    return _dirty(await connection.fetch(_DIRTY_OF, site, limit))


async def finish_dirty(connection: Connection, *taken: DirtyDay) -> bool:
    """False when more was marked since one of them was taken: that day stays dirty."""
    sites, days = [each.site for each in taken], [each.day for each in taken]
    status = await connection.execute(_FINISH, sites, days, [each.generation for each in taken])
    return int(status.rsplit(" ", 1)[1]) == len(taken)


async def save_days(connection: Connection, recomputed: Sequence[Recomputed], now: UnixMs) -> None:
    """Day rows, and the corrections that lie in their windows; all of one site. A sealed row stays as it is."""
    if not recomputed:
        return
    site, at = recomputed[0].day.site, _instant(now)
    await connection.executemany(_SAVE, [_row(each.day, at) for each in recomputed])
    windows = [each.window for each in recomputed]
    await connection.execute(
        _FORGET_EVENTS, site, [_instant(start) for start, _ in windows], [_instant(end) for _, end in windows]
    )
    events = [event for each in recomputed for event in each.events]
    if events:
        devices, registers, oddities = zip(*events, strict=True)
        times, kinds, before, after, energy_wh = zip(*oddities, strict=True)
        await connection.execute(
            _ADD_EVENTS, site, devices, registers, [*map(_instant, times)], kinds, before, after, energy_wh
        )


def _row(day: SiteDay, computed_at: datetime) -> tuple[object, ...]:
    totals, registers = day.totals_wh, day.registers
    return (
        day.site,
        day.day,
        day.timezone,
        computed_at,
        day.quality,
        *(totals.get(register) for register in REGISTERS),
        *(registers.get(register, ()) for register in REGISTERS),
    )


def _dirty(rows: Sequence[Record]) -> list[DirtyDay]:
    return [DirtyDay(row["site_id"], row["day"], _ms(row["from_time"]), row["generation"], row["gone"]) for row in rows]


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
