"""Solar-Log's JavaScript files: min*.js and min_day.js (5 minutes), days*.js (days), base_vars.js (the plant).

Source: the makers' old description of the format (community wikis keep it), third parties' viewers, recorded files. A row
is `m[mi++]="DD.MM.YY HH:MM:SS|block|block…"`, newest first, with a block per inverter (fleet.codecs.files.solar_log_plant).
Pac in W is close to the mean of the preceding 5 minutes, dayWh counts from midnight, Udc in V; the time is the end of the 5
minutes, local without a zone. `da[dx++]="DD.MM.YY|Wh;maxW|…"` is a day's energy. Months and years (mo, ye) make no curve.
Files that were fetched by HTTP may hold its headers or another file's text. ISO-8859-1.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from math import inf, isfinite
from typing import Final

from fleet.codecs.files.lines import head_lines, lines
from fleet.codecs.files.local_time import DAY_MS, LocalTimes, naive_ms
from fleet.codecs.files.reading import (
    Content,
    Context,
    Definition,
    FileFormat,
    Found,
    Gathering,
    Refusal,
    Rows,
    Unreadable,
    refusal,
)
from fleet.codecs.files.solar_log_plant import Inverter, Layout, Layouts, inverters, unnamed
from fleet.file_limits import (
    FILE_CELLS_GATHERED_MAX,
    FILE_ROWS_PER_BLOCK,
    FILE_SERIALS_MAX,
    SOLAR_LOG_DAYS_KNOWN_MAX,
    SOLAR_LOG_PLANT_BYTES_MAX,
)
from fleet.telemetry import UnixMs

PLANT: Final = "base_vars"

_ROW: Final = re.compile(r'[ \t]*(m\[mi\+\+\]|da\[dx\+\+\])[ \t]*=[ \t]*"([^"|]*)\|([^"]*)"[ \t]*;?[ \t]*')
_COARSE: Final = re.compile(r'[ \t]*(?:mo\[mx\+\+\]|ye\[yx\+\+\])[ \t]*="')
_PLANT_LINE: Final = re.compile(r"[ \t]*(?:var[ \t]+)?(?:AnzahlWR|AnlagenKWP|WRInfo(?:\[[0-9]+\])?)[ \t]*=")
_HARMLESS: Final = re.compile(r"[ \t]*(?:var\b|//|/\*|[a-z]{1,2}[ \t]*=[ \t]*0).*")
_DAY: Final = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{2})")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")


def recognises(head: bytes) -> bool:
    found = head_lines(head)
    if any(_ROW.match(line) is not None or _COARSE.match(line) is not None for line in found):
        return True
    return sum(_PLANT_LINE.match(line) is not None for line in found) >= 2


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (coarser_than_a_day, unknown_zone, too_many_serials)."""
    layouts = Layouts(inverters(context.definitions.get(PLANT, "")))
    kinds = _look_over(content, layouts)
    if PLANT in kinds and "m" not in kinds and "d" not in kinds:
        content.whole(SOLAR_LOG_PLANT_BYTES_MAX)
        yield Definition(PLANT, "\n".join(line.text for line in lines(content, encoding="latin-1")))
        return
    if "coarse" in kinds and "m" not in kinds and "d" not in kinds:
        raise Unreadable("coarser_than_a_day", kinds["coarse"])
    yield from _Plant(context, layouts).read(content)


def _look_over(content: Content, layouts: Layouts) -> dict[str, int]:
    """Which kinds of lines there are, with the first of each."""
    kinds: dict[str, int] = {}
    for number, text in lines(content, encoding="latin-1"):
        row = _ROW.fullmatch(text)
        if row is None:
            if _COARSE.match(text) is not None:
                kinds.setdefault("coarse", number)
            elif _PLANT_LINE.match(text) is not None:
                kinds.setdefault(PLANT, number)
        elif row[1][0] == "m":
            kinds.setdefault("m", number)
            for place, block in enumerate(row[3].split("|")[:FILE_SERIALS_MAX]):
                layouts.learn(place, block.split(";"))
        else:
            kinds.setdefault("d", number)
    return kinds


