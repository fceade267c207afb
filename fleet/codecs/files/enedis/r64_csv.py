"""Flow R64 as CSV: registers by tariff, a row for each tariff and instant, in any order.

    Identifiant PRM;Date de début;Date de fin;Grandeur physique;Grandeur metier;Etape metier;Unite;Horodate;
    Contexte de relève;Type de releve;Motif de relève;Grille;Identifiant calendrier;Libellé calendrier;
    Identifiant classe temporelle;Libellé classe temporelle;Cadran;Valeur;Indice de vraisemblance

Source: guide of R6x (Enedis.SGE.GUI.0503). Only active energy (EA) is kept; a row without calendar and tariff is the meter's
own total. Times are legal time without offset.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fleet.codecs.files.enedis.headings import begins, heading
from fleet.codecs.files.enedis.quantities import Direction, NotKept, direction_of, energy_factor, is_active
from fleet.codecs.files.enedis.registers import TOTAL, Registers, Source, rank_of
from fleet.codecs.files.enedis.stamps import PARIS, Stamps, Texts
from fleet.codecs.files.enedis.words import number, refused, serial_of
from fleet.codecs.files.lines import lines
from fleet.codecs.files.reading import Content, Context, FileFormat, Found

_REFUSED_QUANTITIES_MAX: Final = 20  # told of one file


class _Columns(NamedTuple):
    """Where in a row what stands; `cells`, where an empty one is added: nowhere."""

    cells: int
    meter: int
    stamp: int
    value: int
    direction: int
    physical: int
    unit: int
    context: int
    grid: int
    calendar: int
    label: int
    tariff: int


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (cut_meter_number, too_many_serials, too_many_registers, and those of lines())."""
    columns: _Columns | None = None
    rows = RegisterRows(context)
    for line, text in lines(content):
        plain = text.replace('"', "") if '"' in text else text
        if not plain[:1].isdigit():
            names = heading(plain)
            if names is not None and names.kind == "r64":
                columns = _columns(names.names)
                continue
        if columns is None or not plain.strip(" \t;"):
            continue
        cells = plain.split(";")
        if len(cells) < columns.cells:
            yield refused("wrong_field_count", line, plain, found=str(len(cells)), expected=str(columns.cells))
            continue
        cells.insert(columns.cells, "")
        yield from rows.take(line, _register(columns, cells))
    yield from rows.rest()


class Register(NamedTuple):
    """One value, in the words of the file."""

    meter: str
    direction: str
    physical: str
    unit: str
    stamp: str
    value: str
    source: Source
    tariff: str


class RegisterRows:
    """From words to sums."""

    def __init__(self, context: Context) -> None:
        self._role: Final = context.settings.role
        self._registers: Final = Registers()
        self._texts: Final = Texts()
        self._stamps = Stamps(self._texts)
        self._meter: tuple[str, str] = ("", "")
        self._serial: str | None = None
        self._direction: Direction = "import"
        self._refused: Final[set[tuple[str, str]]] = set()

    def take(self, line: int, told: Register) -> Iterator[Found]:
        try:
            if not is_active(told.physical) or not told.physical.strip():
                raise NotKept("series_not_kept", f"{told.physical} {told.unit}")
            factor = energy_factor(told.unit)
        except NotKept as why:
            quantity = (told.physical, told.unit)
            if quantity not in self._refused and len(self._refused) < _REFUSED_QUANTITIES_MAX:
                self._refused.add(quantity)
                yield refused(why.code, line, what=why.what)
            return
        meter = (told.meter, told.direction)
        if meter != self._meter:
            self._meter, self._serial = meter, serial_of(told.meter)
            self._direction = direction_of(told.direction) or ("export" if self._role == "pv" else "import")
            self._stamps = Stamps(self._texts)
        try:
            t = self._stamps.utc(told.stamp)
        except ValueError:
            yield refused("bad_time", line, told.stamp)
            return
        if t is None:
            yield refused("time_does_not_exist", line, told.stamp, zone=PARIS)
            return
        try:
            value = number(told.value)
        except ValueError:
            yield refused("bad_number", line, told.value)
            return
        wh = None if value is None else value * factor
        yield from self._registers.add(self._serial, self._direction, t, told.source, told.tariff, wh)

    def rest(self) -> Iterator[Found]:
        return self._registers.rest()


def _register(columns: _Columns, cells: Sequence[str]) -> Register:
    calendar, tariff = cells[columns.calendar].strip(), cells[columns.tariff].strip()
    if calendar or tariff:
        source = Source(rank_of(calendar, f"{cells[columns.label]} {cells[columns.grid]}"), calendar, cells[columns.context])
    else:
        source = Source(TOTAL, "", cells[columns.context])
    return Register(
        cells[columns.meter],
        cells[columns.direction],
        cells[columns.physical],
        cells[columns.unit],
        cells[columns.stamp],
        cells[columns.value],
        source,
        tariff,
    )


def _columns(names: Sequence[str]) -> _Columns:
    def at(*wanted: str) -> int:
        return next((names.index(each) for each in wanted if each in names), len(names))

    return _Columns(
        cells=len(names),
        meter=at("idntifiant prm"),
        stamp=at("horodat"),
        value=at("valur"),
        direction=at("grandur mtir"),
        physical=at("grandur physiqu"),
        unit=at("unit"),
        context=at("contxt d rlv", "contxt rlv"),
        grid=at("grill", "libll grill"),
        calendar=at("idntifiant calndrir"),
        label=at("libll calndrir"),
        tariff=at("idntifiant class tmporll", "cadran"),
    )


FORMATS: Final = (
    FileFormat(
        "enedis-r64-csv",
        "Enedis : flux R64, index (CSV)",
        "Enedis: flow R64, registers (CSV)",
        "imported-meter",
        begins("r64"),
        read,
    ),
)
