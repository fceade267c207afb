"""Shelly EM and 3EM: em_data.csv, downloaded from the device: `Date/time UTC,Active energy Wh (A),Returned energy Wh (A),…`.

Source: recorded files. UTC; energies of the interval in Wh. A time is the START of its interval (inferred: the maker does
not say). The 3EM names its phases A, B and C, the EM numbers its clamps: `(1)`, and tells the voltage's bounds beside them.
Older rows are 10 minutes apart, newer ones one; files glued together of several downloads are unsorted and repeat rows.
Several columns of a file are added up; a file of phase B or C, or of clamp 2, alone is a device of its own, so that it does
not overwrite the first one's readings of the same times. What a clamp measures, the logger's role says: at the grid (if
nothing is said) active energy is drawn and returned energy fed in; at panels the active one is produced.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from fleet.codecs.files import wide_reading
from fleet.codecs.files.lines import head_lines, lines
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Role, Rows, Unreadable
from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv

_BEGINS: Final = "date/time utc,"
_CLAMP: Final = re.compile(r"active energy wh(?: \(([a-c1-9])\))?(?=,|$)")
_FIRST: Final = frozenset(("", "a", "1"))
# What runs the way of the arrow on the clamp, and what runs the other way
_MEASURES: Final[dict[Role, tuple[str | None, str | None]]] = {
    "grid": ("import_interval_wh", "export_interval_wh"),
    "pv": ("pv_interval_wh", None),
    "battery": ("charge_interval_wh", "discharge_interval_wh"),
}


def recognises(head: bytes) -> bool:
    return any(text.lower().startswith(_BEGINS) and _CLAMP.search(text.lower()) for text in head_lines(head, 3))


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable."""
    role = context.settings.role or "grid"
    if role not in _MEASURES:
        raise Unreadable("role_without_energy")
    active, returned = _MEASURES[role]
    clamps = _clamps(content)
    columns = [
        Column(f"{name} energy Wh{f' ({clamp})' if clamp else ''}", measure, "Wh", optional=True)
        for clamp in dict.fromkeys(clamps)
        for name, measure in (("Active", active), ("Returned", returned))
    ]
    time = TimeCells(at=("Date/time UTC",), order="ymd", zone="UTC", stamp="start")
    serial = _serial(clamps[0]) if len(clamps) == 1 else None
    for found in wide_reading.read(WideCsv(time=time, delimiter=",", columns=tuple(columns)), content, context):
        yield found._replace(serial=serial) if isinstance(found, Rows) else found


def _clamps(content: Content) -> list[str]:
    """As the heading names them: 'a', '1'; '' where it does not."""
    heading = next((text for _, text in islice(lines(content), 3) if text.lower().startswith(_BEGINS)), "")
    return _CLAMP.findall(heading.lower())


def _serial(clamp: str) -> str | None:
    """None: the first one, or the only one."""
    if clamp in _FIRST:
        return None
    return f"clamp-{clamp}" if clamp.isdecimal() else f"phase-{clamp.upper()}"


FORMAT: Final = FileFormat(
    "shelly-em-csv",
    "Shelly EM (CSV)",
    "Shelly EM (CSV)",
    "imported-meter",
    recognises,
    read,
    re.compile(r"phase-[A-C]|clamp-[1-9]"),
)