class _Series:
    """Of one inverter and layout, not handed on yet. rows: their place among the file's instants, and their values."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.values: list[list[float | None]] = []


class _Plant:
    def __init__(self, context: Context, layouts: Layouts) -> None:
        self._zone: Final = context.zone
        self._inverters: Final = inverters(context.definitions.get(PLANT, ""))
        self._layouts: Final = layouts
        self._clock: Final = LocalTimes(context.zone)
        self._days: Final = Gathering()
        self._midnights: dict[str, int | None] = {}
        self._told: Final[set[int]] = set()
        self._lines: list[int] = []
        self._naive: list[int] = []
        self._series: dict[tuple[int, Layout], _Series] = {}
        self._cells = 0

    def read(self, content: Content) -> Iterator[Found]:
        for number, text in lines(content, encoding="latin-1"):
            row = _ROW.fullmatch(text)
            if row is None:
                if _COARSE.match(text) is not None:
                    yield refusal("coarser_than_a_day", number, text=text)
                elif text.strip() and _HARMLESS.fullmatch(text) is None:
                    yield refusal("foreign_text", number, text=text)
                continue
            blocks = row[3].split("|")
            if "_" in text:  # Python would read 1_000 as a number
                yield refusal("bad_number", number, text=text)
                continue
            if len(blocks) > FILE_SERIALS_MAX:
                raise Unreadable("too_many_serials", number, serials_max=str(FILE_SERIALS_MAX))
            if row[1][0] == "m":
                yield from self._minutes(number, row[2], blocks)
                if len(self._naive) >= FILE_ROWS_PER_BLOCK or self._cells >= FILE_CELLS_GATHERED_MAX:
                    yield from self._rows_so_far()
            else:
                yield from self._day(number, row[2], blocks)
        yield from self._rows_so_far()
        yield from self._days.rest()

    def _minutes(self, number: int, at: str, blocks: list[str]) -> list[Refusal]:
        midnight, time = self._midnight(at[:8]), _TIME.fullmatch(at[9:])
        if midnight is None or time is None or at[8:9] != " ":
            return [refusal("bad_time", number, 1, at)]
        refused: list[Refusal] = []
        row = len(self._naive)
        for place, block in enumerate(blocks):
            texts = block.split(";")
            layout = self._layouts.of(place, len(texts))
            if layout is None:
                refused += self._odd_block(number, place, block, len(texts))
            elif self._counts(number, place, refused):
                series = self._series.get((place, layout))
                if series is None:
                    series = self._series[place, layout] = _Series()
                series.rows.append(row)
                series.values.append(_values(texts, layout.places, number, place + 2, refused))
                self._cells += len(layout.places)
        self._lines.append(number)
        self._naive.append(midnight + (int(time[1]) * 3_600 + int(time[2]) * 60 + int(time[3])) * 1_000)
        return refused

    def _day(self, number: int, day: str, blocks: list[str]) -> Iterator[Found]:
        midnight = self._midnight(day)
        if midnight is None:
            yield refusal("bad_time", number, 1, day)
            return
        start, end = _first_instant(self._zone, midnight), _first_instant(self._zone, midnight + DAY_MS)
        for place, block in enumerate(blocks):
            refused: list[Refusal] = []
            values = _values(block.split(";"), (0,), number, place + 2, refused)
            if self._counts(number, place, refused) and values[0] is not None:
                serial = self._inverter(place).serial
                yield from self._days.add(serial, ("pv_interval_wh", "interval_s"), end, (values[0], (end - start) / 1_000))
            yield from refused

    def _rows_so_far(self) -> Iterator[Found]:
        t = self._clock.utc_many(self._naive)
        for line, each in zip(self._lines, t, strict=True):
            if each is None:
                yield refusal("time_does_not_exist", line, 1, zone=self._zone)
        for (place, layout), series in self._series.items():
            known = [
                (at, values) for row, values in zip(series.rows, series.values, strict=True) if (at := t[row]) is not None
            ]
            if known:
                columns = [list(column) for column in zip(*(values for _, values in known), strict=True)]
                yield Rows(self._inverter(place).serial, layout.measures, [at for at, _ in known], columns)
        self._lines, self._naive, self._series, self._cells = [], [], {}, 0

    def _midnight(self, day: str) -> int | None:
        if day not in self._midnights:
            if len(self._midnights) > SOLAR_LOG_DAYS_KNOWN_MAX:
                self._midnights.clear()
            self._midnights[day] = _midnight(day)
        return self._midnights[day]

    def _inverter(self, place: int) -> Inverter:
        return self._inverters.get(place) or unnamed(place)

    def _counts(self, number: int, place: int, refused: list[Refusal]) -> bool:
        """A meter or a box of sensors is told of once, and left out: nothing says what it measures."""
        inverter = self._inverter(place)
        if not inverter.is_inverter and place not in self._told:
            self._told.add(place)
            refused.append(refusal("not_an_inverter", number, place + 2, inverter.name, name=inverter.name[:80]))
        return inverter.is_inverter

    def _odd_block(self, number: int, place: int, block: str, count: int) -> list[Refusal]:
        refused: list[Refusal] = []
        if not self._counts(number, place, refused):
            return refused
        strings = self._inverter(place).strings
        expected = "?" if strings is None else str(2 * strings + 2)
        return [refusal("wrong_field_count", number, place + 2, block, found=str(count), expected=expected)]


def _values(
    texts: list[str], places: tuple[int, ...], number: int, column: int, refused: list[Refusal]
) -> list[float | None]:
    """What is no number is missing, and told of in refused."""
    try:
        found = [float(texts[place]) for place in places]
        if isfinite(sum(found)):
            return list(found)
    except ValueError:
        pass
    return [_value(texts[place].strip(), number, column, refused) for place in places]


def _value(text: str, number: int, column: int, refused: list[Refusal]) -> float | None:
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = inf
    if isfinite(found):
        return found
    refused.append(refusal("bad_number", number, column, text))
    return None


def _midnight(day: str) -> int | None:
    found = _DAY.fullmatch(day)
    if found is None:
        return None
    try:
        return naive_ms(2000 + int(found[3]), int(found[2]), int(found[1]))
    except ValueError:
        return None


@lru_cache(maxsize=1_024)
def _first_instant(zone: str, midnight: int) -> UnixMs:
    """Of a local day. Where the clock jumps over midnight, the instant of the jump."""
    for later_ms in (0, 1_800_000, 3_600_000, 7_200_000):
        found = LocalTimes(zone).utc(midnight + later_ms)
        if found is not None:
            return found
    return midnight


FORMAT: Final = FileFormat(
    id="solar-log",
    label_fr="Solar-Log (JavaScript)",
    label_en="Solar-Log (JavaScript)",
    profile_id="imported-inverter",
    recognises=recognises,
    read=read,
    local=re.compile(r"inverter-[0-9]+"),
)
