"""A fortnight of three devices around a change of the clock, and the files in which loggers and people export it.

An inverter with a lifetime counter (Huawei's day files), a meter's load curve (Enedis), an inverter whose counter begins
anew each day (Solar-Log). Whatever is exported twice says the same, but for the last row of a file that was still growing:
that one was provisional.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from fleet.calendar import QUARTER_MS, day_bounds, quarter_starts
from fleet.telemetry import UnixMs
from tests.samples.enedis_files import PRM, Interval, curve, r63_csv
from tests.samples.packed import gzipped, zipped

PARIS: Final = "Europe/Paris"
DAYS: Final = 14
INVERTER, SOLAR_LOG = "210100000000000001", "logger-1/inverter-1"
FIVE_MIN_MS, HALF_HOUR_MS = 300_000, 1_800_000
_HUAWEI: Final = f"#SmartLogger ESN:102100000001\n#INV1 ESN:{INVERTER}\n#Time;Pac;E-Total;Cycle Time\n"


class File(NamedTuple):
    name: str
    raw: bytes


class Fortnight:
    """lifetime_wh: what the first inverter's counter shows at t. drawn_w: mean power of the half-hour that ends at t.
    of_day_wh: what the second one's shows at t, by day of light.
    """

    def __init__(self, first: date, luck: Random) -> None:
        self.days: Final = [first + timedelta(days=n) for n in range(DAYS)]
        self.lifetime_wh: Final[dict[UnixMs, int]] = {}
        self.of_day_wh: Final[dict[UnixMs, int]] = {}
        self.drawn_w: Final[dict[UnixMs, int]] = {}
        counter_wh = 150_000_000
        for day in self.days:
            start, end = day_bounds(day, PARIS)
            today_wh = 0
            for t in range(start, end, FIVE_MIN_MS):
                sun = max(0.0, math.sin((clock(t).hour + clock(t).minute / 60 - 7) / 12 * math.pi))
                self.lifetime_wh[t] = counter_wh
                counter_wh += 10 * int(sun * luck.randint(5, 25))
                if 6 <= clock(t).hour < 21:
                    self.of_day_wh[t] = today_wh
                    today_wh += int(sun * luck.randint(20, 150))
            for t in range(start + HALF_HOUR_MS, end + 1, HALF_HOUR_MS):
                self.drawn_w[t] = luck.randint(0, 6_000)
        self.lifetime_wh[day_bounds(self.days[-1], PARIS)[1]] = counter_wh

    def registers_wh(self, day: date) -> dict[str, tuple[float, ...]]:
        """By register and quarter-hour, as the site's day should have them."""
        pv, drawn = list[float](), list[float]()
        for start in quarter_starts(day, PARIS):
            end = start + QUARTER_MS
            shown = [wh for t, wh in ((t, self.of_day_wh.get(t)) for t in (start, end)) if wh is not None]
            of_day = shown[1] - shown[0] if len(shown) == 2 else 0
            pv.append(float(self.lifetime_wh[end] - self.lifetime_wh[start] + of_day))
            half_hour = end if end % HALF_HOUR_MS == 0 else end + QUARTER_MS
            drawn.append(self.drawn_w[half_hour] / 4)
        return {"pv_energy_wh": tuple(pv), "import_energy_wh": tuple(drawn)}


def clock(t: UnixMs) -> datetime:
    return datetime.fromtimestamp(t / 1000, ZoneInfo(PARIS))


