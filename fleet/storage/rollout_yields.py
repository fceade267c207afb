"""What the canaries of a rollout and their neighbours produced, now and before: for fleet.rollouts.energy."""

from collections.abc import Sequence
from typing import Final

import msgspec

from fleet.limits import (
    ROLLOUT_CANARIES_COMPARED_MAX,
    ROLLOUT_ENERGY_DAYS_BACK,
    ROLLOUT_ENERGY_SPAN_S_MAX,
    ROLLOUT_NEIGHBOUR_KM_MAX,
    ROLLOUT_NEIGHBOURS_COMPARED_MAX,
)
from fleet.rollouts.energy import EnergyFinding, Slice, energy_finding
from fleet.rollouts.lifecycle import Rollout
from fleet.storage.database import Connection
from fleet.storage.rollouts import when
from fleet.telemetry import UnixMs

_DAY_MS: Final = 86_400_000
_QUARTER_MS: Final = 900_000
# Devices that tell what they produce: where its power stands among their readings, and the W installed behind each. The
# canary of another kind, such as a gateway, stands for all of its site; neighbours are of sites that were not touched.
_PRODUCERS: Final = """
    WITH producer AS (
        SELECT d.site_id, d.id, s.department, s.latitude, s.longitude, c.place::int AS place,
               s.peak_power_w / count(*) OVER (PARTITION BY d.site_id) AS installed_w
        FROM registry.device d JOIN registry.site s ON s.id = d.site_id JOIN registry.profile p ON p.id = d.profile_id
        CROSS JOIN LATERAL jsonb_array_elements_text(p.definition -> 'channels') WITH ORDINALITY AS c (name, place)
        WHERE c.name = 'pv_power_w' AND p.definition ->> 'kind' = 'inverter' AND d.retired_at IS NULL AND s.peak_power_w > 0
    ), canary AS (
        SELECT DISTINCT p.* FROM remote.rollout_target t JOIN producer p ON p.site_id = t.site_id
            AND (p.id = t.device_id OR t.device_id NOT IN (SELECT id FROM producer))
        WHERE t.rollout_id = $1 AND t.wave = 0 AND t.told_at IS NOT NULL
            AND t.state IN ('pending', 'done', 'rejected', 'timed_out', 'alerted')
        ORDER BY p.id LIMIT $2
    ), neighbour AS (
        SELECT p.* FROM producer p
        WHERE p.site_id NOT IN (SELECT site_id FROM remote.rollout_target WHERE rollout_id = $1 AND told_at IS NOT NULL)
          AND EXISTS (SELECT FROM canary k WHERE k.department = p.department OR
              6371 * 2 * asin(sqrt(least(1, power(sin(radians(p.latitude - k.latitude) / 2), 2)
                  + cos(radians(p.latitude)) * cos(radians(k.latitude))
                    * power(sin(radians(p.longitude - k.longitude) / 2), 2)))) <= $4)
        ORDER BY md5(p.id) LIMIT $3
    )
    SELECT site_id, id, place, installed_w, true AS canary FROM canary
    UNION ALL SELECT site_id, id, place, installed_w, false FROM neighbour
"""
_FIRST_TOLD: Final = """
    SELECT (extract(epoch FROM min(told_at)) * 1000)::bigint FROM remote.rollout_target WHERE rollout_id = $1
"""
_SLICES: Final = """
    WITH quarter AS (
        SELECT p.canary, p.id, date_bin('15 minutes', s.time, 'epoch') AS at,
               avg(s.readings[p.place]) / p.installed_w AS w_per_w
        FROM unnest($1::text[], $2::text[], $3::int[], $4::float8[], $5::boolean[])
            AS p (site_id, id, place, installed_w, canary)
        JOIN telemetry.sample s ON s.site_id = p.site_id AND s.device_id = p.id
        WHERE s.time >= $6 AND s.time < $7 AND s.readings[p.place] IS NOT NULL
        GROUP BY p.canary, p.id, p.installed_w, 3
    )
    SELECT (extract(epoch FROM at) * 1000)::bigint AS at, count(*) FILTER (WHERE canary) AS canaries,
           coalesce(avg(w_per_w) FILTER (WHERE canary), 0) AS canary_w_per_w,
           count(*) FILTER (WHERE NOT canary) AS neighbours,
           coalesce(avg(w_per_w) FILTER (WHERE NOT canary), 0) AS neighbour_w_per_w
    FROM quarter GROUP BY at ORDER BY at
"""


class _Producer(msgspec.Struct, frozen=True):
    site_id: str
    id: str
    place: int
    installed_w: float
    canary: bool


async def look(connection: Connection, rollout: Rollout, now: UnixMs) -> EnergyFinding | None:
    """From when the canaries were all done until now, at most a day, against the same hours of the last day before they
    began that had sun enough.

    None when the rollout does not ask for it, or is not yet so far.
    """
    limit = rollout.plan.energy
    if limit is None or rollout.settled_at is None:
        return None
    start, end = _span(rollout.settled_at, now)
    told_at = await connection.fetchval(_FIRST_TOLD, rollout.id) or rollout.settled_at
    days = max(-(-(end - told_at) // _DAY_MS), 1)  # so many whole days back it is before anybody was told
    rows = await connection.fetch(
        _PRODUCERS,
        rollout.id,
        ROLLOUT_CANARIES_COMPARED_MAX,
        ROLLOUT_NEIGHBOURS_COMPARED_MAX,
        ROLLOUT_NEIGHBOUR_KM_MAX,
    )
    producers = [msgspec.convert(dict(row), _Producer) for row in rows]
    after = await _slices(connection, producers, start, end)
    found = []
    for back_ms in range(days * _DAY_MS, (days + ROLLOUT_ENERGY_DAYS_BACK) * _DAY_MS, _DAY_MS):
        before = await _slices(connection, producers, start - back_ms, end - back_ms)
        found.append(energy_finding(limit, before, after, now))
        if not found[-1].asks_for_another_day:
            return found[-1]
    return max(found, key=lambda each: each.neighbour_before_wh_per_w)  # of the sunniest it is best known what was missing


def _span(settled_at: UnixMs, now: UnixMs) -> tuple[UnixMs, UnixMs]:
    """Whole quarters of an hour: both times are compared over the same."""
    end = now // _QUARTER_MS * _QUARTER_MS
    start = -(-settled_at // _QUARTER_MS) * _QUARTER_MS
    return max(start, end - round(ROLLOUT_ENERGY_SPAN_S_MAX * 1000)), max(start, end)


async def _slices(connection: Connection, producers: Sequence[_Producer], start: UnixMs, end: UnixMs) -> list[Slice]:
    rows = await connection.fetch(
        _SLICES,
        [each.site_id for each in producers],
        [each.id for each in producers],
        [each.place for each in producers],
        [each.installed_w for each in producers],
        [each.canary for each in producers],
        when(start),
        when(end),
    )
    return [msgspec.convert(dict(row), Slice) for row in rows]
