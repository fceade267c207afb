"""Schneider Electric's EcoStruxure Panel Server and Com'X (and EGX): one device's logged values, over SFTP or HTTPS.

Source: guide DOCA0172 (Panel Server); recorded files of Com'X for the shape of dates. UTF-8, commas. Two lines say whose
values these are (`Gateway Name,…` and its values), two list topics, then `Error,UTC Offset (minutes),Local Time Stamp,…`
names the columns, with units in brackets. UTC is local time less the offset, so autumn's hour comes out by itself. Error 0
is good; values with another one are refused. Energies are lifetime counters. Serial: that of the gateway and the device's id
behind it. What the meter measures, the logger's role says: at the grid (if nothing is said) energy without a direction is
drawn, and what is received or exported is fed in; at panels it is the yield. Phases' powers, demands and tariffs are no
measures of ours. Some gateways leave out all above the names of the columns: then the readings are the logger's own.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Final

from fleet.codecs.files.dates import Times
from fleet.codecs.files.lines import Line, head_lines, lines
from fleet.codecs.files.numbers import Numbers
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Role, Unreadable, refusal
from fleet.codecs.files.row_reader import Layout, RowReader, serial_of, split
from fleet.codecs.files.series import Group, Slot
from fleet.codecs.files.units import scale_to
from fleet.codecs.files.wide_header import plain
from fleet.measures import is_measure

_BEGINS: Final = "gateway name,"
_BARE: Final = "error,utc offset (minutes),local time stamp,"
_COLUMNS: Final = ("error", "utc offset", "local time stamp")
_HEADINGS_MAX: Final = 30
_ROW: Final = re.compile(r"([^,]*),([^,]*),([^,]*)(,.*)?")
_UNIT: Final = re.compile(r"(.*?)\s*\(([^()]*)\)")
_OTHER: Final = re.compile(
    r"\b(?:demand|max|min|maximum|minimum|peak|rate|tariff|partial|reset|present|previous|sign|thd|unbalance|fundamental|avg"
    r"|average|neutral)\b"
)
_PHASE: Final = re.compile(r"(?:^|\s)(?:phase\s*|l)?([abc123])(?:-n)?")
_NO_PHASE: Final = re.compile(r"(?:total|sum)?")
_ENERGY_WORDS: Final = re.compile(
    r"\b(?:active|real|energy|total|delivered|received|imported|exported|import|export|into|out|of|load)\b"
)
_EXPORTED: Final = re.compile(r"\b(?:received|export(?:ed)?|out of load)\b")
_DELIVERED: Final = re.compile(r"\b(?:delivered|import(?:ed)?|into load)\b")
_LINES: Final = {"a": "1", "b": "2", "c": "3"}


def recognises(head: bytes) -> bool:
    return any(text.lower().startswith((_BEGINS, _BARE)) for text in head_lines(head, 3))


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (columns_not_found, empty_file, header_only …)."""
    texts = lines(content)
    above, names = _headings(texts)
    reader = RowReader(
        content, context, delimiter=",", numbers=Numbers(), times=Times(order=context.settings.date_order), short_rows=True
    )
    reader.lay(Layout(len(names), (2,), (Group(_serial(above), _slots(names, context.settings.role or "grid")),)))
    refused = 0
    for number, text in texts:
        found = _row(reader, number, text)
        refused += len(found)
        yield from found
    yield from reader.rest()
    if not reader.rows and not refused:
        raise Unreadable("header_only")


def _row(reader: RowReader, number: int, text: str) -> Sequence[Found]:
    cut = _ROW.fullmatch(text)
    if cut is None:
        return reader.row(number, text)
    error, offset, time, values = cut[1].strip(), cut[2].strip(), cut[3].strip(), cut[4] or ""
    if error not in {"0", ""}:
        return [refusal("marked_invalid", number, 1, text, error=error[:20])] if values.strip(", ") else []
    try:
        minutes = int(offset)
    except ValueError:
        return [refusal("bad_time", number, 2, offset)] if text.strip(", ") else []
    sign, minutes = "-" if minutes < 0 else "+", abs(minutes)
    return reader.row(number, f"{error},{offset},{time}{sign}{minutes // 60:02}:{minutes % 60:02}{values}")