def exports(told: Fortnight, luck: Random) -> list[File]:
    """All of it, at least once, in as many ways as people find."""
    files = [*_huawei(told, luck), *_enedis(told, luck), *_solar_log(told, luck), *_shuffled(told, luck)]
    again = luck.sample(files, len(files) // 6)
    return [
        *files,
        *luck.sample(files, 3),  # the same once more
        *(File(f"copy of {file.name}", file.raw) for file in again[::3]),
        *(File(f"{file.name}.gz", gzipped(file.raw)) for file in again[1::3]),
        *(File(f"{file.name}.zip", zipped(file.raw)) for file in again[2::3]),
    ]


def _huawei(told: Fortnight, luck: Random) -> Iterator[File]:
    """Day files, sent again and again while they grow; newest row first. The last instant closes the day before."""

    def day_file(day: date, rows: Sequence[tuple[UnixMs, int]]) -> File:
        lines = [f"{clock(t):%Y-%m-%d %H:%M:%S};0.1;{wh / 1000:.2f};5;\n" for t, wh in reversed(rows)]
        return File(f"min{day:%y%m%d}.csv", (_HUAWEI + "".join(lines)).encode())

    for day in told.days:
        start, end = day_bounds(day, PARIS)
        rows = [(t, told.lifetime_wh[t]) for t in range(start, end + 1, FIVE_MIN_MS)]
        for _ in range(luck.choice((0, 0, 1, 2))):
            upto = luck.randint(100, 200)
            (*before, (t, wh)) = rows[:upto]
            yield day_file(day, [*before, (t, wh - luck.choice((0, 10, 50)))])
        yield day_file(day, rows)


def _enedis(told: Fortnight, luck: Random) -> Iterator[File]:
    """Exports of some days each that overlap, from the portal and as R63; one that ended while its half-hour went on."""

    def export(first: UnixMs, last: UnixMs, last_w: int | None = None) -> File:
        steps = [
            Interval(datetime.fromtimestamp((t - HALF_HOUR_MS) / 1000, UTC), 30, watts)
            for t, watts in told.drawn_w.items() if first < t <= last
        ]  # fmt: skip
        if last_w is not None:
            steps[-1] = steps[-1]._replace(watts=last_w)
        write = luck.choice((curve, r63_csv))
        return File(f"Enedis_{first}_{luck.randrange(99)}.csv", write(steps).encode())

    edges = [day_bounds(day, PARIS)[0] for day in told.days] + [day_bounds(told.days[-1], PARIS)[1]]
    at = 0
    while at < DAYS:
        upto = min(DAYS, at + luck.randint(1, 5))
        yield export(edges[max(0, at - luck.randint(0, 2))], edges[upto])
        if luck.random() < 0.5:
            yield export(edges[at], edges[upto] - luck.randint(20, 30) * HALF_HOUR_MS, luck.randint(0, 6_000))
        at = upto


def _solar_log(told: Fortnight, luck: Random) -> Iterator[File]:
    """Day files; some of them in two pieces, or with rows that stand twice in them."""
    for day in told.days:
        start, end = day_bounds(day, PARIS)
        rows = [
            f'm[mi++]="{clock(t):%d.%m.%y %H:%M:%S}|500;510;{wh};400"\n'
            for t, wh in told.of_day_wh.items() if start <= t < end
        ][::-1]  # fmt: skip
        if luck.random() < 0.3:
            rows = [row for row in rows for _ in range(luck.randint(1, 2))]
        cut = luck.randint(20, len(rows) - 20) if luck.random() < 0.4 else len(rows)
        for number, piece in enumerate((rows[:cut], rows[cut:])):
            if piece:
                yield File(f"min{day:%y%m%d}{number}.js", "".join(piece).encode())


def _shuffled(told: Fortnight, luck: Random) -> Iterator[File]:
    """What somebody took out of a database: rows in any order, some of them twice."""
    for _ in range(3):
        first = luck.randrange(DAYS)
        start, end = day_bounds(told.days[first], PARIS)[0], day_bounds(told.days[min(DAYS - 1, first + 2)], PARIS)[1]
        rows = [f"{t},{INVERTER},{wh},\n" for t, wh in told.lifetime_wh.items() if start <= t <= end]
        rows += [f"{t},{SOLAR_LOG},,{wh}\n" for t, wh in told.of_day_wh.items() if start <= t <= end]
        rows += luck.sample(rows, len(rows) // 10)
        luck.shuffle(rows)
        heading = "time,serial,pv_energy_wh,pv_day_energy_wh\n"
        yield File(f"dump {first}.csv", (heading + "".join(rows)).encode())


__all__ = ["DAYS", "INVERTER", "PRM", "SOLAR_LOG", "File", "Fortnight", "exports"]
