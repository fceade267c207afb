"""What a site's days add up to, and how they are drawn: pure, from fleet.energy.day's days."""

from collections.abc import Iterable, Sequence
from datetime import date

import msgspec

from fleet.calendar import QUARTER_MS, day_bounds
from fleet.energy.day import SiteDay, consumption_by_quarter, consumption_wh
from fleet.energy.quarters import CORRECTED, ESTIMATED, MEASURED, MISSING
from fleet.telemetry import UnixMs

_PV, _IMPORT, _EXPORT = "pv_energy_wh", "import_energy_wh", "export_energy_wh"
_CHARGE, _DISCHARGE = "charge_energy_wh", "discharge_energy_wh"
Series = tuple[float | None, ...]


class Balance(msgspec.Struct, frozen=True):
    """How the energy went, in Wh, of the time in which everything is known.

    What was exported counts as solar as long as there was solar, then what was charged; the rest of it the house has used.

    own_wh           solar used by the house at once
    pv_battery_wh    solar into the battery
    pv_export_wh     solar into the grid
    battery_load_wh  from the battery into the house
    grid_load_wh     from the grid into the house
    """

    pv_wh: float = 0.0
    load_wh: float = 0.0
    own_wh: float = 0.0
    pv_battery_wh: float = 0.0
    pv_export_wh: float = 0.0
    battery_load_wh: float = 0.0
    grid_load_wh: float = 0.0


class Totals(msgspec.Struct, frozen=True):
    """Wh of some time; None = nothing known. estimated: most of what is known of it is."""

    pv_wh: float | None = None
    load_wh: float | None = None
    import_wh: float | None = None
    export_wh: float | None = None
    charge_wh: float | None = None
    discharge_wh: float | None = None
    balance: Balance = Balance()
    estimated: bool = False

    @property
    def self_consumption(self) -> float | None:
        """Share of the production that was used on site, at once or by way of the battery. None without production."""
        return 1 - self.balance.pv_export_wh / self.balance.pv_wh if self.balance.pv_wh > 0 else None

    @property
    def self_sufficiency(self) -> float | None:
        """Share of the consumption that did not come from the grid at that moment. None without consumption."""
        return 1 - self.balance.grid_load_wh / self.balance.load_wh if self.balance.load_wh > 0 else None

    @property
    def empty(self) -> bool:
        return self.pv_wh is None and self.import_wh is None and self.export_wh is None


class DaySeries(msgspec.Struct, frozen=True):
    """What <energy-chart data-kind="day"> draws: Wh per quarter-hour. None for a register that the site does not have."""

    zone: str
    start_ms: UnixMs
    quality: tuple[int, ...]
    load: Series
    pv: Series | None
    import_: Series | None = msgspec.field(name="import")
    export: Series | None
    charge: Series | None
    discharge: Series | None


class BarSeries(msgspec.Struct, frozen=True):
    """What <energy-chart data-kind="bars"> draws: Wh per step."""

    steps: list[str]
    titles: list[str]
    pv: list[float | None]
    own: list[float | None]
    import_: list[float | None] = msgspec.field(name="import")
    export: list[float | None]
    charge: list[float | None]
    discharge: list[float | None]
    estimated: list[bool]


def totals_of_day(day: SiteDay) -> Totals:
    """Added up from the quarter-hours: shares of whole days would net morning against evening."""
    load = consumption_by_quarter(day)
    balances = [
        _balance({register: values[index] or 0.0 for register, values in day.registers.items()}, load_wh)
        for index, load_wh in enumerate(load)
        if load_wh is not None
    ]
    counts = [day.quality.count(value) for value in range(4)]
    return _totals(day.totals_wh, _known_sum(load), _added(balances), counts)


def totals_of_registers(known: dict[str, float | None], counts: Sequence[int]) -> Totals:
    """The same from totals alone, for long times; exact unless the battery takes from the grid or gives to it.

    counts: quarter-hours that are missing, measured, estimated, corrected.
    """
    load_wh = consumption_wh(known)
    flows = {register: wh or 0.0 for register, wh in known.items()}
    return _totals(known, load_wh, Balance() if load_wh is None else _balance(flows, load_wh), counts)


def summed(parts: Iterable[Totals]) -> Totals:
    """Rates come from the sums, not from the mean of rates."""
    parts = list(parts)
    return Totals(
        pv_wh=_known_sum(part.pv_wh for part in parts),
        load_wh=_known_sum(part.load_wh for part in parts),
        import_wh=_known_sum(part.import_wh for part in parts),
        export_wh=_known_sum(part.export_wh for part in parts),
        charge_wh=_known_sum(part.charge_wh for part in parts),
        discharge_wh=_known_sum(part.discharge_wh for part in parts),
        balance=_added([part.balance for part in parts]),
        estimated=bool(parts) and all(part.estimated for part in parts),
    )