def _headings(texts: Iterator[Line]) -> tuple[list[list[str]], list[str]]:
    """What stands above, and the names of the columns. Raises Unreadable (columns_not_found, empty_file)."""
    above: list[list[str]] = []
    for _, text in islice(texts, _HEADINGS_MAX):
        cells = [plain(cell) for cell in split(text, ",")]
        if all(cell.lower().startswith(name) for cell, name in zip(cells, _COLUMNS, strict=False)) and len(cells) > 3:
            return above, cells
        if any(cells):
            above.append(cells)
    raise Unreadable("columns_not_found" if above else "empty_file")


def _serial(above: Sequence[Sequence[str]]) -> str | None:
    """'00001', 'modbus:3' → '00001/modbus-3'. None: the file does not say."""
    for names, values in pairwise(above):
        told = dict(zip((name.lower() for name in names), values, strict=False))
        gateway, device = told.get("gateway sn", ""), told.get("device local id", "") or told.get("device name", "")
        if gateway and device:
            return serial_of(f"{gateway}/{device}") or None
    return None


def _slots(names: Sequence[str], role: Role) -> tuple[Slot, ...]:
    """Of several columns for one measure the one that says it most plainly."""
    best: dict[str, tuple[int, Slot]] = {}
    for at, cell in enumerate(names[3:], 3):
        cut = _UNIT.fullmatch(cell)
        name, unit = (cut[1], cut[2]) if cut is not None else (cell, "")
        known = _measure(name.lower(), role)
        scale = None if known is None else scale_to(known[0], unit)
        if known is None or scale is None:
            continue
        measure, rank = known
        if measure not in best or rank < best[measure][0]:
            best[measure] = (rank, Slot(at, measure, scale))
    return tuple(slot for _, slot in best.values())


def _measure(name: str, role: Role) -> tuple[str, int] | None:
    """And how indirectly it says so."""
    if _OTHER.search(name) is not None:
        return None
    if "energy" in name:
        return _energy(name, role)
    for words, measure in (
        ("power factor", "power_factor"),
        ("reactive power", "reactive_power_var"),
        ("apparent power", "apparent_power_va" if role == "grid" else None),
        ("active power", f"{role}_power_w"),
        ("real power", f"{role}_power_w"),
        ("frequency", "ac_frequency_hz"),
        ("irradiance", "irradiance_w_m2"),
        ("voltage", "ac_voltage_v"),
        ("current", "ac_current_a"),
    ):
        if measure is not None and name.startswith(words):
            named = _of_phase(measure, name.removeprefix(words).strip())
            return None if named is None else (named, 0)
    return None


def _of_phase(measure: str, rest: str) -> str | None:
    """rest: what follows the quantity, such as 'l1-n', 'total'. None: something else than a phase, or no measure of ours."""
    if _NO_PHASE.fullmatch(rest) is not None:
        return measure
    phase = _PHASE.fullmatch(rest)
    named = None if phase is None else f"{measure}_l{_LINES.get(phase[1], phase[1])}"
    return named if named is not None and is_measure(named) else None


def _energy(name: str, role: Role) -> tuple[str, int] | None:
    rest = _ENERGY_WORDS.sub("", name)
    if re.search("[a-z0-9]", rest):
        return None  # of a phase, a quadrant …
    exported, delivered = _EXPORTED.search(name) is not None, _DELIVERED.search(name) is not None
    if role == "grid":
        return ("export_energy_wh" if exported else "import_energy_wh"), 0 if exported or delivered else 1
    if role == "pv":
        return "pv_energy_wh", 2 if exported else 1 if delivered else 0
    if role == "battery" and (exported or delivered):
        return ("discharge_energy_wh" if exported else "charge_energy_wh"), 0
    return None


FORMAT: Final = FileFormat(
    "schneider-panel-server",
    "Schneider Panel Server, Com'X",
    "Schneider Panel Server, Com'X",
    "imported-meter",
    recognises,
    read,
)