def _totals(known: dict[str, float | None], load_wh: float | None, balance: Balance, counts: Sequence[int]) -> Totals:
    return Totals(
        pv_wh=known.get(_PV),
        load_wh=load_wh,
        import_wh=known.get(_IMPORT),
        export_wh=known.get(_EXPORT),
        charge_wh=known.get(_CHARGE),
        discharge_wh=known.get(_DISCHARGE),
        balance=balance,
        estimated=counts[ESTIMATED] * 2 > sum(counts[MEASURED:]),
    )


def _balance(flows: dict[str, float], load_wh: float) -> Balance:
    """Of one time in which all flows are known."""
    pv_wh, load_wh = flows.get(_PV, 0.0), max(0.0, load_wh)
    pv_export_wh = min(pv_wh, flows.get(_EXPORT, 0.0))
    pv_battery_wh = min(pv_wh - pv_export_wh, flows.get(_CHARGE, 0.0))
    own_wh = min(pv_wh - pv_export_wh - pv_battery_wh, load_wh)
    battery_load_wh = min(flows.get(_DISCHARGE, 0.0), load_wh - own_wh)
    return Balance(pv_wh, load_wh, own_wh, pv_battery_wh, pv_export_wh, battery_load_wh, load_wh - own_wh - battery_load_wh)


def _added(balances: Sequence[Balance]) -> Balance:
    columns = zip(*(msgspec.structs.astuple(each) for each in balances), strict=True)
    return Balance(*(sum(column) for column in columns))


def day_series(day: SiteDay | None, of: date, timezone: str, now: UnixMs) -> DaySeries:
    """None: a day without a row is a day of which nothing is known, as long as its clock says.

    The quarter-hour that is still running is left out: its energy so far would be drawn as a drop in power.
    """
    start, end = day_bounds(of, timezone)
    if day is None:
        nothing: Series = (None,) * ((end - start) // QUARTER_MS)
        return DaySeries(timezone, start, (MISSING,) * len(nothing), nothing, nothing, nothing, nothing, None, None)
    over = max(0, (now - start) // QUARTER_MS)

    def drawn(values: Series) -> Series:
        return values[:over] + (None,) * len(values[over:])

    def register(name: str) -> Series | None:
        return drawn(day.registers[name]) if name in day.registers else None

    return DaySeries(
        zone=timezone,
        start_ms=start,
        quality=day.quality,
        load=drawn(consumption_by_quarter(day)),
        pv=register(_PV),
        import_=register(_IMPORT),
        export=register(_EXPORT),
        charge=register(_CHARGE),
        discharge=register(_DISCHARGE),
    )


def bar_series(steps: Sequence[tuple[str, str, Totals | None]]) -> BarSeries:
    """steps: short label, full label, and the step's totals (None = no data)."""
    rows = [totals or Totals() for _, _, totals in steps]
    return BarSeries(
        steps=[short for short, _, _ in steps],
        titles=[full for _, full, _ in steps],
        pv=[row.pv_wh for row in rows],
        own=[None if row.empty else row.balance.own_wh for row in rows],
        import_=[row.import_wh for row in rows],
        export=[row.export_wh for row in rows],
        charge=[row.charge_wh for row in rows],
        discharge=[row.discharge_wh for row in rows],
        estimated=[row.estimated for row in rows],
    )


class QuarterRow(msgspec.Struct, frozen=True):
    """A line of the table beside the curve. quality: as in the day."""

    at: UnixMs
    pv_wh: float | None
    load_wh: float | None
    import_wh: float | None
    export_wh: float | None
    quality: int


def hour_rows(day: SiteDay, timezone: str) -> list[QuarterRow]:
    """The day's curve as a table by the hour; an hour is as well known as its worst quarter."""
    start = day_bounds(day.day, timezone)[0]
    load = consumption_by_quarter(day)
    rows = []
    for first in range(0, len(day.quality), 4):
        four = slice(first, first + 4)
        part = {register: _known_sum(values[four]) for register, values in day.registers.items()}
        quality = _worst(day.quality[four])
        values = (part.get(_PV), _known_sum(load[four]), part.get(_IMPORT), part.get(_EXPORT))
        rows.append(QuarterRow(start + first * QUARTER_MS, *values, quality))
    return rows


def _worst(qualities: Sequence[int]) -> int:
    for quality in (MISSING, ESTIMATED, CORRECTED):
        if quality in qualities:
            return quality
    return qualities[0]


def _known_sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
